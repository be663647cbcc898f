"""The view Markets: every market with its newest book, and why nothing is bought on it.

One of them is opened by `?market=<slug or condition id>`: then its books are shown as ladders, and
the strategies are asked, at most twice a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from executor.console.asked_strategies import AskedStrategies, StrategyAnswer
from executor.console.market_shown import (
    FollowedAccount,
    account_signal,
    ladders,
    market_row,
)
from executor.console.view import Query, Shared
from functions.core.gate import hold_reason_of
from protocol.snapshot import BookSnapshot

ROWS_EVERY_MS: Final = 500
ROW_EVERY_MS: Final = 20
"""Of each row: 50 markets are rendered once a second, so that they cost no more than 25 do."""
OPENED_EVERY_MS: Final = 500
OPENED_MAX: Final = 16
"""Markets of which that is remembered: as many pages as streams show."""
NAME_LENGTH_MAX: Final = 200
_PARTS: Final = "markets_parts.html"


class MarketsView:
    """See the top of this module."""

    name, title, template = "markets", "Markets", "markets.html"

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._books = shared.books
        self._strategies = AskedStrategies(shared.settings)
        self._rows: tuple[int, dict[str, str]] = (0, {})
        """When they were rendered, and what came out."""
        self._opened: dict[str, tuple[int, dict[str, str]]] = {}
        """By condition id, likewise; the one that was asked for first is the first to go."""

    def variables(self, query: Query) -> dict[str, Any]:
        """What the page shows."""
        opened = _opened_name(query)
        snapshot = self._books.book(opened) if opened else None
        return {
            "opened": opened if snapshot is None else snapshot.market.slug,
            "parts": self._shared.pages.made(self.parts(query)),
        }

    def parts(self, query: Query) -> dict[str, str]:
        """What of it changes."""
        part = self._shared.pages.part
        notes = [self._books.problem] if self._books.problem else []
        if self._books.malformed:
            notes.append(f"{self._books.malformed} messages were no books: the log says why")
        parts = {"markets-notes": part(_PARTS, "notes", notes=notes)}
        if opened := _opened_name(query):
            parts |= self._opened_parts(opened)
        return parts | self._row_parts()

    def data_at_ms(self) -> int:
        """When the feeder published the newest book."""
        return self._books.data_at_ms()

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """None beside its page."""
        return ()

    async def run(self) -> None:
        """Follow the books, until cancelled."""
        for account in self._shared.accounts.of:
            self._strategies.strategy(account)
        await self._books.run(self._shared.nats.connected)

    # -- all of them -------------------------------------------------------------------------------

    def _row_parts(self) -> dict[str, str]:
        """Each row by itself, after the table's body as it was when its markets were others."""
        now_ms = self._shared.now_ms()
        rendered_at_ms, before = self._rows
        every_ms = max(ROWS_EVERY_MS, ROW_EVERY_MS * len(before))
        if before and 0 <= now_ms - rendered_at_ms < every_ms:
            return before
        part, key = self._shared.pages.part, self._shared.pages.key
        accounts = self._accounts()
        rows = [
            market_row(each, self._books.view(each), accounts, now_ms)
            for each in self._books.newest()
        ]
        rows.sort(key=lambda row: row.to_close_ms <= 0)  # what has ended, after what runs
        parts = {
            f"markets-row-{key(row.condition_id)}": part(_PARTS, "row", row=row) for row in rows
        }
        body = before.get("markets-rows", "")
        if not body or list(parts) != [each for each in before if each != "markets-rows"]:
            body = part(_PARTS, "rows", rows=rows)
        self._rows = now_ms, {"markets-rows": body, **parts}
        return self._rows[1]

    def _accounts(self) -> list[FollowedAccount]:
        return [
            FollowedAccount(now, self._strategies.followed(now))
            for now in self._shared.accounts.of.values()
        ]

    # -- the one that is opened --------------------------------------------------------------------

    def _opened_parts(self, opened: str) -> dict[str, str]:
        part, now_ms = self._shared.pages.part, self._shared.now_ms()
        snapshot = self._books.book(opened)
        if snapshot is None:
            return {
                "markets-open-facts": part(_PARTS, "unknown", opened=opened),
                "markets-open-books": "",
                "markets-open-why": "",
            }
        condition_id = snapshot.market.condition_id
        rendered_at_ms, parts = self._opened.get(condition_id, (0, {}))
        if parts and 0 <= now_ms - rendered_at_ms < OPENED_EVERY_MS:
            return parts
        if condition_id not in self._opened and len(self._opened) >= OPENED_MAX:
            del self._opened[next(iter(self._opened))]
        view = self._books.view(snapshot)
        row = market_row(snapshot, view, (), now_ms)
        signals = [
            account_signal(snapshot, each, self._answer(snapshot, each, now_ms), now_ms)
            for each in self._accounts()
        ]
        parts = {
            "markets-open-facts": part(
                _PARTS, "facts", row=row, snapshot=snapshot, memory=view and view.memory
            ),
            "markets-open-books": part(
                _PARTS, "ladders", ladders=ladders(snapshot), stale=row.stale
            ),
            "markets-open-why": part(_PARTS, "signals", signals=signals),
        }
        self._opened[condition_id] = now_ms, parts
        return parts

    def _answer(
        self, snapshot: BookSnapshot, account: FollowedAccount, now_ms: int
    ) -> StrategyAnswer | None:
        """As a worker does: a strategy sees no book that the gate has not passed."""
        configuration, view = account.configuration, self._books.view(snapshot)
        if isinstance(configuration, str) or view is None:
            return None
        if hold_reason_of(snapshot, configuration.gate, now_ms) is not None:
            return None
        return self._strategies.ask(account.now.name, view, configuration)


def _opened_name(query: Query) -> str:
    return query.get("market", "")[:NAME_LENGTH_MAX]
