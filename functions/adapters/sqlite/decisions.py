"""The decision log in a file of its own, so that what it writes keeps no claim waiting.

A missing, full or damaged one fails these two calls alone. Rows are kept for a week, as on
DynamoDB, and the oldest ones for less where the file would become too large.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from functions.adapters.sqlite.file import SqliteFile
from functions.adapters.sqlite.rows import all_of, read, text_of
from functions.adapters.sqlite.schema import DECISIONS_SCHEMA, number
from protocol.decision import Decision

KEPT_MS: Final = 7 * 86_400_000
BYTES_MAX: Final = 512 << 20
REMOVED_AT_ONCE_MAX: Final = 2_000
"""With each batch that is written: more than a batch holds, so that the file becomes no larger."""
_DAY_MS: Final = 86_400_000


class SqliteDecisionLog(SqliteFile):
    """What the accounts' workers decided, by day."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, DECISIONS_SCHEMA, "NORMAL")

    async def put(self, decisions: Sequence[Decision]) -> None:
        """See `Store.put_decisions`. A decision given twice is written once (the last one)."""
        rows = [
            (each.strategy, each.decided_at_ms, each.decision_id, text_of(_kept(each)))
            for each in decisions
        ]
        if not rows:
            return
        # Not of a clock alone: one that is ahead would take all of it.
        now_ms = min(time.time_ns() // 1_000_000, max(each.decided_at_ms for each in decisions))

        def written(sql: sqlite3.Connection) -> None:
            sql.executemany("INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?)", rows)
            _remove(sql, now_ms - KEPT_MS)
            pages = number(sql, "page_count") - number(sql, "freelist_count")
            if pages * number(sql, "page_size") > BYTES_MAX:
                _remove(sql, now_ms)

        await self.write("put_decisions", written, create=True)

    async def newest(self, account_name: str, day: str, limit: int) -> list[Decision]:
        """See `Store.decisions`."""
        since_ms = int(datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp()) * 1000

        def found(sql: sqlite3.Connection) -> list[Decision]:
            rows = sql.execute(
                "SELECT decided_at_ms, decision_id, decision FROM decisions WHERE account = ?"
                " AND decided_at_ms >= ? AND decided_at_ms < ?"
                " ORDER BY decided_at_ms DESC, decision_id DESC LIMIT ?",
                (account_name, since_ms, since_ms + _DAY_MS, limit),
            )
            named = ((f"{at_ms:015d}#{name}", text) for at_ms, name, text in rows)
            return all_of(named, lambda text: read(Decision, text))

        if not self.path.exists():
            return []  # nobody has decided anything yet
        return await self.read("decisions", found)


def _kept(decision: Decision) -> Decision:
    """Without what only a recording keeps, as on DynamoDB."""
    return msgspec.structs.replace(decision, memory_versions="", market=None)


def _remove(sql: sqlite3.Connection, before_ms: int) -> None:
    """Of the rows from before this time the oldest, as many as may be removed at once."""
    sql.execute(
        "DELETE FROM decisions WHERE (account, decided_at_ms, decision_id) IN"
        " (SELECT account, decided_at_ms, decision_id FROM decisions"
        " WHERE decided_at_ms < ? ORDER BY decided_at_ms LIMIT ?)",
        (before_ms, REMOVED_AT_ONCE_MAX),
    )
