"""Synthetic markets under load: as many changes a second as asked, on books of up to 99 levels.

    flood = Flood(venue, [parse_series("btc-60s"), ...], changes_per_s=2_000)
    task = asyncio.create_task(flood.run())

Each series has the window under way and the next one listed. A window has a placeholder book until
its LEAD before the start; from then until its end it gets its share of the changes. Most changes
are new sizes near the best prices, some remove or add a level, some move the middle by a tick; now
and then there is a trade, whose price the hashes contain from then on, and once in each window the
tick size becomes 0.001.

1. A change is one `price_change` frame: a level (or two, when the middle moves) of both tokens,
   which mirror each other. Books never cross, and no side is ever empty.
2. What is changed, in which order, follows the seed; when it is changed follows the clock.
3. When the machine is too slow, changes are left out and counted (`missed`), never sent in a burst
   longer than BURST_S.

Made up, all of it: no traders, no reaction to orders, winners by the last middle.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from decimal import Decimal
from random import Random
from typing import Final

from protocol.series import Series
from sandbox.venue.book import Side
from sandbox.venue.frames import Change
from sandbox.venue.market import Market
from sandbox.venue.replay import PLACEHOLDER
from sandbox.venue.venue import Venue

LEAD: Final = 1 / 15
"""Of a window, before its start: the recorded minute of fifteen."""
LEVELS_MAX: Final = 99
SIDE_LEVELS_MIN: Final = 5
TICK_E4: Final = 100
FINE_TICK_E4: Final = 10
STEP_S: Final = 0.005
BURST_S: Final = 0.1
_MOVE: Final = 0.05
_REMOVE: Final = 0.15
_TRADE: Final = 0.02
_MIDDLE_E4: Final = (2_000, 8_000)
"""The middle stays between, so that both sides keep their levels."""


class _Quoted:
    """One market's Up book as its makers want it; the venue mirrors it."""

    def __init__(self, market: Market, random: Random) -> None:
        self.market = market
        self._random = random
        self._middle_e4 = random.randrange(4_000, 6_001, TICK_E4)
        """Bids are at or below it, asks above."""
        self.levels = {p: self._size_e6() for p in range(TICK_E4, 10_000, TICK_E4)}
        self._changes_tick_at = random.uniform(0.2, 0.9)

    def _size_e6(self) -> int:
        return (1 + int(self._random.expovariate(1 / 30_000))) * 10_000

    def sides(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """(bids, asks) of Up."""
        middle = self._middle_e4
        return (
            [level for level in self.levels.items() if level[0] <= middle],
            [level for level in self.levels.items() if level[0] > middle],
        )

    def fine_tick_due(self, now_ms: int) -> bool:
        """Whether it is time for the finer grid."""
        start_ms, end_ms = self.market.start_ms, self.market.end_ms
        at_ms = start_ms + self._changes_tick_at * (end_ms - start_ms)
        return self.market.tick_size_e4 == TICK_E4 and now_ms >= at_ms

    def traded_price_e4(self) -> int:
        """Of somebody who buys Up: the best ask."""
        return min(price for price in self.levels if price > self._middle_e4)

    def winner(self) -> str:
        """By where the middle is."""
        return self.market.outcomes[0 if self._middle_e4 >= 5_000 else 1]

    def change(self) -> list[Change]:
        """The next change of both books, applied to these levels."""
        if self._random.random() < _MOVE:
            return self._move()
        tick = self.market.tick_size_e4
        away = int(self._random.expovariate(1 / 6)) * tick
        bid = self._random.random() < 0.5
        price = self._middle_e4 - away if bid else self._middle_e4 + tick + away
        price = min(max(price, tick), 10_000 - tick)
        gone = price in self.levels and self._spare(bid=bid) and self._random.random() < _REMOVE
        return self._set(price, 0) if gone else self._quote(price)

    def _move(self) -> list[Change]:
        tick = self.market.tick_size_e4
        up = self._random.random() < 0.5
        middle = self._middle_e4 + (tick if up else -tick)
        if not _MIDDLE_E4[0] <= middle <= _MIDDLE_E4[1] or not self._spare(bid=not up):
            return self._quote(self._middle_e4)
        crossed = middle if up else self._middle_e4
        removed = self._set(crossed, 0) if crossed in self.levels else []
        self._middle_e4 = middle
        return removed + self._quote(crossed)

    def _spare(self, *, bid: bool) -> bool:
        """Whether a side may lose a level."""
        return sum((p <= self._middle_e4) == bid for p in self.levels) > SIDE_LEVELS_MIN

    def _quote(self, price_e4: int) -> list[Change]:
        """A new size; a level that is one too many takes the place of the farthest."""
        removed: list[Change] = []
        if price_e4 not in self.levels and len(self.levels) >= LEVELS_MAX:
            farthest = max(self.levels, key=lambda price: abs(price - self._middle_e4))
            removed = self._set(farthest, 0)
        return removed + self._set(price_e4, self._size_e6())

    def _set(self, price_e4: int, size_e6: int) -> list[Change]:
        if size_e6:
            self.levels[price_e4] = size_e6
        else:
            del self.levels[price_e4]
        up, down = self.market.books
        side: Side = "BUY" if price_e4 <= self._middle_e4 else "SELL"
        other: Side = "SELL" if side == "BUY" else "BUY"
        return [
            (up.token_id, side, price_e4, size_e6),
            (down.token_id, other, 10_000 - price_e4, size_e6),
        ]


class Flood:
    """Keeps listing, books and changes going until cancelled."""

    def __init__(
        self,
        venue: Venue,
        series: Sequence[Series],
        *,
        changes_per_s: int,
        focus: float = 0.0,
        seed: int = 0,
    ) -> None:
        """`focus` is the share of all changes that the first series gets before the rest is
        spread evenly: 1.0 floods one market and leaves the others quiet."""
        self._venue = venue
        self._series = series
        self._changes_per_s = changes_per_s
        self._focus = focus
        self._random = Random(f"{seed}/flood")
        self._quoted: dict[str, list[_Quoted]] = {each.name: [] for each in series}
        """By series: the windows that are traded now, one or (during the lead) two."""
        self.changes = 0
        """Frames sent so far."""
        self.trades = 0
        self.missed = 0
        """Changes that were left out because the machine was too slow."""

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for series in self._series:
                tasks.create_task(self._roll(tasks, series))
            tasks.create_task(self._drive())

    async def _roll(self, tasks: asyncio.TaskGroup, series: Series) -> None:
        start_s = series.window_start_s(self._venue.now_ms() / 1000)
        tasks.create_task(self._live(series, start_s))
        while True:
            start_s += series.window_s
            tasks.create_task(self._live(series, start_s))
            await self._sleep_until(start_s * 1000)

    async def _live(self, series: Series, start_s: int) -> None:
        """One window, from its listing to its end."""
        start_ms, end_ms = start_s * 1000, (start_s + series.window_s) * 1000
        market = self._venue.add_market(series.slug(start_s), start_ms=start_ms, end_ms=end_ms)
        up = market.books[0].token_id
        lead_ms = start_ms - LEAD * (end_ms - start_ms)
        if self._venue.now_ms() < lead_ms:
            self._venue.set_book(up, *PLACEHOLDER)
            await self._sleep_until(lead_ms)
        quoted = _Quoted(market, self._random)
        self._venue.set_book(up, *quoted.sides())
        traded = self._quoted[series.name]
        traded.append(quoted)
        await self._sleep_until(end_ms)
        traded.remove(quoted)
        first, second = (Decimal(quoted.winner() == outcome) for outcome in market.outcomes)
        market.payouts, market.resolves_at_ms = (first, second), end_ms

    async def _drive(self) -> None:
        began_s, due_before = time.monotonic(), 0
        burst_max = max(1, int(self._changes_per_s * BURST_S))
        while True:
            due = int((time.monotonic() - began_s) * self._changes_per_s)
            wanted = due - due_before
            due_before = due
            self.missed += max(0, wanted - burst_max)
            for _ in range(min(wanted, burst_max)):
                self._change_one()
            await asyncio.sleep(STEP_S)

    def _change_one(self) -> None:
        random = self._random
        series = self._series[0]
        if random.random() >= self._focus:
            series = random.choice(self._series)
        traded = self._quoted[series.name]
        if not traded:
            self.missed += 1  # between two windows
            return
        quoted = random.choice(traded)
        market = quoted.market
        if quoted.fine_tick_due(self._venue.now_ms()):
            self._venue.change_tick_size(market, FINE_TICK_E4)
        if random.random() < _TRADE:
            size_e6 = random.randrange(10_000, 100_000_000, 10_000)
            self._venue.trade(market.books[0].token_id, quoted.traded_price_e4(), size_e6)
            self.trades += 1
        self._venue.change_levels(market, quoted.change())
        self.changes += 1

    async def _sleep_until(self, at_ms: float) -> None:
        await asyncio.sleep(max(0.0, at_ms - self._venue.now_ms()) / 1000)
