"""A lane's desk: signals in, claims and orders out, fills and payouts back. Time is its caller's.

What an account refuses, what an order buys, what a claim becomes and what a market pays are decided
by `functions.core`; this file only carries them from one to the next, as `functions.handlers` does
in a worker:

    offer ─▶ refusal_of ─▶ claim ─▶ (latency) ─▶ arrive ─▶ take_asks ─▶ apply_answer ─▶ move
                                                 market_ended ─▶ its slots are free
                                                 market_paid ─▶ apply_resolution ─▶ P&L

Shares that a lane took of a level are gone for it until the venue shows another size there.
"""

from __future__ import annotations

from typing import Final

import msgspec

from backtest.engine.account import SimulatedAccount
from backtest.engine.observations import UNKNOWN, Lane, OrderEnd, OrderSeen, WhatIf
from backtest.feed.events import LeftOut, MarketPaid
from functions.core.account import Limits
from functions.core.claim import PAPER_ORDER, Claim, ClaimState
from functions.core.evidence import Resolution
from functions.core.lifecycle import apply_answer, apply_resolution
from functions.core.paper_fill import Taken, accepted_of, left_of, take_asks, taken_with
from functions.core.trade import OrderConfig, Trade
from protocol.book import Book, Level, Proof
from protocol.decision import Timeline
from protocol.fee import taker_fee_e6
from protocol.market import DOWN, UP, MarketInfo, floor_to_tick_e4
from protocol.snapshot import BookSnapshot
from protocol.units import cost_e6
from venue.wire.order_answer import Answer, Rejected, RejectReason

PLACEHOLDER_BID_E4: Final = 100
_PLACEHOLDER_ASK_E4: Final = 9_900


class Offered(msgspec.Struct, frozen=True):
    """A signal as it is offered to a desk."""

    trade: Trade
    market: MarketInfo
    market_index: int
    now_ms: int
    strength: float
    other_max_price_e4: int
    """What a like order for the other outcome would pay at most; 0: its book had no ask."""


class UnderWay(msgspec.Struct, frozen=True):
    """An order between its claim and its arrival."""

    claim: Claim
    seen: OrderSeen
    other_max_price_e4: int
    arrives_at_ms: int


def is_placeholder(book: Book) -> bool:
    """Whether it only shows what an empty market does: a bid of 0.01 and an ask of 0.99."""
    bid_e4, ask_e4 = book.best_bid_e4, book.best_ask_e4
    return (bid_e4 is None or bid_e4 <= PLACEHOLDER_BID_E4) and (
        ask_e4 is None or ask_e4 >= _PLACEHOLDER_ASK_E4
    )


