"""The feeder as the process it is: `python -m feeder`, real nats-server, the sandbox's venue."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from protocol.snapshot import BookSnapshot, decode_snapshot
from runtime.nats import connect
from sandbox.simulator import Market, Venue, serve
from tests.runtime.test_nats import server_that_says
from tests.support.servers import NatsServer

ROOT = Path(__file__).parents[3]
WINDOW_S = 3600 * 9999  # no window rolls while a test runs
NOWHERE = "127.0.0.1:9"
pytestmark = pytest.mark.usefixtures("forked")


class Process:
    """A feeder process and what it said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self, event: str) -> dict[str, Any]:
        """The next log line of this event; raises when the process ends first."""
        assert self._process.stderr is not None
        async for text in self._process.stderr:
            said: dict[str, Any] = json.loads(text)
            if said["event"] == event:
                return said
        raise AssertionError(f"the feeder ended without {event}")

    async def stop(self, signum: int = signal.SIGTERM) -> int:
        """Signal it; returns the exit code."""
        self._process.send_signal(signum)
        return await self.exit_code()

    async def exit_code(self) -> int:
        """Wait for its end."""
        return await self._process.wait()

    async def last_words(self) -> str:
        """All that is left on stderr."""
        assert self._process.stderr is not None
        return (await self._process.stderr.read()).decode()

    async def told(self) -> list[dict[str, Any]]:
        """What CloudWatch was told, once it has ended."""
        assert self._process.stdout is not None
        return [json.loads(line) for line in (await self._process.stdout.read()).splitlines()]


