"""The signals of all markets as one table, in order of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtest.engine.market_run import MeasuredSignals, SignalNoted
from backtest.engine.observations import DELAYS_S, HORIZONS_S, SIZES_USD, Prices, SignalRows


def signal_rows(measured: Sequence[MeasuredSignals]) -> SignalRows:
    """Of one run; markets in the order in which they ended."""
    noted = [each for part in measured for each in part.noted]
    # Stable: signals of the same millisecond stay in the order of their markets.
    order = np.argsort(np.array([each.at_ms for each in noted], dtype=np.int64), kind="stable")

    def column(of: Callable[[SignalNoted], Any], kind: type[np.generic]) -> NDArray[Any]:
        return np.array([of(each) for each in noted], dtype=kind)[order]

    def columns(of: Callable[[MeasuredSignals], Prices], width: int) -> Prices:
        parts = [of(part) for part in measured]
        return np.concatenate(parts)[order] if parts else np.zeros((0, width), dtype=np.int32)

    market = [part.market for part in measured for _ in part.noted]
    sizes = np.array([each.size_prices_e4 for each in noted], dtype=np.float64)
    return SignalRows(
        at_ms=column(lambda each: each.at_ms, np.int64),
        market=np.array(market, dtype=np.int32)[order],
        is_up=column(lambda each: each.is_up, np.bool_),
        episode=column(lambda each: each.episode, np.int32),
        tick_e4=column(lambda each: each.tick_e4, np.int32),
        strength=column(lambda each: each.strength, np.float64),
        edge_ticks=column(lambda each: each.edge_ticks, np.float64),
        to_close_ms=column(lambda each: each.to_close_ms, np.int32),
        bid_e4=column(lambda each: each.bid_e4, np.int32),
        ask_e4=column(lambda each: each.ask_e4, np.int32),
        max_price_e4=column(lambda each: each.max_price_e4, np.int32),
        bid_after_e4=columns(lambda part: part.bid_after_e4, len(HORIZONS_S)),
        ask_after_e4=columns(lambda part: part.ask_after_e4, len(HORIZONS_S)),
        ask_waited_e4=columns(lambda part: part.ask_waited_e4, len(DELAYS_S)),
        ask_waited_next_e4=columns(lambda part: part.ask_waited_next_e4, len(DELAYS_S)),
        arrival_ask_e4=columns(lambda part: part.arrival_ask_e4, 2),
        size_price_e4=sizes.reshape((len(noted), len(SIZES_USD)))[order],
    )
