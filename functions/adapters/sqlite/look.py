"""What a state file holds and how it is, for a person: beside whoever uses it, and read only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from functions.adapters.sqlite.failures import store_error
from functions.adapters.sqlite.integrity import CHECK_MAX_S, check_integrity
from functions.adapters.sqlite.place import check_folder, check_log_beside, free_bytes
from functions.adapters.sqlite.schema import STATE_SCHEMA, number
from functions.ports import StoreError, StoreMisconfiguredError

LOCK_WAIT_S: Final = 5.0


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a state file holds."""

    accounts: tuple[str, ...]
    ledger_rows: int
    configurations: int
    groups: int
    size_bytes: int


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """A state file, looked at."""

    contents: Contents
    all_checked: bool
    """False: it is so large that only a part of it was."""
    free_bytes: int
    """Room on its disk."""


def look_at(path: Path) -> Looked:
    """Blocks for some seconds at most. Raises StoreError, where it is damaged, too."""
    check_folder(path)
    try:
        with opened_to_look(path) as sql:
            return Looked(
                contents=contents_of(sql),
                all_checked=check_integrity(sql, path, within_s=CHECK_MAX_S),
                free_bytes=free_bytes(path),
            )
    except sqlite3.Error as error:
        raise store_error("look", path, error) from error
    except OSError as error:
        raise StoreError(f"look: {path}: {error.strerror or error}") from error


def contents_of(sql: sqlite3.Connection) -> Contents:
    """Of the file that is open. Raises sqlite3.Error."""

    def count(table: str) -> int:
        return int(sql.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - ours

    names = sql.execute("SELECT name FROM accounts ORDER BY name").fetchall()
    return Contents(
        accounts=tuple(str(name) for (name,) in names),
        ledger_rows=count("ledger"),
        configurations=count("configurations"),
        groups=count("groups"),
        size_bytes=number(sql, "page_count") * number(sql, "page_size"),
    )


@contextmanager
def opened_to_look(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of its own to a state file that is there, of the newest schema. Raises
    sqlite3.Error, StoreError."""
    check_log_beside(path)
    if not path.exists():
        raise StoreMisconfiguredError(f"STATE: there is no store {path}")
    with closing(
        sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=LOCK_WAIT_S,
            isolation_level=None,
        )
    ) as sql:
        if not STATE_SCHEMA.check(sql, path):
            raise StoreError(f"{path} is of an older version: start the system once")
        yield sql
