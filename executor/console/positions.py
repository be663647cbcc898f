"""The view *Positions and P&L*: what is held, what it would bring now, what was won or lost, and
how far the limits are.

Positions, limits and the day's P&L are those of `executor status` and `executor positions`: by the
same functions of the same items. What was realised is read from the ledger (`equity_reader`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from executor.console.charts.line import Line, line_chart
from executor.console.equity_reader import DAYS, LedgerReader
from executor.console.equity_sums import (
    DAY_MS,
    LedgerRow,
    RealisedSum,
    equity_of,
    sums_by,
)
from executor.console.positions_limits import (
    GroupsReader,
    GroupUse,
    LimitShown,
    limits_of,
    limits_of_group,
)
from executor.console.positions_marks import (
    MarkedPosition,
    marked_positions,
    total_of,
    waiting_winnings,
)
from executor.console.view import Query, Shared
from functions.core.account import utc_day

SPANS_DAYS: Final = (7, 30)
RENDERED_MAX: Final = 16
WINNINGS_SHOWN: Final = 100


class PositionsView:
    """See the module's text."""

    name, title, template = "positions", "Positions and P&L", "positions.html"

    def __init__(self, shared: Shared) -> None:
        self._shared, self._books = shared, shared.books
        self._ledger = LedgerReader(shared.accounts, shared.stores, shared.now_ms)
        self._groups = GroupsReader(shared.accounts, shared.stores)
        self._slugs: tuple[int, dict[str, str]] = (-1, {})
        self._rendered: dict[tuple[str, int], tuple[object, str]] = {}

    # -- what is shown -----------------------------------------------------------------------------

    def variables(self, query: Query) -> dict[str, Any]:
        """For the page."""
        account, days = self._asked(query)
        return {
            "names": list(self._shared.accounts.of),
            "account": account,
            "days": days,
            "spans": SPANS_DAYS,
            "live": self._live(account),
            "limits": self._limits(account),
            "realised": self._realised(account, days),
            "winnings": self._winnings(account),
        }

    def parts(self, query: Query) -> dict[str, str]:
        """What changes: positions with every book, the rest with every reading."""
        account, days = self._asked(query)
        return {
            "positions-live": self._part("live", **self._live(account)),
            "positions-limits": self._part("limits", **self._limits(account)),
            "positions-realised": self._realised_part(account, days),
            "positions-winnings": self._part("winnings", **self._winnings(account)),
        }

    def data_at_ms(self) -> int:
        """When the account was read whose reading is the oldest; books have their own ages."""
        return self._shared.accounts.read_at_ms()

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """None: nothing can be changed here."""
        return ()

    async def run(self) -> None:
        """Read the ledger and the groups."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ledger.run(self._shared.audience))
            group.create_task(self._groups.run(self._shared.audience))

    def _asked(self, query: Query) -> tuple[str, int]:
        """The account (empty: all) and how many days."""
        account = query.get("account", "")
        days = next((each for each in SPANS_DAYS if str(each) == query.get("days")), SPANS_DAYS[0])
        return account if account in self._shared.accounts.of else "", days

    def _part(self, macro: str, **arguments: Any) -> str:
        return self._shared.pages.part("positions_parts.html", macro, **arguments)

    def _live(self, wanted: str) -> dict[str, Any]:
        now_ms, positions, notes = self._shared.now_ms(), list[MarkedPosition](), list[str]()
        for name, now in self._shared.accounts.of.items():
            if wanted not in ("", name):
                continue
            if now.account is None:
                notes.append(f"{name}: its positions are not known: {now.error}")
                continue
            positions += marked_positions(name, now.account, self._books.book, now_ms)
        problem = self._shared.nats.problem() or self._books.problem
        if problem and any(each.position.size_e6 for each in positions):
            notes.append(f"No marks: {problem}.")
        return {
            "positions": positions,
            "several": len(self._shared.accounts.of) > 1,
            "total": total_of(positions),
            "notes": notes,
        }

    def _limits(self, wanted: str) -> dict[str, Any]:
        shown: list[tuple[str, str, list[LimitShown]]] = []
        for name, now in self._shared.accounts.of.items():
            if wanted in ("", name) and now.status is not None:
                shown.append((name, now.status.day, limits_of(now.status)))
        today = utc_day(self._shared.now_ms())
        groups: list[tuple[GroupUse, list[LimitShown]]] = [
            (each, limits_of_group(each, today)) for each in self._groups.of.values()
        ]
        return {"accounts": shown, "groups": groups}

    def _winnings(self, wanted: str) -> dict[str, Any]:
        slugs, waiting, now_ms = self._slug_of(), [], self._shared.now_ms()
        for name, now in self._shared.accounts.of.items():
            if wanted in ("", name) and now.account is not None:
                redeem = now.account.redeem
                waiting += waiting_winnings(name, redeem, lambda c: slugs.get(c, ""), now_ms)
        return {"waiting": waiting[:WINNINGS_SHOWN], "count": len(waiting)}

    def _slug_of(self) -> dict[str, str]:
        """By condition id."""
        if self._slugs[0] != self._ledger.rows.version:
            rows = self._ledger.rows.since(0)
            slugs = {row.condition_id: row.market for row in rows}
            self._slugs = self._ledger.rows.version, slugs
        return self._slugs[1]

    def _realised_part(self, account: str, days: int) -> str:
        """Made anew when there are other rows, or a minute has passed."""
        ledger, now_ms = self._ledger, self._shared.now_ms()
        told = (
            ledger.rows.version,
            tuple(ledger.days_read.values()),
            tuple(ledger.problems.items()),
            tuple(ledger.unreadable.items()),
            self._todays(account),
            now_ms // 60_000,
        )
        known = self._rendered.get((account, days))
        if known is None or known[0] != told:
            while len(self._rendered) >= RENDERED_MAX:
                del self._rendered[next(iter(self._rendered))]
            known = told, self._part("realised", **self._realised(account, days))
            self._rendered[account, days] = known
        return known[1]

    def _realised(self, account: str, days: int) -> dict[str, Any]:
        now_ms, ledger = self._shared.now_ms(), self._ledger
        today = utc_day(now_ms)
        since_ms = now_ms // DAY_MS * DAY_MS - (days - 1) * DAY_MS  # whole days, with today
        rows = ledger.rows.since(since_ms, account)
        by_day = sums_by(rows, lambda row: row.day)
        todays = by_day.get(today, RealisedSum(name=today)).pnl_e6
        told = self._todays(account)
        chart = line_chart(
            [Line("realised", equity_of(rows, since_ms, now_ms))],
            title=f"Equity curve of {account or 'all accounts'}, {days} days",
            y_label="P&L, USD",
            height=200,
        )
        return {
            "chart": chart,
            "one": bool(account) or len(self._shared.accounts.of) == 1,
            "days": days,
            "total": next(iter(sums_by(rows, lambda _: "all").values()), RealisedSum(name="all")),
            "by_day": list(reversed(by_day.values())),
            "by_strategy": list(sums_by(rows, self._strategy_of).values()),
            "by_series": list(sums_by(rows, lambda row: row.series).values()),
            "today": today,
            "account_e6": told,
            "apart_e6": None if told is None else told - todays,
            "notes": self._ledger_notes(days),
        }

    def _todays(self, account: str) -> int | None:
        """Today's P&L as the accounts have it; None: it is not known of one of them."""
        accounts = self._shared.accounts.of
        asked = [accounts[account]] if account else list(accounts.values())
        known = [each.status.pnl_e6 for each in asked if each.status is not None]
        return sum(known) if len(known) == len(asked) else None

    def _strategy_of(self, row: LedgerRow) -> str:
        now = self._shared.accounts.of.get(row.account)
        return (
            row.account if now is None or now.configuration is None else now.configuration.strategy
        )

    def _ledger_notes(self, days: int) -> list[str]:
        ledger = self._ledger
        notes = [f"{name}: the ledger was not read: {why}" for name, why in ledger.problems.items()]
        for name, read in ledger.days_read.items():
            if read < days:
                notes.append(
                    f"{name}: the ledger is being read; the last {read} of {DAYS} days are there. "
                    "Sums that go back further are too small."
                )
        for name, count in ledger.unreadable.items():
            notes.append(f"{name}: {count} rows of the ledger cannot be read; no sum has them.")
        if ledger.rows.left_out:
            notes.append(f"{ledger.rows.left_out} old rows are left out: they are too many.")
        return notes
