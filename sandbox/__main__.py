"""`python -m sandbox run|chaos|soak|rolling`: the whole system on this machine, on real books."""

from __future__ import annotations

import asyncio
import secrets
import signal
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import aiohttp
import nats
import typer
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.live import Live

from functions.adapters.dynamodb.store import DynamoStore
from functions.ports import StoreError
from protocol.decision import decode_decision
from protocol.snapshot import ProtocolError, decode_snapshot
from protocol.subjects import BOOKS, DECISIONS
from runtime.process import stop_tasks
from sandbox.audit import disagreements, records_of, reopened, summary, unfinished
from sandbox.audit_input import LEDGER_BACK_MS, account_name, gather, reading_store
from sandbox.chaos.report import report
from sandbox.chaos.run import run_chaos
from sandbox.child import SandboxError
from sandbox.cluster import Cluster
from sandbox.rolling.report import report as rolling_report
from sandbox.rolling.run import run_rolling
from sandbox.run_state import Picture
from sandbox.services import STATE_TABLE, Options
from sandbox.soak.report import report as soak_report
from sandbox.soak.run import Soak
from sandbox.terminal import decision_line, positions_table, screen, stages, status_line

LOG_DIR: Final = Path("sandbox-logs")
FRAMES_PER_S: Final = 4
STATUS_EVERY_S: Final = 10
STATE_EVERY_S: Final = 2
CONVERGE_S: Final = 20
"""A run of reconciliation and one of settlement, each every ten seconds."""
ALARMS: Final = {
    "schedule_claims_overdue": "overdue",
    "schedule_position_mismatches": "positions that differ",
}
WINDOW_S: Final = 900
EXIT_STOPPED: Final = 130
CHAOS_POSITIONS: Final = 40
"""Unresolved claims keep their slots for a minute; there must be room for others meanwhile."""
CHAOS_BALANCE_USD: Final = 5_000
_PLAIN: Final[dict[str, Any]] = {"markup": False, "highlight": False, "soft_wrap": True}

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


class Execution(StrEnum):
    """How orders are executed: at the simulated venue, or on paper."""

    LIVE = "live"
    PAPER = "paper"


def _divides_window(speed: int) -> int:
    if WINDOW_S % speed:
        raise typer.BadParameter(f"must divide {WINDOW_S} (the window's seconds): 1, 5, 10, 15 ...")
    return speed


@app.command()
def run(
    speed: Annotated[int, typer.Option(min=1, max=60, callback=_divides_window)] = 10,
    workers: Annotated[int, typer.Option(min=1, max=16)] = 2,
    markets: Annotated[int, typer.Option(min=1, max=6)] = 6,
    duration: Annotated[int, typer.Option(min=5, help="seconds")] = 90,
    execution: Execution = Execution.LIVE,
    max_positions: Annotated[int, typer.Option(min=1)] = 8,
    min_orders: Annotated[int, typer.Option(min=0, help="fail when fewer were executed")] = 0,
) -> None:
    """Run everything for a while, show it, and check at the end that all accounts agree."""
    options = Options(
        speed=speed,
        workers=workers,
        markets=markets,
        execution=execution.value,
        max_positions=max_positions,
        min_orders=min_orders,
    )
    raise typer.Exit(asyncio.run(_run(options, duration)))


@app.command()
def chaos(
    duration: Annotated[int, typer.Option(min=5, help="seconds of the safety phase")] = 300,
    seed: Annotated[int | None, typer.Option(help="by default another one each time")] = None,
    workers: Annotated[int, typer.Option(min=1, max=16)] = 4,
    speed: Annotated[int, typer.Option(min=1, max=60, callback=_divides_window)] = 30,
) -> None:
    """Kill, stop and starve everything for a while; then all accounts must agree."""
    options = Options(
        speed=speed, workers=workers, max_positions=CHAOS_POSITIONS, balance_usd=CHAOS_BALANCE_USD
    )
    drawn = secrets.randbelow(1_000_000) if seed is None else seed
    raise typer.Exit(asyncio.run(_chaos(options, drawn, duration)))


