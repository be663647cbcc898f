"""A soak: two feeders follow a flood of changes while something fails every few seconds.

The venue and its flood run in this process, so that the judge knows each version of each book;
nats-server and the feeders are processes. Every published snapshot is judged (`judge.py`). Then
everything is healed, and every running market must have a proven book again within HEAL_S.

What it does not model: more than one machine (clocks and networks are one), and a venue that has
other habits than ours.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Final
from urllib.parse import urlsplit

from nats.aio.client import Client
from rich.console import Console

from local.child import Child
from local.nats_server import FREE_PORT, start_nats
from protocol.book import Proof
from protocol.series import parse_series
from protocol.subjects import BOOKS
from runtime.nats import connect_once
from runtime.process import stop_tasks
from sandbox.simulator import Faults, Venue, serve
from sandbox.simulator.flood import Flood
from sandbox.simulator.market_faults import MarketConnection
from sandbox.soak.judge import Judge
from sandbox.soak.leases import Span, losses, unexplained
from sandbox.soak.plan import FAULT_EVERY_S, SoakFault, faults, with_spell

FEEDERS: Final = 2
COINS: Final = ("btc", "eth", "sol", "xrp", "doge", "bnb", "hype", "ada", "ltc", "avax")
WINDOW: Final = "60s"
# Ten seconds of one of ten markets that share 2,000 changes a second.
VERSIONS_KEPT: Final = 1_000
WARM_S: Final = 30
HEAL_S: Final = 20
STATUS_EVERY_S: Final = 10
NATS_DOWN_S: Final = 1.0
RECONNECT_WAIT_S: Final = 0.02
# `MAX_BOOK_AGE_MS` and two seconds.
FROZEN_MAX_S: Final = 3.0
SLOW_MACHINE: Final = 0.02
"""When more of the changes than this had to be left out, times say nothing about the feeders."""
STOPPED_S: Final = (0.5, 2.5)
LEASES_BACK_S: Final = 5.0
"""So long after a feeder or nats-server stood still, a lost lease is no sign of a lack of time."""


@dataclasses.dataclass(kw_only=True)
class SoakOutcome:
    """What a soak did and found. Durations in seconds."""

    seed: int
    duration_s: float
    changes: int
    trades: int
    missed: int
    judge: Judge
    faults: Counter[SoakFault]
    frame_faults: Counter[str]
    freezes_s: list[float]
    """From a freeze until the feeder has given the connection up."""
    pauses_s: dict[SoakFault, list[float]]
    """For each fault the longest pause of any running market's snapshots after it."""
    rss_max_mb: float
    leases_lost: int
    """For lack of time: while nobody was suspended and nats-server was there."""
    healed_s: float | None
    violations: list[str]


