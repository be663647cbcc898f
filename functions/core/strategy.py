"""The strategy: one snapshot in, `Trade` or `Hold(reason)` out. Pure.

`book_imbalance_crypto`, on one market with both outcomes' books at hand: when the Up book's best
levels lean to one side by enough, buy the outcome they lean to, at that outcome's *own* best ask.
A negative imbalance buys Down's token from Down's book, never Up's price (the books are mirrors,
but only almost always: 18,766 of 18,782 recorded pairs).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from protocol.book import Proof
from protocol.market import DOWN, UP, floor_to_tick_e4
from protocol.snapshot import BookSnapshot


class HoldReason(StrEnum):
    """Why nothing is bought on this book; the closed set, in the order of the checks.

    `SUPERSEDED` comes from the fence (`functions.core.fencing`), before a strategy is asked.
    """

    SUPERSEDED = "superseded"
    DARK = "dark"
    UNPROVEN = "unproven"
    STALE_BOOK = "stale_book"
    NOT_ACCEPTING = "not_accepting"
    NOT_STARTED = "not_started"
    TOO_CLOSE_TO_END = "too_close_to_end"
    UNKNOWN_OUTCOMES = "unknown_outcomes"
    ONE_SIDED = "one_sided"
    CROSSED = "crossed"
    OUTSIDE_PRICE_ZONE = "outside_price_zone"
    SPREAD_TOO_WIDE = "spread_too_wide"
    NO_IMBALANCE = "no_imbalance"
    THIN_ASKS = "thin_asks"
    BELOW_MINIMUM = "below_minimum"


class StrategyConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a strategy is told; times in milliseconds, prices in 1e-4 USD, money in 1e-6 USD."""

    imbalance_levels: int = 5
    imbalance_min: float = 0.5
    mid_min_e4: int = 3_000
    mid_max_e4: int = 7_000
    spread_max_e4: int = 200
    time_to_close_min_ms: int = 300_000
    spend_e6: int = 1_100_000
    slippage_max_bps: int = 500
    """How far above the price the signal saw an order may still buy, in 1/100 of a percent."""
    book_age_max_ms: int = 1_000
    proof_min: Proof = Proof.TOP
    """The weakest proof that a book may carry; with `Proof.NONE` there is no book at all."""
    spend_min_e6: int = 1_000_000
    """The venue refuses a marketable BUY below 1 USD."""
    enforce_min_order_size: bool = False
    """Whether the market's minimum size, meant for resting orders, also binds ours."""


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """Buy `outcome` for `spend_e6`, at most at `max_price_e4`."""

    outcome: str
    token_id: str
    imbalance: float
    signal_price_e4: int
    """Best ask of the bought token when the signal was seen."""
    max_price_e4: int
    spend_e6: int


class Hold(msgspec.Struct, frozen=True):
    """Buy nothing on this book."""

    reason: HoldReason


CLOCK_SKEW_MAX_MS: Final = 100
"""How far the feeder's clock may be ahead of ours."""

VENUE_CLOCK_SKEW_MAX_MS: Final = 1_000
"""How far the venue's clock may be behind ours, and a frame's way to us may be long."""

Strategy: TypeAlias = Callable[[BookSnapshot, StrategyConfig, int], Trade | Hold]

_HOLDS: Final = {reason: Hold(reason) for reason in HoldReason}  # one object a reason: no garbage


def hold(reason: HoldReason) -> Hold:
    """The one `Hold` of a reason."""
    return _HOLDS[reason]


def book_imbalance_crypto(
    snapshot: BookSnapshot, config: StrategyConfig, now_ms: int
) -> Trade | Hold:
    """Decide on one snapshot at `now_ms` (epoch milliseconds). See the module's text."""
    market = snapshot.market
    gate = _gate(snapshot, config, now_ms)
    if gate is not None:
        return _HOLDS[gate]
    try:
        up, down = snapshot.book_of(UP), snapshot.book_of(DOWN)
    except KeyError:
        return _HOLDS[HoldReason.UNKNOWN_OUTCOMES]
    mid, spread, imbalance = up.mid_e4, up.spread_e4, up.imbalance(config.imbalance_levels)
    if mid is None or spread is None or imbalance is None:
        return _HOLDS[HoldReason.ONE_SIDED]
    if spread <= 0:
        return _HOLDS[HoldReason.CROSSED]
    if not config.mid_min_e4 <= mid <= config.mid_max_e4:
        return _HOLDS[HoldReason.OUTSIDE_PRICE_ZONE]
    if spread > config.spread_max_e4:
        return _HOLDS[HoldReason.SPREAD_TOO_WIDE]
    if abs(imbalance) < config.imbalance_min:
        return _HOLDS[HoldReason.NO_IMBALANCE]

    outcome, bought = (UP, up) if imbalance > 0 else (DOWN, down)
    ask, bought_spread = bought.best_ask_e4, bought.spread_e4
    if ask is None or bought_spread is None:
        return _HOLDS[HoldReason.ONE_SIDED]
    if bought_spread <= 0:
        return _HOLDS[HoldReason.CROSSED]
    if bought_spread > config.spread_max_e4:
        return _HOLDS[HoldReason.SPREAD_TOO_WIDE]
    max_price = floor_to_tick_e4(
        ask * (10_000 + config.slippage_max_bps) // 10_000, market.tick_size_e4
    )
    if config.spend_e6 < config.spend_min_e6 or (
        # size = spend / price, compared without dividing
        config.enforce_min_order_size
        and config.spend_e6 * 10_000 < market.min_order_size_e6 * max_price
    ):
        return _HOLDS[HoldReason.BELOW_MINIMUM]
    if bought.ask_depth_usd_e6(max_price) < config.spend_e6:
        return _HOLDS[HoldReason.THIN_ASKS]
    return Trade(
        outcome=outcome,
        token_id=bought.token_id,
        imbalance=imbalance,
        signal_price_e4=ask,
        max_price_e4=max_price,
        spend_e6=config.spend_e6,
    )


def _gate(snapshot: BookSnapshot, config: StrategyConfig, now_ms: int) -> HoldReason | None:
    """What refuses a book before its levels are looked at (invariant 6: proof and age first)."""
    market, proof = snapshot.market, snapshot.proof
    if proof is Proof.NONE:
        return HoldReason.DARK
    if proof.rank < config.proof_min.rank:
        return HoldReason.UNPROVEN
    age_ms = now_ms - snapshot.received_at_ns // 1_000_000
    # A book from the future means that clocks disagree, so its age proves nothing.
    if not -CLOCK_SKEW_MAX_MS <= age_ms <= config.book_age_max_ms:
        return HoldReason.STALE_BOOK
    # The feeder stamps a frame when it reads it; one that waited before that (a stopped process, a
    # full socket) shows by the venue's own clock.
    if now_ms - snapshot.venue_timestamp_ms > config.book_age_max_ms + VENUE_CLOCK_SKEW_MAX_MS:
        return HoldReason.STALE_BOOK
    if not market.accepting:
        return HoldReason.NOT_ACCEPTING
    if now_ms < market.start_ms:
        return HoldReason.NOT_STARTED
    if market.end_ms - now_ms < config.time_to_close_min_ms:
        return HoldReason.TOO_CLOSE_TO_END
    return None


STRATEGIES: Final[dict[str, Strategy]] = {"book_imbalance_crypto": book_imbalance_crypto}
"""Strategies by the name that `STRATEGY` selects."""