@app.command()
def soak(
    duration: Annotated[int, typer.Option(min=5, help="seconds")] = 600,
    rate: Annotated[int, typer.Option(min=1, help="changes a second")] = 2_000,
    seed: Annotated[int | None, typer.Option(help="by default another one each time")] = None,
) -> None:
    """Two feeders under load while something fails every few seconds; every book is judged."""
    drawn = secrets.randbelow(1_000_000) if seed is None else seed
    raise typer.Exit(asyncio.run(_soak(drawn, duration, rate)))


@app.command()
def rolling(
    duration: Annotated[int, typer.Option(min=5, help="seconds")] = 60,
    workers: Annotated[int, typer.Option(min=1, max=16)] = 2,
    speed: Annotated[int, typer.Option(min=1, max=60, callback=_divides_window)] = 30,
) -> None:
    """Replace every process in turn while orders flow; then all accounts must agree.

    Each is replaced once at least, however long that takes.
    """
    options = Options(
        speed=speed, workers=workers, max_positions=CHAOS_POSITIONS, balance_usd=CHAOS_BALANCE_USD
    )
    raise typer.Exit(asyncio.run(_rolling(options, duration)))


async def _rolling(options: Options, duration_s: int) -> int:
    console = Console()
    _cancel_on_signals()
    try:
        outcome = await run_rolling(options, LOG_DIR, duration_s)
    except asyncio.CancelledError:
        console.print("stopped")
        return EXIT_STOPPED
    except (SandboxError, StoreError, OSError, NatsError, aiohttp.ClientError) as error:
        console.print(f"the sandbox failed: {error}", style="bold red", **_PLAIN)
        return 1
    for line in rolling_report(outcome):
        console.print(line, **_PLAIN)
    for sentence in outcome.violations:
        console.print(f"VIOLATION: {sentence}", style="bold red", **_PLAIN)
    if not outcome.violations:
        console.print("all accounts agree", style="bold green")
    return 1 if outcome.violations else 0


async def _soak(seed: int, duration_s: int, rate: int) -> int:
    console = Console()
    again = f"python -m sandbox soak --seed {seed} --duration {duration_s} --rate {rate}"
    console.print(f"{again}   (logs: {LOG_DIR}/)", **_PLAIN)
    _cancel_on_signals()
    try:
        outcome = await Soak(rate=rate, seed=seed, log_dir=LOG_DIR, console=console).run(duration_s)
    except asyncio.CancelledError:
        console.print("stopped")
        return EXIT_STOPPED
    except (SandboxError, OSError, NatsError) as error:
        console.print(f"the sandbox failed: {error}", style="bold red", **_PLAIN)
        return 1
    for line in soak_report(outcome):
        console.print(line, **_PLAIN)
    if not outcome.violations:
        console.print("every published book was the venue's", style="bold green")
        return 0
    for sentence in outcome.violations:
        console.print(f"VIOLATION: {sentence}", style="bold red", **_PLAIN)
    console.print(f"seed {seed}; again: {again}", style="bold red", **_PLAIN)
    return 1


async def _chaos(options: Options, seed: int, duration_s: int) -> int:
    console = Console()
    again = (
        f"python -m sandbox chaos --seed {seed} --duration {duration_s} "
        f"--workers {options.workers} --speed {options.speed}"
    )
    console.print(f"{again}   (logs: {LOG_DIR}/)", **_PLAIN)
    _cancel_on_signals()
    try:
        outcome = await run_chaos(options, LOG_DIR, seed, duration_s)
    except asyncio.CancelledError:
        console.print("stopped")
        return EXIT_STOPPED
    except (SandboxError, StoreError, OSError, aiohttp.ClientError) as error:
        console.print(f"the sandbox failed: {error}", style="bold red", **_PLAIN)
        return 1
    for line in report(outcome, LOG_DIR):
        console.print(line, **_PLAIN)
    if not outcome.violations:
        console.print("all accounts agree", style="bold green")
        return 0
    for sentence in outcome.violations:
        console.print(f"VIOLATION: {sentence}", style="bold red", **_PLAIN)
    console.print(f"seed {seed}; again: {again}", style="bold red", **_PLAIN)
    return 1


