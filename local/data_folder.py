"""The folder in which the system on this machine keeps what it knows; one supervisor at a time.

Its lock is held by the supervisor and by every process that it starts, each of which is given the
lock's descriptor: it is free once the last of them is gone, and no new system begins on the files
of one that is still there. On Linux the kernel kills them with their supervisor, which takes it
some milliseconds; elsewhere they outlive it, and a person has to end them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from local.status import read_status
from runtime.output import one_line

VERSION: Final = "1"
LOCK_TIMEOUT_S: Final = 3.0
"""For the processes of a supervisor that was killed."""
DYING_S: Final = 0.5
SPACE_MIN_BYTES: Final = 100 << 20
_LOCK, _VERSION = "lock", "version"
_NOT_IN_URLS: Final = "?#%"
"""The store's file is named by a URL."""
_AGAIN_S: Final = 0.05


class DataFolderError(Exception):
    """The folder cannot be used; one line says why, and a person can mend it."""


@dataclass(frozen=True, kw_only=True)
class DataFolder:
    """Comes from `open`; ours until `close`, or the end of all who were given `lock`."""

    path: Path
    """Absolute."""
    lock: int
    """Descriptor; a process that it is passed to holds the lock, too."""

    @classmethod
    def open(cls, path: Path, timeout_s: float = LOCK_TIMEOUT_S) -> Self:
        """Make it where there is none, and lock it. Blocks up to `timeout_s` seconds, for the
        processes of a supervisor that was killed. Raises DataFolderError."""
        path = place_of(path)
        try:
            _make(path)
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            _take(lock, path, timeout_s)
            _check_version(path)
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
            folder = cls(path=path, lock=lock)
            for each in (folder.nats, folder.logs):
                each.mkdir(mode=0o700, exist_ok=True)
                if not os.access(each, os.W_OK | os.X_OK):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(each))
        except OSError as error:
            os.close(lock)
            raise _unusable(path, error) from error
        except DataFolderError:
            os.close(lock)
            raise
        return folder

    @property
    def nats(self) -> Path:
        """Files of nats-server's."""
        return self.path / "nats"

    @property
    def logs(self) -> Path:
        """`<process>.log`, and those before it."""
        return self.path / "logs"

    @property
    def recording(self) -> Path:
        """What `executor record` writes."""
        return self.path / "recording"

    @property
    def state(self) -> str:
        """The variable STATE of every process of this system."""
        return f"sqlite:///{self.path / 'state.sqlite'}"

    def close(self) -> None:
        """Give it up."""
        with suppress(OSError):
            os.close(self.lock)


def place_of(path: Path) -> Path:
    """Where a folder of this name is: absolute, and fit for a URL. Raises DataFolderError."""
    try:
        path = path.expanduser().absolute()
    except RuntimeError:  # `~` of nobody, or of somebody without a home
        raise DataFolderError(f"{one_line(str(path))}: there is no such home directory") from None
    except OSError as error:
        raise DataFolderError(
            f"{one_line(str(path))}: where this terminal stands: {error.strerror or error}"
        ) from None
    if not str(path).isprintable() or set(str(path)) & set(_NOT_IN_URLS):
        raise DataFolderError(
            f"{one_line(str(path))}: name a directory without {', '.join(_NOT_IN_URLS)}"
        )
    return path


def _make(path: Path) -> None:
    """The directory, readable by nobody else. Raises OSError, DataFolderError."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise DataFolderError(f"{path}: not a directory") from None
    there = {each.name for each in path.iterdir()}
    if _VERSION not in there and (foreign := sorted(there - {_LOCK, f".{_VERSION}.new"})):
        raise DataFolderError(
            f"{path}: holds something else ({one_line(foreign[0])}); name a directory of its own"
        )
    if path.stat().st_mode & 0o077:
        path.chmod(0o700)
    if (left_bytes := shutil.disk_usage(path).free) < SPACE_MIN_BYTES:
        raise DataFolderError(
            f"{path}: no space left on the disk: {left_bytes >> 20} MB are free, "
            f"{SPACE_MIN_BYTES >> 20} are wanted"
        )


def _take(lock: int, path: Path, timeout_s: float) -> None:
    """Raises OSError, DataFolderError."""
    began_s = time.monotonic()
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(lock)
            # One that was just killed takes some milliseconds to be gone itself.
            waits_s = DYING_S if _runs(holder) else timeout_s
            if time.monotonic() - began_s >= waits_s:
                raise DataFolderError(_held(path, holder)) from None
            time.sleep(_AGAIN_S)
        else:
            return


def _held(path: Path, holder: int) -> str:
    if _runs(holder):
        return f"{path}: a system runs here already (pid {holder})"
    status = read_status(path)
    pids = [each.pid for each in status.processes if _runs(each.pid)] if status else []
    left = ", ".join(map(str, pids)) or "unknown"
    return (
        f"{path}: the system that ran here was killed, and processes of it still run "
        f"(pids: {left}): end them first"
    )


def _holder(lock: int) -> int:
    """The supervisor that took it last, 0 where it has not said so."""
    text = os.pread(lock, 32, 0).strip()
    return int(text) if text.isdigit() else 0


def _runs(pid: int) -> bool:
    """Whether there is such a process, which may be another one by now. One that has ended, and
    that nobody has asked about, does not run."""
    if pid <= 0:
        return False
    with suppress(OSError):  # no /proc: not Linux
        return _state_of(pid) != "Z"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _state_of(pid: int) -> str:
    return (
        Path(f"/proc/{pid}/stat")
        .read_text(encoding="utf-8", errors="replace")
        .rpartition(") ")[2][:1]
    )


def _check_version(path: Path) -> None:
    """Raises OSError, DataFolderError."""
    file = path / _VERSION
    try:
        with file.open(encoding="utf-8", errors="replace") as opened:
            found = one_line(opened.read(64))
    except FileNotFoundError:
        new = path / f".{_VERSION}.new"
        with new.open("w", encoding="utf-8") as written:
            written.write(f"{VERSION}\n")
            written.flush()
            os.fsync(written.fileno())  # empty after a power cut, it would be another version
        new.replace(file)
        return
    if found != VERSION:
        raise DataFolderError(
            f"{path}: of version {found or '(none)'}, and this executor reads version {VERSION}: "
            "name another directory, or use the executor that wrote it"
        )


def _unusable(path: Path, error: OSError) -> DataFolderError:
    named = error.filename if isinstance(error.filename, (str, Path)) else ""
    within = named and Path(named) != path and Path(named).is_relative_to(path)
    what = f"{Path(named).name}: " if within else ""
    return DataFolderError(f"{path}: cannot be used: {what}{error.strerror or error}")
