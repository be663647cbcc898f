"""By signal strength, price paid, time to close and series: where an edge would be. Pure.

A line's signals say how the price went (their markouts), its orders who won. With many lines, one
of them shows something by luck: a line is a question, not an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import msgspec
import numpy as np

from backtest.engine.assumptions import Bracket
from backtest.engine.observations import OrderSeen
from backtest.measures.intervals import Floats, Indices, mean
from backtest.measures.markout import after_costs_ticks, plain_mean
from backtest.measures.money import settled_of, win_rate_of
from backtest.measures.prepared import FilledOrders, Prepared, known_e4
from backtest.measures.sections import Both, BrokenDown, TableCells, TableLine, Tables
from protocol.units import PRICE_SCALE

_STRENGTH_PARTS: Final = 5
_PRICE_STEP: Final = 0.1
_MINUTES: Final = (0, 1, 2, 3, 5, 7.5, 10, 12.5, 15, 20, 30, 45, 60, 120, 240, 480, 960, 1_440)

_Keys: TypeAlias = tuple[Indices, Both[Indices], Both[Indices]]
"""Lines, as indices, -1 for none: of the signals, of the signals by bracket, of the orders."""


class _Line(msgspec.Struct, frozen=True):
    label: str
    low: float | None = None
    high: float | None = None


def tables(run: Prepared, filled: Both[FilledOrders]) -> Tables:
    """All four."""
    maker = _Maker(run, filled)
    return Tables(
        by_strength=maker.by_strength(),
        by_price=maker.by_price(),
        by_time_to_close=maker.by_time_to_close(),
        by_series=maker.by_series(),
    )


class _Maker:
    def __init__(self, run: Prepared, filled: Both[FilledOrders]) -> None:
        self._run = run
        self._settled = Both(*(settled_of(filled.of(each)) for each in Bracket))
        self._markouts = Both(*(after_costs_ticks(run, each) for each in Bracket))

    def by_strength(self) -> BrokenDown:
        """Five parts of as many signals each."""
        name, strength = self._run.seen.strength_name, self._run.rows.strength
        known = strength[~np.isnan(strength)]
        if not name or not len(known):
            return BrokenDown(by=name or "strength", lines=[])
        edges = np.unique(np.quantile(known, np.linspace(0, 1, _STRENGTH_PARTS + 1)))
        orders = self._of_orders(lambda each: each.strength)
        return self._binned(name, edges, strength, Both(strength, strength), orders, _plain)

    def by_price(self) -> BrokenDown:
        """Each ten cents."""
        run = self._run
        asked = known_e4(run.rows.ask_e4) / PRICE_SCALE
        paid = Both(*(run.paid_in(each).price_e4 / PRICE_SCALE for each in Bracket))
        orders = Both(*(self._settled.of(each).price for each in Bracket))
        # Rounded: 3 * 0.1 is a little more than 0.3, and prices are on a grid.
        edges = np.round(np.arange(11) * _PRICE_STEP, 9)
        return self._binned("price paid, USD", edges, asked, paid, orders, lambda x: f"{x:.2f}")

    def by_time_to_close(self) -> BrokenDown:
        """By minutes, finer where windows are short."""
        minutes = self._run.rows.to_close_ms / 60_000
        orders = self._of_orders(lambda each: each.to_close_ms / 60_000)
        edges = np.array([*_MINUTES, np.inf])
        longest = float(np.concatenate(([0.0], minutes, orders.unchanged, orders.next)).max())
        # So that a window's first moment is in the line of its first minutes.
        edges = edges[: int(np.searchsorted(edges, longest, side="left")) + 1]
        both = Both(minutes, minutes)
        return self._binned("minutes to the close", edges, minutes, both, orders, _plain)

    def by_series(self) -> BrokenDown:
        """Each series."""
        markets = self._run.seen.markets
        names = sorted({each.series for each in markets})
        of_market = np.array([names.index(each.series) for each in markets], dtype=np.intp)
        signals = of_market[self._run.market]
        orders = Both(*(of_market[self._settled.of(each).market] for each in Bracket))
        keys = (signals, Both(signals, signals), orders)
        return self._table("series", [_Line(name) for name in names], keys)

    def _of_orders(self, of: Callable[[OrderSeen], float]) -> Both[Floats]:
        return Both(
            *(
                np.array([of(each) for each in self._settled.of(bracket).orders], dtype=np.float64)
                for bracket in Bracket
            )
        )

    def _binned(
        self,
        by: str,
        edges: Floats,
        signals: Floats,
        by_bracket: Both[Floats],
        orders: Both[Floats],
        text: Callable[[float], str],
    ) -> BrokenDown:
        keys = (
            _lines_of(edges, signals),
            Both(*(_lines_of(edges, by_bracket.of(each)) for each in Bracket)),
            Both(*(_lines_of(edges, orders.of(each)) for each in Bracket)),
        )
        if len(edges) == 1:  # all are the same
            edges = np.array([edges[0], edges[0]])
        lines = [
            _Line(_range_text(low, high, text), low, high if np.isfinite(high) else None)
            for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        ]
        return self._table(by, lines, keys)

    def _table(self, by: str, lines: Sequence[_Line], keys: _Keys) -> BrokenDown:
        signals, by_bracket, orders = keys
        made = []
        for index, line in enumerate(lines):
            count = int((signals == index).sum())
            cells = Both(
                *(
                    self._cells(
                        bracket, by_bracket.of(bracket) == index, orders.of(bracket) == index
                    )
                    for bracket in Bracket
                )
            )
            if count or any(
                cells.of(each).orders or cells.of(each).markout_60s.n for each in Bracket
            ):
                made.append(
                    TableLine(
                        label=line.label, low=line.low, high=line.high, signals=count, cells=cells
                    )
                )
        return BrokenDown(by=by, lines=made)

    def _cells(self, bracket: Bracket, signals: Indices, orders: Indices) -> TableCells:
        run = self._run
        settled = self._settled.of(bracket).only(orders)
        win_rate = win_rate_of(run.blocks, settled)
        price, fee = plain_mean(settled.price), plain_mean(settled.fee)
        paid_out, edge = plain_mean(settled.paid_out), None
        if paid_out is not None and price is not None and fee is not None:
            edge = paid_out - price - fee
        markouts = self._markouts.of(bracket)[signals]
        return TableCells(
            markout_60s=mean(run.blocks, run.market[signals], markouts),
            orders=len(settled),
            win_rate=win_rate,
            mean_price=price,
            mean_fee=fee,
            edge=edge,
            pnl_e6=int(settled.pnl_e6.sum()),
        )


def _lines_of(edges: Floats, values: Floats) -> Indices:
    """The line that each value is in; -1 for NaN. The last edge belongs to the last line, and what
    is outside to the nearest (orders of a scanner's lane are none of the signals)."""
    lines = np.searchsorted(edges, values, side="right") - 1
    clipped: Indices = np.clip(lines, 0, max(len(edges) - 2, 0))
    return np.where(np.isnan(values), -1, clipped)


def _plain(value: float) -> str:
    return f"{value:.3g}"


def _range_text(low: float, high: float, text: Callable[[float], str]) -> str:
    if not np.isfinite(high):
        return f"{text(low)} and more"
    return text(low) if low == high else f"{text(low)} to {text(high)}"
