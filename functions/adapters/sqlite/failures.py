"""What SQLite's errors mean to whoever called: the port's errors, one line each. Pure."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from functions.ports import (
    StoreBusyError,
    StoreError,
    StoreFullError,
    StoreMisconfiguredError,
    StoreRefusedError,
)

TEXT_LENGTH_MAX: Final = 300
RESTORE: Final = (
    "stop everything, move it away together with its -wal and -shm, and put a backup in its place"
    " (`executor backup` makes them)"
)
# By primary code: the lower eight bits of the extended one.
_BUSY: Final = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_INTERRUPT}
)
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_NOT_OURS: Final = frozenset(
    {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}
)


def code_of(error: sqlite3.Error) -> int:
    """SQLite's primary result code, 0 of an error that is the module's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def store_error(what: str, path: Path, error: sqlite3.Error) -> StoreError:
    """The port's error for a call that SQLite failed.

    Of all but a StoreError itself nothing was written. That one also says it of a commit that was
    tried: the disk failed, and whether the write will be found again is not known.
    """
    code, said = code_of(error), " ".join(str(error).split())[:TEXT_LENGTH_MAX]
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    text = f"{what}: {path}: {said} ({name})"
    if code in _BUSY:
        return StoreBusyError(text)
    if code == sqlite3.SQLITE_FULL:
        return StoreFullError(text)
    if code == sqlite3.SQLITE_TOOBIG:
        return StoreRefusedError(text)
    if code in _DAMAGED:
        return StoreMisconfiguredError(f"STATE: {path} is damaged, or no store ({said}): {RESTORE}")
    if code in _NOT_OURS:
        return StoreMisconfiguredError(
            f"STATE: {path} cannot be opened for writing ({said}): see to whom file and folder"
            " belong, and that the disk is mounted for writing"
        )
    return StoreError(text)
