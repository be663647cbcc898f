"""The run: the whole system on recorded books for a while, shown, and audited at its end."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import aiohttp
from nats.aio.msg import Msg
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.live import Live

from functions.adapters.dynamodb.store import DynamoStore
from functions.core.claim import Claim
from local.child import ChildError
from protocol.decision import decode_decision
from protocol.snapshot import ProtocolError, decode_snapshot
from protocol.subjects import BOOKS, DECISIONS
from runtime.nats import connect_once
from runtime.process import stop_tasks
from sandbox.audit import records_of, unfinished
from sandbox.audit_input import LEDGER_BACK_MS, reading_store
from sandbox.cluster import Cluster
from sandbox.group_audit import group_disagreements, group_summary
from sandbox.run.run_state import RunState
from sandbox.run.terminal import decision_line, positions_table, screen, stages, status_line
from sandbox.services import STATE_TABLE, Options, looking_line

FRAMES_PER_S: Final = 4
STATUS_EVERY_S: Final = 10
STATE_EVERY_S: Final = 2
CONVERGE_S: Final = 20
"""A run of reconciliation and one of settlement, each every ten seconds."""
ALARMS: Final = {
    "schedule_claims_overdue": "overdue",
    "schedule_position_mismatches": "positions that differ",
    "schedule_claims_unsettled": "unsettled long after the end",
    "schedule_redemptions_stuck": "redeemed in vain",
}
WINDOW_S: Final = 900
PLAIN_WIDTH: Final = 160
"""Where there is no terminal: in less, tables would shorten the markets."""
PLAIN: Final[dict[str, Any]] = {"markup": False, "highlight": False, "soft_wrap": True}
"""How a line that is not ours is printed: as it is."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """What the audit found, and whether the run was cut short by a signal."""

    violations: list[str]
    interrupted: bool


async def run_all(options: Options, log_dir: Path, duration_s: int) -> RunOutcome:
    """A whole run, servers included; it prints what happens.

    Raises ChildError, StoreError, OSError, NatsError, aiohttp.ClientError.
    """
    console = Console()
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    _say_what_runs(console, options, log_dir, duration_s)
    async with Cluster(options, log_dir) as cluster:
        state = RunState(each.account for each in options.accounts)
        # Subscribed before the first message and until after the last one.
        nc = await connect_once(cluster.nats_url, "run")
        await nc.subscribe(BOOKS.subjects[0], cb=_fed(state, books=True))
        await nc.subscribe(DECISIONS.subjects[0], cb=_fed(state, books=False))
        await cluster.start_services()
        line = looking_line(options, cluster.dynamodb_url, cluster.nats_url)
        # On a line of its own: it is marked and pasted as a whole.
        console.print(
            "To look at it with .venv/bin/executor, paste into another terminal:", **PLAIN
        )
        console.print(line, **PLAIN)
        interrupted = await _observe(console, cluster, state, duration_s)
        await _converge(console, cluster)
        failed = await cluster.stop_services()
        await nc.close()
        violations = await _audit(console, cluster, state, options, failed)
        return RunOutcome(violations=violations, interrupted=interrupted)


def _say_what_runs(console: Console, options: Options, log_dir: Path, duration_s: int) -> None:
    where = "at the simulated venue" if options.live else "on paper"
    console.print(
        f"{options.markets} markets on recorded books, {options.workers} workers, "
        f"orders {where}, at most {options.max_positions} positions, {duration_s} s. "
        f"Logs: {log_dir}/",
        **PLAIN,
    )
    if options.speed != 1:
        console.print(
            f"Speed {options.speed}: a 15-minute window lasts {WINDOW_S // options.speed} s. The "
            f"accounts' times are scaled to match: at least {options.min_time_to_close_s:g} s to "
            f"close, {options.cooldown_s:g} s cooldown. Strategies' own times are not: their "
            f"second is {options.speed} s of the recording. Latencies are real.",
            **PLAIN,
        )


async def _observe(console: Console, cluster: Cluster, state: RunState, duration_s: int) -> bool:
    """Show the system for `duration_s`. True when interrupted; ChildError when a process died."""
    ends_at_s = time.monotonic() + duration_s

    def seconds_left() -> float:
        return max(0.0, ends_at_s - time.monotonic())

    died = asyncio.create_task(cluster.died())
    followed = asyncio.create_task(_follow_state(cluster, state))
    show = _show_live if console.is_terminal else _show_lines
    shown = asyncio.create_task(show(console, state, seconds_left))
    try:
        done, _ = await asyncio.wait(
            {died, followed, shown}, timeout=duration_s, return_when=asyncio.FIRST_COMPLETED
        )
        if died in done:
            raise ChildError(died.result())
        for task in done:
            task.result()  # a failure of the display is a failure
    except asyncio.CancelledError:
        return True
    finally:
        await stop_tasks(died, followed, shown)
    return False


def _fed(state: RunState, *, books: bool) -> Callable[[Msg], Awaitable[None]]:
    async def feed(message: Msg) -> None:
        try:
            if books:
                state.on_book(decode_snapshot(message.data))
            else:
                state.on_decision(decode_decision(message.data))
        except ProtocolError as error:
            state.malformed.append(str(error))

    return feed


async def _follow_state(cluster: Cluster, state: RunState) -> None:
    """Read what the system has on record, and what it alarms about."""
    timeout = aiohttp.ClientTimeout(total=5)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
        stores = [
            await stack.enter_async_context(
                reading_store(cluster.dynamodb_url, STATE_TABLE, each.account)
            )
            for each in cluster.options.accounts
        ]
        while True:
            await _read_state(stores, state)
            async with session.get(cluster.metrics_urls["schedule"]) as response:
                state.alarms = alarms_in(await response.text())
            await asyncio.sleep(STATE_EVERY_S)


async def _read_state(stores: Sequence[DynamoStore], state: RunState) -> None:
    now_ms = time.time_ns() // 1_000_000
    claims: dict[str, Iterable[Claim]] = {}
    ledger: dict[str, Iterable[Claim]] = {}
    for account, store in zip(state.accounts, stores, strict=True):
        ledger[account] = await store.ledger(now_ms - LEDGER_BACK_MS, now_ms + LEDGER_BACK_MS)
        claims[account] = (await store.account()).claims.values()
    state.on_state(claims, ledger)


def alarms_in(metrics: str) -> dict[str, int]:
    """The alarms of the scheduled functions, from their metrics' text; of all accounts together."""
    alarms: Counter[str] = Counter()
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.name in ALARMS:
                alarms[ALARMS[sample.name]] += int(sample.value)
    return dict(alarms)


