"""Strategies in one worker beside a consumer each, on a real nats-server: what a book costs both.

Books of 50 markets, 1,000 a second offered, each acknowledged by the server. Either one worker
process with 1, 10 or 30 accounts on paper (`benchmarks.stub_worker`), or as many consumers as
single workers would have, each on a connection of its own: those only pull, because so many worker
processes do not fit on one machine. Processor time is what each process says of
itself, the server's is read from /proc (Linux).
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from nats.aio.client import Client

from benchmarks.growth_streams import _cpu_s
from benchmarks.strategy_books import Books
from benchmarks.stub_worker import FIGURES
from local.child import Child
from local.nats_server import start_nats
from protocol.subjects import BOOKS, DECISIONS
from runtime.nats import connect_once, ensure_stream

BOOKS_PER_S: Final = 1_000
IN_FLIGHT_MAX: Final = 128
"""Publishes that wait for the server; with more the books come later, none is left out."""
WARM_UP_S: Final = 4.0
STRATEGY: Final = "book_imbalance_crypto"


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamRun:
    """What one run measured; microseconds of processor time a published book."""

    published_per_s: float
    handled_per_s: float
    """Books handled; where consumers are counted, deliveries to all of them."""
    client_us: float
    """Of the worker, or of the one process of all consumers."""
    server_us: float
    held: float
    """Share of the books that an account held."""


async def grouped(books: Books, accounts: int, seconds: float) -> StreamRun:
    """One worker with so many accounts."""
    named = ",".join(f"a{number:02d}={STRATEGY}@paper" for number in range(accounts))
    env = {"STRATEGIES": named, "BENCH_ASK_NO_VENUE": "1"}
    return await _measured(books, "benchmarks.stub_worker", env, accounts, seconds)


async def apart(books: Books, accounts: int, seconds: float) -> StreamRun:
    """So many consumers."""
    env = {"BENCH_CONSUMERS": str(accounts)}
    return await _measured(books, "benchmarks.stub_consumers", env, accounts, seconds)


async def _measured(
    books: Books, module: str, env: dict[str, str], accounts: int, seconds: float
) -> StreamRun:
    async with _server() as (nc, url, nats_pid, child):
        await child.start(
            *(sys.executable, "-m", module),
            env={"NATS_URL": url, "METRICS_PORT": "0", "MIN_TIME_TO_CLOSE_S": "0", **env},
        )
        await child.wait_for("worker_started")
        await _publish(nc, books, WARM_UP_S)
        before, server_s = await _figures(nc), _cpu_s(nats_pid)
        began_s = time.perf_counter()
        published = await _publish(nc, books, seconds)
        took_s = time.perf_counter() - began_s
        after, server_s = await _figures(nc), _cpu_s(nats_pid) - server_s
    done = {name: after[name] - before[name] for name in after}
    looks = max(1.0, done["books"] * accounts)
    return StreamRun(
        published_per_s=published / took_s,
        handled_per_s=done["books"] / took_s,
        client_us=done["cpu_s"] / published * 1e6,
        server_us=server_s / published * 1e6,
        held=done.get("holds", 0.0) / looks,
    )


async def _publish(nc: Client, books: Books, seconds: float) -> int:
    """At the set rate for so long; how many."""
    js, loop = nc.jetstream(timeout=30), asyncio.get_running_loop()
    slots, sending = asyncio.Semaphore(IN_FLIGHT_MAX), set[asyncio.Task[None]]()

    async def send(subject: str, payload: bytes) -> None:
        try:
            await js.publish(subject, payload)
        finally:
            slots.release()

    began_s, published = loop.time(), 0
    while published < seconds * BOOKS_PER_S:
        if loop.time() > began_s + 2 * seconds:
            break  # the server takes no more than half of what is offered
        await asyncio.sleep(max(0.0, began_s + (published + 1) / BOOKS_PER_S - loop.time()))
        due = int((loop.time() - began_s) * BOOKS_PER_S)
        for _ in range(min(due, int(seconds * BOOKS_PER_S)) - published):
            await slots.acquire()
            number, payload = books.next()
            task = asyncio.create_task(send(books.subject(number), payload))
            sending.add(task)
            task.add_done_callback(sending.discard)
            published += 1
    await asyncio.gather(*sending)
    return published


async def _figures(nc: Client) -> dict[str, float]:
    figures: dict[str, float] = json.loads((await nc.request(FIGURES, timeout=30)).data)
    return figures


@asynccontextmanager
async def _server() -> AsyncIterator[tuple[Client, str, int, Child]]:
    """A client of a fresh nats-server, its URL and pid, and a process to be started."""
    async with AsyncExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="strategies-")))
        server, client = Child("nats", scratch), Child("client", scratch)
        stack.push_async_callback(server.stop)
        url = await start_nats(server, scratch)
        nc = await connect_once(url, "bench")
        stack.push_async_callback(nc.close)
        for stream in (BOOKS, DECISIONS):
            await ensure_stream(nc.jetstream(timeout=5), stream)
        stack.push_async_callback(client.stop)
        yield nc, url, server.pid, client
