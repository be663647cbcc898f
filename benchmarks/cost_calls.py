"""What a running system asks of the cloud: the counts that the page of costs takes times prices.

    python -m benchmarks.cost_calls

The sandbox for SECONDS, with a counting proxy before DynamoDB for the workers and one for the
schedule: requests of each kind, orders, runs, log bytes and bytes of books. Its times are scaled by
SPEED, its counts for each order and each run are not.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Final

import aiohttp
from nats.aio.msg import Msg
from prometheus_client.parser import text_string_to_metric_families

from local.services import Service
from protocol.subjects import BOOKS
from runtime.nats import connect_once
from sandbox.cluster import Cluster
from sandbox.services import Options
from tests.support.counting_proxy import StoreCalls, counting_proxy

SECONDS: Final = 60
SPEED: Final = 30


def main() -> None:
    """Print the counts as JSON."""
    print(json.dumps(asyncio.run(measure()), indent=2))


async def measure() -> dict[str, object]:
    """Counts of one run. Raises ChildError when it does not start."""
    options = Options(speed=SPEED, workers=1, max_positions=40, balance_usd=5_000)
    sizes: list[int] = []

    async def on_book(message: Msg) -> None:
        sizes.append(len(message.data))

    with tempfile.TemporaryDirectory(prefix="cost-") as logs:
        async with (
            Counting(options, Path(logs)) as cluster,
            counting_proxy(cluster.dynamodb_url) as (workers_url, workers),
            counting_proxy(cluster.dynamodb_url) as (schedule_url, schedule),
        ):
            cluster.urls = {"worker-1": workers_url, "schedule": schedule_url}
            nc = await connect_once(cluster.nats_url, "bench")
            await nc.subscribe(BOOKS.subjects[0], cb=on_book)
            await cluster.start_services()
            workers.made.clear()
            schedule.made.clear()
            await asyncio.sleep(SECONDS)
            metrics = {**await _metrics(cluster, "worker-1"), **await _metrics(cluster, "schedule")}
            found = _counts(workers, schedule, metrics)
            await nc.close()
            await cluster.stop_services()
        log_bytes = _log_bytes(Path(logs))
    return {
        **found,
        "books": len(sizes),
        "book_bytes_mean": sum(sizes) / max(1, len(sizes)),
        "log_bytes_a_minute": log_bytes,
    }


def _log_bytes(log_dir: Path) -> dict[str, float]:
    return {path.stem: path.stat().st_size * 60 / SECONDS for path in log_dir.glob("*.log")}


class Counting(Cluster):
    """A cluster whose workers and schedule reach DynamoDB by addresses of their own."""

    urls: dict[str, str]

    async def planned_services(self, dynamodb_url: str) -> list[Service]:
        """See `Cluster.planned_services`."""
        return [
            dataclasses.replace(
                each,
                env=each.env | {"AWS_ENDPOINT_URL_DYNAMODB": self.urls.get(each.name, "")},
            )
            if each.name in self.urls
            else each
            for each in await super().planned_services(dynamodb_url)
        ]


def _counts(
    workers: StoreCalls, schedule: StoreCalls, metrics: dict[str, float]
) -> dict[str, object]:
    orders = sum(n for name, n in metrics.items() if name.startswith("worker_orders_total"))
    runs = {
        name: metrics.get(f"schedule_runs_total{{{name}}}", 0.0) for name in ("reconcile", "settle")
    }
    return {
        "worker_requests": Counter(name for name, _ in workers.made),
        "schedule_requests": Counter(name for name, _ in schedule.made),
        "orders": orders,
        "runs": runs,
        "settled": metrics.get("schedule_claims_settled_total", 0.0),
    }


async def _metrics(cluster: Cluster, service: str) -> dict[str, float]:
    found: defaultdict[str, float] = defaultdict(float)
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
        session.get(cluster.metrics_urls[service]) as response,
    ):
        for family in text_string_to_metric_families(await response.text()):
            for sample in family.samples:
                label = sample.labels.get("name")
                found[f"{sample.name}{{{label}}}" if label else sample.name] += sample.value
    return dict(found)


if __name__ == "__main__":
    main()