def other_limit_e4(ask_e4: int | None, order: OrderConfig, tick_size_e4: int) -> int:
    """The limit of a like order on the other outcome's book, by the rule of `trade_of`."""
    if ask_e4 is None:
        return 0
    return floor_to_tick_e4(ask_e4 * (10_000 + order.slippage_max_bps) // 10_000, tick_size_e4)


class Desk:
    """The account, the orders and the positions of one lane."""

    def __init__(self, lane: Lane, limits: Limits) -> None:
        self.lane = lane
        self.account = SimulatedAccount(limits)
        self._taken: dict[str, dict[str, Taken]] = {}
        """By condition id and token id."""
        self._held: dict[str, list[tuple[Claim, OrderSeen]]] = {}
        """By condition id: bought, and not known yet what it pays."""
        self._orders = 0

    def offer(self, offered: Offered, latency_ms: int) -> UnderWay | None:
        """Claim, and send the order on its way; None where the account refuses."""
        lane, account, now_ms = self.lane, self.account, offered.now_ms
        lane.signals += 1
        refusal = account.foreseen(offered.market.condition_id, offered.trade.spend_e6, now_ms)
        if refusal is None:
            claim = self._claim_of(offered)
            refusal = account.claim(claim, now_ms)
        if refusal is not None:
            lane.refused[refusal] += 1
            return None
        self._orders += 1
        trade = offered.trade
        seen = OrderSeen(
            market=offered.market_index,
            outcome=trade.outcome,
            decided_at_ms=now_ms,
            arrived_at_ms=now_ms + latency_ms,
            signal_price_e4=trade.signal_price_e4,
            max_price_e4=trade.max_price_e4,
            tick_e4=offered.market.tick_size_e4,
            spend_e6=trade.spend_e6,
            strength=offered.strength,
            to_close_ms=offered.market.end_ms - now_ms,
        )
        lane.orders.append(seen)
        return UnderWay(claim, seen, offered.other_max_price_e4, now_ms + latency_ms)

    def _claim_of(self, offered: Offered) -> Claim:
        trade, market, now_ms = offered.trade, offered.market, offered.now_ms
        order_id = f"{PAPER_ORDER}{self._orders}"
        return Claim(
            intent_id=order_id,
            attempt_id=order_id,
            order_id=order_id,
            condition_id=market.condition_id,
            slug=market.slug,
            token_id=trade.token_id,
            outcome=trade.outcome,
            state=ClaimState.CLAIMED,
            max_price_e4=trade.max_price_e4,
            spend_e6=trade.spend_e6,
            fee_rate=str(market.fee.rate),
            fee_exponent=market.fee.exponent,
            salt="0",
            order_timestamp_ms=now_ms,
            claimed_at_ms=now_ms,
            market_end_ms=market.end_ms,
            counted=True,
            config_version=trade.config_version,
        )

    def arrive(self, order: UnderWay, snapshot: BookSnapshot, met_at_ms: int) -> None:
        """The order meets a book of its market, received at `met_at_ms`."""
        seen, claim = order.seen, order.claim
        seen.met_at_ms = met_at_ms
        books = {book.token_id: book for book in snapshot.books}
        book = books[claim.token_id]
        if snapshot.proof is Proof.NONE:
            self.leave_out(order, LeftOut.DARK)
            return
        if is_placeholder(book):
            self.leave_out(order, LeftOut.PLACEHOLDER)
            return
        ask_e4, spread_e4 = book.best_ask_e4, book.spread_e4
        seen.arrival_ask_e4 = UNKNOWN if ask_e4 is None else ask_e4
        taken = self._taken.setdefault(claim.condition_id, {})
        before = taken.get(book.token_id, {})
        bought: tuple[Level, ...] = ()
        if spread_e4 is not None and spread_e4 <= 0:
            seen.end = OrderEnd.CROSSED
        else:
            bought = take_asks(left_of(book.asks, before), claim.spend_e6, claim.max_price_e4)
            if bought:
                taken[book.token_id] = taken_with(before, book.asks, bought)
            else:
                seen.end = OrderEnd.NO_MATCH
        self._note_what_if(order, snapshot, books)
        answered_at_ms = max(met_at_ms, order.arrives_at_ms)
        if not bought:
            self._answered(order, _rejected(seen.end), answered_at_ms)
            return
        accepted = accepted_of(
            bought,
            order_id=claim.order_id,
            condition_id=claim.condition_id,
            token_id=claim.token_id,
            spend_e6=claim.spend_e6,
            at_ms=answered_at_ms,
        )
        seen.end = OrderEnd.FILLED if accepted.status == "matched" else OrderEnd.PARTLY
        self._answered(order, accepted, answered_at_ms)

    def leave_out(self, order: UnderWay, why: LeftOut) -> None:
        """The recording cannot say what the order would have got: as if it had got nothing."""
        order.seen.end, order.seen.left_out = OrderEnd.LEFT_OUT, why
        self._answered(order, _rejected(OrderEnd.LEFT_OUT), order.arrives_at_ms)

    def too_late(self, order: UnderWay) -> None:
        """Its market has ended before it arrived."""
        order.seen.end = OrderEnd.TOO_LATE
        self._answered(order, _rejected(OrderEnd.TOO_LATE), order.arrives_at_ms)

    def market_ended(self, market: MarketInfo) -> None:
        """Its positions' slots are free; no order of it may be under way any more."""
        claims = self.account.item.claims
        for claim, _ in self._held.get(market.condition_id, ()):
            if claim.slot in claims:
                self.account.forget(claim)
        self.account.prune(market.condition_id, f"{market.end_ms:015d}#{market.condition_id}")
        self._taken.pop(market.condition_id, None)

    def market_paid(self, paid: MarketPaid, now_ms: int) -> None:
        """What it paid is known: P&L. Raises KeyError for a token that was not named."""
        for claim, seen in self._held.pop(paid.condition_id, ()):
            settled = _settled(claim, paid.resolution, now_ms)
            self.account.book(settled, claim)
            seen.payout_e6, seen.pnl_e6 = settled.payout_e6, settled.pnl_e6

    def _answered(self, order: UnderWay, answer: Answer, now_ms: int) -> None:
        moved = apply_answer(order.claim, answer, now_ms, Timeline())
        assert moved is not None  # noqa: S101 - a claim that waits takes every answer
        self._become(order, moved)
        seen = order.seen
        own = WhatIf(spend_e6=seen.filled_spend_e6, size_e6=seen.filled_size_e6, fee_e6=seen.fee_e6)
        if seen.end not in (OrderEnd.LEFT_OUT, OrderEnd.TOO_LATE):
            seen.up, seen.down = (own, seen.down) if seen.outcome == UP else (seen.up, own)

    def _become(self, order: UnderWay, moved: Claim) -> None:
        """The order's claim is now `moved`."""
        self.account.move(moved, order.claim)
        seen = order.seen
        seen.filled_spend_e6 = moved.filled_spend_e6
        seen.filled_size_e6 = moved.filled_size_e6
        seen.fee_e6 = moved.fee_e6
        if moved.ended:
            self.account.forget(moved)
        else:
            self._held.setdefault(moved.condition_id, []).append((moved, seen))

    @staticmethod
    def _note_what_if(order: UnderWay, snapshot: BookSnapshot, books: dict[str, Book]) -> None:
        seen, market = order.seen, snapshot.market
        other = DOWN if seen.outcome == UP else UP
        book = books[market.token_of(other)]
        bought: tuple[Level, ...] = ()
        spread_e4 = book.spread_e4
        crossed = spread_e4 is not None and spread_e4 <= 0
        if order.other_max_price_e4 and not crossed and not is_placeholder(book):
            bought = take_asks(book.asks, seen.spend_e6, order.other_max_price_e4)
        what_if = WhatIf(
            spend_e6=sum(cost_e6(price_e4, size_e6) for price_e4, size_e6 in bought),
            size_e6=sum(size_e6 for _, size_e6 in bought),
            fee_e6=sum(taker_fee_e6(market.fee, *level) for level in bought),
        )
        if other == UP:
            seen.up = what_if
        else:
            seen.down = what_if


def _rejected(end: OrderEnd) -> Rejected:
    return Rejected(reason=RejectReason.NO_MATCH, text=end.value)


def _settled(claim: Claim, resolution: Resolution, now_ms: int) -> Claim:
    settled = apply_resolution(claim, resolution, max(now_ms, claim.market_end_ms))
    assert settled is not None  # noqa: S101 - its fills are final, and its market is over
    return settled
