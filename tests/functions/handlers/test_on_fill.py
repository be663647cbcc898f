"""Fills from a real nats-server to the claims they belong to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import nats
import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from functions.adapters import durable_consumer
from functions.core.claim import Claim, ClaimState
from functions.worker_consumers import FILLS_BATCH_MAX, fill_consumer
from functions.worker_metrics import WorkerMetrics
from protocol.fill import Fill, TradeStatus, encode_fill, message_id
from protocol.subjects import FILLS, fill_subject
from runtime.nats import ensure_stream
from runtime.process import stop_tasks
from tests.support.fake_ports import MemoryStore
from tests.support.servers import NatsServer
from tests.support.trading_builders import TRADER, a_claim, a_fill

ACCOUNT = "strategy"


@pytest.fixture(autouse=True)
def soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable_consumer, "ACK_WAIT_S", 1)
    monkeypatch.setattr(durable_consumer, "RETRY_EVERY_S", 0.05)
    monkeypatch.setattr(durable_consumer, "FETCH_TIMEOUT_S", 0.5)


class Desk:
    def __init__(self, nc: Client, store: MemoryStore) -> None:
        self.nc = nc
        self.store = store
        self.metrics = WorkerMetrics()

    def put(self, *claims: Claim) -> None:
        self.store._change(claims={claim.slot: claim for claim in claims})

    @property
    def claim(self) -> Claim:
        [claim] = self.store.claims.values()
        return claim

    async def publish(self, payload: Fill | bytes, *, with_id: bool = True) -> None:
        headers = {}
        if isinstance(payload, Fill):
            if with_id:
                headers = {"Nats-Msg-Id": message_id(payload)}
            payload = encode_fill(payload)
        await self.nc.jetstream().publish(fill_subject("0xc1"), payload, headers=headers)

    def count(self, name: str) -> float:
        return self.metrics.registry.get_sample_value(f"worker_{name}_total") or 0.0

    async def until(self, condition: Callable[[], bool]) -> None:
        """The fake store and the metrics tell nobody when they change, so the loop is asked."""
        async with asyncio.timeout(40):
            while not condition():  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.005)

    async def until_made_again(self) -> None:
        """The stream and its consumer, which the workers have to notice are gone."""
        async with asyncio.timeout(40):
            while True:
                try:
                    await self.nc.jetstream().consumer_info(FILLS.name, f"{ACCOUNT}-fills")
                except NotFoundError:
                    await asyncio.sleep(0.005)  # only the server knows, and it does not tell
                else:
                    return

    async def until_acknowledged(self) -> None:
        js = self.nc.jetstream()
        async with asyncio.timeout(20):
            while True:
                info = await js.consumer_info(FILLS.name, f"{ACCOUNT}-fills")
                if not info.num_ack_pending and not info.num_pending:
                    return


@asynccontextmanager
async def applying(server: NatsServer, store: MemoryStore | None = None) -> AsyncIterator[Desk]:
    nc = await nats.connect(server.url)
    await ensure_stream(nc.jetstream(), FILLS)
    desk = Desk(nc, store or MemoryStore())
    consumer = fill_consumer(nc, ACCOUNT, desk.store, desk.metrics, wallet=TRADER.wallet)
    running = asyncio.create_task(consumer.run())
    try:
        yield desk
    finally:
        await stop_tasks(running)  # one cancellation may get lost in the client
        await nc.close()


async def test_fills_in_any_order_and_number_become_one_position(nats_server: NatsServer) -> None:
    async with applying(nats_server) as desk:
        desk.put(a_claim())
        for status in (TradeStatus.CONFIRMED, TradeStatus.MATCHED, TradeStatus.MATCHED):
            await desk.publish(a_fill(status=status), with_id=False)
        await desk.publish(a_fill("t2", size_e6=100_000))
        await desk.until(lambda: desk.count("fills") == 4)
        await desk.until_acknowledged()
        [claim] = desk.store.claims.values()
    assert (claim.state, claim.filled_size_e6) == (ClaimState.OPEN, 2_100_000)
    assert claim.fills["t1"].standing == "confirmed"


async def test_the_same_message_twice_comes_once(nats_server: NatsServer) -> None:
    async with applying(nats_server) as desk:
        desk.put(a_claim())
        for _ in range(3):
            await desk.publish(a_fill())
        await desk.publish(a_fill("t2", size_e6=1))
        await desk.until(lambda: "t2" in desk.claim.fills)
        assert desk.count("fills") == 2


async def test_a_malformed_fill_is_counted_and_does_not_come_again(
    nats_server: NatsServer,
) -> None:
    async with applying(nats_server) as desk:
        desk.put(a_claim())
        for payload in (b"", b"{", b"\xff\xfe", b"[]"):
            await desk.publish(payload)
        await desk.publish(a_fill())
        await desk.until(lambda: desk.count("fills") == 1)
        await desk.until_acknowledged()
        assert desk.count("fills_malformed") == 4
        assert desk.claim.filled_size_e6 == 2_000_000


async def test_a_strangers_fill_is_counted_and_left(nats_server: NatsServer) -> None:
    async with applying(nats_server) as desk:
        desk.put(a_claim())
        await desk.publish(a_fill(order_id="0xstranger"))
        await desk.until(lambda: desk.count("fills_foreign") == 1)
        await desk.until_acknowledged()
        assert desk.store.claims == {"0xc1": a_claim()}


async def test_a_siblings_fill_is_acknowledged_and_not_called_foreign(
    nats_server: NatsServer,
) -> None:
    async with applying(nats_server) as desk:
        sibling = MemoryStore(table=desk.store.table, name="sibling")
        await sibling.join_wallet(TRADER.wallet)
        sibling._change(claims={"0xc1": a_claim()})
        await desk.publish(a_fill())
        await desk.publish(a_fill("t2", order_id="0xstranger"))
        await desk.until(lambda: desk.count("fills") == 2)
        await desk.until(lambda: desk.count("fills_foreign") == 1)
        await desk.until_acknowledged()
        assert desk.store.claims == {}
        assert desk.count("fills_foreign") == 1


@pytest.mark.parametrize("name", ["account", "move"])
async def test_what_the_store_did_not_take_comes_again(name: str, nats_server: NatsServer) -> None:
    async with applying(nats_server) as desk:
        desk.put(a_claim())
        desk.store.failures[name] = 2
        await desk.publish(a_fill())
        await desk.until(lambda: desk.claim.filled_size_e6 == 2_000_000)
        await desk.until_acknowledged()
        assert desk.count("fills_interrupted") == 2


async def test_fills_that_can_never_be_placed_hold_up_no_later_one(
    nats_server: NatsServer,
) -> None:
    async with applying(nats_server) as desk:
        desk.put(a_claim())
        desk.store.failures["ledger"] = 10**9
        for number in range(3 * FILLS_BATCH_MAX):  # which come again before all else
            await desk.publish(a_fill(f"s{number}", order_id=f"0xstranger{number}"))
        await desk.until(lambda: desk.count("fills_interrupted") >= 4)
        await desk.publish(a_fill())
        await desk.until(lambda: desk.claim.filled_size_e6 == 2_000_000)


async def test_a_late_fill_reopens_what_was_given_up(nats_server: NatsServer) -> None:
    async with applying(nats_server) as desk:
        await desk.store.put_ledger(a_claim(state=ClaimState.RELEASED, version=3))
        await desk.publish(a_fill())
        await desk.until(lambda: bool(desk.store.claims))
        [claim] = desk.store.claims.values()
        assert (claim.state, claim.came_back, claim.version) == (ClaimState.OPEN, True, 4)


async def test_two_workers_share_the_fills_and_a_lost_stream_is_made_again(
    nats_server: NatsServer,
) -> None:
    store = MemoryStore()
    async with applying(nats_server, store) as desk, applying(nats_server, store) as other:
        desk.put(a_claim())
        await desk.publish(a_fill("t1", size_e6=1_000_000))
        await desk.until(lambda: desk.count("fills") + other.count("fills") == 1)
        await desk.nc.jetstream().delete_stream(FILLS.name)
        # By whoever notices first: the other one may have been between two requests, and finds
        # everything in its place again.
        await desk.until_made_again()
        assert desk.count("fills_interrupted") + other.count("fills_interrupted") > 0
        await desk.publish(a_fill("t2", size_e6=1_000_000))
        await desk.until(lambda: desk.count("fills") + other.count("fills") == 2)
        await desk.until(lambda: desk.claim.filled_size_e6 == 2_000_000)
        assert desk.count("fills_foreign") + other.count("fills_foreign") == 0