async def _run(options: Options, duration_s: int) -> int:
    console = Console()
    _cancel_on_signals()
    _say_what_runs(console, options, duration_s)
    try:
        async with Cluster(options, LOG_DIR) as cluster:
            picture = Picture()
            # Listening from before the first word until after the last one.
            nc = await nats.connect(cluster.nats_url, error_cb=_nothing)
            await nc.subscribe(BOOKS.subjects[0], cb=_fed(picture, books=True))
            await nc.subscribe(DECISIONS.subjects[0], cb=_fed(picture, books=False))
            await cluster.start_services()
            interrupted = await _observe(console, cluster, picture, duration_s)
            await _converge(console, cluster)
            failed = await cluster.stop_services()
            await nc.close()
            verdict = await _check(console, cluster, picture, options, failed)
            return EXIT_STOPPED if interrupted and verdict == 0 else verdict
    except asyncio.CancelledError:
        console.print("stopped")
        return EXIT_STOPPED
    except (SandboxError, StoreError, OSError, NatsError, aiohttp.ClientError) as error:
        console.print(f"the sandbox failed: {error}", style="bold red", **_PLAIN)
        return 1


def _cancel_on_signals() -> None:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - asyncio.run made one
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(signum, task.cancel)


async def _nothing(_: Exception) -> None:
    """The sandbox's own NATS client has nothing to add: a server that dies is named anyway."""


def _say_what_runs(console: Console, options: Options, duration_s: int) -> None:
    where = "at the simulated venue" if options.execution == "live" else "on paper"
    console.print(
        f"{options.markets} markets on recorded books, {options.workers} workers, "
        f"orders {where}, at most {options.max_positions} positions, {duration_s} s. "
        f"Logs: {LOG_DIR}/",
        **_PLAIN,
    )
    if options.speed != 1:
        console.print(
            f"Speed {options.speed}: a 15-minute window lasts {WINDOW_S // options.speed} s. The "
            f"strategy's times are scaled to match: at least {options.min_time_to_close_s:g} s to "
            f"close, {options.cooldown_s:g} s cooldown. Latencies are real.",
            **_PLAIN,
        )


async def _observe(console: Console, cluster: Cluster, picture: Picture, duration_s: int) -> bool:
    """Show the system for `duration_s`. True when interrupted; SandboxError when a process died."""
    ends_at_s = time.monotonic() + duration_s

    def seconds_left() -> float:
        return max(0.0, ends_at_s - time.monotonic())

    died = asyncio.create_task(cluster.died())
    state = asyncio.create_task(_follow_state(cluster, picture))
    show = _show_live if console.is_terminal else _show_lines
    shown = asyncio.create_task(show(console, picture, seconds_left))
    try:
        done, _ = await asyncio.wait(
            {died, state, shown}, timeout=duration_s, return_when=asyncio.FIRST_COMPLETED
        )
        if died in done:
            raise SandboxError(died.result())
        for task in done:
            task.result()  # a failure of the display is a failure
    except asyncio.CancelledError:
        return True
    finally:
        await stop_tasks(died, state, shown)
    return False


def _fed(picture: Picture, *, books: bool) -> Callable[[Msg], Awaitable[None]]:
    async def feed(message: Msg) -> None:
        try:
            if books:
                picture.on_book(decode_snapshot(message.data))
            else:
                picture.on_decision(decode_decision(message.data))
        except ProtocolError as error:
            picture.malformed.append(str(error))

    return feed


