"""The versions of a file's schema, and how a file of an older one becomes one of the newest.

    accounts        name                         `Account` as JSON, and the group that it is of
    ledger          account, claimed at, intent  `Claim` as JSON, with its version
    configurations  owner, version               `ConfigurationRow` as JSON
    groups          name                         `CollectiveState` as JSON
    members         group, account               nothing: that it has joined
    wallets         wallet, account              nothing: that it has joined
    host            -                            who uses the file, and was last seen when

Structs are JSON in one column: unknown fields are ignored and missing ones have their default, as
in an item of DynamoDB, and a person with `sqlite3` can read them. A change of the tables is a
version of the schema; so is a field that an older program must not drop.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from functions.ports import StoreMisconfiguredError


@dataclass(frozen=True, kw_only=True)
class Schema:
    """Of one kind of file."""

    application_id: int
    """Tells our files from those of other programs."""
    tables: tuple[str, ...]
    """Statements that make the newest version in an empty file."""
    version: int = 1
    migrations: Mapping[int, tuple[str, ...]]
    """By version: statements that make the next one of it."""

    def make(self, sql: sqlite3.Connection) -> None:
        """In an empty file, within a transaction of the caller's."""
        for statement in self.tables:
            sql.execute(statement)
        sql.execute(f"PRAGMA application_id = {self.application_id}")
        sql.execute(f"PRAGMA user_version = {self.version}")

    def check(self, sql: sqlite3.Connection, path: Path) -> bool:
        """Whether the file is of the newest version; False: of an older one, or still empty.

        Raises StoreMisconfiguredError for a newer one, and for what is no file of ours.
        """
        if number(sql, "application_id") != self.application_id:
            raise StoreMisconfiguredError(
                f"STATE: {path} is no file of this program: name another one, or remove it"
            )
        version = number(sql, "user_version")
        if version > self.version:
            raise StoreMisconfiguredError(
                f"STATE: {path} is of a newer version ({version}) than this program reads"
                f" ({self.version}): start the newer program"
            )
        return version == self.version

    def migrate(self, sql: sqlite3.Connection, path: Path) -> None:
        """To the newest version, in one transaction. Raises StoreMisconfiguredError, as `check`."""
        sql.execute("BEGIN IMMEDIATE")
        try:
            while not self.check(sql, path):  # another process may have been faster
                version = number(sql, "user_version")
                for statement in self.migrations[version]:
                    sql.execute(statement)
                sql.execute(f"PRAGMA user_version = {version + 1}")
        except BaseException:
            sql.execute("ROLLBACK")
            raise
        sql.execute("COMMIT")


def number(sql: sqlite3.Connection, pragma: str) -> int:
    """The value of a pragma that is a number."""
    return int(sql.execute(f"PRAGMA {pragma}").fetchone()[0])


STATE_SCHEMA: Final = Schema(
    application_id=0x53457831,
    tables=(
        "CREATE TABLE accounts (name TEXT PRIMARY KEY NOT NULL, item TEXT NOT NULL,"
        " of_group TEXT NOT NULL DEFAULT '')",
        "CREATE TABLE ledger (account TEXT NOT NULL, claimed_at_ms INTEGER NOT NULL,"
        " intent_id TEXT NOT NULL, version INTEGER NOT NULL, claim TEXT NOT NULL,"
        " PRIMARY KEY (account, claimed_at_ms, intent_id))",
        "CREATE TABLE configurations (owner TEXT NOT NULL, version INTEGER NOT NULL,"
        " configuration TEXT NOT NULL, PRIMARY KEY (owner, version))",
        "CREATE TABLE groups (name TEXT PRIMARY KEY NOT NULL, item TEXT NOT NULL)",
        "CREATE TABLE members (group_name TEXT NOT NULL, account TEXT NOT NULL,"
        " PRIMARY KEY (group_name, account)) WITHOUT ROWID",
        "CREATE TABLE wallets (wallet TEXT NOT NULL, account TEXT NOT NULL,"
        " PRIMARY KEY (wallet, account)) WITHOUT ROWID",
        "CREATE TABLE host (only_one INTEGER PRIMARY KEY CHECK (only_one = 1), name TEXT NOT NULL,"
        " machine TEXT NOT NULL, kernel TEXT NOT NULL, seen_at_ms INTEGER NOT NULL)",
    ),
    migrations={},
)
DECISIONS_SCHEMA: Final = Schema(
    application_id=0x53457832,
    tables=(
        "CREATE TABLE decisions (account TEXT NOT NULL, decided_at_ms INTEGER NOT NULL,"
        " decision_id TEXT NOT NULL, decision TEXT NOT NULL,"
        " PRIMARY KEY (account, decided_at_ms, decision_id)) WITHOUT ROWID",
        "CREATE INDEX decisions_by_age ON decisions (decided_at_ms)",
    ),
    migrations={},
)
