"""What `executor backtest` is asked for, checked before anything is read.

Raises BadInputError, one line for a person.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from backtest.engine.assumptions import PLAN_POLLING, Assumptions, Polling, PollingError
from backtest.engine.latency import Latency, LatencyError
from backtest.engine.latency_text import execution_of, latency_of
from backtest.feed.of_series import series_in
from backtest.sweep.grid import Axis, Point, SweepError, axes_of, grid, random_points
from functions.core.configuration import (
    AccountConfiguration,
    Configuration,
    ConfigurationError,
    changed,
)
from functions.core.group import chosen, parse_strategies
from functions.core.strategy_rules import StrategyNotUsableError
from functions.strategy_loading import load_strategy
from strategies.book_imbalance import BookImbalance
from strategies.interface import Strategy

STDOUT: Final = Path("-")
TRAIN_SHARE: Final = 0.5
SEED: Final = 1


class BadInputError(ValueError):
    """What is wrong with an option, or with what it names; one line for a person."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The options as they were given."""

    paths: tuple[Path, ...] = ()
    series: str | None = None
    columns: dict[str, str] = {}
    strategy: str | None = None
    changes: dict[str, str] = {}
    latency: str = "250"
    poll_s: float | None = None
    execution: str | None = None
    no_poll: bool = False
    sweep: tuple[str, ...] = ()
    train: float | None = None
    random: int | None = None
    procs: int | None = None
    html: Path | None = None
    json: Path | None = None
    trades: Path | None = None


class SweepPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep tries, and how."""

    axes: list[Axis]
    points: list[Point]
    train_share: float
    procs: int


class BacktestPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be run."""

    series: list[str]
    """None: all."""
    strategy: type[Strategy]
    configuration: Configuration
    assumptions: Assumptions
    sweep: SweepPlan | None


def plan_of(asked: Asked, environment: Mapping[str, str]) -> BacktestPlan:
    """Everything but the books and the files. Of the environment only STRATEGIES is looked at."""
    strategy = _strategy(asked, environment)
    return BacktestPlan(
        series=_series(asked.series),
        strategy=strategy,
        configuration=_configuration(strategy, asked.changes),
        assumptions=Assumptions(
            latency=_latency("--latency", latency_of, asked.latency),
            poll=_polling(asked),
            seed=SEED,
        ),
        sweep=_sweep(asked, strategy),
    )


def check_outputs(asked: Asked) -> None:
    """Whether each file can be written, and none twice: a run may take long."""
    outputs = {"--html": asked.html, "--json": asked.json, "--trades": asked.trades}
    seen: dict[Path, str] = {}
    for name, path in outputs.items():
        if path is None or (name == "--json" and path == STDOUT):
            continue
        _check_writable(name, path)
        other = seen.setdefault(path.absolute(), name)
        if other != name:
            raise BadInputError(f"{other} and {name}: the same file")


def _check_writable(name: str, path: Path) -> None:
    try:
        existed = path.exists()
        if existed and not (path.is_file() or path.is_dir()) and not path.is_char_device():
            raise BadInputError(f"{name}: {path} is not a file")  # a pipe would be waited for
        # The only answer that holds: rights, read-only disks and names of directories are many.
        with path.open("ab"):
            pass
        if not existed:
            path.unlink()
    except (OSError, ValueError) as error:
        if isinstance(error, BadInputError):
            raise
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise BadInputError(f"{name}: {path} cannot be written: {why}") from None


def _series(text: str | None) -> list[str]:
    try:
        return [] if text is None else series_in(text)
    except ValueError as error:
        raise BadInputError(f"--series: {error}") from None


def _strategy(asked: Asked, environment: Mapping[str, str]) -> type[Strategy]:
    try:
        if asked.strategy is not None:
            return load_strategy(asked.strategy)
        accounts = environment.get("STRATEGIES")
        if not accounts:
            return BookImbalance
        return load_strategy(chosen(parse_strategies(accounts, "paper"), None).strategy)
    except StrategyNotUsableError as error:
        raise BadInputError(f"--strategy: {error}") from None
    except ValueError as error:
        raise BadInputError(f"STRATEGIES: {error}; or --strategy says which strategy") from None


def _configuration(strategy: type[Strategy], changes: Mapping[str, str]) -> Configuration:
    try:
        settings, parameters = changed(AccountConfiguration(), {}, strategy.Parameters, changes)
    except ConfigurationError as error:
        raise BadInputError(f"--set: {error}") from None
    return Configuration(
        version=1,
        strategy=strategy.name,
        settings=settings,
        parameters=parameters,
        limits=settings.limits(1),
        gate=settings.gate_config(),
        order=settings.order_config(),
    )


def _polling(asked: Asked) -> Polling | None:
    if asked.no_poll:
        if asked.poll_s is not None or asked.execution is not None:
            other = "--poll" if asked.poll_s is not None else "--execution"
            raise BadInputError(f"--no-poll and {other}: one of them is wanted")
        return None
    every_ms = PLAN_POLLING.every_ms if asked.poll_s is None else round(asked.poll_s * 1_000)
    execution = PLAN_POLLING.execution
    if asked.execution is not None:
        execution = _latency("--execution", execution_of, asked.execution)
    try:
        return Polling(every_ms=every_ms, execution=execution)
    except PollingError as error:
        raise BadInputError(f"--poll: {error}") from None


def _latency(name: str, read: Callable[[str], Latency], text: str) -> Latency:
    try:
        return read(text)
    except LatencyError as error:
        raise BadInputError(f"{name}: {error}") from None


def _sweep(asked: Asked, strategy: type[Strategy]) -> SweepPlan | None:
    if not asked.sweep:
        for name, value in (
            ("train", asked.train),
            ("random", asked.random),
            ("procs", asked.procs),
        ):
            if value is not None:
                raise BadInputError(f"--{name}: nothing is swept; --sweep says what")
        return None
    share = TRAIN_SHARE if asked.train is None else asked.train
    if not 0 < share < 1:  # also refuses NaN
        raise BadInputError("--train: a share between 0 and 1 is wanted, e.g. 0.5")
    try:
        axes = axes_of(asked.sweep, strategy.Parameters)
        points = grid(axes) if asked.random is None else random_points(axes, asked.random, SEED)
    except SweepError as error:
        raise BadInputError(f"--sweep: {error}".replace("--sweep: --random", "--random")) from None
    for axis in axes:
        if axis.name in asked.changes:
            raise BadInputError(f"{axis.name}: --set and --sweep: one of them is wanted")
    return SweepPlan(axes=axes, points=points, train_share=share, procs=asked.procs or 1)
