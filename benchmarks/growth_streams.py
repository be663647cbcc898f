"""JetStream as markets and strategy accounts grow, on the stream of books as it is declared.

Subjects: N markets, a book of full size each, the newest kept: publishing, memory, and how soon a
new worker has seen every market. Consumers: N strategy accounts, a durable consumer each, on the
books of MARKETS_WATCHED markets: what publishing one book costs the server.

The server's processor time and memory are read from /proc (Linux); rates are of one client and one
server on one machine, so compare them within a run.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import uvloop
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from benchmarks.stats import percentiles
from functions.adapters.book_pull import BookPull
from local.child import Child
from local.nats_server import start_nats
from protocol.subjects import BOOKS, StreamSpec, book_subject
from runtime.nats import connect_once, ensure_stream
from runtime.nats_client import NatsClient
from runtime.process import stop_tasks

SUBJECTS: Final = (10, 1_000, 10_000, 100_000)
ACCOUNTS: Final = (1, 10, 100, 1_000)
MARKETS_WATCHED: Final = 50
PUBLISHES: Final = 5_000
SINGLE: Final = 500
IN_FLIGHT: Final = 128
DELIVERIES_MAX: Final = 50_000
"""Of a fan-out run: what the one counting client takes in seconds."""
DELIVERIES_AT_ONCE: Final = 2_000
"""More at once, and the server cuts a client off whose 64 MB of waiting messages are full."""
WAIT_S: Final = 120.0
QUIET_S: Final = 3.0
_WIDE: Final = msgspec.structs.replace(BOOKS, max_bytes=4 << 30)
"""100,000 full books are more than the stream may hold; the figures are of what would be needed."""


def run(book_bytes: int, subjects: tuple[int, ...] = SUBJECTS) -> dict[str, float]:
    """All figures by name; books are of this size."""
    return uvloop.run(_run(book_bytes, subjects))


async def _run(book_bytes: int, subjects: tuple[int, ...]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for count in subjects:
        async with _server(_WIDE) as (nc, pid):
            figures |= await _subjects(nc, pid, count, b"x" * book_bytes)
    async with _server(BOOKS) as (nc, _):
        figures["books_held_of_100000"] = await _held(nc, b"x" * book_bytes)
    for accounts in ACCOUNTS:
        async with _server(BOOKS) as (nc, pid):
            figures |= await _consumers(nc, pid, accounts, b"x" * book_bytes)
    return figures


async def _subjects(nc: NatsClient, pid: int, count: int, book: bytes) -> dict[str, float]:
    js, subjects = nc.jetstream(timeout=10), _subject_names(count)
    empty_mb = _rss_mb(pid)
    await _publish(nc, subjects, book)
    full_mb = _rss_mb(pid)
    cpu_s, began_s = _cpu_s(pid), time.perf_counter()
    rounds = [subjects[n * 7919 % count] for n in range(PUBLISHES)]
    await _publish(nc, rounds, book)
    rate = PUBLISHES / (time.perf_counter() - began_s)
    cpu_us = (_cpu_s(pid) - cpu_s) / PUBLISHES * 1e6
    samples = []
    for subject in rounds[:SINGLE]:
        asked_s = time.perf_counter()
        await js.publish(subject, book)
        samples.append((time.perf_counter() - asked_s) * 1e3)
    single = percentiles(samples)
    return {
        f"publish_per_s_at_{count}": rate,
        f"publish_server_cpu_us_at_{count}": cpu_us,
        f"publish_ms_p50_at_{count}": single.p50,
        f"publish_ms_p99_at_{count}": single.p99,
        f"server_kb_a_subject_at_{count}": (full_mb - empty_mb) * 1024 / count,
        **await _catch_up(nc, count),
    }


async def _catch_up(nc: NatsClient, count: int) -> dict[str, float]:
    """How long a new worker takes, by the pull of production, to see a book of every market.

    A book that is older than the stream keeps it is not there to be seen.
    """
    pull, began_s = BookPull(nc, f"new-{count}"), time.perf_counter()
    await pull.start()
    pulling, seen, seen_s = asyncio.create_task(pull.run()), 0, began_s
    try:
        async with asyncio.timeout(QUIET_S) as quiet:
            while seen < count:
                await pull.next()
                seen, seen_s = seen + 1, time.perf_counter()
                quiet.reschedule(asyncio.get_running_loop().time() + QUIET_S)
    except TimeoutError:
        pass  # that there are no more is a figure, too
    finally:
        await stop_tasks(pulling)
    return {f"catch_up_s_at_{count}": seen_s - began_s, f"caught_up_on_at_{count}": float(seen)}


async def _held(nc: NatsClient, book: bytes) -> float:
    """How many of 100,000 markets' books the stream holds as it is declared."""
    await _publish(nc, _subject_names(100_000), book)
    return float((await nc.jetstream().stream_info(BOOKS.name)).state.messages)


