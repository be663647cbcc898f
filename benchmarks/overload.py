"""How old the book is that a worker acts on when each one costs it 3 ms: a third of what arrives.

What it cannot look at is replaced by what is newer, so the age must stay; without that it would
grow for as long as the load lasts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import uvloop
from rich.table import Table

from benchmarks import report
from benchmarks.pipeline import WARM_UP_S, start_feeders
from benchmarks.scripted_markets import SignalDriver, scripted_venue
from benchmarks.stats import percentiles, quartiles
from benchmarks.system import TODAY, Tree, processes_of, worker_env
from runtime.process import freeze_heap
from sandbox.simulator import serve

SECONDS: Final = 6.0
BOOK_COST_MS: Final = 3.0


def run(
    trees: Sequence[Tree] = (TODAY,), *, repeats: int, progress: Callable[[str], None] = print
) -> dict[str, list[dict[str, float]]]:
    """By tree's name, the ages' percentiles of each repeat, milliseconds; trees take turns."""
    found: dict[str, list[dict[str, float]]] = {tree.name: [] for tree in trees}
    for repeat in range(repeats):
        for tree in trees:
            progress(f"a worker that is too slow, {tree.name}, {repeat + 1} of {repeats}")
            ages = percentiles(uvloop.run(_ages_ms(tree)))
            found[tree.name].append({"p50": ages.p50, "p99": ages.p99, "max": ages.max})
    return found


def table(found: Mapping[str, Sequence[Mapping[str, float]]]) -> Table:
    """A row a tree."""
    shares = ("p50", "p99", "max")
    rows = [
        (name, *(quartiles([each[share] for each in repeats]).text(0) for share in shares))
        for name, repeats in found.items()
    ]
    title = f"age of the books acted on when each costs {BOOK_COST_MS:g} ms, ms"
    return report.table(title, ("", *shares), rows)


async def _ages_ms(tree: Tree) -> list[float]:
    venue, markets = scripted_venue()
    driver = SignalDriver(venue, markets)
    async with serve(venue) as url, processes_of(tree) as processes:
        await processes.start_nats()
        await start_feeders(processes, url, markets)
        env = {
            **worker_env(processes.nats_url, url, "dynamodb", ""),
            "EXECUTION": "paper",
            "BENCH_BOOK_COST_MS": str(BOOK_COST_MS),
        }
        worker = await processes.start("workers", "-m", "benchmarks.stub_worker", env=env)
        await processes.started("feeders", "feeder_started")
        await processes.started("workers", "worker_started")
        async with asyncio.timeout(60):
            await venue.subscribed(*(market.token("Up") for market in markets))
        freeze_heap()
        await driver.loaded(WARM_UP_S + SECONDS)
        said: Any = asyncio.create_task(worker.wait_for("ages_ms"))
        await worker.stop()
        ages: list[float] = (await said)["ages_ms"]
        return ages[len(ages) // 3 :]  # without the start