async def _converge(console: Console, cluster: Cluster) -> None:
    """No more entries; give what is under way a bounded time to be resolved and settled."""
    console.print("no more entries; waiting for what is under way ...", **PLAIN)
    await cluster.stop_trading()
    deadline_s = time.monotonic() + CONVERGE_S
    while time.monotonic() < deadline_s:
        if not any(map(unfinished, (await cluster.audit_inputs()).values())):
            return
        await asyncio.sleep(1)  # the venue and the schedule go by the clock; nothing to await


async def _show_live(console: Console, state: RunState, seconds_left: Callable[[], float]) -> None:
    with Live(console=console, auto_refresh=False, screen=False) as live:
        while True:
            live.update(screen(state, "streaming executor, sandbox", seconds_left()), refresh=True)
            await asyncio.sleep(1 / FRAMES_PER_S)


async def _show_lines(console: Console, state: RunState, seconds_left: Callable[[], float]) -> None:
    shown, next_status_s = 0, time.monotonic() + STATUS_EVERY_S
    while True:
        fresh = state.decision_count - shown
        shown = state.decision_count
        for decision in list(state.decisions)[-fresh:] if fresh else []:
            console.print(decision_line(decision, state), **PLAIN)
        if time.monotonic() >= next_status_s:
            next_status_s += STATUS_EVERY_S
            console.print(status_line(state, seconds_left()), **PLAIN)
        await asyncio.sleep(1 / FRAMES_PER_S)


async def _audit(
    console: Console, cluster: Cluster, state: RunState, options: Options, failed: list[str]
) -> list[str]:
    audits = await cluster.audit_inputs()
    found = group_disagreements(audits, options.accounts, cooldown_ms=options.cooldown_ms)
    state.on_state(
        {account: one.account.claims.values() for account, one in audits.items()},
        {account: one.ledger for account, one in audits.items()},
    )
    console.print(positions_table(state))
    console.print(status_line(state, 0), **PLAIN)
    for reason, count in state.reasons.most_common():
        console.print(f"  {count:5} {reason}", **PLAIN)
    if state.executed:
        console.print(stages(state))
    else:
        console.print("nothing was traded: no signal came while trading was allowed", **PLAIN)
    for line in group_summary(audits):
        console.print(line, **PLAIN)
    found += failed
    orders = sum(len(records_of(one)) for one in audits.values())
    if orders < options.min_orders:
        found.append(f"{orders} orders, at least {options.min_orders} were wanted")
    found += [f"malformed message: {text}" for text in state.malformed]
    if not state.book_count:
        found.append("no book was ever published")
    return found
