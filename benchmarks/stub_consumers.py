"""As many book consumers as single workers would have, in one process: `BENCH_CONSUMERS` of them.

Each has a connection of its own and pulls as a worker does; it decodes and decides nothing.
`python -m benchmarks.stub_consumers`, for `benchmarks.strategies`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

import structlog
from nats.aio.msg import Msg

from benchmarks.stub_worker import FIGURES
from functions.adapters.book_pull import BookPull
from runtime.log import configure_logging
from runtime.nats import close, connect
from runtime.process import first_failure, freeze_heap, run_service

_log = structlog.get_logger()


async def _serve(url: str, consumers: int) -> None:
    clients = [await connect(url, f"consumer-{number}") for number in range(consumers)]
    pulls = [BookPull(nc, f"account-{number}") for number, nc in enumerate(clients)]
    taken = 0

    async def take(pull: BookPull) -> None:
        nonlocal taken
        while True:
            await pull.next()
            taken += 1

    async def tell(asked: Msg) -> None:
        conflated = sum(pull.conflated for pull in pulls)
        figures = {"books": taken, "conflated": conflated, "cpu_s": time.process_time()}
        await asked.respond(json.dumps(figures).encode())

    try:
        for pull in pulls:
            await pull.start()
        await clients[0].subscribe(FIGURES, cb=tell)
        freeze_heap()
        _log.info("worker_started")
        await first_failure(*(pull.run() for pull in pulls), *map(take, pulls))
    finally:
        await asyncio.gather(*map(close, clients))


if __name__ == "__main__":
    configure_logging(service="stub-consumers")
    sys.exit(run_service(_serve(os.environ["NATS_URL"], int(os.environ["BENCH_CONSUMERS"]))))
