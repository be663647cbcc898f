"""From a frame written to the feeder's socket to the order's bytes at the venue, stage by stage.

What the simulated venue needs to apply a change, to hash its books and to write the frame is not
counted, nor until it gets to an order's bytes (`benchmarks.order_arrivals`).

Real processes, real sockets: two feeders of 25 markets each, two lines a market, two workers, and
nats-server; the venue is simulated and runs in this process, so both ends read one clock. Each run
measures two loads, one after the other: *idle*, ten signals a second and nothing else, which is
what the work itself takes; and *loaded*, 1,000 frames a second with the same signals among them,
where processes also wait for a core. Who has had how much processor, and has waited for one for how
long, is the kernel's own count. Feeders publish as many bids as the strategy looks at, as
`executor paper` has them do it.

Variants are run in turn, repeat by repeat. A figure of a variant is compared only with that of
another in the same repeat. A run in which signals got no order is not what it seems: it is done
once more, and if that is no better, its table says how many repeats were such.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeAlias

import uvloop

from benchmarks.order_arrivals import OrderArrivals, order_arrivals
from benchmarks.process_times import ProcessTimes, times_by_name
from benchmarks.scripted_markets import SignalDriver, scripted_venue, series_of
from benchmarks.stats import percentiles
from benchmarks.system import (
    TODAY,
    Tree,
    TreeProcesses,
    feeder_env,
    processes_of,
    signer_env,
    worker_env,
)
from protocol.decision import Decision, decode_decision
from protocol.subjects import DECISIONS
from runtime.nats import connect_once
from runtime.process import freeze_heap
from sandbox.simulator import Market, Venue, serve

FEEDERS: Final = 2
"""One connection holds the windows of at most 33 series."""
WORKERS: Final = 2
WARM_UP_S: Final = 3.0
_LAST_ORDERS_S: Final = 1.0
WHOLE: Final = "frame to order"
LESS_CLAIM: Final = "frame to order less claim"
LOADS: Final = ("idle", "loaded")
ANSWERED_MIN: Final = 0.95
"""Of the signals, with an order."""
_DISK: Final = Path(__file__).parent / "out"
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a file system without a disk below it


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """What is run."""

    name: str
    tree: Tree = TODAY
    store: str = ""
    """`moto`, `disk` or `memory` (the embedded store there); empty: claims are granted at once."""
    official_sdk: bool = False
    """The script of `benchmarks.official_sdk_script` in place of everything."""


OURS: Final = Variant(name="ours, without a store")
SCRIPT: Final = Variant(name="script on the official SDK", official_sdk=True)
MOTO: Final = Variant(name="DynamoDB (moto)", store="moto")
STORES: Final = (
    Variant(name="embedded store, no disk below", store="memory"),
    Variant(name="embedded store, on this disk", store="disk"),
    MOTO,
)
"""Without a disk, the claim is what comes before its fsync."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """One load of one run."""

    seconds: float
    """It took: longer than asked for where this machine could not send as fast."""
    frames: int
    signals: int
    stages_ms: dict[str, list[float]]
    """By stage; each order's, in the order in which they arrived."""
    processes: dict[str, ProcessTimes]
    """By kind of process, the sum of that kind."""

    @property
    def is_whole(self) -> bool:
        """Whether as good as each signal got its order."""
        return len(self.stages_ms.get(WHOLE, ())) >= ANSWERED_MIN * self.signals

    def percentile(self, stage: str, share: str) -> float:
        """`p50` or `p99` of a stage. Raises KeyError, IndexError when there are no samples."""
        return float(getattr(percentiles(self.stages_ms[stage]), share))


Run: TypeAlias = dict[str, Measured]
"""By load."""


def is_whole(run: Run) -> bool:
    """Whether a repeat is what it seems."""
    return all(measured.is_whole for measured in run.values())


def summary(repeats: Sequence[Run], load: str) -> dict[str, Any]:
    """Of all samples of all repeats, as `benchmarks/out/latest.json` has it."""
    samples: dict[str, list[float]] = {}
    for run in repeats:
        for stage, each in run[load].stages_ms.items():
            samples.setdefault(stage, []).extend(each)
    return {
        "count": len(samples.get(WHOLE, ())),
        "signals": sum(run[load].signals for run in repeats),
        "stages": {name: dataclasses.asdict(percentiles(each)) for name, each in samples.items()},
        "processes": [
            {name: dataclasses.asdict(times) for name, times in run[load].processes.items()}
            for run in repeats
        ],
    }


def run(
    variants: Sequence[Variant],
    *,
    seconds: float,
    repeats: int,
    progress: Callable[[str], None] = print,
) -> dict[str, list[Run]]:
    """By variant's name, its repeats; each takes `seconds` a load and about ten more."""
    runs: dict[str, list[Run]] = {variant.name: [] for variant in variants}
    for repeat in range(repeats):
        for variant in variants:
            progress(f"{variant.name}, {repeat + 1} of {repeats}")
            measured = uvloop.run(_measure(variant, seconds))
            if not is_whole(measured):
                progress(f"{variant.name}, {repeat + 1} once more, as signals got no order")
                measured = uvloop.run(_measure(variant, seconds))
            runs[variant.name].append(measured)
    return runs


