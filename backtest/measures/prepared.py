"""A run's signals and orders as arrays that all measures share: ticks, fees, prices paid, payouts.

Pure. Prices are floats in 1e-4 USD, NaN where they are not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from backtest.engine.assumptions import Bracket
from backtest.engine.observations import (
    HORIZONS_S,
    UNKNOWN,
    MarketSeen,
    Observations,
    OrderEnd,
    OrderSeen,
    SignalRows,
)
from backtest.measures.intervals import Blocks, Floats, Indices, blocks_of
from protocol.fee import FeeSchedule
from protocol.market import UP
from protocol.units import PRICE_SCALE, SIZE_SCALE

FILLED: frozenset[OrderEnd] = frozenset({OrderEnd.FILLED, OrderEnd.PARTLY})
CANNOT_TELL: frozenset[OrderEnd] = frozenset({OrderEnd.LEFT_OUT, OrderEnd.WAITING})

Flags: TypeAlias = NDArray[np.bool_]


class MarketArrays(msgspec.Struct, frozen=True):
    """One entry a market."""

    fee_rate: Floats
    fee_exponent: Floats
    up_payout_e4: Floats
    down_payout_e4: Floats

    def fee_e4(self, market: Indices, price_e4: Floats) -> Floats:
        """The taker's fee a share at a price (`protocol.fee`, not rounded)."""
        price = price_e4 / PRICE_SCALE
        curve = (price * (1 - price)) ** self.fee_exponent[market]
        return self.fee_rate[market] * curve * PRICE_SCALE


class PaidPrices(msgspec.Struct, frozen=True):
    """What each signal would have paid in one bracket."""

    price_e4: Floats
    """NaN where it was refused, or is not known."""
    fee_e4: Floats
    refused: Flags
    """The ask at the arrival was above the limit."""
    unknown: Flags