async def _follow_state(cluster: Cluster, picture: Picture) -> None:
    """Read what the system has on record, and what it alarms about."""
    account = account_name(cluster.options.execution)
    timeout = aiohttp.ClientTimeout(total=5)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        reading_store(cluster.dynamodb_url, STATE_TABLE, account) as store,
    ):
        while True:
            await _read_state(store, picture)
            async with session.get(cluster.metrics_urls["schedule"]) as response:
                picture.alarms = alarms_in(await response.text())
            await asyncio.sleep(STATE_EVERY_S)


async def _read_state(store: DynamoStore, picture: Picture) -> None:
    now_ms = time.time_ns() // 1_000_000
    ledger = await store.ledger(now_ms - LEDGER_BACK_MS, now_ms + LEDGER_BACK_MS)
    picture.on_state((await store.account()).claims.values(), ledger)


def alarms_in(metrics: str) -> dict[str, int]:
    """The alarms of the scheduled functions, from their metrics' text."""
    return {
        ALARMS[sample.name]: int(sample.value)
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name in ALARMS
    }


async def _converge(console: Console, cluster: Cluster) -> None:
    """No more entries; give what is under way a bounded time to be resolved and settled."""
    console.print("no more entries; waiting for what is under way ...", **_PLAIN)
    await cluster.stop_trading()
    account = account_name(cluster.options.execution)
    deadline_s = time.monotonic() + CONVERGE_S
    while time.monotonic() < deadline_s:
        evidence = await gather(cluster.venue_url, cluster.dynamodb_url, STATE_TABLE, account)
        if not unfinished(evidence):
            return
        await asyncio.sleep(1)  # the venue and the schedule go by the clock; nothing to await


async def _show_live(console: Console, picture: Picture, seconds_left: Callable[[], float]) -> None:
    with Live(console=console, auto_refresh=False, screen=False) as live:
        while True:
            live.update(
                screen(picture, "streaming executor, sandbox", seconds_left()), refresh=True
            )
            await asyncio.sleep(1 / FRAMES_PER_S)


async def _show_lines(
    console: Console, picture: Picture, seconds_left: Callable[[], float]
) -> None:
    told, next_status_s = 0, time.monotonic() + STATUS_EVERY_S
    while True:
        fresh = picture.decision_count - told
        told = picture.decision_count
        for decision in list(picture.decisions)[-fresh:] if fresh else []:
            console.print(decision_line(decision), **_PLAIN)
        if time.monotonic() >= next_status_s:
            next_status_s += STATUS_EVERY_S
            console.print(status_line(picture, seconds_left()), **_PLAIN)
        await asyncio.sleep(1 / FRAMES_PER_S)


async def _check(
    console: Console, cluster: Cluster, picture: Picture, options: Options, failed: list[str]
) -> int:
    account = account_name(options.execution)
    evidence = await gather(cluster.venue_url, cluster.dynamodb_url, STATE_TABLE, account)
    found = disagreements(evidence, execution=options.execution)
    picture.on_state(evidence.account.claims.values(), evidence.ledger)
    console.print(positions_table(picture.positions()))
    console.print(status_line(picture, 0), **_PLAIN)
    for reason, count in picture.reasons.most_common():
        console.print(f"  {count:5} {reason}", **_PLAIN)
    if picture.executed:
        console.print(stages(picture))
    else:
        console.print("nothing was traded: no signal came while trading was allowed", **_PLAIN)
    console.print(summary(evidence), **_PLAIN)
    found += failed
    for claim in reopened(evidence):
        console.print(f"reopened by late evidence: order {claim.order_id}", **_PLAIN)
    orders = len(records_of(evidence))
    if orders < options.min_orders:
        found.append(f"{orders} orders, at least {options.min_orders} were wanted")
    found += [f"malformed message: {text}" for text in picture.malformed]
    if not picture.book_count:
        found.append("no book was ever published")
    if not found:
        console.print("all accounts agree", style="bold green")
        return 0
    for sentence in found:
        console.print(f"DISAGREEMENT: {sentence}", style="bold red", **_PLAIN)
    return 1


if __name__ == "__main__":
    app()
