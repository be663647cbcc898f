"""The embedded store: claims and ledger of strategy accounts in one SQLite file on this machine.

1. Each write is ONE transaction that nobody comes between (`functions.adapters.sqlite.file`),
   around the pure model (`functions.adapters.sqlite.claims`). What it answered is durable: after a
   killed process always, after a power cut where a live account is served.
2. Several processes of one host share the file. A process that dies within a transaction leaves
   nothing of it; one that is suspended there makes others' writes fail as busy, after a second, and
   stops nobody's event loop.
3. A call that is cancelled or given up after it has begun goes on to its end, as a request that is
   under way. Whoever repeats a call finds its own success, as on DynamoDB.
4. While the disk is nearly full no claim is made, before it is too full to write down what became
   of those that were.
"""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import structlog

from functions.adapters.sqlite import accounts, claims, configurations
from functions.adapters.sqlite.accounts import SqliteAccount
from functions.adapters.sqlite.decisions import SqliteDecisionLog
from functions.adapters.sqlite.groups import SqliteGroup
from functions.adapters.sqlite.place import decisions_beside
from functions.adapters.sqlite.state_file import StateFile
from functions.core.account import (
    TRADING_ENABLED,
    TRADING_HALTED,
    Account,
    ClaimRefusal,
    Limits,
    Pause,
    Redemption,
)
from functions.core.claim import Claim, ClaimState
from functions.core.collective import CollectiveLimits, fits
from functions.core.configuration import ConfigurationRow
from functions.core.pruning import over_in
from functions.ports import AccountReads, ClaimRefused, ClaimResult, StoreError
from protocol.decision import Decision
from protocol.text import whole

UPKEEP_EVERY_S: Final = 5.0
_log = structlog.get_logger()


@asynccontextmanager
async def open_stores(
    account_names: Sequence[str], path: Path, *, durable: bool
) -> AsyncIterator[dict[str, SqliteStore]]:
    """Stores on the state file `path`, by account; they share its connection. Makes no call.

    `durable`: what was answered survives a power cut, not only a killed process.
    """
    file, log = StateFile(path, durable=durable), SqliteDecisionLog(decisions_beside(path))
    try:
        yield {name: SqliteStore(file, log, name) for name in account_names}
    finally:
        await asyncio.gather(file.close(), log.close())


