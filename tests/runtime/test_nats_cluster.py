"""Three real nats-servers: streams with three replicas, the leases' bucket too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from nats.errors import Error as NatsError
from structlog.testing import capture_logs

from feeder.books.lease_keeper import BUCKET, LeaseKeeper, _bucket_stream
from feeder.books.metrics import FeederMetrics
from protocol.series import parse_series
from protocol.subjects import BOOKS
from runtime.nats import connect, ensure_stream
from runtime.process import stop_tasks
from tests.support.servers import NatsServer

CONFIG = """
server_name: n{number}
jetstream {{ store_dir: $NATS_STORE_DIR }}
cluster {{ name: test, listen: "127.0.0.1:{port}", routes: [{routes}] }}
"""


@pytest.fixture
def cluster(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> Iterator[dict[str, NatsServer]]:
    """By name."""
    ports = [unused_tcp_port_factory() for _ in range(3)]
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    with ExitStack() as stack:
        nodes = {}
        for number, port in enumerate(ports):
            config = tmp_path / f"n{number}.conf"
            config.write_text(CONFIG.format(number=number, port=port, routes=routes))
            server = NatsServer(tmp_path / f"n{number}", config)
            nodes[f"n{number}"] = stack.enter_context(server)
        yield nodes


async def patiently(call: Callable[[], Awaitable[object]]) -> None:
    """Until it succeeds: a cluster that elects a leader answers late, or not at all."""
    async with asyncio.timeout(30):
        while True:
            try:
                await call()
            except (NatsError, TimeoutError):
                await asyncio.sleep(0.02)
            else:
                return


async def test_three_copies_are_made_and_a_stopped_leader_is_replaced(
    cluster: dict[str, NatsServer],
) -> None:
    """A leader that stops hands over: publishing goes on within a second. One that is killed must
    be missed first, which takes seconds: too long for a test."""
    client = await connect(cluster["n0"].url, "test")
    js = client.jetstream(timeout=1)
    await patiently(lambda: ensure_stream(js, BOOKS))
    with capture_logs() as logs:
        await patiently(lambda: ensure_stream(js, BOOKS, 3))
        await patiently(lambda: ensure_stream(js, BOOKS, 3))
    assert [line["event"] for line in logs].count("stream_updated") == 1
    assert (await js.stream_info(BOOKS.name)).config.num_replicas == 3

    # As the first feeder with a new STREAM_REPLICAS finds the bucket.
    await js.add_stream(_bucket_stream(1))
    held = asyncio.Event()
    keeper = LeaseKeeper(
        client,
        "feeder",
        ["btc-15m"],
        FeederMetrics([parse_series("btc-15m")]),
        on_acquired=lambda _: held.set(),
        replicas=3,
    )
    running = asyncio.create_task(keeper.run())
    async with asyncio.timeout(30):
        await held.wait()
    await stop_tasks(running)
    assert (await js.stream_info(f"KV_{BUCKET}")).config.num_replicas == 3

    async def all_current() -> None:
        state = (await js.stream_info(BOOKS.name)).cluster
        if not state or not state.leader or not all(peer.current for peer in state.replicas or ()):
            raise NatsError("not yet")

    await patiently(all_current)
    state = (await js.stream_info(BOOKS.name)).cluster
    assert state is not None
    await asyncio.to_thread(cluster[str(state.leader)].stop)
    await patiently(lambda: js.publish("book.btc-15m.0xc1", b"{}", timeout=0.5))
    await client.close()