@asynccontextmanager
async def feeder(*role: str, **variables: str) -> AsyncIterator[Process]:
    """Run one with these variables; killed at the end should it still be there."""
    environment = {"PATH": os.environ["PATH"], "METRICS_PORT": "0", **variables}
    async with asyncio.timeout(30):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "feeder", *role),
            cwd=ROOT,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield Process(process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


def listed(venue: Venue) -> Market:
    """The current window of `btc-9999h` at the venue, with a book."""
    start_s = int(time.time()) // WINDOW_S * WINDOW_S
    market = venue.add_market(
        f"btc-updown-9999h-{start_s}", start_ms=start_s * 1000, end_ms=(start_s + WINDOW_S) * 1000
    )
    venue.set_book(market.token("Up"), [(5_200, 100_000_000)], [(5_300, 50_000_000)])
    return market


def variables(nats_url: str, venue_url: str) -> dict[str, str]:
    return {
        "NATS_URL": nats_url,
        "GAMMA_URL": venue_url,
        "CLOB_URL": venue_url,
        "MARKET_WS_URL": venue_url.replace("http://", "ws://") + "/ws/market",
        "SERIES": "btc-9999h",
    }


async def get(port: int, path: str) -> tuple[int, str]:
    url = f"http://127.0.0.1:{port}{path}"
    async with aiohttp.ClientSession() as client, client.get(url) as response:
        return response.status, await response.text()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_a_change_at_the_venue_becomes_a_snapshot_and_a_signal_ends_it_cleanly(
    nats_server: NatsServer, signum: int
) -> None:
    venue = Venue()
    market = listed(venue)
    up, down = market.token("Up"), market.token("Down")
    snapshots: asyncio.Queue[BookSnapshot] = asyncio.Queue()
    observer = await connect(nats_server.url, "observer")

    async def observe(message: Any) -> None:
        snapshots.put_nowait(decode_snapshot(message.data))

    await observer.subscribe("book.btc-9999h.*", cb=observe)
    await observer.flush()
    async with (
        serve(venue) as url,
        feeder(**variables(nats_server.url, url), PUBLISHED_BIDS="12") as process,
    ):
        port = int((await process.line("feeder_started"))["metrics_port"])
        await process.line("lease_acquired")  # the first books may be too old by then to be sent
        venue.change_level(up, "SELL", 5_300, 50_000_000)
        first = await snapshots.get()
        assert first.market.slug == market.slug
        assert first.bids_max == 12
        assert first.book_of("Up").bids == ((5_200, 100_000_000),)
        assert first.book_of("Down").bids == ((4_700, 50_000_000),)

        venue.change_level(up, "SELL", 5_300, 1_000_000)
        while (newer := await snapshots.get()).book_of("Up").asks != ((5_300, 1_000_000),):
            assert newer.sequence > first.sequence
        assert newer.book_of("Down").bids == ((4_700, 1_000_000),)
        assert newer.epoch == first.epoch

        assert await get(port, "/healthz") == (200, "ok")
        _, metrics = await get(port, "/metrics")
        assert 'feeder_snapshots_published_total{series="btc-9999h"}' in metrics
        assert market.condition_id not in metrics
        assert down not in metrics

        begun_s = time.monotonic()
        assert await process.stop(signum) == 0
        assert time.monotonic() - begun_s < 20
        last = (await process.last_words()).strip().splitlines()[-1]
        assert json.loads(last)["event"] == "feeder_stopped"
    await observer.close()


async def test_a_cut_connection_is_replaced_and_books_flow_again(nats_server: NatsServer) -> None:
    venue = Venue()
    market = listed(venue)
    async with serve(venue) as url, feeder(**variables(nats_server.url, url)) as process:
        await process.line("market_channel_connected")
        up = market.token("Up")
        await venue.subscribed(up)
        await venue.notice.until(lambda: len(venue.market_feed.readers(up)) == 2)
        before = set(venue.market_feed.readers(up))
        venue.cut_market_connections()
        await venue.notice.until(lambda: len(venue.market_feed.readers(up) - before) == 2)
        assert await process.stop() == 0


async def test_it_waits_for_nats_says_where_and_can_be_stopped_meanwhile() -> None:
    async with feeder(NATS_URL=f"nats://{NOWHERE}", CLOUDWATCH_STAGE="dev") as process:
        port = int((await process.line("feeder_started"))["metrics_port"])
        said = await process.line("not_reachable")
        assert said["what"] == f"NATS at nats://{NOWHERE}"
        assert await get(port, "/healthz") == (503, f"not connected to NATS at nats://{NOWHERE}")
        assert await process.stop() == 0
        assert "Traceback" not in await process.last_words()
        (*_, told) = await process.told()
        assert (told["Stage"], told["Service"], told["SnapshotsPublished"]) == ("dev", "feeder", 0)


async def test_it_waits_for_gamma_and_the_venue_and_says_where(nats_server: NatsServer) -> None:
    async with feeder(**variables(nats_server.url, f"http://{NOWHERE}")) as process:
        assert f"http://{NOWHERE}" in (await process.line("not_reachable"))["what"]
        assert await process.stop() == 0

    venue = Venue()
    listed(venue)
    async with serve(venue) as url:
        bent = variables(nats_server.url, url) | {"MARKET_WS_URL": f"ws://{NOWHERE}/"}
        async with feeder(**bent) as process:
            assert f"ws://{NOWHERE}" in (await process.line("not_reachable"))["what"]
            assert await process.stop() == 0
            assert "Traceback" not in await process.last_words()


@pytest.mark.parametrize(
    ("name", "value"),
    [("SERIES", "bitcoin"), ("NATS_URL", "127.0.0.1:4222"), ("METRICS_PORT", "many")],
)
async def test_a_bad_variable_exits_2_with_one_line_that_names_it(name: str, value: str) -> None:
    async with feeder(**{name: value}) as process:
        assert await process.exit_code() == 2
        line = await process.last_words()
    assert line.startswith(f"cannot start: {name}: ")
    assert line.count("\n") == 1


async def test_a_taken_metrics_port_exits_2_with_one_line_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with feeder(METRICS_PORT=str(taken.getsockname()[1])) as process:
            assert await process.exit_code() == 2
            line = await process.last_words()
    assert line.startswith("cannot start: METRICS_PORT: cannot listen on 127.0.0.1:")
    assert line.count("\n") == 1


async def test_an_old_nats_server_exits_2_with_one_line_that_says_so() -> None:
    async with server_that_says("2.9.10") as url, feeder(NATS_URL=url) as process:
        assert await process.exit_code() == 2
        words = await process.last_words()
    (line,) = [line for line in words.splitlines() if not line.startswith("{")]
    assert line.startswith("cannot start: NATS_URL: nats://127.0.0.1:")
    assert "nats server v2.9.10 is too old" in line
    assert "2.12 or newer" in line
