"""One point's accounts over the batches of a feed: from the first signal that is not refused to the
next, instead of from book to book.

Between two changes of its account a refused market stays refused until a time that is known
(`SimulatedAccount.refused_until_ms`), so the signals until then need not be offered.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from backtest.engine.assumptions import Bracket
from backtest.engine.desk import UnderWay
from backtest.engine.observations import OrderEnd, OrderSeen
from backtest.sweep.desk import BRACKETS, Offer, RememberingDesk
from backtest.sweep.moments import Batch, Happening, Ints
from functions.core.account import Limits
from protocol.market import UP

_DIGEST_MASK: Final = 2**63 - 1


class Signals(Protocol):
    """Where one point wants to buy, of one batch."""

    moments: Ints
    """Rising."""
    least_e6: int
    """No offer spends less."""

    def offer(self, moment: int) -> Offer | None:
        """What it offers there; None where nothing can be ordered after all."""
        ...


class HalfSums(msgspec.Struct):
    """Of the orders on the markets of one half, in one bracket."""

    orders: int = 0
    filled: int = 0
    settled: int = 0
    spent_e6: int = 0
    pnl_e6: int = 0
    digest: int = 0
    """Of each order's trade; the same whatever their order is."""

    def add(self, order: OrderSeen) -> None:
        """One order, of which nothing more will be known."""
        self.orders += 1
        pnl_e6 = order.pnl_e6
        if order.filled_size_e6:
            self.filled += 1
            if pnl_e6 is not None:
                self.settled += 1
                self.spent_e6 += order.filled_spend_e6
                self.pnl_e6 += pnl_e6
        trade = (
            order.market,
            order.outcome == UP,
            order.decided_at_ms,
            order.arrived_at_ms,
            order.max_price_e4,
            order.filled_spend_e6,
            order.filled_size_e6,
            order.fee_e6,
            -1 if pnl_e6 is None else pnl_e6,
            pnl_e6 is None,
        )
        # Of whole numbers alone, so it is the same in every process.
        self.digest = (self.digest + hash(trade)) & _DIGEST_MASK


class Bought(msgspec.Struct, frozen=True):
    """A filled order of the train half whose payout is known."""

    market: int
    is_up: bool
    win_share: float
    """How likely it was to win, by the book that it was filled from."""
    size_e6: int
    cost_e6: int
    """With the fee."""


class LaneSums(msgspec.Struct):
    """What one point came to in one bracket."""

    train: HalfSums = msgspec.field(default_factory=HalfSums)
    test: HalfSums = msgspec.field(default_factory=HalfSums)
    bought: list[Bought] = msgspec.field(default_factory=list)


class PointLane:
    """One point in one bracket. `play` each batch, then `finish`."""

    def __init__(self, bracket: Bracket, limits: Limits, is_train: Sequence[bool]) -> None:
        """`is_train`: by number of the market."""
        self._desk = RememberingDesk(bracket, limits)
        self._bracket = BRACKETS.index(bracket)
        self._is_train = is_train
        self._due: list[tuple[int, int, UnderWay, Offer]] = []
        """Orders under way: when this account learns what became of them."""
        self._orders = 0
        self.sums = LaneSums()

    def play(self, batch: Batch, signals: Signals, positions: list[int], bounds: list[int]) -> None:
        """`positions` are those of `signals.moments`, `bounds` where each market's begin."""
        desk, due = self._desk, self._due
        account, happenings = desk.account, batch.happenings
        limit, happened, changes = batch.end - 1, 0, account.changes
        ends = bounds[1:]
        heads = [
            positions[first] if first < end else limit
            for first, end in zip(bounds, ends, strict=False)
        ]
        heads.append(limit)
        cursors, refused = bounds[:-1], set[int]()
        while True:
            at = min(heads)
            next_due = due[0][0] if due else limit + 1
            next_happening = (
                happenings[happened].position if happened < len(happenings) else limit + 1
            )
            if next_due <= at and next_due <= next_happening:
                since, _, order, offer = heapq.heappop(due)
                desk.settle(order, offer)
            elif next_happening <= at:
                since = next_happening
                self._happen(happenings[happened])
                happened += 1
            elif at == limit:
                break
            else:
                since = at + 1
                slot = heads.index(at)
                until = self._offer(batch, signals, cursors[slot])
                cursor = cursors[slot] + 1
                if until:
                    refused.add(slot)
                    cursor = bisect_left(positions, until, cursor, ends[slot])
                cursors[slot] = cursor
                heads[slot] = positions[cursor] if cursor < ends[slot] else limit
            if account.changes != changes:
                changes = account.changes
                for slot in refused:
                    # What was refused may be taken from now on; what is past is past.
                    cursor = bisect_left(positions, since, bounds[slot], ends[slot])
                    cursors[slot] = cursor
                    heads[slot] = positions[cursor] if cursor < ends[slot] else limit
                refused.clear()
        self._fold()

    def _offer(self, batch: Batch, signals: Signals, index: int) -> int:
        """Offer one signal. The position before which its market stays refused if nothing changes;
        0 where that is not known, as after an order."""
        moment = int(signals.moments[index])
        offer = signals.offer(moment)
        if offer is None:
            return 0
        desk = self._desk
        latency_ms = int(batch.arrives_ms[moment]) - offer.now_ms
        order = desk.offer(offer, latency_ms)
        condition_id = offer.market.condition_id
        if order is None:
            until_ms = desk.account.refused_until_ms(condition_id, signals.least_e6)
            return 0 if until_ms is None else batch.position_at(until_ms)
        self._orders += 1
        arrival = offer.arrivals[self._bracket]
        heapq.heappush(self._due, (arrival.position, self._orders, order, offer))
        return 0

    def _happen(self, what: Happening) -> None:
        if what.paid is None:
            self._desk.market_ended(what.market)
        else:
            self._desk.market_paid(what.paid, what.paid.at_ms)

    def _fold(self, *, last: bool = False) -> None:
        """Add up the orders of which nothing more will be known."""
        desk, is_train, sums = self._desk, self._is_train, self.sums
        kept: list[OrderSeen] = []
        for order in desk.lane.orders:
            waits = order.pnl_e6 is None if order.filled_size_e6 else order.end is OrderEnd.WAITING
            if waits and not last:
                kept.append(order)
            else:
                (sums.train if is_train[order.market] else sums.test).add(order)
        desk.lane.orders = kept
        held: list[tuple[OrderSeen, float]] = []
        for order, win_share in desk.bought:
            if order.pnl_e6 is None:
                held.append((order, win_share))
            elif is_train[order.market]:
                cost_e6 = order.filled_spend_e6 + order.fee_e6
                is_up, size_e6 = order.outcome == UP, order.filled_size_e6
                sums.bought.append(Bought(order.market, is_up, win_share, size_e6, cost_e6))
        desk.bought = held

    def finish(self) -> LaneSums:
        """What it came to; the feed is at its end."""
        self._fold(last=True)
        return self.sums