class Soak:
    """One run."""

    def __init__(self, *, rate: int, seed: int, log_dir: Path, console: Console) -> None:
        self._seed = seed
        self._random = Random(f"{seed}/soak/victims")
        self._log_dir = log_dir
        self._console = console
        self._venue = Venue(seed=seed, keep_versions=VERSIONS_KEPT)
        self._series = [parse_series(f"{coin}-{WINDOW}") for coin in COINS]
        self._flood = Flood(self._venue, self._series, changes_per_s=rate, seed=seed)
        self._judge = Judge(self._venue)
        self._nats: Child | None = None
        self._nats_url = ""
        self._venue_url = ""
        self._feeders: list[Child] = []
        self._frozen: list[tuple[MarketConnection, float]] = []
        self._freezes_s: list[float] = []
        self._faults: Counter[SoakFault] = Counter()
        self._pauses_s: dict[SoakFault, list[float]] = defaultdict(list)
        self._rss_max_mb = 0.0
        self._started = 0
        self._began_s = time.time()
        self._standstills: list[Span] = []

    async def run(self, duration_s: int) -> SoakOutcome:
        """Raises ChildError when a process does not start."""
        self._log_dir.mkdir(parents=True, exist_ok=True)
        async with AsyncExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
            self._venue_url = await stack.enter_async_context(serve(self._venue))
            stack.push_async_callback(self._stop_children)
            self._nats = Child("nats", self._log_dir)
            self._nats_url = await start_nats(self._nats, scratch)
            watching = asyncio.create_task(self._watch_connections())
            stack.push_async_callback(stop_tasks, watching)
            flooding = asyncio.create_task(self._flood.run())
            stack.push_async_callback(stop_tasks, flooding)
            for _ in range(FEEDERS):
                await self._start_feeder()
            nc = await connect_once(self._nats_url, "soak")
            # A pause that it finds is to be the feeders'.
            nc.options["reconnect_time_wait"] = RECONNECT_WAIT_S
            stack.push_async_callback(nc.close)
            await nc.subscribe(BOOKS.subjects[0], cb=self._judge.on_snapshot)
            await self._soak(duration_s, scratch, flooding)
            healed_s = await self._heal(nc)
            violations = []
            if healed_s is None:
                violations.append(f"not healed within {HEAL_S} s: {self._unproven()}")
        return self._outcome(duration_s, healed_s, violations)

    # ---- the phases

    async def _soak(self, duration_s: int, scratch: Path, flooding: asyncio.Task[None]) -> None:
        await self._until_proven(WARM_S)
        plan, ends_at_s, reported_at_s = faults(self._seed), time.monotonic() + duration_s, 0.0
        while (now_s := time.monotonic()) < ends_at_s:
            if flooding.done():
                flooding.result()
            fault = next(plan)
            self._judge.take_pauses()
            self._venue.faults = with_spell(fault)
            self._faults[fault] += 1
            await self._inject(fault, scratch)
            await asyncio.sleep(max(0.0, now_s + FAULT_EVERY_S - time.monotonic()))
            running = self._running()
            pauses = self._judge.take_pauses()
            self._pauses_s[fault].append(
                max((pauses.get(each, 0.0) for each in running), default=0)
            )
            self._note_memory()
            if now_s - reported_at_s >= STATUS_EVERY_S:
                reported_at_s = now_s
                self._tell()

    async def _heal(self, nc: Client) -> float | None:
        self._venue.faults = Faults()
        for connection in self._venue.market_feed.connections:
            connection.thaw()
        began_s = time.monotonic()
        if not await self._until_proven(HEAL_S):
            return None
        healed_s = time.monotonic() - began_s
        await nc.flush()
        return healed_s

    async def _until_proven(self, timeout_s: float) -> bool:
        """Whether every running market got a book with a checksum in the last second."""
        until_s = time.monotonic() + timeout_s
        while time.monotonic() < until_s:
            if self._running() and not self._unproven():
                return True
            await asyncio.sleep(0.05)  # the facts are other processes'
        return False

    def _running(self) -> list[str]:
        """Condition ids of markets that are neither just beginning nor about to end."""
        now_ms = self._venue.now_ms()
        return [
            market.condition_id
            for market in self._venue.markets.values()
            if market.start_ms + 5_000 <= now_ms < market.end_ms - 1_000
        ]

    def _unproven(self) -> list[str]:
        now_s, seen = time.monotonic(), self._judge.seen
        return [
            self._venue.markets[each].slug
            for each in self._running()
            if each not in seen
            or now_s - seen[each].at_s > 1
            or seen[each].proof is not Proof.CHECKSUM
        ]

    # ---- faults

    async def _inject(self, fault: SoakFault, scratch: Path) -> None:
        live = [c for c in self._venue.market_feed.connections if not (c.frozen or c.deaf)]
        victim = self._random.choice(live) if live else None
        if victim is not None:
            if fault is SoakFault.FREEZE:
                victim.freeze()
                self._frozen.append((victim, time.monotonic()))
            elif fault is SoakFault.HALF_OPEN:
                victim.half_open()
            elif fault is SoakFault.CUT:
                victim.cut()
            elif fault is SoakFault.CUT_MIDFRAME:
                victim.cut_midframe()
            elif fault is SoakFault.CLOSED_1009:
                victim.close_1009()
        feeder = self._random.choice(self._feeders)
        if fault is SoakFault.FEEDER_KILLED:
            _signal(feeder, signal.SIGKILL)
            await self._replace(feeder)
        elif fault is SoakFault.FEEDER_ENDED:
            await feeder.stop()
            await self._replace(feeder)
        elif fault is SoakFault.FEEDER_STOPPED:
            await self._suspend(feeder)
        elif fault is SoakFault.NATS_STOPPED:
            assert self._nats is not None  # noqa: S101 - it was started first
            await self._suspend(self._nats)
        elif fault is SoakFault.NATS_KILLED:
            await self._restart_nats(scratch)

    async def _suspend(self, child: Child) -> None:
        # What stops with a feeder is not late: its frozen connections are not measured.
        self._frozen.clear()
        began_s = time.time()
        _signal(child, signal.SIGSTOP)
        await asyncio.sleep(self._random.uniform(*STOPPED_S))
        _signal(child, signal.SIGCONT)
        self._standstills.append((began_s, time.time() + LEASES_BACK_S))

    async def _restart_nats(self, scratch: Path) -> None:
        assert self._nats is not None  # noqa: S101 - it was started first
        began_s = time.time()
        _signal(self._nats, signal.SIGKILL)
        await self._nats.ended()
        await asyncio.sleep(NATS_DOWN_S)
        self._nats = Child("nats", self._log_dir)
        await start_nats(self._nats, scratch, port=urlsplit(self._nats_url).port or FREE_PORT)
        self._standstills.append((began_s, time.time() + LEASES_BACK_S))

    async def _replace(self, feeder: Child) -> None:
        self._frozen.clear()
        await feeder.ended()
        self._feeders.remove(feeder)
        await self._start_feeder()

    async def _start_feeder(self) -> None:
        self._started += 1
        feeder = Child(f"feeder-{self._started}", self._log_dir)
        self._feeders.append(feeder)
        await feeder.start(
            *(sys.executable, "-m", "feeder"),
            env={
                "NATS_URL": self._nats_url,
                "GAMMA_URL": self._venue_url,
                "CLOB_URL": self._venue_url,
                "MARKET_WS_URL": self._venue_url.replace("http://", "ws://") + "/ws/market",
                "SERIES": ",".join(series.name for series in self._series),
                "METRICS_PORT": "0",
            },
        )
        await feeder.wait_for("feeder_started")

    async def _stop_children(self) -> None:
        for child in (*self._feeders, self._nats):
            if child is not None:
                await child.stop()

    # ---- what is seen

    async def _watch_connections(self) -> None:
        """Note when frozen connections are given up. Only their reader's close shows it."""
        while True:
            await asyncio.sleep(0.02)
            for entry in tuple(self._frozen):
                connection, since_s = entry
                if connection not in self._venue.market_feed.connections:
                    self._frozen.remove(entry)
                    self._freezes_s.append(time.monotonic() - since_s)

    def _note_memory(self) -> None:
        for feeder in self._feeders:
            self._rss_max_mb = max(self._rss_max_mb, _rss_mb(feeder.pid))

    def _tell(self) -> None:
        judge = self._judge
        self._console.print(
            f"{self._flood.changes} changes, {judge.counts['judged']} books judged, "
            f"{judge.counts['violations']} violations, {sum(self._faults.values())} faults, "
            f"proofs {dict(judge.proofs)}, feeders up to {self._rss_max_mb:.0f} MB",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )

    def _outcome(
        self, duration_s: float, healed_s: float | None, violations: list[str]
    ) -> SoakOutcome:
        if not self._judge.counts["judged"]:
            violations.append("no book was judged")
        late_s = [span for span in self._freezes_s if span > FROZEN_MAX_S]
        if late_s and self._flood.missed < self._flood.changes * SLOW_MACHINE:
            violations.append(f"frozen connections not noticed in time: {late_s} s")
        return SoakOutcome(
            seed=self._seed,
            duration_s=duration_s,
            changes=self._flood.changes,
            trades=self._flood.trades,
            missed=self._flood.missed,
            judge=self._judge,
            faults=self._faults,
            frame_faults=self._venue.chance.injected,
            freezes_s=self._freezes_s,
            pauses_s=dict(self._pauses_s),
            rss_max_mb=self._rss_max_mb,
            leases_lost=unexplained(losses(self._log_dir), self._began_s, self._standstills),
            healed_s=healed_s,
            violations=violations + self._judge.violations,
        )


async def _nothing(error: Exception) -> None:
    """The nats-server is killed on purpose."""


def _signal(child: Child, signum: signal.Signals) -> None:
    if child.returncode is None and child.pid is not None:
        os.kill(child.pid, signum)


def _rss_mb(pid: int | None) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # it has just ended, or this is no Linux
        return 0.0
    line = next((each for each in status.splitlines() if each.startswith("VmRSS:")), "VmRSS: 0 kB")
    return int(line.split()[1]) / 1024
