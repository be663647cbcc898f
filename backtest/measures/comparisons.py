"""The strategy against what needs none: always Up, a coin, its opposite, a slow scanner. Pure.

The first three trade where and when the strategy's orders arrived, with a like order on the other
outcome's book (`OrderSeen.up`, `OrderSeen.down`), so that nothing but the choice of the outcome
differs. The coin is not tossed: its expectation is exact, the mean of both outcomes.

Differences are paired: the strategy and its rival are drawn with the same blocks, because most of
what a block did to one it did to the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from backtest.engine.assumptions import Bracket
from backtest.engine.observations import Lane, MarketSeen, OrderSeen, WhatIf
from backtest.measures.intervals import Blocks, Floats, Indices, estimate_of, ratio_draws
from backtest.measures.money import curve_of, settled_of
from backtest.measures.prepared import CANNOT_TELL, FilledOrders, Prepared, filled_orders
from backtest.measures.sections import Comparison, CurvePoint, Estimate, Rival
from protocol.market import DOWN, UP
from protocol.units import SIZE_SCALE


class _Result(msgspec.Struct, frozen=True, kw_only=True):
    """What one way of trading did: one entry an order, in order of the markets' ends."""

    market: Indices
    end_ms: NDArray[np.int64]
    spent_e6: Floats
    pnl_e6: Floats
    orders: float
    left_out: float

    @property
    def return_on_stake(self) -> float | None:
        spent_e6 = self.spent_e6.sum()
        return float(self.pnl_e6.sum() / spent_e6) if spent_e6 else None


def comparisons(run: Prepared, bracket: Bracket, filled: FilledOrders) -> list[Comparison]:
    """COMPARED WITH in a bracket; `filled` are the stream's orders of it."""
    orders, markets = run.seen.lane(bracket).orders, run.seen.markets
    settled = settled_of(filled)
    own = _Result(
        market=settled.market,
        end_ms=settled.end_ms,
        spent_e6=settled.spent_e6,
        pnl_e6=settled.pnl_e6,
        orders=len(settled),
        left_out=_left_out(orders),
    )
    up, down, against = (
        _bought(markets, [(each, _what_if(each, outcome)) for each in orders])
        for outcome in (UP, DOWN, None)
    )
    tossed = _joined([up, down], 0.5)
    lines = [
        _compared(run.blocks, own, rival, name)
        for name, rival in (
            (Rival.STRATEGY, own),
            (Rival.ALWAYS_UP, up),
            (Rival.COIN_TOSS, tossed),
            (Rival.AGAINST, against),
        )
    ]
    scanned = [lane for lane in run.seen.polling if lane.bracket is bracket]
    if scanned:
        lines.append(_scanner(run, own, scanned))
    return lines


def _scanner(run: Prepared, own: _Result, lanes: Sequence[Lane]) -> Comparison:
    """The mean over its phases, nobody chooses one; and its worst and best."""
    phases = []
    for lane in lanes:
        settled = settled_of(filled_orders(run, lane.orders))
        phases.append(
            _Result(
                market=settled.market,
                end_ms=settled.end_ms,
                spent_e6=settled.spent_e6,
                pnl_e6=settled.pnl_e6,
                orders=len(settled),
                left_out=_left_out(lane.orders),
            )
        )
    returns = [each for phase in phases if (each := phase.return_on_stake) is not None]
    line = _compared(run.blocks, own, _joined(phases, 1 / len(phases)), Rival.SCANNER)
    return msgspec.structs.replace(
        line,
        worst_return=min(returns, default=None),
        best_return=max(returns, default=None),
        phases=len(phases),
    )


def _left_out(orders: Sequence[OrderSeen]) -> int:
    return sum(each.end in CANNOT_TELL for each in orders)


def _what_if(order: OrderSeen, outcome: str | None) -> tuple[bool, WhatIf | None]:
    """(whether it is Up, what was bought of it); None: the outcome that the order was not for."""
    up = order.outcome != UP if outcome is None else outcome == UP
    return up, order.up if up else order.down


def _bought(
    markets: Sequence[MarketSeen], wanted: Sequence[tuple[OrderSeen, tuple[bool, WhatIf | None]]]
) -> _Result:
    """Like orders for one outcome each, as far as they bought and it is known what was paid."""
    bought: list[tuple[int, int, int, int]] = []
    for order, (up, what_if) in wanted:
        market = markets[order.market]
        payout_e6 = market.up_payout_e6 if up else market.down_payout_e6
        if what_if is None or not what_if.size_e6 or payout_e6 is None:
            continue
        paid_out_e6 = what_if.size_e6 * payout_e6 // SIZE_SCALE  # as `apply_resolution`
        pnl_e6 = paid_out_e6 - what_if.spend_e6 - what_if.fee_e6
        bought.append((market.end_ms, order.market, what_if.spend_e6, pnl_e6))
    bought.sort(key=lambda each: each[0])
    table = np.array(bought, dtype=np.int64).reshape(len(bought), 4)
    return _Result(
        market=table[:, 1].astype(np.intp),
        end_ms=table[:, 0],
        spent_e6=table[:, 2].astype(np.float64),
        pnl_e6=table[:, 3].astype(np.float64),
        orders=len(bought),
        left_out=_left_out([order for order, _ in wanted]),
    )


def _joined(results: Sequence[_Result], weight: float) -> _Result:
    end_ms = np.concatenate([each.end_ms for each in results])
    order = np.argsort(end_ms, kind="stable")
    return _Result(
        market=np.concatenate([each.market for each in results])[order],
        end_ms=end_ms[order],
        spent_e6=np.concatenate([each.spent_e6 for each in results])[order] * weight,
        pnl_e6=np.concatenate([each.pnl_e6 for each in results])[order] * weight,
        orders=sum(each.orders for each in results) * weight,
        left_out=sum(each.left_out for each in results) * weight,
    )


def _compared(blocks: Blocks, own: _Result, rival: _Result, name: Rival) -> Comparison:
    value, own_value = rival.return_on_stake, own.return_on_stake
    estimate, difference = Estimate(), Estimate()
    if value is not None:
        draws, used = _draws(blocks, rival)
        # Of a coin's two sides, and of a scanner's phases, no more orders than one of them has.
        estimate = estimate_of(value, draws, n=round(rival.orders), used=used)
        if own_value is not None and name is not Rival.STRATEGY:
            own_draws, own_used = _draws(blocks, own)
            difference = estimate_of(
                own_value - value, own_draws - draws, n=len(own.market), used=min(used, own_used)
            )
    times, summed, _ = curve_of(rival.end_ms, rival.pnl_e6)
    return Comparison(
        rival=name,
        orders=rival.orders,
        left_out=rival.left_out,
        spent_e6=round(float(rival.spent_e6.sum())),
        pnl_e6=round(float(rival.pnl_e6.sum())),
        return_on_stake=estimate,
        strategy_minus=difference,
        curve=[
            CurvePoint(at_ms, round(pnl)) for at_ms, pnl in zip(times, summed.tolist(), strict=True)
        ],
    )


def _draws(blocks: Blocks, result: _Result) -> tuple[Floats, int]:
    """(its return on stake a draw, blocks that it is in)."""
    spent, pnl = (blocks.sums(result.market, each) for each in (result.spent_e6, result.pnl_e6))
    return ratio_draws(blocks, pnl, spent), blocks.used(result.market)
