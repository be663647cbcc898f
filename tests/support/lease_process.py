"""A feeder that has nothing but leases: `python -m tests.support.lease_process NATS_URL FEEDER_ID`.

Every two milliseconds it sends its id and the epoch of the one series, if that may be sent at that
instant, on `sent`; and what becomes of its lease on `told`.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial

from nats.aio.client import Client

from feeder.books.lease_keeper import LeaseKeeper
from feeder.books.metrics import FeederMetrics
from protocol.series import parse_series
from runtime.nats import close, connect
from runtime.process import first_failure, run_service

SERIES = parse_series("btc-15m")
SEND_EVERY_S = 0.002


async def serve(url: str, feeder_id: str) -> None:
    nc = await connect(url, feeder_id)
    told: asyncio.Queue[str] = asyncio.Queue()
    keeper = LeaseKeeper(
        nc,
        feeder_id,
        [SERIES.name],
        FeederMetrics([SERIES]),
        on_acquired=lambda _: told.put_nowait("acquired"),
        on_lost=lambda _: told.put_nowait("lost"),
    )
    told.put_nowait("started")
    try:
        await first_failure(keeper.run(), _send(nc, feeder_id, keeper), _tell(nc, feeder_id, told))
    finally:
        await keeper.release()
        await close(nc)


async def _send(nc: Client, feeder_id: str, keeper: LeaseKeeper) -> None:
    while True:
        epoch = keeper.epoch(SERIES.name)
        if epoch is not None:
            await nc.publish("sent", f"{feeder_id} {epoch}".encode())
        await asyncio.sleep(SEND_EVERY_S)


async def _tell(nc: Client, feeder_id: str, told: asyncio.Queue[str]) -> None:
    while True:
        await nc.publish("told", f"{feeder_id} {await told.get()}".encode())


if __name__ == "__main__":
    sys.exit(run_service(partial(serve, *sys.argv[1:])()))
