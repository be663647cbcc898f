"""What a bracket's orders earned, and how much of it a little luck could turn. Pure.

Of the filled orders of which is known what their market paid; the others are counted, no more.
P&L is settled with the market's end, so curve, drawdown and losing run are in order of the ends.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from backtest.engine.observations import Observations
from backtest.measures.intervals import (
    BLOCKS_FOR_INTERVAL,
    Blocks,
    Floats,
    Indices,
    percentiles,
    ratio_of_sums,
    wilson,
)
from backtest.measures.markout import plain_mean
from backtest.measures.prepared import FilledOrders, Prepared, known_e4, signals_of
from backtest.measures.sections import CurvePoint, Money, Rate, SplitSensitivity
from protocol.units import PRICE_SCALE

_CURVE_POINTS_MAX: Final = 200
_KELLY_PART: Final = 4


def money(run: Prepared, filled: FilledOrders) -> Money:
    """MONEY of one lane."""
    settled = settled_of(filled)
    win_rate = win_rate_of(run.blocks, settled)
    price, fee = plain_mean(settled.price), plain_mean(settled.fee)
    value = _values(run, settled)
    return Money(
        filled=len(filled),
        settled=len(settled),
        spent_e6=_sum(settled.spent_e6),
        fees_e6=_sum(settled.fee_e6),
        payout_e6=sum(each.payout_e6 or 0 for each in settled.orders),
        pnl_e6=_sum(settled.pnl_e6),
        return_on_stake=ratio_of_sums(run.blocks, settled.market, settled.pnl_e6, settled.spent_e6),
        win_rate=win_rate,
        mean_price=price,
        mean_fee=fee,
        brier_price=plain_mean((settled.price - settled.paid_out) ** 2),
        brier_value=plain_mean((value - settled.paid_out) ** 2),
        drawdown_e6=drawdown_e6(settled.pnl_e6),
        longest_losing_run=longest_losing_run(settled.pnl_e6),
        quarter_kelly=quarter_kelly(win_rate.value, price, fee),
        split=split_sensitivity(run.seen, settled),
        curve=banded_curve(run.blocks, settled),
    )


def settled_of(filled: FilledOrders) -> FilledOrders:
    """Those of which is known what they paid, in order of their markets' ends."""
    known = np.flatnonzero(filled.is_settled)
    return filled.only(known[np.argsort(filled.end_ms[known], kind="stable")])


def win_rate_of(blocks: Blocks, settled: FilledOrders) -> Rate:
    """How often a share paid more than half a USD; a block is one independent draw."""
    return wilson(int(settled.won.sum()), len(settled), blocks.used(settled.market))


def drawdown_e6(pnl_e6: Floats) -> int:
    """The deepest fall of the summed curve, which begins at zero."""
    curve = np.concatenate(([0.0], np.cumsum(pnl_e6)))
    return int((np.maximum.accumulate(curve) - curve).max())


def longest_losing_run(pnl_e6: Floats) -> int:
    """How many in a row lost."""
    longest = current = 0
    for lost in (pnl_e6 < 0).tolist():
        current = current + 1 if lost else 0
        longest = max(longest, current)
    return longest


def quarter_kelly(win_rate: float | None, price: float | None, fee: float | None) -> float | None:
    """A quarter of (q - c) / (1 - c), c = price and fee a share; 0 where that is below zero."""
    if win_rate is None or price is None or fee is None or price + fee >= 1:
        return None
    cost = price + fee
    return max(0.0, (win_rate - cost) / (1 - cost)) / _KELLY_PART


def split_sensitivity(seen: Observations, settled: FilledOrders) -> SplitSensitivity | None:
    """The whole P&L had that market paid 0.50 to both of which it changes most."""
    changes: dict[int, int] = {}
    for order in settled.orders:
        change = order.filled_size_e6 // 2 - (order.payout_e6 or 0)
        changes[order.market] = changes.get(order.market, 0) + change
    if not changes:
        return None
    market = max(changes, key=lambda each: abs(changes[each]))
    return SplitSensitivity(
        slug=seen.markets[market].slug,
        pnl_e6=_sum(settled.pnl_e6) + changes[market],
        change_e6=changes[market],
    )


def curve_of(end_ms: Indices, pnl_e6: Floats) -> tuple[list[int], Floats, Indices]:
    """(times, summed P&L at each, rows up to each) of rows in order of their ends.

    At most 200 points, the last one always.
    """
    if not len(end_ms):
        return [], np.zeros(0), np.zeros(0, dtype=np.intp)
    last_of_end = np.flatnonzero(np.append(end_ms[1:] != end_ms[:-1], True))
    if len(last_of_end) > _CURVE_POINTS_MAX:
        shown = np.linspace(0, len(last_of_end) - 1, _CURVE_POINTS_MAX).round().astype(np.intp)
        last_of_end = last_of_end[shown]
    return end_ms[last_of_end].tolist(), np.cumsum(pnl_e6)[last_of_end], last_of_end


def banded_curve(blocks: Blocks, settled: FilledOrders) -> list[CurvePoint]:
    """The summed P&L, and what it could have been had the blocks been drawn anew."""
    times, summed, upto = curve_of(settled.end_ms, settled.pnl_e6)
    block, used = blocks.of_market[settled.market], blocks.used(settled.market)
    if used < BLOCKS_FOR_INTERVAL:
        return [CurvePoint(at_ms, round(pnl)) for at_ms, pnl in zip(times, summed, strict=True)]
    by_block = np.zeros((blocks.count, len(times)))
    # A row counts at its own end's point and at all that come after it.
    np.add.at(by_block, (block, np.searchsorted(upto, np.arange(len(block)))), settled.pnl_e6)
    drawn = blocks.drawn(np.cumsum(by_block, axis=1))
    points = []
    for index, (at_ms, pnl) in enumerate(zip(times, summed.tolist(), strict=True)):
        low, high = percentiles(drawn[:, index], used)
        points.append(CurvePoint(at_ms, round(pnl), round(low), round(high)))
    return points


def _values(run: Prepared, settled: FilledOrders) -> Floats:
    """(orders,): what the strategy said that a share is worth, in USD; NaN without its signal.

    Its edge beyond costs is value - ask - fee, in ticks (`MarketView.edge_after_costs_ticks`).
    """
    row = signals_of(run, settled)
    found = row >= 0
    row = row[found]
    ask_e4, market = known_e4(run.rows.ask_e4[row]), run.market[row]
    fee_e4 = run.by_market.fee_e4(market, ask_e4)
    values: Floats = np.full(len(settled), np.nan)
    values[found] = (ask_e4 + fee_e4 + run.rows.edge_ticks[row] * run.tick_e4[row]) / PRICE_SCALE
    return values


def _sum(values: Floats) -> int:
    return int(values.sum())
