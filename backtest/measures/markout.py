"""What a share was worth some time after it was bought, less what was paid: is there an edge? Pure.

Markout(h) = mid(t + h) - price paid, of the wanted token, t being when its order met a book: what
was bought after 90 s must not be valued by the price of the 60th. It is given with the bid, too,
for which it could be sold, and at resolution, with the payout. Of all signals, also those that the
account refused: they are many more than the orders, and decide on the same books. Where an order's
arrival found an ask above its limit nothing is paid and there is no markout, but the signal is
counted.

A mean that falls right after the fill is adverse selection: somebody knew more.
"""

from __future__ import annotations

import numpy as np

from backtest.engine.assumptions import Bracket
from backtest.engine.observations import HORIZONS_S
from backtest.measures.intervals import Floats, Indices, mean
from backtest.measures.prepared import (
    FilledOrders,
    Flags,
    Prepared,
    known_e4,
    signals_of,
)
from backtest.measures.sections import Both, MarkoutAfter, Markouts, MovedAfter, Worth
from protocol.units import PRICE_SCALE

MEASURED_AT_S = 60
"""The horizon that the verdict is by: the longest before resolution, and the one with most to see.
"""


def worth(run: Prepared, filled: Both[FilledOrders]) -> Worth:
    """WORTH: what the signal predicts against what an entry costs."""
    rows, tick_e4 = run.rows, run.tick_e4
    half_spread = (known_e4(rows.ask_e4) - run.mid_e4) / tick_e4
    fee = run.by_market.fee_e4(run.market, known_e4(rows.ask_e4)) / tick_e4
    return Worth(
        signals=len(rows),
        episodes=len(np.unique(rows.episode)),
        half_spread_ticks=plain_mean(half_spread),
        fee_ticks=plain_mean(fee),
        hurdle_ticks=plain_mean(half_spread + fee),
        claimed_edge_ticks=plain_mean(rows.edge_ticks),
        moved=[
            MovedAfter(
                after_s=after_s,
                moved_ticks=mean(
                    run.blocks, run.market, (run.mid_after_e4[:, index] - run.mid_e4) / tick_e4
                ),
            )
            for index, after_s in enumerate(HORIZONS_S)
        ],
        signals_markouts=Both(*(_of_signals(run, each) for each in Bracket)),
        filled_markouts=Both(*(_of_filled(run, each, filled.of(each)) for each in Bracket)),
    )


def after_costs_ticks(run: Prepared, bracket: Bracket) -> Floats:
    """(signals,): the mid-based markout after MEASURED_AT_S, less the fee; NaN where unknown."""
    paid, index = run.paid_in(bracket), HORIZONS_S.index(MEASURED_AT_S)
    mid_e4 = run.held_in(bracket).mid_e4[:, index]
    markout: Floats = (mid_e4 - paid.price_e4 - paid.fee_e4) / run.tick_e4
    return markout


def plain_mean(values: Floats) -> float | None:
    """Without what is NaN; None where nothing is left."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _of_signals(run: Prepared, bracket: Bracket) -> Markouts:
    paid = run.paid_in(bracket)
    everything = np.arange(len(run.rows))
    return Markouts(
        priced=int((~np.isnan(paid.price_e4)).sum()),
        refused=int(paid.refused.sum()),
        unknown=int(paid.unknown.sum()),
        rows=_rows(run, bracket, everything, paid.price_e4, paid.fee_e4),
    )


def _of_filled(run: Prepared, bracket: Bracket, filled: FilledOrders) -> Markouts:
    row = signals_of(run, filled)
    found: Flags = row >= 0
    return Markouts(
        priced=len(filled),
        refused=0,
        unknown=int((~found).sum()),
        rows=_rows(
            run,
            bracket,
            row[found],
            filled.price[found] * PRICE_SCALE,
            filled.fee[found] * PRICE_SCALE,
        ),
    )


def _rows(
    run: Prepared, bracket: Bracket, row: Indices, price_e4: Floats, fee_e4: Floats
) -> list[MarkoutAfter]:
    """Markouts of signals `row`, bought at these prices."""
    horizons: tuple[int | None, ...] = (*HORIZONS_S, None)
    payout, held = run.payout_e4[row][:, None], run.held_in(bracket)
    mids = np.concatenate((held.mid_e4[row], payout), axis=1)
    bids = np.concatenate((held.bid_e4[row], payout), axis=1)
    market, tick_e4 = run.market[row], run.tick_e4[row]
    lines = []
    for index, after_s in enumerate(horizons):
        mid, bid = (mids[:, index] - price_e4) / tick_e4, (bids[:, index] - price_e4) / tick_e4
        fee = fee_e4 / tick_e4
        estimates = [mean(run.blocks, market, each) for each in (mid, mid - fee, bid, bid - fee)]
        lines.append(
            MarkoutAfter(
                after_s=after_s,
                mid=estimates[0],
                mid_after_fee=estimates[1],
                bid=estimates[2],
                bid_after_fee=estimates[3],
            )
        )
    return lines
