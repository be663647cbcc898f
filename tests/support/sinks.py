"""Connections without sockets; imports little, because other processes import it as well."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from sandbox.simulator import Faults, Market, Venue
from sandbox.simulator.faults import Chance
from sandbox.simulator.market_faults import MarketConnection

SHARES = 1_000_000


class Sink(MarketConnection):
    """Keeps the frames that would be written."""

    def __init__(self, venue: Venue, number: int) -> None:
        super().__init__(venue, None, None, number)  # type: ignore[arg-type]
        self.frames: list[str] = []

    def _enqueue(self, item: Any) -> None:
        self.frames.append(item if isinstance(item, str) else "deed")

    def decoded(self) -> list[Any]:
        """The frames, decoded."""
        return [json.loads(text) for text in self.frames]


def sinks_of(venue: Venue, market: Market) -> list[Sink]:
    """Two that are subscribed to both tokens."""
    sinks = [Sink(venue, number) for number in (0, 1)]
    for sink in sinks:
        venue.market_feed.subscribe(sink, [book.token_id for book in market.books])
    return sinks


def played(faults: Faults, seed: int = 7, changes: int = 200) -> tuple[Venue, list[Sink]]:
    """Two sinks, and what reached them of as many changes of one market."""
    venue = Venue(seed=seed)
    venue.now_ms = lambda: 1_800_000_000_000  # type: ignore[method-assign]
    market = venue.add_market("btc-updown-15m-1800000000", start_ms=0, end_ms=1 << 50)
    venue.faults = faults
    sinks = sinks_of(venue, market)

    async def play() -> None:
        for size in range(1, changes + 1):
            venue.change_level(market.token("Up"), "BUY", 4700, size * SHARES)

    asyncio.run(play())
    return venue, sinks


def drawn() -> str:
    """What a seed decides, of frames and otherwise."""
    _, sinks = played(Faults(market_lost=0.2, market_corrupted=0.2), changes=50)
    chance = Chance(3)
    hits = [chance.hit("delayed", 0.5) for _ in range(20)]
    return repr(([sink.frames for sink in sinks], hits, chance.fraction("partial")))
