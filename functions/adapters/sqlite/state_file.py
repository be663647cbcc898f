"""The state file: whose host uses it, whether it is whole, and whether there is room to go on.

Shared by the stores of all accounts of a process.
"""

from __future__ import annotations

import sqlite3
import time
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from functions.adapters.sqlite.file import SqliteFile
from functions.adapters.sqlite.hosts import check_host, note_host, this_host
from functions.adapters.sqlite.integrity import CHECK_MAX_S, check_integrity
from functions.adapters.sqlite.place import too_little_room
from functions.adapters.sqlite.schema import STATE_SCHEMA
from functions.ports import StoreError, StoreFullError, StoreMisconfiguredError
from runtime.last_answer import LastAnswer

HOST_EVERY_MS: Final = 20_000
"""Three signs of life before another host may take over."""
_log = structlog.get_logger()


class StateFile(SqliteFile):
    """`functions.adapters.sqlite.file`, of the accounts."""

    def __init__(self, path: Path, *, durable: bool) -> None:
        """`durable`: what was answered survives a power cut."""
        super().__init__(path, STATE_SCHEMA, "FULL" if durable else "NORMAL", self._look_whose)
        self._whole = False
        self._taken: str | None = None
        """Why nothing is claimed any more: another host has taken the file over, say."""
        self._last_answer = LastAnswer(f"{path} has not answered")

    async def enter(self) -> None:
        """Make the file if there is none, look at all of it, and say that this host uses it: for
        whoever may claim something. Raises StoreError."""
        self._follows = False  # whoever acts on what it reads is told, as with a write
        await self.write("open", self._note_host, create=True)
        if not self._whole:
            check = partial(check_integrity, path=self.path, within_s=CHECK_MAX_S)
            if not await self.use("integrity_check", check):
                _log.info("store_checked_in_part", file=str(self.path), seconds=CHECK_MAX_S)
            self._whole = True

    def check_claimable(self) -> None:
        """Raises StoreError while no claim may be made. A look at the disk costs microseconds."""
        if self._taken is not None:
            raise StoreMisconfiguredError(self._taken)
        if (full := too_little_room(self.path)) is not None:
            raise StoreFullError(f"claim: {full}")

    async def beat(self) -> None:
        """A sign of life, and a look whether the file still answers. Raises StoreError."""
        try:
            await self.use("upkeep", self._beat)
        except StoreMisconfiguredError as error:
            self._taken = str(error)
            self._last_answer.failed(str(error))
            raise
        except StoreError as error:
            self._last_answer.failed(str(error))
            raise
        self._taken = None
        self.answered()

    def answered(self) -> None:
        """It was reached just now."""
        self._last_answer.came()

    def problem(self) -> str | None:
        """See `functions.ports.Store.problem`."""
        return self._taken or too_little_room(self.path) or self._last_answer.problem()

    # -- on the thread -----------------------------------------------------------------------------

    def _look_whose(self, sql: sqlite3.Connection) -> None:
        check_host(sql, self.path, this_host(), _now_ms())

    def _beat(self, sql: sqlite3.Connection) -> None:
        self._check_still_ours(sql)
        noted_at_ms = check_host(sql, self.path, this_host(), _now_ms())
        if abs(_now_ms() - noted_at_ms) >= HOST_EVERY_MS:
            self._in_transaction("upkeep", "BEGIN IMMEDIATE", self._note_host)

    def _note_host(self, sql: sqlite3.Connection) -> None:
        self._look_whose(sql)
        note_host(sql, this_host(), _now_ms())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