async def _consumers(nc: NatsClient, pid: int, accounts: int, book: bytes) -> dict[str, float]:
    js, subjects = nc.jetstream(timeout=10), _subject_names(MARKETS_WATCHED)
    before_mb, began_s = _rss_mb(pid), time.perf_counter()
    for number in range(accounts):
        await js.add_consumer(
            BOOKS.name,
            ConsumerConfig(
                durable_name=f"account-{number}",
                ack_policy=AckPolicy.NONE,
                deliver_policy=DeliverPolicy.NEW,
                filter_subject=BOOKS.subjects[0],
                mem_storage=True,
            ),
        )
    create_ms = (time.perf_counter() - began_s) / accounts * 1e3
    idle_mb = _rss_mb(pid)
    at_once = max(1, min(MARKETS_WATCHED, DELIVERIES_AT_ONCE // accounts))
    rounds = max(1, min(2_000, DELIVERIES_MAX // accounts) // at_once)
    delivered, wanted, done, inbox = 0, 0, asyncio.Event(), nc.new_inbox()

    async def on_book(message: Msg) -> None:
        nonlocal delivered
        if message.headers is None:
            delivered += 1
            if delivered >= wanted:
                done.set()

    await nc.subscribe(inbox, cb=on_book)
    for number in range(accounts):
        await nc.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{BOOKS.name}.account-{number}",
            b'{"batch":10000,"expires":%d}' % int(WAIT_S * 1e9),
            reply=inbox,
        )
    await nc.flush()
    cpu_s, own_s, began_s = _cpu_s(pid), time.process_time(), time.perf_counter()
    async with asyncio.timeout(WAIT_S):
        for _ in range(rounds):
            wanted += at_once * accounts
            done.clear()
            await _publish(nc, subjects[:at_once], book)
            await done.wait()
    took_s, published = time.perf_counter() - began_s, rounds * at_once
    return {
        f"consumer_create_ms_at_{accounts}": create_ms,
        f"consumer_kb_at_{accounts}": (idle_mb - before_mb) * 1024 / accounts,
        f"server_cpu_us_a_book_at_{accounts}": (_cpu_s(pid) - cpu_s) / published * 1e6,
        f"server_cpu_us_a_delivery_at_{accounts}": (_cpu_s(pid) - cpu_s) / max(1, delivered) * 1e6,
        f"books_per_s_at_{accounts}": published / took_s,
        f"client_cpu_us_a_delivery_at_{accounts}": (time.process_time() - own_s)
        / max(1, delivered)
        * 1e6,
    }


async def _publish(nc: NatsClient, subjects: list[str], book: bytes) -> None:
    """Each acknowledged, IN_FLIGHT at once."""
    js, left = nc.jetstream(timeout=30), iter(subjects)

    async def some() -> None:
        for subject in left:
            await js.publish(subject, book)

    await asyncio.gather(*(some() for _ in range(IN_FLIGHT)))


def _subject_names(count: int) -> list[str]:
    return [book_subject("btc-15m", f"0x{number:064x}") for number in range(count)]


@asynccontextmanager
async def _server(spec: StreamSpec) -> AsyncIterator[tuple[NatsClient, int]]:
    """A client and the pid of a fresh nats-server with this stream."""
    with tempfile.TemporaryDirectory(prefix="growth-") as scratch:
        child = Child("nats", Path(scratch))
        stops: list[Callable[[], Awaitable[None]]] = [child.stop]
        try:
            nc = await connect_once(await start_nats(child, Path(scratch)), "growth")
            stops.insert(0, nc.close)
            await ensure_stream(nc.jetstream(timeout=5), spec)
            yield nc, child.pid
        finally:
            for stop in stops:
                await stop()


def _rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError("no VmRSS: is this Linux?")


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
