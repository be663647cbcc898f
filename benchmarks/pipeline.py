"""From a frame written to the feeder's socket to the order's bytes at the venue.

1,000 `price_change` frames a second over 50 markets, two feeders, two workers; ten frames a second
carry a signal that the next frame of that market takes back. Real processes, real sockets, the
official client; the venue is simulated and runs in this process, so both ends read one clock. It
answers every order with "no match", a proven rejection, so that the market may trade again.
Everything shares this machine's cores: the figures include that.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import nats
import uvloop
from eth_account import Account
from hexbytes import HexBytes

from benchmarks.stats import Figures, percentiles
from local.child import Child
from local.nats_server import start_nats
from protocol.decision import Decision, decode_decision
from protocol.series import parse_series
from protocol.subjects import DECISIONS
from runtime.process import freeze_heap
from sandbox.cluster import start_dynamodb
from sandbox.dynamodb import CREDENTIALS_ENV, decision_table_of
from sandbox.services import STATE_TABLE
from sandbox.simulator import Market, Venue, deposit_wallet_of, error, serve

FRAMES_PER_S: Final = 1_000
MARKETS: Final = 50
FEEDERS: Final = 2
"""One connection holds the windows of at most 33 series."""
WORKERS: Final = 2
SIGNAL_EVERY: Final = 100
"""Frames: ten signals a second over all markets."""
WARM_UP_S: Final = 4.0
LEVELS: Final = 40
SIZE_E6: Final = 100_000_000
STRONG_E6: Final = 5_000_000_000
_NO_MATCH: Final = (
    "no orders found to match with FAK order. FAK orders are partially filled or killed if no "
    "match is found."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Load:
    """One run."""

    seconds: float
    store: bool = False
    """True: claims on serialised moto. False: granted in memory."""
    book_cost_ms: float = 0.0
    workers: int = WORKERS
    execution: str = "live"


def run(seconds: float = 30.0) -> dict[str, Figures]:
    """Stages in milliseconds, without the store and with it."""
    return {
        "pipeline_without_store": uvloop.run(_measure(Load(seconds=seconds))),
        "pipeline_with_store": uvloop.run(_measure(Load(seconds=seconds, store=True))),
    }


def run_overload(seconds: float = 15.0) -> dict[str, Figures]:
    """Age of the books acted on by one worker that needs 3 ms a book: a third of what arrives."""
    load = Load(seconds=seconds, book_cost_ms=3.0, workers=1, execution="paper")
    return {"overload_3ms_a_book": uvloop.run(_measure_overload(load))}


async def _measure(load: Load) -> Figures:
    async with _system(load) as system:
        decisions: dict[str, Decision] = {}

        async def remember(message: Any) -> None:
            decision = decode_decision(message.data)
            decisions[decision.order_id] = decision

        nc = await nats.connect(system.nats_url)
        await nc.subscribe(DECISIONS.subjects[0], cb=remember)
        await system.drive(WARM_UP_S)
        warm_ns = time.time_ns()
        await system.drive(load.seconds)
        await asyncio.sleep(1)  # the last orders are on their way
        await nc.close()
        return _stages(system, decisions, warm_ns)


async def _measure_overload(load: Load) -> Figures:
    async with _system(load) as system:
        await system.drive(WARM_UP_S)
        await system.drive(load.seconds)
        [worker] = system.workers
        said = asyncio.create_task(worker.wait_for("ages_ms"))
        await worker.stop()
        ages: list[float] = (await said)["ages_ms"]  # type: ignore[assignment]
        settled = ages[len(ages) // 5 :]  # without the start
        return Figures(count=len(settled), stages={"age acted on": percentiles(settled)})


def _stages(system: _System, decisions: dict[str, Decision], warm_ns: int) -> Figures:
    spans: dict[str, list[float]] = {}
    for entry in system.venue.journal.entries:
        decision = decisions.get(entry.order_id)
        written_ns = system.signal_before(entry.token_id, entry.received_at_ns)
        if decision is None or written_ns is None or written_ns < warm_ns:
            continue
        line = decision.timeline
        marks = [
            ("frame to feeder", written_ns, line.received_at_ns),
            ("build, publish", line.received_at_ns, line.published_at_ns),
            ("stream", line.published_at_ns, line.delivered_at_ns),
            ("decode, decide", line.delivered_at_ns, line.decided_at_ns),
            ("sign", line.decided_at_ns, line.signed_at_ns),
            ("claim", line.signed_at_ns, line.claimed_at_ns),
            ("post", line.claimed_at_ns, entry.received_at_ns),
            ("frame to order", written_ns, entry.received_at_ns),
        ]
        for name, start, end in marks:
            spans.setdefault(name, []).append((end - start) / 1e6)
        claim_ns = line.claimed_at_ns - line.signed_at_ns
        spans.setdefault("frame to order less claim", []).append(
            (entry.received_at_ns - written_ns - claim_ns) / 1e6
        )
    signals = sum(at > warm_ns for times in system.signals.values() for at in times)
    return Figures(
        count=len(spans.get("frame to order", [])),
        signals=signals,
        stages={name: percentiles(values) for name, values in spans.items()},
    )


class _System:
    """The processes of one run, and the venue in this one."""

    def __init__(self, venue: Venue, markets: list[Market]) -> None:
        self.venue = venue
        self.markets = markets
        self.workers: list[Child] = []
        self.nats_url = ""
        self.signals: dict[str, list[int]] = {market.token("Up"): [] for market in markets}
        self._frame = 0
        self._random = random.Random(1)

    async def drive(self, seconds: float) -> None:
        """Send frames at the set rate for so long."""
        freeze_heap()  # the venue's pauses are not the pipeline's
        loop = asyncio.get_running_loop()
        started, first = loop.time(), self._frame
        total = int(seconds * FRAMES_PER_S)
        while (sent := self._frame - first) < total:
            # Sleep until the next frame is due: a busy driver would take a core from the others.
            await asyncio.sleep(max(0.0, started + (sent + 1) / FRAMES_PER_S - loop.time()))
            due = int((loop.time() - started) * FRAMES_PER_S)
            for _ in range(min(due, total) - sent):
                self._send_frame()

    def signal_before(self, token_id: str, at_ns: int) -> int | None:
        """When the newest signal of a market before `at_ns` was written."""
        times = self.signals.get(token_id, [])
        return next((time_ns for time_ns in reversed(times) if time_ns <= at_ns), None)

    def _send_frame(self) -> None:
        number, self._frame = self._frame, self._frame + 1
        # The market whose turn it is, and a signal on every hundredth frame: on 25 of the markets,
        # each one every 2.5 s.
        token = self.markets[number % MARKETS].token("Up")
        turn = number // MARKETS
        if number % SIGNAL_EVERY == turn % MARKETS:
            self.signals[token].append(time.time_ns())
            self.venue.change_level(token, "BUY", 4_900, STRONG_E6)
        elif (number - MARKETS) % SIGNAL_EVERY == (turn - 1) % MARKETS:
            self.venue.change_level(token, "BUY", 4_900, SIZE_E6)
        else:
            depth = self._random.randrange(10, LEVELS) * 100
            size = SIZE_E6 + self._random.randrange(10_000) * 10_000
            self.venue.change_level(token, "BUY", 4_900 - depth, size)


def _series_names() -> list[str]:
    return [f"m{number:02d}-4h" for number in range(MARKETS)]


def _scripted_venue() -> tuple[Venue, list[Market]]:
    venue = Venue()
    now_ms = venue.now_ms()
    markets = []
    for name in _series_names():
        series = parse_series(name)
        start_s = series.window_start_s(now_ms / 1000)
        market = venue.add_market(
            series.slug(start_s),
            start_ms=start_s * 1000,
            end_ms=(start_s + series.window_s) * 1000,
        )
        bids = [(4_900 - 100 * i, SIZE_E6) for i in range(LEVELS)]
        asks = [(5_000 + 100 * i, SIZE_E6) for i in range(LEVELS)]
        venue.set_book(market.token("Up"), bids, asks)
        markets.append(market)
    return venue, markets


@asynccontextmanager
async def _system(load: Load) -> AsyncIterator[_System]:
    venue, markets = _scripted_venue()

    async def no_match(_: str) -> Any:
        return error(_NO_MATCH)

    venue.before_matching = no_match
    system = _System(venue, markets)
    async with AsyncExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        url = await stack.enter_async_context(serve(venue))

        def child(name: str) -> Child:
            started = Child(name, scratch)
            stack.push_async_callback(started.stop)
            return started

        system.nats_url = await start_nats(child("nats"), scratch)
        dynamodb_url = await start_dynamodb(child("dynamodb")) if load.store else ""
        shared = {
            "NATS_URL": system.nats_url,
            "GAMMA_URL": url,
            "CLOB_URL": url,
            "METRICS_PORT": "0",
        }
        feeders = [child(f"feeder-{number}") for number in range(FEEDERS)]
        for number, feeder in enumerate(feeders):
            await feeder.start(
                *(sys.executable, "-m", "feeder"),
                env={
                    **shared,
                    "MARKET_WS_URL": url.replace("http://", "ws://") + "/ws/market",
                    "SERIES": ",".join(_series_names()[number::FEEDERS]),
                },
            )
        key = Account.create()
        for number in range(load.workers):
            worker = child(f"worker-{number}")
            module = "functions.worker" if load.store else "benchmarks.stub_worker"
            await worker.start(
                *(sys.executable, "-m", module),
                env={
                    **shared,
                    **CREDENTIALS_ENV,
                    "CLOB_URL": url,
                    "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_url,
                    "STATE_TABLE": STATE_TABLE,
                    "DECISION_TABLE": decision_table_of(STATE_TABLE),
                    "EXECUTION": load.execution,
                    "PRIVATE_KEY": HexBytes(key.key).to_0x_hex(),
                    "WALLET": deposit_wallet_of(key.address),
                    "MAX_POSITIONS": str(MARKETS),
                    "COOLDOWN_S": "0",
                    "MIN_TIME_TO_CLOSE_S": "0",
                    "BENCH_BOOK_COST_MS": str(load.book_cost_ms),
                },
            )
            system.workers.append(worker)
        for feeder in feeders:
            await feeder.wait_for("feeder_started")
        for worker in system.workers:
            await worker.wait_for("worker_started")
        async with asyncio.timeout(60):
            await venue.subscribed(*(market.token("Up") for market in markets))
        yield system


if __name__ == "__main__":
    for name, figures in {**run(), **run_overload()}.items():
        print(json.dumps({name: dataclasses.asdict(figures)}))
