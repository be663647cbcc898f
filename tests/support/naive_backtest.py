"""A backtest as one would tell it: every lane for itself, all sums anew for each claim, Fractions.

What a strategy wants is asked of production code, book after book. All that follows is written
here a second time, from the words of `backtest.engine`, and slowly: which book an order meets, what
it gets there, what an account takes, what a market paid.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil

from backtest.engine.assumptions import Assumptions, Bracket
from backtest.feed.events import FeedEvent, MarketPaid, event_at_ms
from functions.core.account import Limits
from functions.core.configuration import Configuration
from protocol.book import Proof
from protocol.market import DOWN, UP, MarketInfo
from protocol.snapshot import BookSnapshot
from tests.support.made_up_feeds import DAY_MS
from tests.support.naive_wishes import NaiveRun, Wish, moments_between


@dataclass
class NaiveOrder:
    """The fields are named as in `OrderSeen`."""

    market: MarketInfo
    outcome: str
    decided_at_ms: int
    arrived_at_ms: int
    spend_e6: int
    max_price_e4: int
    other_limit_e4: int
    met_at_ms: int | None = None
    end: str = "waiting"
    left_out: str | None = None
    filled_spend_e6: int = 0
    filled_size_e6: int = 0
    fee_e6: int = 0
    payout_e6: int | None = None
    pnl_e6: int | None = None
    other: tuple[int, int, int] | None = None
    """(spend, size, fee) of a like order for the other outcome at the same arrival, in 1e-6."""
    answered: bool = False
    booked_day: int | None = None


def _walked(asks: dict[int, int], spend_e6: int, limit_e4: int) -> list[tuple[int, int, int, int]]:
    """(price, size, cost, fee) of each level, as far as the money and the limit go."""
    usd, bought = Fraction(spend_e6, 10**6), list[tuple[int, int, int, int]]()
    for price_e4, size_e6 in sorted(asks.items()):
        price = Fraction(price_e4, 10_000)
        take_e6 = min(size_e6, int(usd / price * 10**6))
        if price_e4 > limit_e4 or (size_e6 and not take_e6):
            break
        if size_e6:
            cost_e6 = ceil(take_e6 * price)
            usd -= Fraction(cost_e6, 10**6)
            fee_e6 = ceil(take_e6 * Fraction(7, 100) * price * (1 - price))
            bought.append((price_e4, take_e6, cost_e6, fee_e6))
    return bought


def _other(order: NaiveOrder, snapshot: BookSnapshot) -> tuple[int, int, int]:
    book = snapshot.book_of(DOWN if order.outcome == UP else UP)
    bid_e4, ask_e4 = book.best_bid_e4 or 0, book.best_ask_e4 or 10_000
    if (book.bids and book.asks and bid_e4 >= ask_e4) or (bid_e4 <= 100 and ask_e4 >= 9_900):
        return 0, 0, 0
    bought = _walked(dict(book.asks), order.spend_e6, order.other_limit_e4)
    size_e6, cost_e6, fee_e6 = (sum(level[at] for level in bought) for at in (1, 2, 3))
    return cost_e6, size_e6, fee_e6


@dataclass
class NaiveLane:
    """All that became of one lane's wishes."""

    bracket: Bracket
    limits: Limits
    gap_over_ms: int
    orders: list[NaiveOrder] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    last: dict[str, BookSnapshot] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    paid: set[str] = field(default_factory=set)
    due_next: list[NaiveOrder] = field(default_factory=list)
    taken: dict[tuple[str, str], dict[int, tuple[int, int]]] = field(default_factory=dict)

    # -- time ------------------------------------------------------------------------------------

    def until(self, now_ms: int) -> None:
        """All that happens before `now_ms`, arrivals and ends, in order."""
        happens: list[tuple[int, int, NaiveOrder | MarketInfo]] = []
        for number, order in enumerate(self.orders):
            if not order.answered and order not in self.due_next and order.arrived_at_ms < now_ms:
                happens.append((order.arrived_at_ms, number, order))
        for condition_id, book in self.last.items():
            if condition_id not in self.ended and book.market.end_ms < now_ms:
                happens.append((book.market.end_ms, -1, book.market))
        for _, _, what in sorted(happens, key=lambda each: each[:2]):
            if isinstance(what, MarketInfo):
                self.end(what)
            elif not what.answered:
                self.arrive(what)

    def book(self, snapshot: BookSnapshot, now_ms: int) -> None:
        """The newest of its market."""
        condition_id = snapshot.market.condition_id
        if condition_id in self.ended:
            return
        for order in [each for each in self.due_next if each.market.condition_id == condition_id]:
            self.due_next.remove(order)
            if now_ms >= order.market.end_ms:
                self.nothing(order, "too_late")
            elif now_ms - order.arrived_at_ms > self.gap_over_ms:
                self.nothing(order, "left_out", "gap")
            else:
                self.meet(order, snapshot, now_ms)
        self.last[condition_id] = snapshot

    def end(self, market: MarketInfo) -> None:
        """Whatever has met no book by now meets none."""
        for order in self.orders:
            if order.market.condition_id == market.condition_id and not order.answered:
                if order in self.due_next:
                    self.due_next.remove(order)
                    self.nothing(order, "left_out", "gap")
                else:
                    self.nothing(order, "too_late")
        self.ended.add(market.condition_id)

    def pay(self, paid: MarketPaid) -> None:
        """Its positions are settled, once."""
        book = self.last.get(paid.condition_id)
        if book is None or paid.condition_id in self.paid:
            return
        self.paid.add(paid.condition_id)
        if paid.condition_id not in self.ended:
            self.end(book.market)
        for order in self.orders:
            if order.market.condition_id == paid.condition_id and order.filled_size_e6:
                usd = Fraction(
                    paid.resolution.payouts_e6[book.market.token_of(order.outcome)], 10**6
                )
                order.payout_e6 = int(order.filled_size_e6 * usd)
                order.pnl_e6 = order.payout_e6 - order.filled_spend_e6 - order.fee_e6
                order.booked_day = max(paid.at_ms, book.market.end_ms) // DAY_MS

    # -- an order --------------------------------------------------------------------------------

    def arrive(self, order: NaiveOrder) -> None:
        """At the venue."""
        book = self.last[order.market.condition_id]
        last_ms = book.received_at_ns // 10**6
        if order.arrived_at_ms >= order.market.end_ms:
            self.nothing(order, "too_late")
        elif self.bracket is Bracket.NEXT:
            self.due_next.append(order)
        elif order.arrived_at_ms - last_ms > self.gap_over_ms:
            self.nothing(order, "left_out", "gap")
        else:
            self.meet(order, book, last_ms)

    def meet(self, order: NaiveOrder, snapshot: BookSnapshot, met_at_ms: int) -> None:
        """A book."""
        order.met_at_ms = met_at_ms
        book = snapshot.book_of(order.outcome)
        bid_e4 = max((price for price, _ in book.bids), default=0)
        ask_e4 = min((price for price, _ in book.asks), default=10_000)
        if snapshot.proof is Proof.NONE:
            self.nothing(order, "left_out", "dark")
        elif bid_e4 <= 100 and ask_e4 >= 9_900:
            self.nothing(order, "left_out", "placeholder")
        elif book.bids and book.asks and bid_e4 >= ask_e4:
            self.nothing(order, "crossed")
            order.other = _other(order, snapshot)
        else:
            self.take(order, book.token_id, dict(book.asks))
            order.other = _other(order, snapshot)

    def take(self, order: NaiveOrder, token_id: str, asks: dict[int, int]) -> None:
        """Level after level, less what this lane has taken of those that still show that size."""
        key = order.market.condition_id, token_id
        gone = {
            price: self.taken.get(key, {})[price][1]
            for price, size in asks.items()
            if self.taken.get(key, {}).get(price, (None,))[0] == size
        }
        left = {price_e4: size_e6 - gone.get(price_e4, 0) for price_e4, size_e6 in asks.items()}
        bought = _walked(left, order.spend_e6, order.max_price_e4)
        for price_e4, take_e6, cost_e6, fee_e6 in bought:
            gone[price_e4] = gone.get(price_e4, 0) + take_e6
            order.filled_spend_e6 += cost_e6
            order.filled_size_e6 += take_e6
            order.fee_e6 += fee_e6
        if not order.filled_size_e6:
            self.nothing(order, "no_match")
            return
        self.taken[key] = {price: (asks[price], each) for price, each in gone.items()}
        left_e6 = order.spend_e6 - order.filled_spend_e6
        order.end = "filled" if left_e6 < 10_000 else "partly_filled"
        order.answered = True

    def nothing(self, order: NaiveOrder, end: str, left_out: str | None = None) -> None:
        """Bought."""
        order.end, order.left_out, order.answered = end, left_out, True

    # -- the account -----------------------------------------------------------------------------

    def wish(self, wish: Wish) -> None:
        """A claim, or a refusal."""
        refusal = self.refusal(wish)
        if refusal is not None:
            self.refused[refusal] += 1
            return
        self.orders.append(
            NaiveOrder(
                market=wish.market,
                outcome=wish.trade.outcome,
                decided_at_ms=wish.at_ms,
                arrived_at_ms=wish.at_ms + wish.takes_ms,
                spend_e6=wish.trade.spend_e6,
                max_price_e4=wish.trade.max_price_e4,
                other_limit_e4=wish.other_limit_e4,
            )
        )

    def refusal(self, wish: Wish) -> str | None:
        """By the orders so far alone."""
        limits, now_ms, day = self.limits, wish.at_ms, wish.at_ms // DAY_MS
        same = [o for o in self.orders if o.market.condition_id == wish.market.condition_id]
        live = [
            order
            for order in self.orders
            if not order.answered
            or (order.filled_size_e6 and order.market.condition_id not in self.ended)
        ]
        spent_e6 = sum(
            # What ended gives back what it has not spent.
            order.filled_spend_e6
            if order.payout_e6 is not None or (order.answered and not order.filled_size_e6)
            else order.spend_e6
            for order in self.orders
            if order.decided_at_ms // DAY_MS == day
        )
        pnl_e6 = sum(order.pnl_e6 or 0 for order in self.orders if order.booked_day == day)
        entries = sum(1 for order in same if order in live)
        entries_max = limits.max_entries_per_market
        refused = {
            "market_claimed": any(not order.answered for order in same),
            "cooldown": bool(same) and now_ms < same[-1].decided_at_ms + max(limits.cooldown_ms, 1),
            "max_entries": entries_max is not None and entries >= entries_max,
            "max_positions": len(live) >= limits.max_positions,
            "daily_loss": pnl_e6 <= -limits.daily_loss_limit_e6,
            "daily_spend": spent_e6 + wish.trade.spend_e6 > limits.daily_spend_cap_e6,
        }
        return next((reason for reason, holds in refused.items() if holds), None)


