"""Ways from the stream of books to a worker, one after the other on the same nats-servers.

    python -m benchmarks.stream_ways        some minutes; --seconds, --repeats

Pull with and without acknowledgements, push to a queue group, and a queue group of core
subscriptions, for which the stream only stores. Of each: from publishing to the worker's hands, and
what a book costs server and worker of processor time, at 20 and at 1,000 books a second, with one
processor for nats-server and with as many as there are (GOMAXPROCS). Then, of two workers of which
one is suspended: how many books the other one does not get.

Times of processors are read from /proc (Linux).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import uvloop
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from benchmarks.stats import percentiles, quartiles
from functions.adapters.book_pull import BookPull, Delivery
from local.child import Child
from local.nats_server import start_nats
from protocol.subjects import BOOKS, book_subject
from runtime.nats import close, connect, ensure_stream
from tests.support.arguments import count, duration_s

MARKETS: Final = 50
BOOK_BYTES: Final = 3_900
RATES: Final = (20, 1_000)
PROCESSORS: Final = {"1": "one", "": "all"}
"""GOMAXPROCS of a nats-server."""
SUSPENDED_RATE: Final = 100
SUSPENDED_S: Final = 5.0
_GROUP: Final = "workers"
_TIME_DIGITS: Final = 20


class PullAcks(BookPull):
    """Each book is acknowledged, and comes again if it is not."""

    async def _ensure_consumer(self) -> None:
        await self._js.add_consumer(BOOKS.name, _consumer(self._durable, AckPolicy.EXPLICIT))
        self._heard_at_s = time.monotonic()

    async def next(self) -> Delivery:
        delivery = await super().next()
        await self._nc.publish(delivery.reply, b"+ACK")
        return delivery


class CoreGroup(BookPull):
    """No consumer: the server sends what is published to one of a queue group."""

    subject = BOOKS.subjects[0]

    async def start(self) -> None:
        async def take(message: Msg) -> None:
            self._on_message(message)

        await self._nc.subscribe(self.subject, queue=_GROUP, cb=take)

    async def run(self) -> None:
        await asyncio.Event().wait()

    def _refill(self) -> None:
        return


class PushGroup(CoreGroup):
    """The consumer sends each book to one of a queue group."""

    subject = "deliver"

    async def start(self) -> None:
        await super().start()
        config = _consumer(self._durable, AckPolicy.NONE)
        config.deliver_subject, config.deliver_group = self.subject, _GROUP
        await self._js.add_consumer(BOOKS.name, config)


WAYS: Final[Mapping[str, type[BookPull]]] = {
    "pull-acknowledged": PullAcks,
    "pull": BookPull,
    "push-group": PushGroup,
    "core-group": CoreGroup,
}


def _consumer(durable: str, acknowledged: AckPolicy) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=durable,
        ack_policy=acknowledged,
        deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
        filter_subject=BOOKS.subjects[0],
        mem_storage=True,
    )


async def _take(url: str, way: str, subject: str) -> None:
    """A worker that does nothing with a book; whoever asks is told of those since the last time."""
    nc = await connect(url, "taker")
    pull, ways_us, began_s = WAYS[way](nc, way), list[float](), time.process_time()

    async def tell(asked: Msg) -> None:
        nonlocal began_s
        told = {"us": ways_us, "cpu_s": time.process_time() - began_s}
        await asked.respond(json.dumps(told).encode())
        ways_us.clear()
        began_s = time.process_time()

    await nc.subscribe(subject, cb=tell)
    await pull.start()
    await nc.flush()
    running = asyncio.create_task(pull.run())
    print(json.dumps({"event": "taking"}), flush=True)
    while not running.done():
        published_ns = int((await pull.next()).payload[:_TIME_DIGITS])
        ways_us.append((time.monotonic_ns() - published_ns) / 1e3)


class _Server:
    """A nats-server, and who publishes there."""

    def __init__(self, url: str, pid: int, nc: Client, scratch: Path) -> None:
        self._url, self._pid, self._nc, self._scratch = url, pid, nc, scratch
        self._padding = b"x" * (BOOK_BYTES - _TIME_DIGITS)
        self._subjects = [book_subject("btc-15m", f"0x{n:064x}") for n in range(MARKETS)]

    async def publish(self, rate: int, seconds: float) -> int:
        """So many books a second, in turn; how many it were."""
        began_s, count = time.monotonic(), 0
        while (spent_s := time.monotonic() - began_s) < seconds:
            while count < int(spent_s * rate):
                payload = b"%0*d" % (_TIME_DIGITS, time.monotonic_ns()) + self._padding
                await self._nc.publish(self._subjects[count % MARKETS], payload)
                count += 1
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.1)
        return count

    async def asked(self, subject: str) -> tuple[list[float], float]:
        """Of a taker: how long its books were under way, in µs, and its processor time, in s."""
        told = json.loads((await self._nc.request(subject, timeout=30)).data)
        return told["us"], told["cpu_s"]

    @asynccontextmanager
    async def taker(self, way: str, subject: str) -> AsyncIterator[Child]:
        """A process that takes books this way."""
        child = Child(subject, self._scratch)
        try:
            command = ("-m", "benchmarks.stream_ways", "--take", way, subject, "--url", self._url)
            await child.start(sys.executable, *command, env={})
            await child.wait_for("taking")
            yield child
        finally:
            child.kill()
            await child.stop()

    async def measure(self, way: str, rate: int, seconds: float) -> dict[str, float]:
        """One run."""
        async with self.taker(way, "taker"):
            await self.publish(rate, 0.5)
            await self.asked("taker")
            server_us = self._cpu_us()
            count = await self.publish(rate, seconds)
            server_us = self._cpu_us() - server_us
            ways_us, cpu_s = await self.asked("taker")
        under_way = percentiles(ways_us)
        return {
            "p50 µs": under_way.p50,
            "p99 µs": under_way.p99,
            "server's µs a book": server_us / count,
            "worker's µs a book": cpu_s * 1e6 / len(ways_us),
        }

    async def missed(self, way: str) -> tuple[int, int]:
        """(books that the living one of two workers did not get, of so many)."""
        async with self.taker(way, "living"), self.taker(way, "suspended") as suspended:
            await self.publish(SUSPENDED_RATE, 0.5)
            await self.asked("living")
            os.kill(suspended.pid, signal.SIGSTOP)
            count = await self.publish(SUSPENDED_RATE, SUSPENDED_S)
            ways_us, _ = await self.asked("living")
            return count - len(ways_us), count

    def _cpu_us(self) -> float:
        tasks = Path(f"/proc/{self._pid}/task").iterdir()
        return sum(int((each / "schedstat").read_text().split()[0]) for each in tasks) / 1e3


@asynccontextmanager
async def _server(processors: str) -> AsyncIterator[_Server]:
    async with AsyncExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ways-")))
        child = Child("nats", scratch)
        stack.push_async_callback(child.stop)
        os.environ["GOMAXPROCS"] = processors or str(os.cpu_count())
        url = await start_nats(child, scratch)
        nc = await connect(url, "publisher")
        stack.push_async_callback(close, nc)
        await ensure_stream(nc.jetstream(timeout=5), BOOKS)
        yield _Server(url, child.pid, nc, scratch)


async def _compare(seconds: float, repeats: int) -> None:
    async with AsyncExitStack() as stack:
        servers = {n: await stack.enter_async_context(_server(n)) for n in PROCESSORS}
        for rate in RATES:
            figures = defaultdict[tuple[str, str, str], list[float]](list)
            for _ in range(repeats):
                for way in WAYS:
                    for processors, server in servers.items():
                        for name, figure in (await server.measure(way, rate, seconds)).items():
                            figures[way, processors, name].append(figure)
            print(f"{rate} books a second: median (quartiles) of {repeats}", flush=True)
            for (way, processors, name), samples in figures.items():
                q = quartiles(samples)
                print(
                    f"  {way:18}{PROCESSORS[processors]:4}{name:20}"
                    f"{q.median:7.0f} ({q.low:.0f}-{q.high:.0f})",
                    flush=True,
                )
        for way in WAYS:
            missed, count = await servers["1"].missed(way)
            print(f"suspended worker beside a living one, {way}: {missed} of {count} missed")


def main() -> None:
    """See the top of this module."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=duration_s, default=5.0)
    arguments.add_argument("--repeats", type=count, default=5)
    arguments.add_argument("--take", nargs=2, help=argparse.SUPPRESS)
    arguments.add_argument("--url", help=argparse.SUPPRESS)
    told = arguments.parse_args()
    uvloop.run(_take(told.url, *told.take) if told.take else _compare(told.seconds, told.repeats))


if __name__ == "__main__":
    main()
