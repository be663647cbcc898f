"""Groups of accounts in a state file: what they may do together, and what they have done.

What makes an account's claims count here, and in which order, is said in
`functions.adapters.dynamodb.group_requests`; here each step is one transaction of all its rows.
"""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from functions.adapters.sqlite import accounts, configurations
from functions.adapters.sqlite.rows import read, text_of
from functions.adapters.sqlite.state_file import StateFile
from functions.core.account import Account
from functions.core.collective import CollectiveState
from functions.core.configuration import ConfigurationRow
from functions.core.pruning import oldest_day_kept
from functions.ports import StoreError

MEMBERS_MAX: Final = 100


def find(sql: sqlite3.Connection, name: str) -> CollectiveState | None:
    """The group's item as it is now. Raises StoreError when it cannot be read."""
    row = sql.execute("SELECT item FROM groups WHERE name = ?", (name,)).fetchone()
    return None if row is None else read(CollectiveState, row[0])


def put(sql: sqlite3.Connection, name: str, state: CollectiveState) -> None:
    """Write all of it. Raises StoreError for what could not be read again."""
    sql.execute("INSERT OR REPLACE INTO groups (name, item) VALUES (?, ?)", (name, text_of(state)))


def _members(sql: sqlite3.Connection, name: str) -> list[str]:
    """Of the accounts that have ever joined."""
    found = sql.execute(
        "SELECT account FROM members WHERE group_name = ? ORDER BY account LIMIT ?",
        (name, MEMBERS_MAX + 1),
    ).fetchall()
    if len(found) > MEMBERS_MAX:
        raise StoreError(f"group {name}: more than {MEMBERS_MAX} accounts")
    return [str(account) for (account,) in found]


def _join(sql: sqlite3.Connection, name: str, account_name: str) -> None:
    sql.execute(
        "INSERT OR IGNORE INTO members (group_name, account) VALUES (?, ?)", (name, account_name)
    )
    moved = sql.execute(
        "UPDATE accounts SET of_group = ? WHERE name = ? AND of_group <> ?",
        (name, account_name, name),
    ).rowcount
    if moved:  # where it was of another group, that counts it no more
        _count_in(sql, account_name, "")


def _count_in(sql: sqlite3.Connection, account_name: str, group: str) -> None:
    account = accounts.get(sql, account_name)
    if account.collective != group:
        accounts.put(sql, account_name, msgspec.structs.replace(account, collective=group))


def _open(sql: sqlite3.Connection, name: str, account_name: str | None) -> CollectiveState:
    if account_name is not None:
        _join(sql, name, account_name)
    state = find(sql, name)
    if state is None:
        state = CollectiveState()
        put(sql, name, state)
    for each in _members(sql, name) if account_name is None else (account_name,):
        joined = sql.execute(
            "SELECT 1 FROM accounts WHERE name = ? AND of_group = ?", (each, name)
        ).fetchone()
        if joined is not None:
            _count_in(sql, each, name)
    return state


class SqliteGroup:
    """`functions.ports.GroupStore`."""

    def __init__(self, file: StateFile, name: str) -> None:
        self.name = name
        self._file = file
        self._owner = configurations.of_group(name)

    async def join(self, account_name: str) -> None:
        """See `GroupStore.join`."""
        await self._file.write("join_group", lambda sql: _join(sql, self.name, account_name))

    async def open(self, account_name: str | None) -> CollectiveState:
        """See `GroupStore.open`."""
        return await self._file.write("open_group", lambda sql: _open(sql, self.name, account_name))

    async def state(self) -> CollectiveState | None:
        """See `GroupStore.state`."""
        return await self._file.read("group", lambda sql: find(sql, self.name))

    async def accounts(self) -> dict[str, Account]:
        """See `GroupStore.accounts`."""

        def of_members(sql: sqlite3.Connection) -> dict[str, Account]:
            each = ((name, accounts.find(sql, name)) for name in _members(sql, self.name))
            return {name: account for name, account in each if account is not None}

        return await self._file.read("group_accounts", of_members)

    async def prune(self, seen: CollectiveState, now_ms: int) -> None:
        """See `GroupStore.prune`."""
        oldest = oldest_day_kept(now_ms)
        if all(day >= oldest for day in seen.pnl_e6):
            return

        def pruned(sql: sqlite3.Connection) -> None:
            state = find(sql, self.name)
            if state is not None:
                kept = {day: pnl for day, pnl in state.pnl_e6.items() if day >= oldest}
                put(sql, self.name, msgspec.structs.replace(state, pnl_e6=kept))

        await self._file.write("prune_group", pruned)

    async def correct(self, exposure_e6: int, seen: CollectiveState) -> bool:
        """See `GroupStore.correct`."""

        def corrected(sql: sqlite3.Connection) -> bool:
            state = find(sql, self.name)
            if state is None or state.item_version != seen.item_version:
                return False
            changed = msgspec.structs.replace(
                state, exposure_e6=exposure_e6, item_version=state.item_version + 1
            )
            put(sql, self.name, changed)
            return True

        return await self._file.write("correct_group", corrected)

    async def configuration(self) -> ConfigurationRow | None:
        """See `Store.configuration`, of the group's limits."""

        def in_force(sql: sqlite3.Connection) -> ConfigurationRow | None:
            state = find(sql, self.name)
            version = 0 if state is None else state.config_version
            return configurations.in_force(sql, self._owner, version)

        return await self._file.read("configuration", in_force)

    async def configurations(self, limit: int) -> list[ConfigurationRow]:
        """See `Store.configurations`."""
        return await self._file.read(
            "configurations", lambda sql: configurations.newest(sql, self._owner, limit)
        )

    async def set_configuration(self, row: ConfigurationRow, seen_version: int) -> bool:
        """See `Store.set_configuration`."""
        configurations.check_follows(row, seen_version)

        def changed(sql: sqlite3.Connection) -> bool:
            state = find(sql, self.name)
            version = None if state is None else state.config_version
            put_now = configurations.put(sql, self._owner, row, seen_version, version)
            if put_now and state is not None:
                changed = msgspec.structs.replace(state, config_version=row.version)
                put(sql, self.name, changed)
            return put_now is not False

        return await self._file.write("set_configuration", changed)