class NaivePrices:
    """Of one token, from all events: (best bid, best ask), -1 each where it is not known."""

    def __init__(
        self, events: Sequence[FeedEvent], condition_id: str, outcome: str, gap_over_ms: int
    ) -> None:
        self._outcome, self._gap_over_ms = outcome, gap_over_ms
        self._feed_end_ms = event_at_ms(events[-1])
        books = [
            (event_at_ms(event), event)
            for event in events
            if not isinstance(event, MarketPaid) and event.market.condition_id == condition_id
        ]
        self._end_ms = books[0][1].market.end_ms
        self._books = [each for each in books if each[0] <= self._end_ms]

    def unchanged(self, at_ms: int) -> tuple[int, int]:
        """In the last book at or before that time."""
        before = [each for each in self._books if each[0] <= at_ms]
        if at_ms >= self._end_ms or at_ms > self._feed_end_ms:
            return -1, -1
        return self._top(before[-1], at_ms)

    def next(self, at_ms: int) -> tuple[int, int]:
        """In the first book after that time."""
        after = [each for each in self._books if at_ms < each[0] < self._end_ms]
        return self._top(after[0], at_ms) if after else (-1, -1)

    def next_ms(self, at_ms: int) -> int:
        """When that book came; raises StopIteration without one."""
        return next(each[0] for each in self._books if at_ms < each[0] < self._end_ms)

    def _top(self, book: tuple[int, BookSnapshot], at_ms: int) -> tuple[int, int]:
        book_ms, snapshot = book
        tops = [(each.best_bid_e4 or 0, each.best_ask_e4 or 10_000) for each in snapshot.books]
        empty = all(bid <= 100 and ask >= 9_900 for bid, ask in tops)
        if snapshot.proof is Proof.NONE or empty or abs(at_ms - book_ms) > self._gap_over_ms:
            return -1, -1
        of = snapshot.book_of(self._outcome)
        if not of.bids and not of.asks:
            return -1, -1
        # Nobody bids, nobody asks: a share is worth 0 and 1 USD at most.
        return of.best_bid_e4 or 0, of.best_ask_e4 or 10_000


