"""The files that a backtest writes: each whole or not at all, and none over what it reads."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from executor.commands.backtest_options import STDOUT, Asked, BadInputError
from recordings.loader import BUNDLED

_OF_A_RECORDING: Final = re.compile(r".*\.jsonl\.gz|(books|markets)\.(csv|parquet)", re.DOTALL)
"""Files that are read where a folder is given."""
_AS_THEY_ARE: Final = ("/dev/", "/proc/")


def check_outputs(asked: Asked) -> None:
    """Whether each file can be written, none twice and none that is read: a run may take long.

    Raises BadInputError.
    """
    outputs = {"--html": asked.html, "--json": asked.json, "--trades": asked.trades}
    seen: dict[object, str] = {}
    for name, path in outputs.items():
        if path is None or (name == "--json" and path == STDOUT):
            continue
        if path == STDOUT:
            raise BadInputError(f"{name}: a file is wanted; only --json can go to stdout")
        _check_writable(name, path)
        if _is_read(path, asked):
            raise BadInputError(f"{name}: {path} is what is to be read")
        other = seen.setdefault(_identity(path), name)
        if other != name:
            raise BadInputError(f"{other} and {name}: the same file")


def write_whole(path: Path, content: bytes) -> None:
    """In place of what was there, once all of it is on the disk. Raises OSError."""
    if _is_device(path):
        path.write_bytes(content)
        return
    target = Path(os.path.realpath(path))
    with _uninterrupted(), _beside(target) as (part, descriptor):
        with suppress(FileNotFoundError):
            os.fchmod(descriptor, target.stat().st_mode & 0o777)
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.fsync(descriptor)
        part.replace(target)


def _check_writable(name: str, path: Path) -> None:
    try:
        existed = path.exists()
        if existed and not (path.is_file() or path.is_dir()) and not path.is_char_device():
            raise BadInputError(f"{name}: {path} is not a file")  # a pipe would be waited for
        # The only answers that hold: rights, read-only disks and names of directories are many.
        with _uninterrupted():
            with path.open("ab"):
                pass
            if not existed:
                Path(os.path.realpath(path)).unlink()
            if not _is_device(path):
                with _beside(Path(os.path.realpath(path))):
                    pass
    except (OSError, ValueError) as error:
        if isinstance(error, BadInputError):
            raise
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise BadInputError(f"{name}: {path} cannot be written: {why}") from None


@contextmanager
def _beside(target: Path) -> Iterator[tuple[Path, int]]:
    """A new file in the same folder, and its descriptor; it is gone in the end unless renamed."""
    part = target.parent / f".backtest-{os.getpid()}.part"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        yield part, descriptor
    finally:
        os.close(descriptor)
        part.unlink(missing_ok=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A signal ends a command at once (`executor.__main__`), and would leave a part of a file. It
    waits, for no longer than a few MB take."""
    came: list[int] = []
    # Not masked: a library's thread would take the signal for this one.
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
        if callable(signal.getsignal(number))
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def _is_device(path: Path) -> bool:
    """`/dev/stdout` may be a file that somebody else has open: that is written to, not replaced."""
    return path.is_char_device() or str(path.absolute()).startswith(_AS_THEY_ARE)


def _is_read(path: Path, asked: Asked) -> bool:
    folder, name = os.path.split(os.path.realpath(path))
    for source in asked.paths or (BUNDLED,):
        if _identity(source) == _identity(path):
            return True
        if os.path.realpath(source) == folder and _OF_A_RECORDING.fullmatch(name):
            return True
    strategy = Path((asked.strategy or "").rpartition(":")[0] or asked.strategy or "")
    return _identity(path) in (_identity(strategy), _identity(Path(asked.latency)))


def _identity(path: Path) -> object:
    """The same for all names of a file; of what is not there, its name without links."""
    with suppress(OSError, ValueError):
        if path.is_file():
            status = path.stat()
            return status.st_dev, status.st_ino
        if path.is_char_device():
            return object()  # each may go there
    return os.path.realpath(path)