class HeldPrices(msgspec.Struct, frozen=True):
    """What a share was worth since it was bought, in one bracket."""

    mid_e4: Floats
    """(signals, HORIZONS_S)."""
    bid_e4: Floats


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A run, ready to be measured."""

    seen: Observations
    blocks: Blocks
    by_market: MarketArrays
    market: Indices
    """From here on one entry a signal."""
    tick_e4: Floats
    mid_e4: Floats
    """What it decided on."""
    payout_e4: Floats
    """Of a share of the wanted token."""
    mid_after_e4: Floats
    """(signals, HORIZONS_S): since the decision."""
    held: tuple[HeldPrices, HeldPrices]
    """In the order of `Bracket`."""
    paid: tuple[PaidPrices, PaidPrices]
    """In the order of `Bracket`."""
    row_of: dict[tuple[int, int, bool], int]
    """The row of a signal by its market, its time, and whether it is Up."""

    @property
    def rows(self) -> SignalRows:
        """The signals as they were collected."""
        return self.seen.signals

    def held_in(self, bracket: Bracket) -> HeldPrices:
        """The prices after those that were paid in a bracket."""
        return self.held[tuple(Bracket).index(bracket)]

    def paid_in(self, bracket: Bracket) -> PaidPrices:
        """The prices paid in a bracket."""
        return self.paid[tuple(Bracket).index(bracket)]


def prepare(seen: Observations) -> Prepared:
    """What all measures need, made once."""
    rows, market = seen.signals, seen.signals.market.astype(np.intp)
    by_market = _market_arrays(seen.markets)
    bid_after, ask_after = known_e4(rows.bid_after_e4), known_e4(rows.ask_after_e4)
    keys = zip(rows.market.tolist(), rows.at_ms.tolist(), rows.is_up.tolist(), strict=True)
    payout_e4 = np.where(
        rows.is_up, by_market.up_payout_e4[market], by_market.down_payout_e4[market]
    )
    return Prepared(
        seen=seen,
        blocks=blocks_of(
            [(each.start_ms, each.end_ms) for each in seen.markets], seen.assumptions.seed
        ),
        by_market=by_market,
        market=market,
        tick_e4=rows.tick_e4.astype(np.float64),
        mid_e4=(known_e4(rows.bid_e4) + known_e4(rows.ask_e4)) / 2,
        payout_e4=payout_e4,
        mid_after_e4=(bid_after + ask_after) / 2,
        held=(_held(rows, 0), _held(rows, 1)),
        paid=(_paid(rows, market, by_market, 0), _paid(rows, market, by_market, 1)),
        row_of={key: row for row, key in enumerate(keys)},
    )


def book_every_ms(market: MarketSeen) -> float | None:
    """The mean time between two books of a market; None below two."""
    if market.moments < 2:
        return None
    return (market.last_at_ms - market.first_at_ms) / (market.moments - 1)


def known_e4(prices: NDArray[np.int32]) -> Floats:
    """As floats; NaN where UNKNOWN."""
    return np.where(prices == UNKNOWN, np.nan, prices.astype(np.float64))


def offered_e4(asks: NDArray[np.int32]) -> Floats:
    """Likewise, and NaN where nobody asks: nothing can be met there."""
    prices = known_e4(asks)
    return np.where(prices >= PRICE_SCALE, np.nan, prices)


def _market_arrays(markets: Sequence[MarketSeen]) -> MarketArrays:
    def column(values: Sequence[float | None]) -> Floats:
        return np.array([np.nan if each is None else each for each in values], dtype=np.float64)

    fees: list[FeeSchedule] = [each.fee for each in markets]
    e4_of_e6 = PRICE_SCALE / SIZE_SCALE
    return MarketArrays(
        fee_rate=column([float(fee.rate) for fee in fees]),
        fee_exponent=column([fee.exponent for fee in fees]),
        up_payout_e4=column([each.up_payout_e6 for each in markets]) * e4_of_e6,
        down_payout_e4=column([each.down_payout_e6 for each in markets]) * e4_of_e6,
    )


def _paid(rows: SignalRows, market: Indices, by_market: MarketArrays, bracket: int) -> PaidPrices:
    asked = known_e4(rows.arrival_ask_e4[:, bracket])
    unknown = np.isnan(asked)
    refused = ~unknown & (asked > rows.max_price_e4)
    price_e4 = np.where(refused, np.nan, asked)
    return PaidPrices(price_e4, by_market.fee_e4(market, price_e4), refused, unknown)


def _held(rows: SignalRows, bracket: int) -> HeldPrices:
    part = slice(bracket * len(HORIZONS_S), (bracket + 1) * len(HORIZONS_S))
    bid_e4, ask_e4 = known_e4(rows.bid_held_e4[:, part]), known_e4(rows.ask_held_e4[:, part])
    return HeldPrices((bid_e4 + ask_e4) / 2, bid_e4)


# -- orders ----------------------------------------------------------------------------------------


class FilledOrders(msgspec.Struct, frozen=True, kw_only=True):
    """Orders that got something, as arrays of one entry an order."""

    orders: list[OrderSeen]
    market: Indices
    end_ms: NDArray[np.int64]
    """Of their markets."""
    spent_e6: Floats
    fee_e6: Floats
    pnl_e6: Floats
    """NaN where it is not known what the market paid."""
    price: Floats
    """USD a share, the mean over its fills."""
    fee: Floats
    """USD a share."""
    paid_out: Floats
    """USD a share; NaN where not known."""

    def __len__(self) -> int:
        return len(self.orders)

    @property
    def is_settled(self) -> Flags:
        """Of which is known what the market paid."""
        return ~np.isnan(self.pnl_e6)

    @property
    def won(self) -> Flags:
        """A share paid more than half a USD: a split, at exactly half, is not won."""
        return self.paid_out > 0.5

    def only(self, which: Flags | Indices) -> FilledOrders:
        """Some of them, in the order of the indices."""
        picked = np.flatnonzero(which) if which.dtype == np.bool_ else which
        arrays = {
            name: getattr(self, name)[picked] for name in self.__struct_fields__ if name != "orders"
        }
        return FilledOrders(orders=[self.orders[index] for index in picked.tolist()], **arrays)


def filled_orders(run: Prepared, orders: Sequence[OrderSeen]) -> FilledOrders:
    """Those of `orders` that got something, in order of time."""
    filled = [each for each in orders if each.end in FILLED and each.filled_size_e6]
    markets = run.seen.markets
    size_e6 = _floats([each.filled_size_e6 for each in filled])
    spent_e6 = _floats([each.filled_spend_e6 for each in filled])
    fee_e6 = _floats([each.fee_e6 for each in filled])
    known = [each.pnl_e6 is not None and each.payout_e6 is not None for each in filled]
    return FilledOrders(
        orders=filled,
        market=np.array([each.market for each in filled], dtype=np.intp),
        end_ms=np.array([markets[each.market].end_ms for each in filled], dtype=np.int64),
        spent_e6=spent_e6,
        fee_e6=fee_e6,
        pnl_e6=_floats(
            [each.pnl_e6 if ok else None for each, ok in zip(filled, known, strict=True)]
        ),
        price=spent_e6 / size_e6,
        fee=fee_e6 / size_e6,
        paid_out=_floats(
            [each.payout_e6 if ok else None for each, ok in zip(filled, known, strict=True)]
        )
        / size_e6,
    )


def signals_of(run: Prepared, filled: FilledOrders) -> Indices:
    """(orders,): the row of each order's signal; -1 where there is none."""
    wanted = [(each.market, each.decided_at_ms, each.outcome == UP) for each in filled.orders]
    return np.array([run.row_of.get(each, -1) for each in wanted], dtype=np.intp)


def _floats(values: Sequence[int | None]) -> Floats:
    return np.array([np.nan if each is None else each for each in values], dtype=np.float64)
