"""A feed as the moments that a strategy is asked about, in batches: what all points share.

For each moment that passes the gate, what an order that is decided on it would meet is looked up
once, in both brackets, by the rules of `backtest.engine.run`: it depends on the latency and the
books alone, not on the point.

Time is counted in *positions*: the event with index i of the feed is at 2 i; what is due at a time
(an arrival, a market's end) happens just before the first event after it, k, so at 2 k - 1.

A batch is cut where enough books are held, before the first moment whose arrival nobody knows yet:
memory is bounded by a batch and what is under way, not by a market or the recording.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from backtest.engine.assumptions import Assumptions, Bracket
from backtest.feed.events import FeedEvent, LeftOut, MarketPaid
from functions.core.gate import GateConfig, hold_reason_of
from functions.core.market_memories import MarketMemories
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot
from strategies.view import MarketView

NEVER: Final = 2**62
"""The position of what the recording ends before."""
BATCH_BOOKS: Final = 8_192
"""About 50 MB of books."""

Ints: TypeAlias = NDArray[np.int64]


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """What an order meets in one bracket, and when its account learns of it."""

    position: int
    met: BookSnapshot | None = None
    met_at_ms: int = 0
    left_out: LeftOut | None = None
    """Without it and without a book it came too late."""


class Happening(msgspec.Struct, frozen=True, gc=False):
    """A market has ended, or it is known what it paid."""

    position: int
    market: MarketInfo
    paid: MarketPaid | None


class Batch:
    """Moments in the order of their markets, those of a market in order of time."""

    def __init__(
        self,
        views: list[MarketView],
        at: tuple[Ints, Ints, Ints],
        arrives_ms: Ints,
        arrivals: dict[Bracket, list[Arrival]],
        happenings: list[Happening],
        events: tuple[int, array[int]],
        end: int,
    ) -> None:
        self.views = views
        self.position, self.at_ms, self.market = at
        self.arrives_ms = arrives_ms
        """By the latency and the venue's delay."""
        self.arrivals = arrivals
        self.happenings = happenings
        """In order; an end before what was paid."""
        self.end = end
        """All positions are below it, and nothing more will happen before it."""
        self._first_event, self._event_ms = events
        starts = np.flatnonzero(np.diff(self.market, prepend=-1))
        self.bounds = np.append(starts, len(views))
        """Where each market's moments begin, and where the last one's end."""

    def __len__(self) -> int:
        return len(self.views)

    def position_at(self, ms: int) -> int:
        """Of the first event at or after a time."""
        return 2 * (self._first_event + bisect_left(self._event_ms, ms))


class _Market:
    """One market, while its books come."""

    __slots__ = ("arrives_max_ms", "end_ms", "ended_at", "info", "kept_ms", "number")

    def __init__(self, info: MarketInfo, number: int) -> None:
        self.info, self.number = info, number
        self.end_ms = info.end_ms
        self.ended_at = NEVER
        self.kept_ms = self.arrives_max_ms = -1


