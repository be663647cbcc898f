"""What stores in memory know of each other: one table, several accounts, and their wallets."""

from __future__ import annotations

from typing import cast

from functions.core.account import Account
from functions.core.claim import Claim
from functions.ports import AccountReads, StoreError


class MemoryTable:
    """Accounts by name, and the names of those that have joined a wallet."""

    def __init__(self) -> None:
        self.accounts: dict[str, AccountReads] = {}
        self.joined: dict[str, set[str]] = {}
        """By the wallet's address in lower case."""


class NoAccount:
    """An account that nobody has opened."""

    def __init__(self, account_name: str) -> None:
        self.account_name = account_name

    async def account(self) -> Account:
        raise StoreError(f"account: there is no account {self.account_name}")

    async def ledger(self, since_ms: int, until_ms: int) -> list[Claim]:
        return []


class WalletsInMemory:
    """Of `tests.support.fake_ports.MemoryStore`."""

    def __init__(self, table: MemoryTable | None, account_name: str) -> None:
        self.account_name = account_name
        self.table = MemoryTable() if table is None else table
        self.table.accounts[account_name] = cast(AccountReads, self)

    async def join_wallet(self, wallet: str) -> None:
        await self._called("join_wallet")
        self.table.joined.setdefault(wallet.lower(), set()).add(self.account_name)

    async def accounts_of_wallet(self, wallet: str) -> list[str]:
        await self._called("accounts_of_wallet")
        return sorted(self.table.joined.get(wallet.lower(), ()))

    def account_named(self, account_name: str) -> AccountReads:
        return self.table.accounts.get(account_name) or NoAccount(account_name)

    async def _called(self, name: str) -> None:
        raise NotImplementedError
