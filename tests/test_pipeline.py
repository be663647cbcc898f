"""The whole pipeline, with nothing faked but the venue: a real nats-server, the feeder and two
workers as processes, serialised moto, the official client. Frames go in at a socket, and exactly
one order comes out.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import nats
import pytest
from eth_account import Account
from hexbytes import HexBytes
from nats.aio.msg import Msg

from functions.core.claim import ClaimState
from local.child import Child
from protocol.decision import Decision, decode_decision
from protocol.market import UP
from protocol.series import parse_series
from protocol.subjects import BOOKS, DECISIONS
from sandbox.audit import disagreements
from sandbox.audit_input import gather
from sandbox.cluster import start_dynamodb
from sandbox.dynamodb import CREDENTIALS_ENV, decision_table_of
from sandbox.services import STATE_TABLE
from sandbox.simulator import Market, Venue, deposit_wallet_of, serve
from tests.support.counting_proxy import StoreCalls, counting_proxy
from tests.support.servers import NatsServer

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("forked")]

SHARES = 1_000_000
BALANCED = [(4_900 - 100 * i, 100 * SHARES) for i in range(20)]
ASKS = [(5_000 + 100 * i, 100 * SHARES) for i in range(20)]
STRONG = 5_000 * SHARES
COOLDOWN_MS = 300_000  # the default


class Pipeline:
    """Handles of a running system."""

    def __init__(self) -> None:
        self.venue = Venue()
        series = parse_series("btc-4h")  # a window that does not end while a test runs
        start_s = series.window_start_s(self.venue.now_ms() / 1000)
        self.market: Market = self.venue.add_market(
            series.slug(start_s), start_ms=start_s * 1000, end_ms=(start_s + 4 * 3600) * 1000
        )
        self.up = self.market.token(UP)
        self.venue.set_book(self.up, BALANCED, ASKS)
        self.venue_url = ""
        self.dynamodb_url = ""
        self.calls = StoreCalls()
        self.workers: list[Child] = []
        self.decisions: list[Decision] = []
        self.books = 0
        self._changed = asyncio.Event()

    async def on_book(self, _: Msg) -> None:
        self.books += 1
        self._changed.set()

    async def on_decision(self, message: Msg) -> None:
        self.decisions.append(decode_decision(message.data))
        self._changed.set()

    async def until(self, fact: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not fact():
                self._changed.clear()
                await self._changed.wait()

    async def change(self, bid_size: int) -> None:
        """One frame, and the snapshot that follows from it."""
        before = self.books
        self.venue.change_level(self.up, "BUY", 4_900, bid_size)
        await self.until(lambda: self.books > before)

    async def flicker(self, frames: int) -> None:
        """Changes far from the top of the book: each is a new snapshot with the same signal."""
        for number in range(frames):
            before = self.books
            self.venue.change_level(self.up, "BUY", 3_500, (number + 1) * SHARES)
            await self.until(lambda before=before: self.books > before)


@pytest.fixture(params=[2], ids=lambda workers: f"{workers}-workers")
async def pipeline(
    nats_server: NatsServer, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Pipeline]:
    running = Pipeline()
    async with AsyncExitStack() as stack:

        def child(name: str) -> Child:
            started = Child(name, tmp_path)
            stack.push_async_callback(started.stop)
            return started

        url = running.venue_url = await stack.enter_async_context(serve(running.venue))
        running.dynamodb_url = await start_dynamodb(child("dynamodb"))
        proxy_url, running.calls = await stack.enter_async_context(
            counting_proxy(running.dynamodb_url)
        )
        nc = await nats.connect(nats_server.url)
        stack.push_async_callback(nc.close)
        await nc.subscribe(BOOKS.subjects[0], cb=running.on_book)
        await nc.subscribe(DECISIONS.subjects[0], cb=running.on_decision)
        shared = {
            "NATS_URL": nats_server.url,
            "GAMMA_URL": url,
            "CLOB_URL": url,
            "METRICS_PORT": "0",
        }
        feeder = child("feeder")
        await feeder.start(
            *(sys.executable, "-m", "feeder"),
            env={
                **shared,
                "MARKET_WS_URL": url.replace("http", "ws") + "/ws/market",
                "SERIES": "btc-4h",
            },
        )
        key = Account.create()
        for number in range(request.param):
            worker = child(f"worker-{number}")
            running.workers.append(worker)
            await worker.start(
                *(sys.executable, "-m", "functions.worker"),
                env={
                    **shared,
                    **CREDENTIALS_ENV,
                    "AWS_ENDPOINT_URL_DYNAMODB": proxy_url,
                    "STATE_TABLE": STATE_TABLE,
                    "DECISION_TABLE": decision_table_of(STATE_TABLE),
                    "EXECUTION": "live",
                    "PRIVATE_KEY": HexBytes(key.key).to_0x_hex(),
                    "WALLET": deposit_wallet_of(key.address),
                    "MIN_TIME_TO_CLOSE_S": "0",
                },
            )
        for worker in running.workers:
            await worker.wait_for("worker_started")
        # What was known before the lease is too old by then; the next change is published.
        await feeder.wait_for("lease_acquired")
        await running.flicker(1)
        yield running


async def test_a_signal_that_lasts_over_hundreds_of_books_and_two_workers_is_one_order(
    pipeline: Pipeline,
) -> None:
    venue = pipeline.venue
    await pipeline.flicker(50)  # without a signal: the market gets warm
    await pipeline.change(STRONG)
    await pipeline.flicker(300)
    await pipeline.until(lambda: len(venue.journal.entries) > 0)  # a busy machine posts late
    assert len(venue.journal.entries) == 1

    # The other side's signal comes last; its refusal says that all books before are done. More than
    # one book, because one that meets a claim of its own worker under way is left.
    venue.change_level(pipeline.up, "BUY", 4_900, 1 * SHARES)
    for number in range(50):
        before = pipeline.books
        venue.change_level(pipeline.up, "SELL", 5_000, STRONG + number * SHARES)
        await pipeline.until(lambda before=before: pipeline.books > before)
    await pipeline.until(lambda: any(each.outcome == "Down" for each in pipeline.decisions))
    for worker in pipeline.workers:
        await worker.stop()
        assert worker.returncode == 0

    [entry] = venue.journal.entries
    assert entry.verdict == "matched"
    [executed] = [each for each in pipeline.decisions if each.result == "executed"]
    assert executed.order_id == entry.order_id
    refusals = {each.reason for each in pipeline.decisions if each.result == "refused"}
    assert refusals <= {"cooldown", "market_claimed"}

    audit_input = await gather(pipeline.venue_url, pipeline.dynamodb_url, STATE_TABLE)
    assert disagreements(audit_input, execution="live", cooldown_ms=COOLDOWN_MS) == []
    [claim] = audit_input.account.claims.values()
    assert (claim.order_id, claim.state) == (entry.order_id, ClaimState.OPEN)


@pytest.mark.parametrize("pipeline", [1], indirect=True)
async def test_one_store_call_between_decision_and_post_and_none_for_a_book_without_signal(
    pipeline: Pipeline,
) -> None:
    quiet_from_ns = time.time_ns()
    await pipeline.flicker(100)
    quiet_to_ns = time.time_ns()
    await pipeline.change(STRONG)
    await pipeline.until(lambda: any(each.result == "executed" for each in pipeline.decisions))

    assert pipeline.calls.between(quiet_from_ns, quiet_to_ns) == []
    [entry] = pipeline.venue.journal.entries
    [executed] = [each for each in pipeline.decisions if each.result == "executed"]
    decided_ns = executed.timeline.decided_at_ns
    assert pipeline.calls.between(decided_ns, entry.received_at_ns) == ["UpdateItem"]


async def test_a_worker_told_to_stop_finishes_its_order(pipeline: Pipeline) -> None:
    venue = pipeline.venue
    await pipeline.flicker(20)
    posted, let_go = asyncio.Event(), asyncio.Event()

    async def hold(_: str) -> None:
        posted.set()
        await let_go.wait()

    venue.after_matching = hold  # matched, and not yet answered
    await pipeline.change(STRONG)
    await posted.wait()
    stopping = [asyncio.create_task(worker.stop()) for worker in pipeline.workers]
    _, waiting = await asyncio.wait(stopping, return_when=asyncio.FIRST_COMPLETED)
    assert len(waiting) == 1  # the idle worker is gone, the other one waits for its answer
    let_go.set()
    await asyncio.gather(*stopping)

    assert [worker.returncode for worker in pipeline.workers] == [0, 0]
    audit_input = await gather(pipeline.venue_url, pipeline.dynamodb_url, STATE_TABLE)
    assert disagreements(audit_input, execution="live", cooldown_ms=COOLDOWN_MS) == []
    assert len(audit_input.account.claims) == 1
