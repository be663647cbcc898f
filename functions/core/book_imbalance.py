"""`book_imbalance_crypto`: buy the outcome that the best levels of the Up book lean to.

One market, both outcomes' books at hand: when the Up book's best levels lean to one side by enough,
buy the outcome they lean to, at that outcome's *own* best ask. A negative imbalance buys Down's
token from Down's book, never at Up's price (the books are mirrors, but only almost always: 18,766
of 18,782 recorded pairs).
"""

from __future__ import annotations

from typing import Final

import msgspec

from functions.core.hold import Hold, HoldReason, hold
from functions.core.strategy import OrderConfig, Trade
from protocol.market import DOWN, UP, floor_to_tick_e4
from protocol.snapshot import BookSnapshot


class BookImbalanceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """When the signal is given; prices in 1e-4 USD."""

    levels: int = 5
    """How many levels of each side count."""
    imbalance_min: float = 0.5
    mid_min_e4: int = 3_000
    mid_max_e4: int = 7_000
    spread_max_e4: int = 200


DEFAULT_CONFIG: Final = BookImbalanceConfig()


def book_imbalance_crypto(
    snapshot: BookSnapshot,
    order: OrderConfig,
    _now_ms: int,
    config: BookImbalanceConfig = DEFAULT_CONFIG,
) -> Trade | Hold:
    """Decide on one snapshot. See the module's text."""
    market = snapshot.market
    try:
        up, down = snapshot.book_of(UP), snapshot.book_of(DOWN)
    except KeyError:
        return hold(HoldReason.UNKNOWN_OUTCOMES)
    mid, spread, imbalance = up.mid_e4, up.spread_e4, up.imbalance(config.levels)
    if mid is None or spread is None or imbalance is None:
        return hold(HoldReason.ONE_SIDED)
    if spread <= 0:
        return hold(HoldReason.CROSSED)
    if not config.mid_min_e4 <= mid <= config.mid_max_e4:
        return hold(HoldReason.OUTSIDE_PRICE_ZONE)
    if spread > config.spread_max_e4:
        return hold(HoldReason.SPREAD_TOO_WIDE)
    if abs(imbalance) < config.imbalance_min:
        return hold(HoldReason.NO_IMBALANCE)

    outcome, bought = (UP, up) if imbalance > 0 else (DOWN, down)
    ask, bought_spread = bought.best_ask_e4, bought.spread_e4
    if ask is None or bought_spread is None:
        return hold(HoldReason.ONE_SIDED)
    if bought_spread <= 0:
        return hold(HoldReason.CROSSED)
    if bought_spread > config.spread_max_e4:
        return hold(HoldReason.SPREAD_TOO_WIDE)
    max_price = floor_to_tick_e4(
        ask * (10_000 + order.slippage_max_bps) // 10_000, market.tick_size_e4
    )
    if order.spend_e6 < order.spend_min_e6 or (
        # size = spend / price, compared without dividing
        order.enforce_min_order_size
        and order.spend_e6 * 10_000 < market.min_order_size_e6 * max_price
    ):
        return hold(HoldReason.BELOW_MINIMUM)
    if bought.ask_depth_usd_e6(max_price) < order.spend_e6:
        return hold(HoldReason.THIN_ASKS)
    return Trade(
        outcome=outcome,
        token_id=bought.token_id,
        imbalance=imbalance,
        signal_price_e4=ask,
        max_price_e4=max_price,
        spend_e6=order.spend_e6,
    )
