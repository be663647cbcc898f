"""Where a file of the store is: whether it can work there, how much room it has, how it is made."""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Final

from functions.adapters.sqlite.schema import Schema
from functions.ports import StoreMisconfiguredError

RESERVE_BYTES: Final = 64 << 20
"""Below so much room no claim is made: what claims lead to (answers, fills, halts) still fits."""
MOUNTS: Final = Path("/proc/self/mounts")
_NETWORK: Final = frozenset(
    {"9p", "afs", "ceph", "cifs", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "smb2", "smb3"}
    | {"smbfs", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"}
)
"""Processes on several hosts see such a disk, and memory that they would share there is none."""
_ESCAPES: Final = {r"\040": " ", r"\011": "\t", r"\012": "\n", r"\134": "\\"}


def decisions_beside(state: Path) -> Path:
    """The file of the decision log that goes with a state file."""
    name = "decisions" if state.stem == "state" else f"{state.stem}-decisions"
    return state.with_name(f"{name}{state.suffix}")


def free_bytes(path: Path) -> int:
    """Room on the disk of `path`, as far as we may use it. Raises OSError."""
    disk = os.statvfs(path.parent)
    return disk.f_bavail * disk.f_frsize


def too_little_room(path: Path) -> str | None:
    """A sentence while there is too little room for another claim, None while there is enough, or
    nothing to be seen: whoever writes there then is told why."""
    try:
        free = free_bytes(path)
    except OSError:
        return None
    if free >= RESERVE_BYTES:
        return None
    return (
        f"the disk of {path} is full: {free >> 20} MB are left, and below {RESERVE_BYTES >> 20} MB"
        " no claim is made; make room"
    )


def check_folder(path: Path) -> None:
    """Raises StoreMisconfiguredError where the file can be neither opened nor made."""
    folder = path.parent
    if not folder.is_dir():
        raise StoreMisconfiguredError(f"STATE: there is no folder {folder}")
    if path.exists() and not path.is_file():
        raise StoreMisconfiguredError(f"STATE: {path} is not a file")
    # Beside the file SQLite keeps two more, which everybody who opens it must be able to make.
    for each in (folder, *([path] if path.exists() else [])):
        if not os.access(each, os.W_OK):
            raise StoreMisconfiguredError(f"STATE: {each} cannot be written to")
    kind = _file_system(folder)
    if kind in _NETWORK:
        raise StoreMisconfiguredError(
            f"STATE: {folder} is on a network disk ({kind}), where this store does not work: name a"
            " local one, or set STATE=dynamodb, the only store across hosts"
        )


def check_log_beside(path: Path) -> None:
    """Raises StoreMisconfiguredError where the log beside `path` is that of another file.

    SQLite would take it for this one's, and put old pages in the place of newer ones, or the other
    way round. Raises OSError.
    """
    log = Path(f"{os.path.realpath(path)}-wal")
    # The log first: whoever makes a file, or begins to write ahead, does that before there is one.
    if not log.exists() or log.stat().st_size == 0:
        return
    if not path.exists():
        raise StoreMisconfiguredError(
            f"STATE: {path} is gone, and its log {log.name} is still there: put the file back, or"
            f" take {log.name} away, too, and -shm"
        )
    found = path.stat()
    if os.pread(_descriptor(path, found.st_dev, found.st_ino), 1, _WRITES_AHEAD_AT) == _NOT_AHEAD:
        raise StoreMisconfiguredError(
            f"STATE: {path} is a copy that was put beside the log of another file: stop everything,"
            f" take {log.name} and -shm away, and start again"
        )


_WRITES_AHEAD_AT: Final = 18  # https://www.sqlite.org/fileformat2.html#file_format_version_numbers
_NOT_AHEAD: Final = b"\1"


@cache
def _descriptor(path: Path, device: int, inode: int) -> int:
    """To read a file past SQLite, once for each; never closed: that would take away the locks of
    every connection that this process has to the file."""
    return os.open(path, os.O_RDONLY)


def _file_system(folder: Path) -> str:
    """The kind of file system that `folder` is on; empty where this system does not tell."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        real = folder.resolve()
    except OSError:
        return ""
    longest, found = -1, ""
    for line in lines:
        _, point, kind, *_ = [*line.split(" "), "", "", ""]
        for escape, character in _ESCAPES.items():
            point = point.replace(escape, character)
        if real.is_relative_to(point) and len(point) >= longest:  # the last one covers others
            longest, found = len(point), kind
    return found


def make(path: Path, schema: Schema) -> None:
    """An empty file of this schema, unless there is one by now: whole under its name, or not there.

    Raises sqlite3.Error, OSError.
    """
    with suppress(FileExistsError), new_file(path) as unnamed:
        sql = sqlite3.connect(unnamed, isolation_level=None)
        try:
            sql.execute("BEGIN")
            schema.make(sql)
            sql.execute("COMMIT")
            sql.execute("PRAGMA journal_mode = WAL")
        finally:
            sql.close()


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A file beside `path` that is given its name once it is written, and never over another one.

    Whoever dies meanwhile leaves nothing under the name. Raises FileExistsError, OSError.
    """
    unnamed = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    os.close(os.open(unnamed, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    try:
        yield unnamed
        with _folder_locked(path.parent) as folder:
            with unnamed.open("rb") as written:
                os.fsync(written.fileno())
            if path.exists():
                raise FileExistsError(f"{path} is there already")
            unnamed.rename(path)
            os.fsync(folder)
    finally:
        for leftover in (unnamed, *(unnamed.with_name(f"{unnamed.name}-{s}") for s in _BESIDE)):
            leftover.unlink(missing_ok=True)


_BESIDE: Final = ("wal", "shm", "journal")


@contextmanager
def _folder_locked(folder: Path) -> Iterator[int]:
    """Of all that make a file here, one at a time looks whether its name is free."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
