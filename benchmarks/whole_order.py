"""What an order costs a worker from its book to its last record, step by step.

    python -m benchmarks.whole_order [--store none|sqlite] [--answer matched|refused] [--orders 100]

`Worker` itself, with a live account whose orders go to a process on this machine, which answers at
once; log lines go to a pipe that is read, decisions to a client that publishes nothing. `none`: the
store answers at once, so that what is left is the worker's own. `sqlite`: the embedded store as it
is for a live account; its disk is a part of the wall time. `hot`: one order after the other, which
only says how much code there is. `cold`: after other work, as orders come.

    decide     book to trade: decode, fence, memory, gate, strategy
    sign       trade to signed order; of it `signature`, which is libsecp256k1's
    claim      signed order to claim
    post       claim to the socket's `send`
    send       the kernel's
    answer     its bytes read to the end of the order: read, recorded, reported, logged

Microseconds of the process's CPU: median and quartiles. `wall`: from the trade to `send`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

import msgspec
import uvloop

from benchmarks.other_work import other_work
from benchmarks.stats import quartiles
from benchmarks.strategies_in_process import _ALWAYS_BUYS, _REPLY, _configuration
from benchmarks.strategy_books import MARKETS, Books
from benchmarks.stub_worker import GrantingStore, UnaskingVerifier
from functions.adapters.book_pull import BookPull, Delivery
from functions.adapters.decision_publisher import DecisionPublisher
from functions.adapters.sqlite import accounts
from functions.adapters.sqlite.store import SqliteStore, open_stores
from functions.core.account import new_account
from functions.core.clock_doubt import ClockDoubt
from functions.core.fencing import Fence
from functions.handlers.follow_configuration import ConfigurationInForce
from functions.handlers.trading_account import OpenedAccount, WorkerParts, trading_account
from functions.ports import ClobMarkets, Store
from functions.worker_clock import WorkerClock
from functions.worker_loop import Worker
from functions.worker_metrics import WorkerMetrics
from protocol.snapshot import decode_snapshot
from runtime.instant import Instant
from runtime.log import configure_logging
from runtime.process import freeze_heap
from strategies.book_imbalance import BookImbalance
from tests.support.arguments import count
from tests.support.live_desk import live_exchange, open_desk, send_orders_to
from venue.trading import official_client
from venue.trading.direct_orders import DirectOrders
from venue.trading.official_client import STANDARD_EXCHANGE
from venue.trading.order_id import ExchangeDomain, OrderFields, order_id

ACCOUNT: Final = "bench"
WARM_UP: Final = 100
BOOKS_SEEN: Final = 150 * MARKETS
"""Before the first order: memories are as long as in the middle of a window."""
OTHER_WORK_S: Final = 0.06
STEPS: Final = ("decide", "sign", "signature", "claim", "post", "send", "answer")
_REFUSED: Final = b'{"error":"no orders found to match with FAK order"}'


class Marks:
    """Processor time (and wall time) at each point of one order's way."""

    def __init__(self) -> None:
        self.cpu: dict[str, int] = {}
        self.wall: dict[str, int] = {}

    def at(self, name: str) -> None:
        self.cpu[name], self.wall[name] = time.process_time_ns(), time.perf_counter_ns()

    def took(self) -> dict[str, float]:
        """Microseconds by step."""
        cpu = self.cpu

        def between(begin: str, end: str) -> float:
            return (cpu[end] - cpu[begin]) / 1e3

        return {
            "decide": between("book", "trade"),
            "sign": between("trade", "signed"),
            "signature": between("signing", "signature"),
            "claim": between("signed", "claimed"),
            "post": between("claimed", "sending"),
            "send": between("sending", "sent"),
            "answer": between("read", "done"),
            "wall": (self.wall["sending"] - self.wall["trade"]) / 1e3,
        }


class MarkedSocket:
    """A socket of an order, which tells when it is written to and read."""

    def __init__(self, inner: socket.socket, marks: Marks) -> None:
        self._inner, self._marks = inner, marks

    def send(self, data: bytes) -> int:
        self._marks.at("sending")
        taken = self._inner.send(data)
        self._marks.at("sent")
        return taken

    def recv(self, count: int) -> bytes:
        data = self._inner.recv(count)
        self._marks.at("read")
        return data

    def fileno(self) -> int:
        return self._inner.fileno()

    def close(self) -> None:
        self._inner.close()


