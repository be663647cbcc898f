"""Synthetic markets under load: as many changes a second as asked, on books of up to 99 levels.

    flood = Flood(venue, [parse_series("btc-60s"), ...], changes_per_s=2_000)
    task = asyncio.create_task(flood.run())

Each series has the window under way and the next one listed. A window has a placeholder book until
its LEAD before the start; from then until its end it gets its share of the changes. Most changes
are new sizes near the best prices, some remove or add a level, some move the middle by a tick; now
and then a book returns to a state that it has just had, or somebody buys (see `Venue.trade`) up to
EATEN_MAX levels, and lets the rest of the order stand; and once in each window the tick size
becomes 0.001.

1. A change is one `price_change` frame: a level of both tokens, which mirror each other. Only
   between the frames of a trade are books crossed, and no side is ever empty.
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
from typing import Final, NamedTuple, TypeAlias

from protocol.series import Series
from sandbox.simulator.book import Side
from sandbox.simulator.market import Market
from sandbox.simulator.recorded_markets import PLACEHOLDER
from sandbox.simulator.venue import Venue

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
_RETURN: Final = 0.02
EATEN_MAX: Final = 3
_MIDDLE_E4: Final = (2_000, 8_000)
"""The middle stays between, so that both sides keep their levels."""


_Level: TypeAlias = tuple[Side, int, int]
"""(side, price, new size) of Up."""


class _Trade(NamedTuple):
    outcome: int
    """0: somebody bought Up."""
    price_e4: int
    """The worst, of the token that was bought."""
    levels: list[_Level]
    """In the order in which they are sent, of the token that was bought."""


class _Quoted:
    """One market's Up book as its makers want it; the venue mirrors it."""

    def __init__(self, market: Market, random: Random) -> None:
        self.market = market
        self._random = random
        self._middle_e4 = random.randrange(4_000, 6_001, TICK_E4)
        """Bids are at or below it, asks above."""
        self.levels = {p: self._size_e6() for p in range(TICK_E4, 10_000, TICK_E4)}
        self._changes_tick_at = random.uniform(0.2, 0.9)
        self.sent: set[_Level] = set()
        """In the millisecond `sent_ms`."""
        self.sent_ms = 0

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

    def winner(self) -> str:
        """By where the middle is."""
        return self.market.outcomes[0 if self._middle_e4 >= 5_000 else 1]

    def changes(self) -> list[_Level]:
        """The next changes, one frame each, applied to these levels."""
        if self._random.random() < _MOVE:
            return self._move()
        if self._random.random() < _RETURN:
            return self._return()
        price, bid = self._near()
        gone = price in self.levels and self._spare(bid=bid) and self._random.random() < _REMOVE
        return [self._set(price, 0)] if gone else self._quote(price)

    def trade(self) -> _Trade | None:
        """Somebody buys one of the tokens; None when too little is there. Applied as well."""
        random, up = self._random, self._random.random() < 0.5
        offered = sorted(p for p in self.levels if (p > self._middle_e4) is up)
        eaten = (offered if up else offered[::-1])[: random.randint(1, EATEN_MAX)]
        if len(offered) - len(eaten) < SIDE_LEVELS_MIN:
            return None
        last_e4 = eaten[-1]
        levels = [self._set(price, 0) for price in eaten]
        how = random.random()
        middle_e4 = last_e4 if up else last_e4 - self.market.tick_size_e4
        if how < 0.3:
            levels[-1] = self._set(last_e4, self._size_e6())  # not all of it was bought
        elif how < 0.7 and _MIDDLE_E4[0] <= middle_e4 <= _MIDDLE_E4[1]:
            self._middle_e4 = middle_e4
            levels.insert(0, self._set(last_e4, self._size_e6()))  # wanted more, and bids for it
        if up:
            return _Trade(0, last_e4, levels)
        opposite: dict[Side, Side] = {"BUY": "SELL", "SELL": "BUY"}
        return _Trade(
            1, 10_000 - last_e4, [(opposite[s], 10_000 - p, size) for s, p, size in levels]
        )

    def _near(self) -> tuple[int, bool]:
        """A price near the best ones, whether there is a level or not, and whether it is a bid."""
        tick = self.market.tick_size_e4
        away = int(self._random.expovariate(1 / 6)) * tick
        bid = self._random.random() < 0.5
        price = self._middle_e4 - away if bid else self._middle_e4 + tick + away
        return min(max(price, tick), 10_000 - tick), bid

    def _move(self) -> list[_Level]:
        tick = self.market.tick_size_e4
        up = self._random.random() < 0.5
        middle = self._middle_e4 + (tick if up else -tick)
        if not _MIDDLE_E4[0] <= middle <= _MIDDLE_E4[1] or not self._spare(bid=not up):
            return self._quote(self._middle_e4)
        crossed = middle if up else self._middle_e4
        removed = [self._set(crossed, 0)] if crossed in self.levels else []
        self._middle_e4 = middle
        return removed + self._quote(crossed)

    def _return(self) -> list[_Level]:
        """A change, then another one that is undone at once."""
        (price, _), (other, bid) = self._near(), self._near()
        first = self._quote(price)
        size_e6 = self.levels.get(other)
        if price == other:
            return first
        if size_e6 is not None and self._spare(bid=bid):
            return [*first, self._set(other, 0), self._set(other, size_e6)]
        if size_e6 is None and len(self.levels) < LEVELS_MAX:
            return [*first, self._set(other, self._size_e6()), self._set(other, 0)]
        return first

    def _spare(self, *, bid: bool) -> bool:
        """Whether a side may lose a level."""
        return sum((p <= self._middle_e4) == bid for p in self.levels) > SIDE_LEVELS_MIN

    def _quote(self, price_e4: int) -> list[_Level]:
        """A new size; a level that is one too many takes the place of the farthest."""
        removed: list[_Level] = []
        if price_e4 not in self.levels and len(self.levels) >= LEVELS_MAX:
            farthest = max(self.levels, key=lambda price: abs(price - self._middle_e4))
            removed = [self._set(farthest, 0)]
        return [*removed, self._set(price_e4, self._size_e6())]

    def _set(self, price_e4: int, size_e6: int) -> _Level:
        if size_e6:
            self.levels[price_e4] = size_e6
        else:
            del self.levels[price_e4]
        return "BUY" if price_e4 <= self._middle_e4 else "SELL", price_e4, size_e6


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
        began_s, accounted = time.monotonic(), 0
        burst_max = max(1, int(self._changes_per_s * BURST_S))
        while True:
            due = int((time.monotonic() - began_s) * self._changes_per_s)
            late = max(0, due - accounted - burst_max)
            self.missed += late
            accounted += late
            while accounted < due:
                accounted += self._change_one()
            await asyncio.sleep(STEP_S)

    def _change_one(self) -> int:
        """Something happens in one market; how many frames that was, or were to be."""
        random = self._random
        series = self._series[0]
        if random.random() >= self._focus:
            series = random.choice(self._series)
        traded = self._quoted[series.name]
        if not traded:
            self.missed += 1  # between two windows
            return 1
        quoted = random.choice(traded)
        market = quoted.market
        up = market.books[0].token_id
        if quoted.fine_tick_due(self._venue.now_ms()):
            self._venue.change_tick_size(market, FINE_TICK_E4)
        trade = quoted.trade() if random.random() < _TRADE else None
        if trade is not None:
            size_e6 = random.randrange(10_000, 100_000_000, 10_000)
            token_id = market.books[trade.outcome].token_id
            self._venue.trade(token_id, trade.price_e4, size_e6, trade.levels)
            self.trades += 1
            sent = len(trade.levels)
        else:
            changes = quoted.changes()
            self._wait_for_repeated(quoted, changes)
            for side, price_e4, size_e6 in changes:
                self._venue.change_level(up, side, price_e4, size_e6)
            quoted.sent_ms = self._venue.now_ms()
            sent = len(changes)
        self.changes += sent
        return sent

    def _wait_for_repeated(self, quoted: _Quoted, changes: list[_Level]) -> None:
        """Let a millisecond pass before a delta comes again, if its book may be as it was then.

        Nobody could distinguish it from a duplicate, and so a stream without faults would have one.
        """
        if self._venue.now_ms() != quoted.sent_ms:
            quoted.sent.clear()
        if not quoted.sent.isdisjoint(changes):
            time.sleep(0.001)  # rare, and everybody else's time stands still meanwhile
            quoted.sent.clear()
        quoted.sent.update(changes)

    async def _sleep_until(self, at_ms: float) -> None:
        await asyncio.sleep(max(0.0, at_ms - self._venue.now_ms()) / 1000)