class SqliteStore(SqliteAccount):
    """`functions.ports.Store` on SQLite."""

    def __init__(self, file: StateFile, log: SqliteDecisionLog, account_name: str) -> None:
        super().__init__(file, account_name)
        self._log = log
        self._configurations = configurations.of_account(account_name)

    async def open_account(self) -> Account:
        """See `Store.open_account`. Also looks whether the file is whole, and says that this host
        uses it."""
        await self._file.enter()
        return await self._file.write(
            "open_account", lambda sql: accounts.opened(sql, self.account_name)
        )

    async def claim(
        self, claim: Claim, limits: Limits, now_ms: int, collective: CollectiveLimits | None = None
    ) -> ClaimResult:
        """See `Store.claim` and the module's text."""
        if claim.state is not ClaimState.CLAIMED or claim.version != 1 or not claim.counted:
            raise ValueError(f"a claim begins as claimed, and counted, not as {claim.state}")
        if claim.collective != ("" if collective is None else collective.name):
            raise ValueError("a claim names the group that counts it, and no other")
        if claim.spend_e6 > limits.daily_spend_cap_e6:
            return ClaimRefused(reason=ClaimRefusal.DAILY_SPEND, account=None)
        if collective is not None and not fits(claim, collective):
            return ClaimRefused(reason=ClaimRefusal.COLLECTIVE_EXPOSURE, account=None)
        self._file.check_claimable()
        return await self._file.write(
            "claim",
            lambda sql: claims.claim(sql, self.account_name, claim, limits, now_ms, collective),
        )

    async def move(self, claim: Claim, seen: Claim, *, redeem: bool = False) -> bool:
        """See `Store.move`."""
        return await self._file.write(
            "move", lambda sql: claims.move(sql, self.account_name, claim, seen, redeem=redeem)
        )

    async def reopen(self, claim: Claim, seen: Claim) -> bool:
        """See `Store.reopen`."""
        return await self._file.write(
            "reopen", lambda sql: claims.reopen(sql, self.account_name, claim, seen)
        )

    async def put_ledger(self, claim: Claim) -> None:
        """See `Store.put_ledger`."""
        await self._file.write(
            "put_ledger", lambda sql: accounts.put_row(sql, self.account_name, claim)
        )

    async def forget(self, claim: Claim) -> None:
        """See `Store.forget`."""
        await self._file.write("forget", lambda sql: claims.forget(sql, self.account_name, claim))

    async def ledger_row(self, claim: Claim) -> Claim | None:
        """See `Store.ledger_row`."""
        return await self._file.read(
            "ledger_row", lambda sql: accounts.row_of(sql, self.account_name, claim)
        )

    async def join_wallet(self, wallet: str) -> None:
        """See `Store.join_wallet`."""
        await self._file.write(
            "join_wallet", lambda sql: accounts.join_wallet(sql, wallet, self.account_name)
        )

    async def accounts_of_wallet(self, wallet: str) -> list[str]:
        """See `Store.accounts_of_wallet`."""
        return await self._file.read(
            "accounts_of_wallet", lambda sql: accounts.of_wallet(sql, wallet)
        )

    def account_named(self, account_name: str) -> AccountReads:
        """See `Store.account_named`."""
        return SqliteAccount(self._file, account_name)

    async def halt(self, reason: str) -> None:
        """See `Store.halt`. Unconditional: a halt that comes late errs on the safe side."""

        def halted(sql: sqlite3.Connection) -> None:
            account = msgspec.structs.replace(
                accounts.opened(sql, self.account_name),
                trading=TRADING_HALTED,
                halt_reason=whole(reason),
                halt_id=uuid.uuid4().hex,
            )
            accounts.put(sql, self.account_name, account)

        await self._file.write("halt", halted, create=True)

    async def resume(self, seen: Account) -> bool:
        """See `Store.resume`."""

        def resumed(sql: sqlite3.Connection) -> bool:
            account = accounts.find(sql, self.account_name)
            if account is None or account.halt_id != seen.halt_id:
                return False
            account = msgspec.structs.replace(account, trading=TRADING_ENABLED, halt_reason="")
            accounts.put(sql, self.account_name, account)
            return True

        return await self._file.write("resume", resumed)

    async def set_pause(self, pause: Pause, seen: Pause) -> bool:
        """See `Store.set_pause`."""

        def paused(sql: sqlite3.Connection) -> bool:
            account = accounts.find(sql, self.account_name)
            if account is None or account.pause != seen:
                return False
            accounts.put(sql, self.account_name, msgspec.structs.replace(account, pause=pause))
            return True

        return await self._file.write("set_pause", paused)

    async def prune(self, account: Account, now_ms: int) -> None:
        """See `Store.prune`: of the account as it is by then."""
        if not over_in(account, now_ms):
            return

        def pruned(sql: sqlite3.Connection) -> None:
            now = accounts.find(sql, self.account_name)
            if now is not None and (over := over_in(now, now_ms)):
                for field, key in over:
                    del getattr(now, field)[key]
                accounts.put(sql, self.account_name, now)

        await self._file.write("prune", pruned)

    async def set_redemptions(
        self, changes: Mapping[str, Redemption | None], seen: Mapping[str, Redemption]
    ) -> bool:
        """See `Store.set_redemptions`."""

        def replaced(sql: sqlite3.Connection) -> bool:
            account = accounts.find(sql, self.account_name)
            if account is None:
                return False
            if any(account.redeem.get(key) != note for key, note in seen.items()):
                return False
            for key, note in changes.items():
                if note is None:
                    account.redeem.pop(key, None)
                else:
                    account.redeem[key] = note
            accounts.put(sql, self.account_name, account)
            return True

        return await self._file.write("set_redemptions", replaced)

    def group(self, name: str) -> SqliteGroup:
        """See `Store.group`."""
        return SqliteGroup(self._file, name)

    async def configuration(self) -> ConfigurationRow | None:
        """See `Store.configuration`."""

        def in_force(sql: sqlite3.Connection) -> ConfigurationRow | None:
            account = accounts.find(sql, self.account_name)
            version = 0 if account is None else account.config_version or 0
            return configurations.in_force(sql, self._configurations, version)

        return await self._file.read("configuration", in_force)

    async def configurations(self, limit: int) -> list[ConfigurationRow]:
        """See `Store.configurations`."""
        return await self._file.read(
            "configurations", lambda sql: configurations.newest(sql, self._configurations, limit)
        )

    async def set_configuration(self, row: ConfigurationRow, seen_version: int) -> bool:
        """See `Store.set_configuration`."""
        configurations.check_follows(row, seen_version)

        def changed(sql: sqlite3.Connection) -> bool:
            account = accounts.find(sql, self.account_name)
            version = None if account is None else account.config_version
            put_now = configurations.put(sql, self._configurations, row, seen_version, version)
            if put_now and account is not None:
                account = msgspec.structs.replace(account, config_version=row.version)
                accounts.put(sql, self.account_name, account)
            return put_now is not False

        return await self._file.write("set_configuration", changed)

    async def put_decisions(self, decisions: Sequence[Decision]) -> None:
        """See `Store.put_decisions`."""
        await self._log.put(decisions)

    async def decisions(self, day: str, limit: int) -> list[Decision]:
        """See `Store.decisions`."""
        return await self._log.newest(self.account_name, day, limit)

    async def upkeep(self) -> None:
        """See `Store.upkeep`: signs of life, and a look whether the file still answers."""
        self._file.answered()  # whoever begins has opened the account, and perhaps waited since
        while True:
            await asyncio.sleep(UPKEEP_EVERY_S)
            try:
                await self._file.beat()
            except StoreError as error:
                _log.warning("store_upkeep_failed", error=str(error))

    def problem(self) -> str | None:
        """See `Store.problem`."""
        return self._file.problem()

    async def close(self) -> None:
        """Close the files."""
        await asyncio.gather(self._file.close(), self._log.close())
