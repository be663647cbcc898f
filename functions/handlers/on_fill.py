"""Fills from the user channel, applied to their claims: the fast way to know what was bought.

A fill may come before the answer to its POST, twice, out of order, or after the claim was given up;
`functions.core.lifecycle.traded` does not care. A message is acknowledged once its effect is
stored; a fill that is lost is found by reconciliation (invariant 7).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from functions.handlers.apply_evidence import record_fills
from functions.metrics import WorkerMetrics
from functions.ports import Store, StoreError
from protocol.fill import Fill, decode_fill
from protocol.snapshot import ProtocolError
from protocol.subjects import FILLS
from runtime.nats import StreamMismatchError, ensure_stream

BATCH_MAX: Final = 32
FETCH_TIMEOUT_S: Final = 5
ACK_WAIT_S: Final = 30
"""Longer than a batch may take with every store call at its limit: otherwise it would be handed to
another worker meanwhile, which is harmless but useless."""
RETRY_EVERY_S: Final = 1
_log = structlog.get_logger()


async def on_fill(
    nc: Client, account: str, store: Store, metrics: WorkerMetrics, replicas: int = 1
) -> None:
    """Apply fills until cancelled; all workers of an account share the work."""
    js = nc.jetstream(timeout=5)
    config = ConsumerConfig(
        durable_name=f"{account}-fills",
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT_S,
        deliver_policy=DeliverPolicy.ALL,
        filter_subject=FILLS.subjects[0],
        max_ack_pending=1_000,
    )
    while True:
        subscription = None
        try:
            await ensure_stream(js, FILLS, replicas)
            subscription = await js.pull_subscribe(
                FILLS.subjects[0], durable=config.durable_name, stream=FILLS.name, config=config
            )
            while True:
                try:
                    messages = await subscription.fetch(BATCH_MAX, timeout=FETCH_TIMEOUT_S)
                except TimeoutError:
                    continue
                await _apply(messages, store, metrics)
        except (nats.errors.Error, TimeoutError, StreamMismatchError, StoreError) as error:
            metrics.fills_interrupted.inc()
            _log.warning("fills_interrupted", error=f"{type(error).__name__}: {error}")
        finally:
            if subscription is not None:
                with contextlib.suppress(nats.errors.Error):
                    await subscription.unsubscribe()
        await asyncio.sleep(RETRY_EVERY_S)  # what was not acknowledged comes again


async def _apply(messages: list[Msg], store: Store, metrics: WorkerMetrics) -> None:
    fills: list[Fill] = []
    for message in messages:
        try:
            fills.append(decode_fill(message.data))
        except ProtocolError as error:
            metrics.fills_malformed.inc()
            _log.warning("fill_malformed", error=str(error))
    try:
        foreign = await record_fills(store, fills) if fills else 0
    except StoreError:
        for message in messages:
            await message.nak(delay=RETRY_EVERY_S)
        raise
    metrics.fills.inc(len(fills))
    metrics.fills_foreign.inc(foreign)
    for message in messages:
        await message.ack()
