"""From a strategy's signal to what is ordered: the limit, the amount, and whether it can be bought.

Nothing here is the strategy's to decide: the account's slippage limit and size hold whatever a
signal says, and an order is only made where the outcome's own book can fill it. Pure.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from functions.core.hold import HoldReason, hold
from protocol.market import DOWN, UP, MarketInfo, floor_to_tick_e4
from protocol.side import Side
from protocol.units import AMOUNT_E6_MAX, PRICE_SCALE
from strategies.interface import Hold, Signal
from strategies.memory import BookRow
from strategies.view import MarketView

NUMBERS_MAX: Final = 16
NUMBER_NAME_LENGTH_MAX: Final = 64
_NUMBER_MAX: Final = 1e100
"""What the decision table takes as a number is smaller than what a float holds."""
_NUMBER_MIN: Final = 1e-100
_EDGE_TICKS_MAX: Final = 10_000.0


class MalformedSignalError(ValueError):
    """A strategy's answer that is none; the text says what is wrong with it."""


class OrderConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How large an order is and how far its limit price may be from the signal's."""

    spend_e6: int = 1_100_000
    """In 1e-6 USD."""
    spend_min_e6: int = 1_000_000
    """The venue refuses a marketable BUY below 1 USD."""
    slippage_max_bps: int = 500
    """How far above the price the signal saw an order may still buy, in 1/100 of a percent."""
    enforce_min_order_size: bool = False
    """Whether the market's minimum size, meant for resting orders, also binds ours."""


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """Buy `outcome` for `spend_e6`, at most at `max_price_e4`."""

    side: Side = Side.BUY
    """Nothing sells yet: the executor refuses another side."""
    outcome: str
    token_id: str
    config_version: int = 0
    """The configuration under which it was decided."""
    asked_at_ms: int = 0
    """The moment that gate and strategy were asked with, epoch milliseconds."""
    numbers: dict[str, float] = {}
    """The strategy's reasons, by name."""
    edge_after_costs_ticks: float = 0.0
    """What a share is worth beyond ask and fee, by the strategy's estimate or else by the mid."""
    signal_price_e4: int
    """Best ask of the bought token when the signal was seen."""
    max_price_e4: int
    spend_e6: int
    seen: tuple[BookRow, ...] = ()
    """The memory that the strategy had, the book that it decided on last."""
    start: BookRow | None = None
    """The first book of the market's window in that memory."""
    traded_as: MarketInfo | None = None
    """The market as it is traded, where that is not as its book has it."""


class OrderTerms(NamedTuple):
    """What is ordered for a signal."""

    max_price_e4: int
    spend_e6: int


def trade_of(
    signal: Signal, view: MarketView, order: OrderConfig, config_version: int = 0
) -> Trade | Hold:
    """What is ordered for `signal`, or why nothing is. Raises MalformedSignalError."""
    checked = checked_signal(signal)
    terms = terms_of(checked, view, order)
    return terms if isinstance(terms, Hold) else trade_on(checked, terms, view, config_version)


