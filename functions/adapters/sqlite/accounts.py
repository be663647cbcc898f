"""Accounts and their ledgers in a state file: within a transaction of the caller's."""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from functions.adapters.sqlite.rows import all_of, read, text_of
from functions.adapters.sqlite.state_file import StateFile
from functions.core.account import Account, new_account
from functions.core.claim import Claim
from functions.ports import StoreError

ACCOUNTS_OF_WALLET_MAX: Final = 100
"""Each is read with every comparison of positions, by each of them."""


def find(sql: sqlite3.Connection, name: str) -> Account | None:
    """The account as it is now. Raises StoreError when it cannot be read."""
    row = sql.execute("SELECT item FROM accounts WHERE name = ?", (name,)).fetchone()
    return None if row is None else read(Account, row[0])


def get(sql: sqlite3.Connection, name: str) -> Account:
    """The same. Raises StoreError when there is none, too."""
    account = find(sql, name)
    if account is None:
        raise StoreError(f"account: there is no account {name}")
    return account


def opened(sql: sqlite3.Connection, name: str) -> Account:
    """The same; made when there is none, and with what an older version has not written."""
    found = find(sql, name)
    account = new_account() if found is None else found
    if account.config_version is None:
        account = msgspec.structs.replace(account, config_version=0)
    if account is not found:
        put(sql, name, account)
    return account


def put(sql: sqlite3.Connection, name: str, account: Account) -> None:
    """Write all of it. Raises StoreError for what could not be read again."""
    sql.execute(
        "INSERT INTO accounts (name, item) VALUES (?, ?)"
        " ON CONFLICT (name) DO UPDATE SET item = excluded.item",
        (name, text_of(account)),
    )


def put_row(sql: sqlite3.Connection, name: str, claim: Claim) -> None:
    """The ledger's row of a claim, unless a newer version stands there."""
    sql.execute(
        "INSERT INTO ledger (account, claimed_at_ms, intent_id, version, claim)"
        " VALUES (?, ?, ?, ?, ?) ON CONFLICT (account, claimed_at_ms, intent_id) DO UPDATE"
        " SET version = excluded.version, claim = excluded.claim"
        " WHERE excluded.version >= version",
        (name, claim.claimed_at_ms, claim.intent_id, claim.version, text_of(claim)),
    )


def row_of(sql: sqlite3.Connection, name: str, claim: Claim) -> Claim | None:
    """The ledger's row of the same intent."""
    row = sql.execute(
        "SELECT claim FROM ledger WHERE account = ? AND claimed_at_ms = ? AND intent_id = ?",
        (name, claim.claimed_at_ms, claim.intent_id),
    ).fetchone()
    return None if row is None else read(Claim, row[0])


def rows_between(sql: sqlite3.Connection, name: str, since_ms: int, until_ms: int) -> list[Claim]:
    """Those claimed in [since_ms, until_ms), oldest first. Raises UnreadableRowsError."""
    found = sql.execute(
        "SELECT claimed_at_ms, intent_id, claim FROM ledger"
        " WHERE account = ? AND claimed_at_ms >= ? AND claimed_at_ms < ?"
        " ORDER BY claimed_at_ms, intent_id",
        (name, since_ms, until_ms),
    )
    named = ((f"TRADE#{at_ms:015d}#{intent}", text) for at_ms, intent, text in found)
    return all_of(named, lambda text: read(Claim, text))


def join_wallet(sql: sqlite3.Connection, wallet: str, name: str) -> None:
    """That the account trades with the wallet. Idempotent."""
    sql.execute(
        "INSERT OR IGNORE INTO wallets (wallet, account) VALUES (?, ?)", (wallet.lower(), name)
    )


def of_wallet(sql: sqlite3.Connection, wallet: str) -> list[str]:
    """The names of those that have joined, in order. Raises StoreError beyond
    ACCOUNTS_OF_WALLET_MAX."""
    names = sql.execute(
        "SELECT account FROM wallets WHERE wallet = ? ORDER BY account LIMIT ?",
        (wallet.lower(), ACCOUNTS_OF_WALLET_MAX + 1),
    ).fetchall()
    if len(names) > ACCOUNTS_OF_WALLET_MAX:
        raise StoreError(f"accounts_of_wallet: more than {ACCOUNTS_OF_WALLET_MAX} accounts")
    return [str(name) for (name,) in names]


class SqliteAccount:
    """`functions.ports.AccountReads` of an account by its name."""

    def __init__(self, file: StateFile, account_name: str) -> None:
        self._file = file
        self.account_name = account_name

    async def account(self) -> Account:
        """See `AccountReads.account`."""
        return await self._file.read("account", lambda sql: get(sql, self.account_name))

    async def ledger(self, since_ms: int, until_ms: int) -> list[Claim]:
        """See `AccountReads.ledger`."""
        return await self._file.read(
            "ledger", lambda sql: rows_between(sql, self.account_name, since_ms, until_ms)
        )
