"""How orders were met at the venue: filled, refused, and how far the price had gone. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backtest.engine.assumptions import Bracket
from backtest.engine.observations import UNKNOWN, Lane, OrderEnd, OrderSeen
from backtest.measures.intervals import Floats, rate_over_blocks, wilson
from backtest.measures.prepared import (
    CANNOT_TELL,
    FILLED,
    FilledOrders,
    Prepared,
    known_e4,
    offered_e4,
)
from backtest.measures.sections import Deviations, ExecutionEnds
from protocol.units import PRICE_SCALE

_TOO_FAR_PCT = 5.0


def execution(run: Prepared, lane: Lane, filled: FilledOrders) -> ExecutionEnds:
    """EXECUTION of one of the stream's lanes."""
    told = [each for each in lane.orders if each.end not in CANNOT_TELL]
    met = [each for each in lane.orders if each.arrival_ask_e4 != UNKNOWN]
    paid, ask_e4 = run.paid_in(lane.bracket), known_e4(run.rows.ask_e4)
    bracket = tuple(Bracket).index(lane.bracket)
    return ExecutionEnds(
        orders=len(lane.orders),
        ends={end.value: sum(each.end is end for each in lane.orders) for end in OrderEnd},
        fill_rate=wilson(
            sum(each.end in FILLED for each in told),
            len(told),
            run.blocks.used(np.array([each.market for each in told], dtype=np.intp)),
        ),
        refused_by_limit=rate_over_blocks(
            run.blocks, run.market[~paid.unknown], paid.refused[~paid.unknown]
        ),
        arrival_ms=_median_or_none(
            np.array([each.arrived_at_ms - each.decided_at_ms for each in lane.orders], dtype=float)
        ),
        paid=deviations(
            filled.price * PRICE_SCALE,
            np.array([each.signal_price_e4 for each in filled.orders], dtype=np.float64),
            _ticks_e4(filled.orders),
        ),
        met=deviations(
            np.array([each.arrival_ask_e4 for each in met], dtype=np.float64),
            np.array([each.signal_price_e4 for each in met], dtype=np.float64),
            _ticks_e4(met),
        ),
        met_by_signals=deviations(
            offered_e4(run.rows.arrival_ask_e4[:, bracket]), ask_e4, run.tick_e4
        ),
    )


def deviations(price_e4: Floats, asked_e4: Floats, tick_e4: Floats) -> Deviations:
    """How far prices are from the asks that were decided on; NaN counts not."""
    known = ~np.isnan(price_e4)
    price_e4, asked_e4, tick_e4 = price_e4[known], asked_e4[known], tick_e4[known]
    if not len(price_e4):
        return Deviations()
    ticks = (price_e4 - asked_e4) / tick_e4
    pct = np.abs(price_e4 / asked_e4 - 1) * 100
    median_ticks, p95_ticks = np.percentile(ticks, (50, 95))
    median_pct, p95_pct = np.percentile(pct, (50, 95))
    return Deviations(
        n=len(ticks),
        mean_ticks=float(ticks.mean()),
        median_ticks=float(median_ticks),
        p95_ticks=float(p95_ticks),
        median_pct=float(median_pct),
        p95_pct=float(p95_pct),
        # Prices are on a grid: exactly 5% must not be above it by a float's last digit.
        over_5pct_share=float((pct > _TOO_FAR_PCT + 1e-9).mean()),
    )


def _ticks_e4(orders: Sequence[OrderSeen]) -> Floats:
    return np.array([each.tick_e4 for each in orders], dtype=np.float64)


def _median_or_none(values: Floats) -> float | None:
    return float(np.median(values)) if len(values) else None
