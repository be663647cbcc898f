"""The simulated venue as the benchmarks script it: 50 books, signals, and frames without meaning.

A signal is a frame that puts many shares on a market's best bid; it is taken back a moment later.
Every order is answered with "no match", a proven rejection, so that the market may trade again.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable
from typing import Any, Final

from benchmarks.venue_wire import unmasked, write_at_once
from protocol.series import parse_series
from sandbox.simulator import Market, Venue, error
from sandbox.simulator.frames import Change, Delta, apply_changes, price_change_frame

MARKETS: Final = 50
LEVELS: Final = 40
BEST_BID_E4: Final = 4_900
BEST_ASK_E4: Final = 5_000
SIZE_E6: Final = 100_000_000
STRONG_E6: Final = 5_000_000_000
"""On the best bid: a signal."""
FRAMES_PER_S: Final = 1_000
SIGNALS_PER_S: Final = 10
_TAKEN_BACK_AFTER_S: Final = 0.05
_WINDOWS: Final = ("4h", "251m", "349m", "457m")
"""There is no moment at which the ends of all of them are near."""
_NO_MATCH: Final = (
    "no orders found to match with FAK order. FAK orders are partially filled or killed if no "
    "match is found."
)


def longest_left(now_s: float) -> str:
    """A length of windows of which the one that runs now does not end during a run: whose market
    has ended gets no orders."""

    def left_s(window: str) -> float:
        series = parse_series(f"m00-{window}")
        return series.next_start_s(series.window_start_s(now_s)) - now_s

    return max(_WINDOWS, key=left_s)


def series_of(markets: Iterable[Market]) -> list[str]:
    """The names of their series."""
    parts = [market.slug.split("-") for market in markets]
    return [f"{coin}-{window}" for coin, _, window, _ in parts]


def scripted_venue(markets: int = MARKETS) -> tuple[Venue, list[Market]]:
    """A venue with the window that runs now of so many series of made-up coins, LEVELS levels a
    side."""
    venue = Venue()
    now_ms = venue.now_ms()
    window = longest_left(now_ms / 1000)
    listed = []
    for number in range(markets):
        series = parse_series(f"m{number:02d}-{window}")
        start_s = series.window_start_s(now_ms / 1000)
        market = venue.add_market(
            series.slug(start_s),
            start_ms=start_s * 1000,
            end_ms=(start_s + series.window_s) * 1000,
        )
        bids = [(BEST_BID_E4 - 100 * i, SIZE_E6) for i in range(LEVELS)]
        asks = [(BEST_ASK_E4 + 100 * i, SIZE_E6) for i in range(LEVELS)]
        venue.set_book(market.token("Up"), bids, asks)
        listed.append(market)

    async def no_match(_: str) -> Any:
        return error(_NO_MATCH)

    venue.before_matching = no_match
    return venue, listed


class SignalDriver:
    """Writes frames to the venue's readers at a set rate, and remembers when signals were."""

    def __init__(self, venue: Venue, markets: list[Market]) -> None:
        self._venue = venue
        self._tokens = [market.token("Up") for market in markets]
        self.signals: dict[str, list[int]] = {token: [] for token in self._tokens}
        """By token: when each was written to the readers' sockets, nanoseconds since the epoch."""
        self._frame = 0
        self._random = random.Random(1)

    async def idle(self, seconds: float) -> int:
        """Signals, ten a second, and what takes each of them back; frames sent."""
        loop = asyncio.get_running_loop()
        due_s, sent = loop.time(), 0
        for number in range(int(seconds * SIGNALS_PER_S)):
            token = self._tokens[number % len(self._tokens)]
            self._signal(token)
            await asyncio.sleep(max(0.0, due_s + _TAKEN_BACK_AFTER_S - loop.time()))
            self._take_back(token)
            due_s += 1 / SIGNALS_PER_S
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            sent += 2
        return sent

    async def loaded(self, seconds: float) -> int:
        """1,000 frames a second over all markets, ten of them signals; frames sent."""
        loop = asyncio.get_running_loop()
        started, first = loop.time(), self._frame
        total = int(seconds * FRAMES_PER_S)
        while (sent := self._frame - first) < total:
            # Sleep until the next frame is due: a busy driver would take a core from the others.
            await asyncio.sleep(max(0.0, started + (sent + 1) / FRAMES_PER_S - loop.time()))
            due = int((loop.time() - started) * FRAMES_PER_S)
            for _ in range(min(due, total) - sent):
                self._send_frame()
        return total

    def signal_before(self, token_id: str, at_ns: int) -> int | None:
        """When the newest signal of a token before `at_ns` was written."""
        times = self.signals.get(token_id, [])
        return next((time_ns for time_ns in reversed(times) if time_ns <= at_ns), None)

    def signals_since(self, since_ns: int) -> int:
        """How many were written."""
        return sum(at > since_ns for times in self.signals.values() for at in times)

    def _send_frame(self) -> None:
        number, self._frame = self._frame, self._frame + 1
        # The market whose turn it is, and a signal on every hundredth frame: on 25 of the markets,
        # each one every 2.5 s. The next frame of that market, 50 ms later, takes it back.
        every, markets = FRAMES_PER_S // SIGNALS_PER_S, len(self._tokens)
        token = self._tokens[number % markets]
        turn = number // markets
        if number % every == turn % markets:
            self._signal(token)
        elif (number - markets) % every == (turn - 1) % markets:
            self._take_back(token)
        else:
            depth_e4 = self._random.randrange(10, LEVELS) * 100
            size_e6 = SIZE_E6 + self._random.randrange(10_000) * 10_000
            self._write(token, BEST_BID_E4 - depth_e4, size_e6)

    def _signal(self, token: str) -> None:
        self.signals[token].append(self._write(token, BEST_BID_E4, STRONG_E6))

    def _take_back(self, token: str) -> None:
        self._write(token, BEST_BID_E4, SIZE_E6)

    def _write(self, token: str, bid_e4: int, size_e6: int) -> int:
        """Send a bid's new size, mirrored; when its first byte was written, nanoseconds."""
        market, _, other = self._venue.books(token)
        changes: list[Change] = [
            (token, "BUY", bid_e4, size_e6),
            (other.token_id, "SELL", 10_000 - bid_e4, size_e6),
        ]
        now_ms = self._venue.now_ms()
        delta = Delta(changes, now_ms, apply_changes(market, changes, now_ms))
        text = price_change_frame(market, delta, delta.tops)
        wire = unmasked(text.encode())
        written_ns = time.time_ns()
        for connection in tuple(self._venue.market_feed.connections):
            if connection.tokens.issuperset(delta.tops):
                write_at_once(connection, wire, [text])
        return written_ns