class Collector:
    """`batches` of one feed, once. `ask` is called with each moment's event index and view, in
    order of time; with it views have their memory, else an empty one."""

    def __init__(
        self,
        gate: GateConfig,
        assumptions: Assumptions,
        ask: Callable[[int, MarketView], None] | None = None,
        batch_books: int = BATCH_BOOKS,
    ) -> None:
        self._gate = gate
        self._assumptions = assumptions
        self._ask = ask
        self._batch_books = batch_books
        self._memories = MarketMemories()
        self._markets: dict[str, _Market] = {}
        self._open: dict[str, _Market] = {}
        self._next_end_ms = NEVER
        self._paid: set[str] = set()
        self._happenings: list[Happening] = []
        self._index = 0
        """Of the next event."""
        self._first_event, self._event_ms = 0, array("q")
        # Of each kept book, in order of time.
        self._books: list[BookSnapshot] = []
        self._at_ms, self._event = array("q"), array("q")
        self._market_of: list[_Market] = []
        self._views: list[MarketView | None] = []
        """None: of a book that is only met."""
        self._arrives_ms = array("q")
        """0 without a view."""

    @property
    def events(self) -> int:
        """How many have been read."""
        return self._index

    def batches(self, feed: Iterable[FeedEvent]) -> Iterator[Batch]:
        """The last one may be empty of moments. Raises FeedError."""
        full = self._batch_books
        for event in feed:
            if type(event) is MarketPaid:
                self._note_paid(event)
            else:
                assert isinstance(event, BookSnapshot)  # noqa: S101 - a feed has these two
                self._note(event)
            self._index += 1
            if len(self._books) >= full:
                yield self._cut(last=False)
                full = len(self._books) + self._batch_books
        yield self._cut(last=True)

    # -- events ----------------------------------------------------------------------------------

    def _note(self, snapshot: BookSnapshot) -> None:
        now_ms = snapshot.received_at_ns // 1_000_000
        self._event_ms.append(now_ms)
        if now_ms > self._next_end_ms:
            self._end_before(now_ms)
        info = snapshot.market
        market = self._markets.get(info.condition_id)
        if market is None:
            market = _Market(info, len(self._markets))
            self._markets[info.condition_id] = self._open[info.condition_id] = market
            self._next_end_ms = min(self._next_end_ms, market.end_ms)
        if market.ended_at != NEVER:
            return
        ask = self._ask
        if ask is not None:
            self._memories.note(snapshot)
        view, arrives_ms = None, 0
        if hold_reason_of(snapshot, self._gate, now_ms) is None:
            view = self._memories.view(snapshot, now_ms)
        if view is not None:
            if ask is not None:
                ask(self._index, view)
            arrives_ms = now_ms + self._latency_ms(info.condition_id, now_ms)
            market.arrives_max_ms = max(market.arrives_max_ms, arrives_ms)
        elif market.kept_ms > market.arrives_max_ms or market.kept_ms < 0:
            return  # no order can meet it
        market.kept_ms = now_ms
        self._books.append(snapshot)
        self._at_ms.append(now_ms)
        self._event.append(self._index)
        self._market_of.append(market)
        self._views.append(view)
        self._arrives_ms.append(arrives_ms)

    def _latency_ms(self, condition_id: str, now_ms: int) -> int:
        assumptions = self._assumptions
        drawn_ms = assumptions.latency.draw_ms(f"{condition_id}:{now_ms}", assumptions.seed)
        return drawn_ms + assumptions.taker_delay_ms

    def _note_paid(self, paid: MarketPaid) -> None:
        self._event_ms.append(paid.at_ms)
        if paid.at_ms > self._next_end_ms:
            self._end_before(paid.at_ms)
        market = self._markets.get(paid.condition_id)
        if market is None or paid.condition_id in self._paid:
            return
        if market.ended_at == NEVER:
            self._end(market, 2 * self._index)
        if any(o.token_id not in paid.resolution.payouts_e6 for o in market.info.outcomes):
            return  # production counts it as left out
        self._paid.add(paid.condition_id)
        self._happenings.append(Happening(2 * self._index, market.info, paid))

    def _end_before(self, now_ms: int) -> None:
        over = [market for market in self._open.values() if market.end_ms < now_ms]
        for market in sorted(over, key=lambda each: each.end_ms):
            self._end(market, 2 * self._index - 1)

    def _end(self, market: _Market, position: int) -> None:
        market.ended_at = position
        del self._open[market.info.condition_id]
        self._next_end_ms = min((each.end_ms for each in self._open.values()), default=NEVER)
        self._memories.forget(market.info.condition_id)
        self._happenings.append(Happening(position, market.info, None))

    # -- batches ---------------------------------------------------------------------------------

    def _cut(self, *, last: bool) -> Batch:
        """All moments before the first one whose arrivals are not known; with `last`, all."""
        at_ms, event, arrives_ms = (
            np.array(each, dtype=np.int64) for each in (self._at_ms, self._event, self._arrives_ms)
        )
        is_moment = np.array([view is not None for view in self._views], dtype=np.bool_)
        number = np.array([market.number for market in self._market_of], dtype=np.int64)
        order = np.argsort(number, kind="stable")
        due = self._due(arrives_ms)
        met = _next_of_market(order, number, at_ms, arrives_ms, is_moment)
        ended = np.array([market.ended_at for market in self._market_of], dtype=np.int64)
        known = ~is_moment | (ended != NEVER) | ((due != NEVER) & (met >= 0))
        unknown = np.flatnonzero(~known)
        cut, end_event = len(known), self._index
        if len(unknown) and not last:
            cut = int(unknown[0])
            end_event = int(event[cut])
        rows = order[is_moment[order] & (order < cut)]
        batch = Batch(
            [view for row in rows.tolist() if (view := self._views[row]) is not None],
            (2 * event[rows], at_ms[rows], number[rows]),
            arrives_ms[rows],
            {
                Bracket.UNCHANGED: self._unchanged(rows, due, met, order),
                Bracket.NEXT: self._next(rows, due, met),
            },
            [each for each in self._happenings if each.position < 2 * end_event],
            (self._first_event, self._event_ms),
            2 * end_event,
        )
        self._forget(cut, end_event)
        return batch

    def _due(self, ms: Ints) -> Ints:
        """The position of what is due at these times; NEVER where nothing has come after."""
        events = np.frombuffer(self._event_ms, dtype=np.int64) if self._event_ms else ms[:0]
        index = np.searchsorted(events, ms, side="right")
        return np.where(index < len(events), 2 * (index + self._first_event) - 1, NEVER)

    def _unchanged(self, rows: Ints, due: Ints, met: Ints, order: Ints) -> list[Arrival]:
        """By the last book at or before the arrival: the one before the first after it."""
        before = np.full(len(order), -1, dtype=np.int64)
        before[order[1:]] = order[:-1]
        last_of = {self._market_of[row].number: row for row in order.tolist()}
        arrivals: list[Arrival] = []
        for row in rows.tolist():
            market, arrives_ms, position = (
                self._market_of[row],
                self._arrives_ms[row],
                int(due[row]),
            )
            if arrives_ms >= market.end_ms or position > market.ended_at:
                arrivals.append(Arrival(min(position, market.ended_at)))
                continue
            after = int(met[row])
            last = int(before[after]) if after >= 0 else last_of[market.number]
            arrivals.append(self._meets(last, position, arrives_ms - self._at_ms[last]))
        return arrivals

    def _next(self, rows: Ints, due: Ints, met: Ints) -> list[Arrival]:
        """By the first book after the arrival."""
        arrivals: list[Arrival] = []
        for row in rows.tolist():
            market, arrives_ms, position = (
                self._market_of[row],
                self._arrives_ms[row],
                int(due[row]),
            )
            after = int(met[row])
            if arrives_ms >= market.end_ms or position > market.ended_at:
                arrivals.append(Arrival(min(position, market.ended_at)))
            elif position == NEVER:
                arrivals.append(Arrival(NEVER))
            elif after < 0:
                arrivals.append(Arrival(market.ended_at, left_out=LeftOut.GAP))
            elif self._at_ms[after] >= market.end_ms:
                arrivals.append(Arrival(2 * self._event[after]))
            else:
                waited_ms = self._at_ms[after] - arrives_ms
                arrivals.append(self._meets(after, 2 * self._event[after], waited_ms))
        return arrivals

    def _meets(self, row: int, position: int, apart_ms: int) -> Arrival:
        if apart_ms > self._assumptions.gap_over_ms:
            return Arrival(position, left_out=LeftOut.GAP)
        return Arrival(position, self._books[row], self._at_ms[row])

    def _forget(self, cut: int, end_event: int) -> None:
        self._happenings = [each for each in self._happenings if each.position >= 2 * end_event]
        self._event_ms = self._event_ms[end_event - self._first_event :]
        self._first_event = end_event
        self._books, self._views = self._books[cut:], self._views[cut:]
        self._at_ms, self._event = self._at_ms[cut:], self._event[cut:]
        self._market_of, self._arrives_ms = self._market_of[cut:], self._arrives_ms[cut:]


def _next_of_market(
    order: Ints, number: Ints, at_ms: Ints, arrives_ms: Ints, is_moment: NDArray[np.bool_]
) -> Ints:
    """Of each moment the first kept book of its market after its arrival, -1 where there is none
    yet. `order` is by market, then time."""
    met = np.full(len(order), -1, dtype=np.int64)
    bounds = np.append(np.flatnonzero(np.diff(number[order], prepend=-1)), len(order))
    for first, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        rows = order[first:end]
        moments = rows[is_moment[rows]]
        index = np.searchsorted(at_ms[rows], arrives_ms[moments], side="right")
        found = index < len(rows)
        met[moments[found]] = rows[index[found]]
    return met