def terms_of(signal: Signal, view: MarketView, order: OrderConfig) -> OrderTerms | Hold:
    """At what limit and for how much a checked signal is ordered, or why it cannot be bought."""
    market, book = view.market, view.up if signal.outcome == UP else view.down
    bids, asks = book.bids, book.asks
    if not bids or not asks:
        return hold(HoldReason.ONE_SIDED)
    ask_e4 = asks[0][0]
    if ask_e4 <= bids[0][0]:
        return hold(HoldReason.CROSSED)
    limit_e4 = ask_e4 * (10_000 + order.slippage_max_bps) // 10_000
    if signal.limit_price_e4 is not None:
        limit_e4 = min(limit_e4, signal.limit_price_e4)
    max_price_e4 = floor_to_tick_e4(limit_e4, market.tick_size_e4)
    spend_e6 = order.spend_e6
    if signal.spend_e6 is not None:  # in whole cents, as the venue takes amounts
        spend_e6 = min(spend_e6, signal.spend_e6 // 10_000 * 10_000)
    if spend_e6 < order.spend_min_e6 or (
        # size = spend / price, compared without dividing
        order.enforce_min_order_size
        and spend_e6 * PRICE_SCALE < market.min_order_size_e6 * max_price_e4
    ):
        return hold(HoldReason.BELOW_MINIMUM)
    if book.ask_depth_usd_e6(max_price_e4, spend_e6) < spend_e6:
        return hold(HoldReason.THIN_ASKS)
    return OrderTerms(max_price_e4, spend_e6)


def trade_on(
    signal: Signal,
    terms: OrderTerms,
    view: MarketView,
    config_version: int = 0,
    traded_as: MarketInfo | None = None,
) -> Trade:
    """The order with all that is recorded of it; `terms` are those of this checked signal."""
    outcome, book = signal.outcome, view.book(signal.outcome)
    edge_ticks = view.edge_after_costs_ticks(outcome, signal.value_e4) or 0.0
    return Trade(
        outcome=outcome,
        token_id=book.token_id,
        config_version=config_version,
        asked_at_ms=view.now_ms,
        numbers=signal.numbers,
        edge_after_costs_ticks=max(-_EDGE_TICKS_MAX, min(edge_ticks, _EDGE_TICKS_MAX)),
        signal_price_e4=book.asks[0][0],
        max_price_e4=terms.max_price_e4,
        spend_e6=terms.spend_e6,
        seen=view.memory.rows,
        start=view.memory.start,
        traded_as=traded_as,
    )


def checked_signal(signal: Signal) -> Signal:
    """The same in plain values of its own: a strategy may use one dict again and again, and every
    encoder takes a plain float, also where a library's number is a subclass of it.

    Raises MalformedSignalError.
    """
    check_signal(signal)
    limit_e4, spend_e6, value_e4 = signal.limit_price_e4, signal.spend_e6, signal.value_e4
    return Signal(
        outcome=UP if signal.outcome == UP else DOWN,
        numbers={name: float(number) for name, number in signal.numbers.items()},
        limit_price_e4=None if limit_e4 is None else int(limit_e4),
        spend_e6=None if spend_e6 is None else int(spend_e6),
        value_e4=None if value_e4 is None else float(value_e4),
    )


def check_signal(signal: Signal) -> None:
    """Raises MalformedSignalError unless every part is what the interface says."""
    if signal.outcome not in (UP, DOWN):
        raise MalformedSignalError(f"outcome: {signal.outcome!r} is neither Up nor Down")
    if not isinstance(signal.numbers, dict) or len(signal.numbers) > NUMBERS_MAX:
        raise MalformedSignalError(f"numbers: at most {NUMBERS_MAX}, by name")
    for name, number in signal.numbers.items():
        if type(name) is not str or not 0 < len(name) <= NUMBER_NAME_LENGTH_MAX:
            raise MalformedSignalError("numbers: a name is 1 to 64 characters")
        if not name.isascii() or not name.isprintable():
            raise MalformedSignalError(f"numbers: {name!r} is not plain ASCII")
        if not _is_number(number):
            raise MalformedSignalError(f"numbers: {name} is not a number that can be stored")
    if signal.value_e4 is not None and not _is_number(signal.value_e4):
        raise MalformedSignalError("value_e4 is not a number")
    if signal.limit_price_e4 is not None and not _is_int(signal.limit_price_e4, PRICE_SCALE):
        raise MalformedSignalError("limit_price_e4 is not an integer from 1 to 10000")
    if signal.spend_e6 is not None and not _is_int(signal.spend_e6, AMOUNT_E6_MAX):
        raise MalformedSignalError("spend_e6 is not a positive integer")


def _is_number(value: object) -> bool:
    if type(value) is not float and (not isinstance(value, int | float) or isinstance(value, bool)):
        return False
    try:
        size = abs(float(value))
    except OverflowError:
        return False
    return size == 0 or _NUMBER_MIN <= size <= _NUMBER_MAX


def _is_int(value: object, largest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= largest
