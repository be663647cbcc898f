"""How many frames a second one feeder takes, through sockets, and what it does with more.

One feeder process, 30 busy markets, two lines. The rate rises step by step; each step tells what
the feeder says of itself, what a reader of its books sees, and what its process took. A market
frame comes on both lines, so it is two frames for the feeder. Two rates are told apart: up to which
it *handles* all frames as they come, and up to which it *publishes* each change: what changes while
a market's book is on its way is published once, and no decision is made on an older book for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import aiohttp
import uvloop
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.pipeline import start_feeders
from benchmarks.prepared_frames import FrameSource
from benchmarks.process_times import times_of
from benchmarks.scripted_markets import scripted_venue
from benchmarks.stats import percentiles
from benchmarks.system import TODAY, Tree, processes_of
from protocol.snapshot import ProtocolError, decode_snapshot
from runtime.nats import connect_once
from runtime.process import freeze_heap
from sandbox.simulator import serve

RATES: Final = (1_000, 2_000, 4_000, 6_000, 8_000, 10_000, 12_000, 16_000, 20_000)
MARKETS: Final = 30
"""One connection holds the windows of at most 33 series."""
STEP_S: Final = 4.0
_STEP_FRAMES_MAX: Final = 24_000
"""To write them ahead takes longer than to send them: steps of higher rates are shorter."""
_SETTLE_S: Final = 1.5
"""After a step: what is still unread is read, and a lost connection opened again."""
_LOOK_EVERY_MS: Final = 5
"""To read the age of every book would take a core from the feeder."""
ALL: Final = 0.95
"""Of the market frames: what is still under way when a step ends makes it less than one."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RateStep:
    """One rate."""

    frames_per_s: float
    """Market frames that were sent."""
    handled_per_s: float
    """Of them, by the feeder: half of what it took from both lines."""
    books_per_s: float
    age_p50_ms: float | None
    age_p99_ms: float | None
    """From the moment that stands in the frame to the reader of the book; None: no book came."""
    feeder_cores: float
    feeder_us_a_line_frame: float
    waited_us_a_line_frame: float
    leases_lost: int
    connections_lost: int
    cut_as_too_slow: int
    """Of them, by the venue."""
    books_doubted: int

    @property
    def handles_all(self) -> bool:
        """Whether it took all frames as they came, and lost no line and no lease over it."""
        lost = self.leases_lost or self.connections_lost
        return not lost and self.handled_per_s >= ALL * self.frames_per_s

    @property
    def publishes_each(self) -> bool:
        """Whether as good as each change left as a book of its own."""
        return self.books_per_s >= ALL * self.frames_per_s


def run(
    trees: Sequence[Tree] = (TODAY,),
    *,
    repeats: int = 1,
    progress: Callable[[str], None] = print,
    rates: Sequence[int] = RATES,
    step_s: float = STEP_S,
) -> dict[str, list[list[RateStep]]]:
    """By tree's name, its repeats; trees take turns."""
    steps: dict[str, list[list[RateStep]]] = {tree.name: [] for tree in trees}
    for repeat in range(repeats):
        for tree in trees:
            progress(f"a feeder under rising load, {tree.name}, {repeat + 1} of {repeats}")
            steps[tree.name].append(uvloop.run(_measure(tree, rates, step_s)))
    return steps


async def _measure(tree: Tree, rates: Sequence[int], step_s: float) -> list[RateStep]:
    venue, markets = scripted_venue(MARKETS)
    _, twins = scripted_venue(MARKETS)
    source = FrameSource(venue, markets, twins)
    async with serve(venue) as url, processes_of(tree) as processes:
        await processes.start_nats()
        await start_feeders(processes, url, markets, feeders=1)
        [started] = await processes.started("feeders", "feeder_started")
        async with asyncio.timeout(60):
            await venue.subscribed(*(book.token_id for each in markets for book in each.books))
            await venue.notice.until(lambda: len(venue.market_feed.connections) >= 2)
        nc = await connect_once(processes.nats_url, "bench")
        reader = _Reader()
        await nc.subscribe("book.>", cb=reader.on_book, pending_msgs_limit=-1)
        freeze_heap()
        async with aiohttp.ClientSession() as http:
            [pid] = processes.pids["feeders"]
            feeder = _Feeder(pid, f"http://127.0.0.1:{started['metrics_port']}/metrics", http)
            await source.play(500, 2.0)  # code that is loaded, leases that are held
            measured = [await _step(source, feeder, reader, rate, step_s) for rate in rates]
        await nc.close()
        return measured


async def _step(
    source: FrameSource, feeder: _Feeder, reader: _Reader, rate: int, step_s: float
) -> RateStep:
    await asyncio.sleep(_SETTLE_S)
    before, cut = await feeder.counts(), source.cut
    reader.begin()
    seconds = min(step_s, _STEP_FRAMES_MAX / rate)
    times = times_of(feeder.pid)
    took_s = await source.play(rate, seconds)
    used = times_of(feeder.pid) - times
    books = reader.books
    counts = {name: count - before[name] for name, count in (await feeder.counts()).items()}
    line_frames = counts["frames"] or 1
    ages = percentiles(reader.ages_ms) if reader.ages_ms else None
    return RateStep(
        frames_per_s=int(rate * seconds) / took_s,
        handled_per_s=line_frames / 2 / took_s,
        books_per_s=books / took_s,
        age_p50_ms=ages.p50 if ages else None,
        age_p99_ms=ages.p99 if ages else None,
        feeder_cores=used.cpu_s / took_s,
        feeder_us_a_line_frame=used.cpu_s / line_frames * 1e6,
        waited_us_a_line_frame=used.waited_s / line_frames * 1e6,
        leases_lost=counts["leases lost"],
        connections_lost=counts["connections lost"],
        cut_as_too_slow=source.cut - cut,
        books_doubted=counts["books doubted"],
    )


class _Reader:
    """Counts the books that are published, and looks how old some of them are."""

    def __init__(self) -> None:
        self.books = 0
        self.ages_ms: list[float] = []
        self._look_at_ms = 0.0

    def begin(self) -> None:
        self.books, self.ages_ms = 0, []

    async def on_book(self, message: Any) -> None:
        self.books += 1
        now_ms = time.time() * 1e3
        if now_ms >= self._look_at_ms:
            self._look_at_ms = now_ms + _LOOK_EVERY_MS
            with contextlib.suppress(ProtocolError):  # of another tree
                snapshot = decode_snapshot(message.data)
                self.ages_ms.append(now_ms - snapshot.venue_timestamp_ms)


class _Feeder:
    """The process, and what it says that it has counted."""

    def __init__(self, pid: int, metrics_url: str, http: aiohttp.ClientSession) -> None:
        self.pid = pid
        self._metrics_url = metrics_url
        self._http = http

    async def counts(self) -> dict[str, int]:
        """So far. Raises aiohttp.ClientError."""
        async with self._http.get(self._metrics_url) as response:
            text = await response.text()
        counts = dict.fromkeys(("frames", "leases lost", "connections lost", "books doubted"), 0)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                match sample.name, sample.labels:
                    case "feeder_events_total", {"type": "price_change"}:
                        counts["frames"] += int(sample.value)
                    case "feeder_lease_changes_total", {"kind": "lost"}:
                        counts["leases lost"] += int(sample.value)
                    case "feeder_reconnects_total", _:
                        counts["connections lost"] += int(sample.value)
                    case "feeder_books_suspect_total", _:
                        counts["books doubted"] += int(sample.value)
        return counts
