"""`python -m sandbox run|chaos|soak|rolling|front-door`: the whole system here, on real books."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Coroutine, Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import aiohttp
import typer
from nats.errors import Error as NatsError
from rich.console import Console

from functions.ports import StoreError
from functions.strategy_loading import load_strategy
from local.child import ChildError
from sandbox.audit_input import STRATEGY
from sandbox.chaos.report import report as chaos_report
from sandbox.chaos.run import run_chaos
from sandbox.front_door.run import FrontDoor
from sandbox.rolling.report import report as rolling_report
from sandbox.rolling.run import run_rolling
from sandbox.run.replayed import replayed
from sandbox.run.run import PLAIN, WINDOW_S, run_all
from sandbox.services import SEVERAL, Options
from sandbox.soak.report import report as soak_report
from sandbox.soak.run import Soak

LOG_DIR: Final = Path("sandbox-logs")
EXIT_STOPPED: Final = 130
CHAOS_POSITIONS: Final = 40
"""Unresolved claims keep their slots for a minute; there must be room for others meanwhile."""
CHAOS_BALANCE_USD: Final = 5_000

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


class Execution(StrEnum):
    """How orders are executed: at the simulated venue, or on paper."""

    LIVE = "live"
    PAPER = "paper"


Strategies = Annotated[str, typer.Option(help="As STRATEGIES.")]


def _divides_window(speed: int) -> int:
    if WINDOW_S % speed:
        raise typer.BadParameter(f"must divide {WINDOW_S} (the window's seconds): 1, 5, 10, 15 ...")
    return speed


def _is_new(directory: Path | None) -> Path | None:
    # Each run's feeders count their books from one on: two in one recording would be mixed up.
    if directory is not None and directory.exists():
        raise typer.BadParameter(f"{directory} is there already: name a new directory")
    return directory


@app.command()
def run(
    speed: Annotated[int, typer.Option(min=1, max=60, callback=_divides_window)] = 10,
    workers: Annotated[int, typer.Option(min=1, max=16)] = 2,
    markets: Annotated[int, typer.Option(min=1, max=6)] = 6,
    duration: Annotated[int, typer.Option(min=5, help="seconds")] = 90,
    *,
    execution: Execution = Execution.LIVE,
    strategies: Strategies = STRATEGY,
    max_positions: Annotated[int, typer.Option(min=1)] = 8,
    min_orders: Annotated[int, typer.Option(min=0, help="fail when fewer were executed")] = 0,
    record: Annotated[
        Path | None,
        typer.Option(metavar="DIR", callback=_is_new, help="record what is decided, and on what"),
    ] = None,
) -> None:
    """Run everything for a while, show it, and check at the end that all accounts agree."""
    options = Options(
        speed=speed,
        workers=workers,
        markets=markets,
        execution=execution.value,
        strategies=strategies,
        max_positions=max_positions,
        min_orders=min_orders,
        # Whole: its processes run elsewhere.
        record=None if record is None else record.absolute(),
    )
    _check_accounts(options)
    raise typer.Exit(asyncio.run(_guarded(_run(options, duration))))


@app.command()
def chaos(
    duration: Annotated[int, typer.Option(min=5, help="seconds of the safety phase")] = 300,
    seed: Annotated[int | None, typer.Option(help="by default another one each time")] = None,
    workers: Annotated[int, typer.Option(min=1, max=16)] = 4,
    speed: Annotated[int, typer.Option(min=1, max=60, callback=_divides_window)] = 30,
    strategies: Strategies = SEVERAL,
) -> None:
    """Kill, stop, starve and retune everything for a while; then all accounts must agree."""
    options = Options(
        speed=speed,
        workers=workers,
        strategies=strategies,
        max_positions=CHAOS_POSITIONS,
        balance_usd=CHAOS_BALANCE_USD,
        retuned=True,
    )
    _check_accounts(options)
    drawn = secrets.randbelow(1_000_000) if seed is None else seed
    raise typer.Exit(asyncio.run(_guarded(_chaos(options, drawn, duration))))


@app.command()
def soak(
    duration: Annotated[int, typer.Option(min=5, help="seconds")] = 600,
    rate: Annotated[int, typer.Option(min=1, help="changes a second")] = 2_000,
    seed: Annotated[int | None, typer.Option(help="by default another one each time")] = None,
) -> None:
    """Two feeders under load while something fails every few seconds; every book is judged."""
    drawn = secrets.randbelow(1_000_000) if seed is None else seed
    raise typer.Exit(asyncio.run(_guarded(_soak(drawn, duration, rate))))


@app.command()
def rolling(
    duration: Annotated[int, typer.Option(min=5, help="seconds")] = 60,
    workers: Annotated[int, typer.Option(min=1, max=16)] = 2,
    speed: Annotated[int, typer.Option(min=1, max=60, callback=_divides_window)] = 30,
    strategies: Strategies = SEVERAL,
) -> None:
    """Replace every process in turn while orders flow; then all accounts must agree.

    Each is replaced once at least, however long that takes.
    """
    options = Options(
        speed=speed,
        workers=workers,
        strategies=strategies,
        max_positions=CHAOS_POSITIONS,
        balance_usd=CHAOS_BALANCE_USD,
    )
    _check_accounts(options)
    raise typer.Exit(asyncio.run(_guarded(_rolling(options, duration))))


@app.command("front-door")
def front_door(
    duration: Annotated[int, typer.Option(min=10, help="seconds, without those to settle")] = 60,
    speed: Annotated[int, typer.Option(min=1, max=60, callback=_divides_window)] = 30,
    strategies: Strategies = STRATEGY,
) -> None:
    """`executor paper` as a person uses it, killed and started again; then all must agree."""
    options = Options(speed=speed, execution="paper", strategies=strategies)
    _check_accounts(options)
    raise typer.Exit(asyncio.run(_guarded(_front_door(options, duration))))


def _check_accounts(options: Options) -> None:
    """A mistake in them is one line, before anything is started."""
    try:
        for each in options.accounts:
            load_strategy(each.strategy)
    except ValueError as error:
        raise typer.BadParameter(f"--strategies: {error}") from None


async def _guarded(run: Coroutine[None, None, int]) -> int:
    """The exit code; a signal cancels the run, and what fails of the sandbox itself is one line."""
    console = Console()
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - asyncio.run made one
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(signum, task.cancel)
    try:
        return await run
    except asyncio.CancelledError:
        console.print("stopped")
        return EXIT_STOPPED
    except (ChildError, StoreError, OSError, NatsError, aiohttp.ClientError) as error:
        console.print(f"the sandbox failed: {error}", style="bold red", **PLAIN)
        return 1


async def _run(options: Options, duration_s: int) -> int:
    outcome = await run_all(options, LOG_DIR, duration_s)
    lines, unlike = replayed(options)
    _say(lines)
    code = _verdict([*outcome.violations, *unlike], title="DISAGREEMENT")
    return EXIT_STOPPED if outcome.interrupted and code == 0 else code


async def _chaos(options: Options, seed: int, duration_s: int) -> int:
    again = (
        f"python -m sandbox chaos --seed {seed} --duration {duration_s} "
        f"--workers {options.workers} --speed {options.speed} --strategies {options.strategies}"
    )
    _say([f"{again}   (logs: {LOG_DIR}/)"])
    outcome = await run_chaos(options, LOG_DIR, seed, duration_s)
    _say(chaos_report(outcome, LOG_DIR))
    return _verdict(outcome.violations, again=f"seed {seed}; again: {again}")


async def _soak(seed: int, duration_s: int, rate: int) -> int:
    again = f"python -m sandbox soak --seed {seed} --duration {duration_s} --rate {rate}"
    _say([f"{again}   (logs: {LOG_DIR}/)"])
    soak_run = Soak(rate=rate, seed=seed, log_dir=LOG_DIR, console=Console())
    outcome = await soak_run.run(duration_s)
    _say(soak_report(outcome))
    return _verdict(
        outcome.violations,
        fine="every published book was the venue's",
        again=f"seed {seed}; again: {again}",
    )


async def _rolling(options: Options, duration_s: int) -> int:
    outcome = await run_rolling(options, LOG_DIR, duration_s)
    _say(rolling_report(outcome))
    return _verdict(outcome.violations)


async def _front_door(options: Options, duration_s: int) -> int:
    again = (
        f"python -m sandbox front-door --duration {duration_s} --speed {options.speed} "
        f"--strategies {options.strategies}"
    )
    _say([f"{again}   (logs: {LOG_DIR}/front-door*.log)"])
    outcome = await FrontDoor(options, LOG_DIR, lambda line: _say([line])).run(duration_s)
    _say(outcome.lines)
    return _verdict(outcome.violations, again=again)


def _say(lines: Iterable[str]) -> None:
    console = Console()
    for line in lines:
        console.print(line, **PLAIN)


def _verdict(
    violations: Sequence[str],
    *,
    fine: str = "all accounts agree",
    title: str = "VIOLATION",
    again: str = "",
) -> int:
    """Print the verdict, and how to run it again if it is a bad one; the exit code."""
    console = Console()
    if not violations:
        console.print(fine, style="bold green")
        return 0
    for sentence in violations:
        console.print(f"{title}: {sentence}", style="bold red", **PLAIN)
    if again:
        console.print(again, style="bold red", **PLAIN)
    return 1


if __name__ == "__main__":
    app()
