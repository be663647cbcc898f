"""What a report says of a sweep: SWEEP. No point is shown without its test half. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from backtest.measures.sections import Both
from backtest.sweep.grid import Number
from backtest.sweep.result import Half, Luck, SweepResult, SweptPoint
from executor.backtest_rendering.figures import (
    NONE,
    both,
    count,
    many,
    number,
    section,
    usd,
)
from executor.rendering import CARE, moment, plain

_LUCKY: Final = 0.05
"""What luck reaches less often than this is more than luck."""


def sweep_view(sweep: SweepResult) -> RenderableType:
    """SWEEP."""
    parts: list[RenderableType] = [*_tried(sweep), "", _points(sweep), ""]
    parts += _luck(sweep)
    parts += _tested(sweep)
    again = many(sweep.agreement.points, "point")
    parts.append(
        plain(
            f"{again} with {many(sweep.agreement.orders, 'order')} were run again by the code that "
            "trades: all agree to the micro-USD."
        )
    )
    return section("SWEEP", f"{many(sweep.trials, 'point')} tried; unchanged / next", *parts)


def _tried(sweep: SweepResult) -> Iterator[Text]:
    axes = "; ".join(
        f"{axis.name} {_value(axis.values[0])} to {_value(axis.values[-1])}"
        f" ({many(len(axis.values), 'value')})"
        for axis in sweep.axes
    )
    how = "every combination" if sweep.is_grid else "drawn"
    yield plain(f"Of {axes}: {how}.")
    until = "" if sweep.split_at_ms is None else f", until {moment(sweep.split_at_ms)[:-3]} UTC"
    yield plain(
        f"Chosen by the first {many(sweep.train_markets, 'market')} (train{until}), best P&L of "
        f"the next bracket first; tested on the other {count(sweep.test_markets)} (test)."
    )


def _points(sweep: SweepResult) -> Table:
    rows = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    rows.add_column("", overflow="fold", min_width=18)
    for head in ("train\nP&L, USD", "\n% on stake", "test\nP&L, USD", "\n% on stake"):
        rows.add_column(head, justify="right", no_wrap=True)
    for point in _best(sweep):
        _row(rows, _named(point), point)
    _row(rows, "the default", sweep.default)
    return rows


def _best(sweep: SweepResult) -> list[SweptPoint]:
    """Those that production agreed to; the default is one of what it ran."""
    return sweep.best_points[: sweep.agreement.points - 1]


def _row(rows: Table, name: str, point: SweptPoint) -> None:
    rows.add_row(plain(name), *_cells(point.train), *_cells(point.test))


def _cells(half: Both[Half]) -> tuple[str, str]:
    return (
        both(half, lambda one: usd(one.pnl_e6) if one.settled else NONE),
        both(half, _percent),
    )


def _percent(half: Half) -> str:
    share = half.return_on_stake
    return number(None if share is None else share * 100, 0, sign=True)


def _named(point: SweptPoint) -> str:
    return ", ".join(f"{name}={_value(value)}" for name, value in point.parameters.items())


def _value(value: Number) -> str:
    return f"{value:g}"


def _luck(sweep: SweepResult) -> Iterator[Text]:
    """What the best of as many points makes by luck alone."""
    if sweep.luck is None:
        yield plain("No point has an order that was paid out: there is nothing to choose by.", CARE)
        return
    luck = sweep.luck
    yield plain(
        f"By luck alone the best of {count(sweep.trials)} points would make "
        f"{both(luck, lambda one: usd(one.median_pnl_e6))} in the train half, and "
        f"{both(luck, lambda one: usd(one.p95_pnl_e6))} or more one time in 20; the best here made "
        f"{both(luck, lambda one: usd(one.best_pnl_e6))}."
    )
    lucky = any(one.reached_share >= _LUCKY for one in (luck.unchanged, luck.next))
    yield plain(
        f"Luck does as well {both(luck, _reached)} times in 100"
        + (": nothing but luck is shown." if lucky else "."),
        CARE if lucky else "",
    )


def _reached(luck: Luck) -> str:
    return number(luck.reached_share * 100, 0)


def _tested(sweep: SweepResult) -> Iterator[Text]:
    best = _best(sweep)
    if not best:
        return
    earned = Both(
        sum(point.test.unchanged.pnl_e6 > 0 for point in best),
        sum(point.test.next.pnl_e6 > 0 for point in best),
    )
    yield plain(
        f"Of the {many(len(best), 'point')} that were best in the train half, "
        f"{both(earned, count)} earned anything in the test half."
    )
