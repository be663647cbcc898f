"""The versions of a configuration in a state file, of an account or of a group."""

from __future__ import annotations

import sqlite3

from functions.adapters.sqlite.rows import all_of, read, text_of
from functions.core.configuration import ConfigurationRow
from functions.ports import StoreError


def of_account(name: str) -> str:
    """The owner of an account's configurations."""
    return f"STRATEGY#{name}"


def of_group(name: str) -> str:
    """The owner of a group's."""
    return f"GROUP#{name}"


def row_of(sql: sqlite3.Connection, owner: str, version: int) -> ConfigurationRow | None:
    """One version."""
    row = sql.execute(
        "SELECT configuration FROM configurations WHERE owner = ? AND version = ?",
        (owner, version),
    ).fetchone()
    return None if row is None else read(ConfigurationRow, row[0])


def in_force(sql: sqlite3.Connection, owner: str, version: int) -> ConfigurationRow | None:
    """The version that the owner's item names; None for 0, before there is one."""
    if version == 0:
        return None
    row = row_of(sql, owner, version)
    if row is None:
        raise StoreError(f"configuration: version {version} is in force, and has no row")
    return row


def newest(sql: sqlite3.Connection, owner: str, limit: int) -> list[ConfigurationRow]:
    """Newest first. Raises UnreadableRowsError."""
    found = sql.execute(
        "SELECT version, configuration FROM configurations WHERE owner = ?"
        " ORDER BY version DESC LIMIT ?",
        (owner, limit),
    )
    named = ((f"CONFIG#{version:010d}", text) for version, text in found)
    return all_of(named, lambda text: read(ConfigurationRow, text))


def check_follows(row: ConfigurationRow, seen_version: int) -> None:
    """Raises ValueError where `row` is not of the version after the seen one."""
    if row.version != seen_version + 1:
        raise ValueError(f"after version {seen_version} comes no version {row.version}")


def put(
    sql: sqlite3.Connection,
    owner: str,
    row: ConfigurationRow,
    seen_version: int,
    in_force: int | None,
) -> bool | None:
    """Write `row`; True: its owner's item shall name it now. None: it stood there already, as
    it is; False: it is not as was seen. `in_force`: what the item names, None without an item."""
    stored = row_of(sql, owner, row.version)
    if stored is not None or in_force != seen_version:
        return None if stored == row else False
    sql.execute(
        "INSERT INTO configurations (owner, version, configuration) VALUES (?, ?, ?)",
        (owner, row.version, text_of(row)),
    )
    return True