@asynccontextmanager
async def _store(kind: str) -> AsyncIterator[tuple[Store, Callable[[], Any]]]:
    """The store, and what makes its account as good as new."""
    if kind == "none":
        yield GrantingStore(), lambda: asyncio.sleep(0)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.sqlite"
        async with open_stores([ACCOUNT], path, durable=True) as stores:
            store: SqliteStore = stores[ACCOUNT]
            await store.open_account()
            fresh = msgspec.structs.replace(new_account(), config_version=1)

            async def reset() -> None:
                await store._file.write("reset", lambda sql: accounts.put(sql, ACCOUNT, fresh))

            yield store, reset


class BuyingWorker:
    """A worker with one account that buys on each book."""

    def __init__(self, store: Store, exchange: Any, marks: Marks) -> None:
        metrics = WorkerMetrics({ACCOUNT: BookImbalance.Reason})
        verifier, fence = UnaskingVerifier(cast(ClobMarkets, None), metrics), Fence()
        in_force = ConfigurationInForce(_configuration(BookImbalance, **_ALWAYS_BUYS))
        opened = OpenedAccount(ACCOUNT, BookImbalance, store, exchange, in_force)
        parts = WorkerParts("bench", fence, ClockDoubt(), verifier, metrics)
        published = SimpleNamespace(jetstream=lambda timeout: SimpleNamespace(publish=_published))
        self.publisher = DecisionPublisher(cast(Any, published), ACCOUNT, metrics.accounts[ACCOUNT])
        account = trading_account(opened, parts, self.publisher.offer)
        self.worker = Worker(
            cast(BookPull, SimpleNamespace(conflated=0)),
            [account],
            verifier=verifier,
            clock=WorkerClock(1_000, metrics),
            metrics=metrics,
            fence=fence,
        )
        self._refusals = account.evaluator._refusals
        _mark(account.evaluator, "consider", marks, after="trade")
        self._marks = marks

    async def order(self, payload: bytes) -> None:
        """One book, and all that follows from it."""
        self._refusals.__init__()  # type: ignore[misc]  # buys again at once
        self._marks.at("book")
        self.worker._handle(Delivery(payload, _REPLY, Instant()))
        while executing := [*self.worker._executing.values(), *self.worker._warming.values()]:
            await asyncio.wait(executing)
            self._marks.at("done")
        await self.publisher._queue.join()


async def _published(*_: object) -> None:
    return None


def _mark(owner: Any, name: str, marks: Marks, *, before: str = "", after: str = "") -> None:
    """Note when a method that awaits nothing is called and left."""
    inner = getattr(owner, name)

    def marked(*arguments: Any) -> Any:
        if before:
            marks.at(before)
        result = inner(*arguments)
        if after:
            marks.at(after)
        return result

    setattr(owner, name, marked)


def _mark_awaited(owner: Any, name: str, marks: Marks, after: str) -> None:
    inner = getattr(owner, name)

    async def marked(*arguments: Any, **named: Any) -> Any:
        result = await inner(*arguments, **named)
        marks.at(after)
        return result

    setattr(owner, name, marked)


async def _run(url: str, kind: str, orders: int) -> dict[str, dict[str, list[float]]]:
    marks, books = Marks(), Books()
    figures: dict[str, dict[str, list[float]]] = {"hot": {}, "cold": {}}
    async with AsyncExitStack() as stack:
        desk = await stack.enter_async_context(open_desk())
        exchange = await live_exchange(desk.url)
        stack.push_async_callback(exchange.close)
        send_orders_to(exchange, url)
        official_client.market_facts = _facts  # type: ignore[assignment]
        direct = cast(DirectOrders, exchange._orders)
        _mark(direct._builder, "_sign", marks, before="signing", after="signature")
        store, reset = await stack.enter_async_context(_store(kind))
        one = BuyingWorker(store, exchange, marks)
        for _ in range(BOOKS_SEEN):
            one.worker._memories.note(decode_snapshot(books.next()[1]))
        _mark_awaited(exchange, "prepare", marks, "signed")
        _mark_awaited(store, "claim", marks, "claimed")
        publishing = asyncio.create_task(one.publisher.run())
        for rounds, temperature in ((WARM_UP, ""), (orders, "hot"), (orders, "cold")):
            if temperature == "hot":
                freeze_heap()
            for _ in range(rounds):
                await reset()
                if temperature == "cold":
                    other_work(OTHER_WORK_S)
                for connection in direct._connection._open:
                    if not isinstance(connection._socket, MarkedSocket):
                        connection._socket = cast(Any, MarkedSocket(connection._socket, marks))
                marks.cpu.clear()
                await one.order(books.next()[1])
                if temperature and "sent" in marks.cpu:
                    for step, took_us in marks.took().items():
                        figures[temperature].setdefault(step, []).append(took_us)
        publishing.cancel()
    return figures