async def _measure(variant: Variant, seconds: float) -> Run:
    venue, markets = scripted_venue()
    driver = SignalDriver(venue, markets)
    decisions: dict[str, Decision] = {}
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(serve(venue))
        arrivals = stack.enter_context(order_arrivals(url))
        running = _running(variant, venue, markets, url, arrivals.url, decisions)
        pids = await stack.enter_async_context(running)
        freeze_heap()  # the venue's pauses are not the pipeline's
        await driver.loaded(WARM_UP_S)
        measured: Run = {}
        for load in LOADS:
            begun_ns, before = time.time_ns(), times_by_name(pids)
            begun_s = time.monotonic()
            frames = await getattr(driver, load)(seconds)
            took_s = time.monotonic() - begun_s
            used = {name: now - before[name] for name, now in times_by_name(pids).items()}
            await asyncio.sleep(_LAST_ORDERS_S)  # the last orders are on their way
            measured[load] = Measured(
                seconds=took_s,
                frames=frames,
                signals=driver.signals_since(begun_ns),
                stages_ms=_stages_ms(venue, driver, arrivals, decisions, begun_ns),
                processes=used,
            )
        return measured


@asynccontextmanager
async def _running(
    variant: Variant,
    venue: Venue,
    markets: Sequence[Market],
    url: str,
    orders_url: str,
    decisions: dict[str, Decision],
) -> AsyncIterator[Mapping[str, list[int]]]:
    """Yields the processes' ids by kind, once every market has its readers."""
    async with processes_of(variant.tree) as processes, AsyncExitStack() as stack:
        if variant.official_sdk:
            await _start_script(processes, markets, url, orders_url)
        else:
            await _start_system(variant, processes, stack, markets, url, orders_url)
            nc = await connect_once(processes.nats_url, "bench")
            stack.push_async_callback(nc.close)

            async def remember(message: Any) -> None:
                decision = decode_decision(message.data)
                decisions[decision.order_id] = decision

            await nc.subscribe(DECISIONS.subjects[0], cb=remember)
        async with asyncio.timeout(60):
            await venue.subscribed(*(market.token("Up") for market in markets))
        processes.pids["venue and driver"] = [os.getpid()]
        yield processes.pids


async def _start_script(
    processes: TreeProcesses, markets: Sequence[Market], url: str, orders_url: str
) -> None:
    tokens = [book.token_id for market in markets for book in market.books]
    await processes.start(
        *("script", "-m", "benchmarks.official_sdk_script"),
        env={
            **{"CLOB_URL": orders_url, "VENUE_URL": url, "TOKENS": ",".join(tokens)},
            **signer_env(),
        },
    )
    await processes.started("script", "script_started")


async def _start_system(
    variant: Variant,
    processes: TreeProcesses,
    stack: AsyncExitStack,
    markets: Sequence[Market],
    url: str,
    orders_url: str,
) -> None:
    await processes.start_nats()
    await start_feeders(processes, url, markets)
    dynamodb_url = await processes.start_dynamodb() if variant.store == "moto" else ""
    state = "dynamodb"
    if variant.store in ("disk", "memory"):
        below = _MEMORY if variant.store == "memory" and _MEMORY.is_dir() else _DISK
        below.mkdir(exist_ok=True)
        folder = stack.enter_context(TemporaryDirectory(dir=below, prefix="bench-"))
        state = f"sqlite:///{folder}/state.sqlite"
    env = worker_env(processes.nats_url, url, state, dynamodb_url) | {"CLOB_URL": orders_url}
    module = "functions.worker" if variant.store else "benchmarks.stub_worker"
    for _ in range(WORKERS):
        await processes.start("workers", "-m", module, env=env)
    await processes.started("feeders", "feeder_started")
    await processes.started("workers", "worker_started")


async def start_feeders(
    processes: TreeProcesses, url: str, markets: Sequence[Market], feeders: int = FEEDERS
) -> None:
    """Each follows its share of the series alone."""
    for number in range(feeders):
        series = ",".join(series_of(markets)[number::feeders])
        env = {**feeder_env(url), "NATS_URL": processes.nats_url, "SERIES": series}
        await processes.start("feeders", "-m", "feeder", env=env)


def _stages_ms(
    venue: Venue,
    driver: SignalDriver,
    arrivals: OrderArrivals,
    decisions: Mapping[str, Decision],
    since_ns: int,
) -> dict[str, list[float]]:
    spans: dict[str, list[float]] = {}
    answered: set[tuple[str, int]] = set()
    for entry in venue.journal.entries:
        received_ns = arrivals.before(entry.token_id, entry.received_at_ns)
        written_ns = driver.signal_before(entry.token_id, received_ns)
        if written_ns is None or written_ns < since_ns:
            continue
        if (entry.token_id, written_ns) in answered:  # one order a signal
            continue
        answered.add((entry.token_id, written_ns))
        marks = {WHOLE: (written_ns, received_ns)}
        if (decision := decisions.get(entry.order_id)) is not None:
            marks |= _marks(decision, written_ns, received_ns)
        for name, (start_ns, end_ns) in marks.items():
            spans.setdefault(name, []).append((end_ns - start_ns) / 1e6)
    return spans


def _marks(decision: Decision, written_ns: int, received_ns: int) -> dict[str, tuple[int, int]]:
    """Where each stage begins and ends, by the clock of this machine."""
    line = decision.timeline
    claim_ns = line.claimed_at_ns - line.signed_at_ns
    return {
        "frame to feeder": (written_ns, line.received_at_ns),
        "build, publish": (line.received_at_ns, line.published_at_ns),
        "stream": (line.published_at_ns, line.delivered_at_ns),
        "decode, decide": (line.delivered_at_ns, line.decided_at_ns),
        "sign": (line.decided_at_ns, line.signed_at_ns),
        "claim": (line.signed_at_ns, line.claimed_at_ns),
        "post": (line.claimed_at_ns, received_ns),
        WHOLE: (written_ns, received_ns),
        LESS_CLAIM: (written_ns, received_ns - claim_ns),
    }
