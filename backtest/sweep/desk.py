"""The desk of a run, which remembers what an order came to, so that it is worked out only once.

Thousands of points send the same order at the same moment. What the venue answers and what the
claim becomes then depends on nothing else, so production's code is asked the first time, and its
answer is used again. Where this account has itself taken shares that the order would meet, it is
asked anew. Whether the account takes the order is asked each time.
"""

from __future__ import annotations

from typing import Final

import msgspec

from backtest.engine.assumptions import Bracket
from backtest.engine.desk import Desk, Offered, UnderWay
from backtest.engine.observations import Lane, OrderEnd, OrderSeen
from backtest.feed.events import LeftOut
from backtest.sweep.moments import Arrival
from functions.core.account import Limits
from functions.core.claim import PAPER_ORDER, Claim
from functions.core.paper_fill import Taken
from protocol.book import Book
from protocol.units import PRICE_SCALE

_NOTHING: Final[Taken] = {}
BRACKETS: Final = tuple(Bracket)


class _Came(msgspec.Struct, frozen=True):
    """What one order came to in one bracket."""

    claim: Claim
    end: OrderEnd
    left_out: LeftOut | None
    won_share: float
    taken: Taken | None
    """Of its token, after it; None: nothing was bought."""


class Offer(Offered, frozen=True):
    """A signal as it is offered to the desks of all points, and what is remembered of it."""

    number: str
    """Its own: no other moment, outcome, limit or amount has it."""
    arrivals: tuple[Arrival, ...]
    """By bracket, as `BRACKETS`."""
    claims: list[Claim]
    """Empty until it is first asked for."""
    came: list[_Came | None]
    """By bracket."""


class RememberingDesk(Desk):
    """`offer` and `settle` an order; a market's end and payout as the run's desk has them."""

    def __init__(self, bracket: Bracket, limits: Limits) -> None:
        super().__init__(Lane(name=bracket, bracket=bracket), limits)
        self._bracket = BRACKETS.index(bracket)
        self._became: Claim | None = None
        self.bought: list[tuple[OrderSeen, float]] = []
        """Filled, and how likely it was to win by the book that it was filled from."""

    def settle(self, order: UnderWay, offer: Offer) -> None:
        """What it meets, by its arrival in this bracket."""
        arrival = offer.arrivals[self._bracket]
        if arrival.left_out is not None:
            self.leave_out(order, arrival.left_out)
        elif arrival.met is None:
            self.too_late(order)
        else:
            self._meet(order, offer, arrival)

    def _meet(self, order: UnderWay, offer: Offer, arrival: Arrival) -> None:
        assert arrival.met is not None  # noqa: S101 - asked before
        claim, seen = order.claim, order.seen
        of_market = self._taken.get(claim.condition_id, {})
        came = offer.came[self._bracket]
        book = _book_of(arrival, claim.token_id)
        touched = _is_touched(book, of_market.get(claim.token_id, _NOTHING))
        if touched or came is None:
            self.arrive(order, arrival.met, arrival.met_at_ms)
            assert self._became is not None  # noqa: S101 - every arrival has an answer
            # Only what was bought is taken.
            taken = self._taken[claim.condition_id][book.token_id] if seen.filled_size_e6 else None
            came = _Came(
                self._became, seen.end, seen.left_out, _win_share(book, self._became), taken
            )
            if not touched:
                offer.came[self._bracket] = came
        else:
            seen.end, seen.left_out = came.end, came.left_out
            self._become(order, came.claim)
            if came.taken is not None:
                self._taken.setdefault(claim.condition_id, {})[claim.token_id] = came.taken
        if seen.filled_size_e6:
            self.bought.append((seen, came.won_share))

    def _become(self, order: UnderWay, moved: Claim) -> None:
        self._became = moved
        super()._become(order, moved)

    def _claim_of(self, offered: Offered) -> Claim:
        assert isinstance(offered, Offer)  # noqa: S101 - nothing else is offered here
        if not offered.claims:
            name = f"{PAPER_ORDER}{offered.number}"
            claim = msgspec.structs.replace(
                super()._claim_of(offered), intent_id=name, attempt_id=name, order_id=name
            )
            offered.claims.append(claim)
        return offered.claims[0]


def _book_of(arrival: Arrival, token_id: str) -> Book:
    assert arrival.met is not None  # noqa: S101 - asked before
    first, second = arrival.met.books
    return first if first.token_id == token_id else second


def _is_touched(book: Book, taken: Taken) -> bool:
    """Whether shares that the book shows are gone for this desk."""
    return any((price_e4, shown_e6) in book.asks for price_e4, (shown_e6, _) in taken.items())


def _win_share(book: Book, bought: Claim) -> float:
    """How likely the token is to win by the book; where that has no mid, by the price paid."""
    mid_e4 = book.mid_e4
    if mid_e4 is not None:
        return mid_e4 / PRICE_SCALE
    return bought.filled_spend_e6 / bought.filled_size_e6 if bought.filled_size_e6 else 0.0
