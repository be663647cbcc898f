"""A publisher on a real nats-server, and markets by hand: no venue, nothing is proven."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import cast

from nats.js.errors import NotFoundError

from feeder.books.metrics import FeederMetrics
from feeder.books.publisher import Publisher
from feeder.core.market.market_session import MarketSession
from feeder.core.market.session_table import SessionTable
from protocol.book import Book, Proof
from protocol.fee import NO_FEE
from protocol.market import MarketInfo, Outcome
from protocol.series import parse_series
from protocol.snapshot import BookSnapshot, decode_snapshot
from protocol.subjects import BOOKS, book_subject
from runtime.nats import connect, ensure_stream
from runtime.nats_client import NatsClient
from tests.support.servers import NatsServer

SERIES = parse_series("btc-15m")
MARKET = "0x" + "ab" * 32


class Session:
    """A market with one level, as far as the publisher asks of it. Nothing is proven here."""

    def __init__(self, market: str, levels: int) -> None:
        self.info = MarketInfo(
            condition_id=market,
            slug="btc-updown-15m-0",
            series=SERIES.name,
            outcomes=(Outcome(name="Up", token_id="1"), Outcome(name="Down", token_id="2")),
            start_ms=0,
            end_ms=900_000,
            tick_size_e4=1,
            min_order_size_e6=5_000_000,
            fee=NO_FEE,
            neg_risk=False,
            accepting=True,
        )
        self.ready, self.dark, self.failing = True, False, False
        self.received_at_ns = 0
        self.shown_nothing = 0
        self.sequence = 0
        self.size = 0
        self._levels = levels

    def show_nothing(self) -> None:
        self.shown_nothing += 1

    def snapshot(self, published_at_ns: int, epoch: int) -> BookSnapshot | None:
        if self.failing:
            return None
        self.sequence += 1
        level = (5_100, self.size * 1_000_000)
        bids = () if self.dark else (level, *((5_000 - at, 1) for at in range(self._levels)))
        up, down = (
            Book(token_id=token_id, bids=bids, asks=(), timestamp_ms=0, hash="")
            for token_id in ("1", "2")
        )
        return BookSnapshot(
            market=self.info,
            books=(up, down),
            proof=Proof.NONE if self.dark else Proof.TOP,
            venue_timestamp_ms=0,
            received_at_ns=self.received_at_ns,
            published_at_ns=published_at_ns,
            epoch=epoch,
            sequence=self.sequence,
        )


class Table:
    """The followed markets, by hand."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}

    def get(self, condition_id: str) -> Session | None:
        return self.sessions.get(condition_id)

    def snapshot(self, session: Session, published_at_ns: int, epoch: int) -> BookSnapshot | None:
        return session.snapshot(published_at_ns, epoch)


class Bench:
    """A publisher on a real nats-server, fed without a venue."""

    def __init__(self, nc: NatsClient, **told: int) -> None:
        self.nc = nc
        self.js = nc.jetstream()
        self.table = Table()
        self.metrics = FeederMetrics([SERIES])
        self.epoch: int | None = 1
        self.behind = False
        self.publisher = Publisher(
            nc,
            cast(SessionTable, self.table),
            self.metrics,
            lambda _: self.epoch,
            behind=lambda: self.behind,
            **told,
        )

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"feeder_{name}", labels) or 0.0

    @property
    def published(self) -> float:
        return self.value("snapshots_published_total", series="btc-15m")

    @property
    def conflated(self) -> float:
        return self.value("conflated_total", series="btc-15m")

    def follow(self, market: str = MARKET, levels: int = 1) -> Session:
        self.table.sessions[market] = Session(market, levels)
        return self.table.sessions[market]

    def change(self, session: Session, size: int) -> None:
        """The level gets this size, and the market is offered."""
        session.size, session.received_at_ns = size, time.time_ns()
        self.offer(session)

    def offer(self, session: Session) -> None:
        self.publisher.offer(cast(MarketSession, session))

    async def newest(self, market: str = MARKET) -> BookSnapshot:
        """What the stream holds of a market."""
        message = await self.js.get_last_msg(BOOKS.name, book_subject("btc-15m", market))
        return decode_snapshot(message.data or b"")

    async def fresh(self, market: str, size: int) -> BookSnapshot:
        """Waits until the stream's newest of a market has this size."""
        async with asyncio.timeout(30):
            while True:
                with suppress(NotFoundError):
                    snapshot = await self.newest(market)
                    if size_of(snapshot) == size:
                        return snapshot
                await asyncio.sleep(0.002)

    async def messages(self) -> int:
        """How many messages the stream ever took."""
        return (await self.js.stream_info(BOOKS.name)).state.last_seq

    async def until(self, fact: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not fact():  # noqa: ASYNC110 - counters offer nothing to wait on
                await asyncio.sleep(0.002)


def rss_bytes() -> int:
    """Memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def size_of(snapshot: BookSnapshot) -> int:
    """The size that `Bench.change` gave the level."""
    return dict(snapshot.books[0].bids)[5_100] // 1_000_000


@asynccontextmanager
async def running(nats_server: NatsServer, **told: int) -> AsyncIterator[Bench]:
    nc = await connect(nats_server.url, "test")
    try:
        await ensure_stream(nc.jetstream(), BOOKS)
        bench = Bench(nc, **told)
        task = asyncio.create_task(bench.publisher.run())
        try:
            yield bench
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    finally:
        nats_server.resume()
        async with asyncio.timeout(30):
            await nc.close()
