"""An order from the call that makes it until its bytes leave: made and sent by the worker itself
(ORDER_CLIENT=direct), and by the official client, in turns.

    python -m benchmarks.order_path

The venue is a process that refuses each order at once, over plain HTTP. `hot`: one order after the
other, which only says how much code there is. `cold`: after 100 ms of other work each, as a worker
makes its orders. `cpu` is the worker's thread: until the order is signed, until its last byte is
handed to the socket (`direct`: is taken by the kernel), and until its answer is read. `wall` ends
when the venue has the last byte; what else runs on these cores delays it. Quartiles, microseconds.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import time
from collections.abc import Callable
from ctypes import c_longlong
from typing import Any, Final

import uvloop
from httpcore._backends.anyio import AnyIOStream

from benchmarks.other_work import other_work
from benchmarks.stats import Quartiles, quartiles
from functions.adapters.live_exchange import LiveExchange
from tests.support.live_desk import open_desk, send_orders_to
from venue.trading.kept_connection import KeptConnection
from venue.trading.official_orders import OfficialOrders
from venue.wire.order_answer import Rejected

HOT_ROUNDS: Final = 400
COLD_ROUNDS: Final = 100
WARM_UP: Final = 20
OTHER_WORK_S: Final = 0.1
_BODY: Final = b'{"error":"no orders found to match with FAK order"}'
_ANSWER: Final = (
    b"HTTP/1.1 400 X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
    % (len(_BODY), _BODY)
)


def run() -> dict[str, Quartiles]:
    """Microseconds by `client, temperature, measure`."""
    listening = socket.create_server(("127.0.0.1", 0))
    arrived_ns: Any = multiprocessing.Value(c_longlong, 0, lock=False)
    venue = multiprocessing.Process(target=_refuse_all, args=(listening, arrived_ns), daemon=True)
    venue.start()
    try:
        port = listening.getsockname()[1]
        return uvloop.run(_run(f"http://127.0.0.1:{port}", lambda: arrived_ns.value))
    finally:
        venue.terminate()
        venue.join()
        listening.close()


async def _run(url: str, arrived_ns: Callable[[], int]) -> dict[str, Quartiles]:
    handed_ns = _note_what_is_sent()
    samples: dict[str, list[float]] = {}
    async with open_desk() as desk:
        client = desk.exchange._client
        official = LiveExchange(client, OfficialOrders(client))
        exchanges = {"direct": desk.exchange, "official": official}
        trade, snapshot = desk.decided()
        for exchange in exchanges.values():
            await exchange.warm(snapshot.market)
            send_orders_to(exchange, url)
        for rounds, kind in ((WARM_UP, ""), (HOT_ROUNDS, "hot"), (COLD_ROUNDS, "cold")):
            for number in range(rounds):
                for name in sorted(exchanges, reverse=bool(number % 2)):
                    exchange = exchanges[name]
                    if kind == "cold":
                        other_work(OTHER_WORK_S)
                    begun_ns, cpu_ns = time.perf_counter_ns(), time.thread_time_ns()
                    order = await exchange.prepare(trade, snapshot)
                    made_ns = time.thread_time_ns()
                    answer = await exchange.post(order)
                    read_ns = time.thread_time_ns()
                    assert isinstance(answer, Rejected), answer
                    for measure, taken_ns in (
                        ("signed, cpu", made_ns - cpu_ns),
                        ("bytes, cpu", handed_ns() - cpu_ns),
                        ("answer, cpu", read_ns - cpu_ns),
                        ("bytes, wall", arrived_ns() - begun_ns),
                    ):
                        samples.setdefault(f"{name}, {kind}, {measure}", []).append(taken_ns / 1e3)
    return {name: quartiles(values) for name, values in samples.items() if ", , " not in name}


def _note_what_is_sent() -> Callable[[], int]:
    """The thread's CPU time when bytes of an order were last handed over, by either client."""
    last = [0]
    write, begin = AnyIOStream.write, KeptConnection.begin

    async def noted_write(*arguments: Any, **named: Any) -> None:
        last[0] = time.thread_time_ns()
        await write(*arguments, **named)

    def noted_begin(*arguments: Any) -> Any:
        answering = begin(*arguments)
        last[0] = time.thread_time_ns()
        return answering

    AnyIOStream.write = noted_write  # type: ignore[method-assign]
    KeptConnection.begin = noted_begin  # type: ignore[assignment, method-assign]
    return lambda: last[0]


def _refuse_all(listening: socket.socket, arrived_ns: Any) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
                arrived_ns.value = time.perf_counter_ns()
                writer.write(_ANSWER)
        except asyncio.IncompleteReadError:
            writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(refuse, sock=listening)
        await server.serve_forever()

    asyncio.run(serve())


def main() -> None:
    """Print the table."""
    for name, value in run().items():
        print(f"{name:32} {value.low:8.0f} {value.median:8.0f} {value.high:8.0f}")


if __name__ == "__main__":
    main()