def stream_lane(
    events: Sequence[FeedEvent],
    run: NaiveRun,
    bracket: Bracket,
    configuration: Configuration,
    assumptions: Assumptions,
) -> NaiveLane:
    """What becomes of the stream's wishes."""
    lane = NaiveLane(bracket, configuration.limits, assumptions.gap_over_ms)
    for index, event in enumerate(events):
        _step(lane, event)
        if index in run.stream:
            lane.wish(run.stream[index])
    return lane


def scanner_lane(
    events: Sequence[FeedEvent],
    run: NaiveRun,
    phase_ms: int,
    bracket: Bracket,
    configuration: Configuration,
    assumptions: Assumptions,
) -> NaiveLane:
    """What becomes of the wishes of one phase's scans."""
    assert assumptions.poll is not None
    lane = NaiveLane(bracket, configuration.limits, assumptions.gap_over_ms)
    for moment in moments_between(events, assumptions):
        if not isinstance(moment, int):
            _step(lane, moment[1])
        elif moment * 1_000 % assumptions.poll.every_ms == phase_ms:
            lane.until(moment * 1_000)
            for wish in run.scans.get(moment, ()):
                lane.wish(wish)
    return lane


def _step(lane: NaiveLane, event: FeedEvent) -> None:
    lane.until(event_at_ms(event))
    if isinstance(event, MarketPaid):
        lane.pay(event)
    else:
        lane.book(event, event_at_ms(event))
