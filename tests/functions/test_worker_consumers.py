"""Decisions from a real nats-server to the log, a stranger's among them."""

from __future__ import annotations

import asyncio
import json

import nats

from functions.worker_consumers import decision_consumer
from protocol.decision import encode_decision
from protocol.subjects import DECISIONS, decision_subject
from runtime.nats import ensure_stream
from runtime.process import stop_tasks
from tests.support.fake_ports import MemoryStore
from tests.support.message_builders import decision
from tests.support.metrics_builders import counted, worker_metrics
from tests.support.servers import NatsServer

ACCOUNT = "strategy"


async def test_a_strangers_decision_ends_no_worker_and_holds_up_no_other(
    nats_server: NatsServer,
) -> None:
    sound = json.loads(encode_decision(decision()))
    strange = [
        *(sound | {"decided_at_ms": each} for each in (10**18, -1, 10**400)),
        *(sound | {"decision_id": "x" * 3_000}, sound | {"text": "x" * 410_000}),
    ]
    nc = await nats.connect(nats_server.url)
    js, store, metrics = nc.jetstream(), MemoryStore(), worker_metrics()
    await ensure_stream(js, DECISIONS)
    running = asyncio.create_task(
        decision_consumer(nc, ACCOUNT, store, metrics.accounts["s"]).run()
    )
    try:
        for message in (*strange, sound):
            await js.publish(decision_subject(ACCOUNT), json.dumps(message).encode())
        async with asyncio.timeout(20):
            while not store.logged:  # noqa: ASYNC110 - a dict has no event
                await asyncio.sleep(0.005)
            while (await js.consumer_info(DECISIONS.name, f"{ACCOUNT}-log")).num_ack_pending:
                pass
        assert not running.done()
        assert counted(metrics, "decisions_not_logged_total") == len(strange)
    finally:
        await stop_tasks(running)
        await nc.close()
