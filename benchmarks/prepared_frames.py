"""Frames that are written before they are due: a venue that can send more than a feeder can take.

The simulated venue hashes two books for each change, which takes longer than a feeder needs for the
frame. So the frames of a run are written ahead, stamped with the moments at which they are due, and
then only sent: as bytes, on every connection alike. The venue's own books follow as they are sent,
so who subscribes anew, or asks for a book, gets the one of that moment.

"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Final, NamedTuple

from benchmarks.scripted_markets import BEST_ASK_E4, BEST_BID_E4, LEVELS, SIZE_E6
from benchmarks.venue_wire import unmasked, write_at_once
from sandbox.simulator import Market, Venue
from sandbox.simulator.book import Side
from sandbox.simulator.frames import Change, Delta, apply_changes, price_change_frame

STEP_S: Final = 0.001
_WRITING_S: Final = 250e-6
"""A frame, at most; what is left of it is waited for."""


class _Frame(NamedTuple):
    market: Market
    """Of the venue that sends."""
    changes: list[Change]
    at_ms: int
    text: str
    wire: bytes


class FrameSource:
    """The frames of `markets`, of which `twins` are copies in a venue that nobody reads."""

    def __init__(self, venue: Venue, markets: list[Market], twins: list[Market]) -> None:
        self._venue = venue
        self._pairs = list(zip(markets, twins, strict=True))
        self._random = random.Random(1)
        self.cut = 0
        """Connections that were cut because their reader was too slow."""

    async def play(self, frames_per_s: int, seconds: float) -> float:
        """Write the frames ahead, then send them when they are due; how many seconds that took.

        More than `seconds`: this machine could not send as fast.
        """
        total = int(frames_per_s * seconds)
        begin_s = time.time() + 0.2 + total * _WRITING_S
        # In a thread: what is subscribed meanwhile is still answered.
        prepared = await asyncio.to_thread(self._write, begin_s, frames_per_s, total)
        await asyncio.sleep(max(0.0, begin_s - time.time()))
        begin_s, sent = time.time(), 0
        while sent < total:
            due = min(total, int((time.time() - begin_s) * frames_per_s) + 1)
            if due > sent:
                self._send(prepared[sent:due])
                sent = due
            await asyncio.sleep(STEP_S)
        return time.time() - begin_s

    def _write(self, begin_s: float, frames_per_s: int, total: int) -> list[_Frame]:
        frames = []
        for number in range(total):
            market, twin = self._pairs[number % len(self._pairs)]
            at_ms = int((begin_s + number / frames_per_s) * 1_000)
            up, down = twin.books
            changes = self._changes(up.token_id, down.token_id)
            delta = Delta(changes, at_ms, apply_changes(twin, changes, at_ms))
            text = price_change_frame(twin, delta, delta.tops)
            frames.append(_Frame(market, changes, at_ms, text, unmasked(text.encode())))
        return frames

    def _changes(self, up: str, down: str) -> list[Change]:
        """A new size of one level, of both tokens; near the best price more often than far."""
        depth_e4 = min(int(self._random.expovariate(0.15)), LEVELS - 1) * 100
        size_e6 = SIZE_E6 + self._random.randrange(10_000) * 10_000
        side: Side = self._random.choice(("BUY", "SELL"))
        price_e4 = BEST_BID_E4 - depth_e4 if side == "BUY" else BEST_ASK_E4 + depth_e4
        opposite: Side = "SELL" if side == "BUY" else "BUY"
        return [(up, side, price_e4, size_e6), (down, opposite, 10_000 - price_e4, size_e6)]

    def _send(self, frames: list[_Frame]) -> None:
        for market, changes, at_ms, *_ in frames:
            books = {book.token_id: book for book in market.books}
            for token_id, side, price_e4, size_e6 in changes:
                books[token_id].put(side, price_e4, size_e6)
                books[token_id].timestamp_ms = at_ms
        wire, texts = b"".join([frame.wire for frame in frames]), [frame.text for frame in frames]
        for connection in tuple(self._venue.market_feed.connections):
            self.cut += not write_at_once(connection, wire, texts)