async def _facts(_: object, token_id: str) -> official_client.MarketFacts:
    return official_client.MarketFacts(token_ids=frozenset([token_id]), tick_e4=10, neg_risk=False)


def _serve(listening: socket.socket, answer: str) -> None:
    """Answers each order of each connection, in a process of its own."""

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
                body = await reader.readexactly(length)
                status, said = (400, _REFUSED) if answer == "refused" else (200, _matched(body))
                writer.write(
                    b"HTTP/1.1 %d X\r\nDate: Mon, 30 Nov 2026 00:00:00 GMT\r\n"
                    b"Content-Type: application/json\r\nServer: cloudflare\r\n"
                    b"CF-Ray: 8a9d7f1c9b2e1234-DUB\r\nContent-Length: %d\r\n\r\n%s"
                    % (status, len(said), said)
                )
        except asyncio.IncompleteReadError:
            writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(serve_one, sock=listening)
        await server.serve_forever()

    asyncio.run(serve())


def _matched(body: bytes) -> bytes:
    sent = json.loads(body)["order"]
    fields = OrderFields(
        salt=sent["salt"],
        maker=sent["maker"],
        signer=sent["signer"],
        token_id=int(sent["tokenId"]),
        maker_amount=int(sent["makerAmount"]),
        taker_amount=int(sent["takerAmount"]),
        side=0,
        signature_type=sent["signatureType"],
        timestamp_ms=int(sent["timestamp"]),
        metadata=sent["metadata"],
        builder=sent["builder"],
    )
    domain = ExchangeDomain(chain_id=137, contract=STANDARD_EXCHANGE, version="2")
    answer = {
        "errorMsg": "",
        "orderID": order_id(fields, domain),
        "takingAmount": str(int(sent["takerAmount"]) / 1e6),
        "makingAmount": str(int(sent["makerAmount"]) / 1e6),
        "status": "matched",
        "transactionsHashes": ["0x" + "ab" * 32],
        "success": True,
    }
    return json.dumps(answer).encode()


def main() -> int:
    """Print a table: hot and cold, a line a step."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.whole_order")
    arguments.add_argument("--store", choices=("none", "sqlite"), default="none")
    arguments.add_argument("--answer", choices=("matched", "refused"), default="matched")
    arguments.add_argument("--orders", type=count, default=100)
    told = arguments.parse_args()
    listening = socket.create_server(("127.0.0.1", 0))
    venue = multiprocessing.Process(target=_serve, args=(listening, told.answer), daemon=True)
    venue.start()
    try:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with _stderr_read_by_another():
            configure_logging(service="bench")
            figures = uvloop.run(_run(url, told.store, told.orders))
    finally:
        venue.terminate()
        venue.join()
        listening.close()
    for temperature, steps in figures.items():
        steps["before"] = [sum(row) for row in zip(*(steps[s] for s in _BEFORE), strict=True)]
        steps["before"] = [a - b for a, b in zip(steps["before"], steps["signature"], strict=True)]
        for step, values in steps.items():
            found = quartiles(values)
            print(
                f"{temperature:5} {step:10} {found.median:8.0f}  {found.low:8.0f} {found.high:8.0f}"
            )
    return 0


_BEFORE: Final = ("sign", "claim", "post")


@contextmanager
def _stderr_read_by_another() -> Iterator[None]:
    """Lines of the log go to a pipe that another process reads, as on one machine."""
    reading, writing = os.pipe()
    kept = os.dup(2)
    reader = multiprocessing.Process(target=_drain, args=(reading, writing), daemon=True)
    reader.start()
    os.close(reading)
    os.dup2(writing, 2)
    os.close(writing)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        reader.terminate()
        reader.join()


def _drain(reading: int, writing: int) -> None:
    os.close(writing)
    while os.read(reading, 1 << 16):
        pass


if __name__ == "__main__":
    sys.exit(main())
