"""Recorded books as live markets: windows without end, each replaying the next recording.

A reconstruction, not a capture. Known are the books about once a second; everything in between is
made up in the plainest way: all changes between two snapshots become one `price_change` frame for
both tokens, at the time of the later snapshot. Every series replays recordings of Bitcoin markets,
whatever its coin; they differ only in which recording they play.

At speed S a window lasts 900/S seconds and its recording plays S times faster. Listed are the
window under way and the next one. The next one has a placeholder book of 0.01 and 0.99, as the real
venue's has been seen to, until its recording begins, a recorded minute before the start. A market
resolves with its recorded winner the moment it ends, or half and half when a fault says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from protocol.series import Series, parse_series
from recordings.loader import Recording, Step
from sandbox.simulator.frames import Change
from sandbox.simulator.market import SPLIT, Market
from sandbox.simulator.venue import Venue

RECORDED_WINDOW_S: Final = 900
COINS: Final = ("btc", "eth", "sol", "xrp", "doge", "bnb")
PLACEHOLDER: Final = ([(100, 100_000_000)], [(9_900, 100_000_000)])
"""Bids and asks of a market that nobody quotes yet; the size is made up."""
_FINE_TICK_E4: Final = 10
# Recordings apart between neighbouring series, so that six series play six different ones.
_STRIDE: Final = 3


class SimulatorError(ValueError):
    """Impossible settings; the text says which and what is possible."""


def series_at(speed: int, markets: int) -> list[Series]:
    """The series of the first `markets` coins at a speed. Raises SimulatorError."""
    if speed < 1 or RECORDED_WINDOW_S % speed:
        raise SimulatorError(
            f"speed {speed} does not divide a window of {RECORDED_WINDOW_S} seconds"
        )
    if not 1 <= markets <= len(COINS):
        raise SimulatorError(f"markets {markets}: 1 to {len(COINS)} are possible")
    window_s = RECORDED_WINDOW_S // speed
    window = f"{window_s // 60}m" if window_s % 60 == 0 else f"{window_s}s"
    return [parse_series(f"{coin}-{window}") for coin in COINS[:markets]]


class RecordedMarkets:
    """Keeps the venue's listing and books moving until cancelled."""

    def __init__(
        self, venue: Venue, recordings: Sequence[Recording], series: Sequence[Series]
    ) -> None:
        self._venue = venue
        self._recordings = recordings
        self._series = series

    async def run(self) -> None:
        """Run until cancelled. Raises BundledRecordingError when a recording is broken."""
        async with asyncio.TaskGroup() as tasks:
            for number, series in enumerate(self._series):
                tasks.create_task(self._run_series(tasks, number, series))

    async def _run_series(self, tasks: asyncio.TaskGroup, number: int, series: Series) -> None:
        start_s = series.window_start_s(self._venue.now_ms() / 1000)
        tasks.create_task(self._play(self._list(number, series, start_s)))
        while True:
            start_s += series.window_s
            tasks.create_task(self._play(self._list(number, series, start_s)))
            await self._sleep_until(start_s * 1000)

    def _list(self, number: int, series: Series, start_s: int) -> tuple[Market, Recording]:
        recording = self.recording_of(number, series, start_s)
        market = self._venue.add_market(
            series.slug(start_s),
            start_ms=start_s * 1000,
            end_ms=(start_s + series.window_s) * 1000,
        )
        market.recording = recording.header.slug
        market.itode = number % 2 == 1  # as at the real venue, of some markets
        market.payouts, market.resolves_at_ms = recording.payouts, market.end_ms
        return market, recording

    def recording_of(self, number: int, series: Series, start_s: int) -> Recording:
        """What the window of the `number`-th series plays; the same for the same start."""
        index = start_s // series.window_s + number * _STRIDE
        return self._recordings[index % len(self._recordings)]

    async def _play(self, listed: tuple[Market, Recording]) -> None:
        market, recording = listed
        speed = RECORDED_WINDOW_S * 1000 / (market.end_ms - market.start_ms)
        caught_up = shown = False
        first: Step | None = None
        for step in recording.steps():
            first = first or step
            due_ms = market.start_ms + step.at_ms / speed
            if not caught_up and due_ms < self._venue.now_ms():
                self._skip(market, step)
                continue
            fresh = not caught_up and step is first
            caught_up = True
            if fresh:
                self._venue.set_book(market.books[0].token_id, *PLACEHOLDER)
            await self._sleep_until(due_ms)
            if shown:
                self._show(market, step)
            else:
                if fresh:
                    for book in market.books:
                        book.replace((), ())
                # A `book` frame does not say it.
                self._tick_size(market, step)
                self._skip(market, step)
                if self._venue.chance.hit("split", self._venue.faults.split):
                    market.payouts = SPLIT
                self._venue.replace_books(
                    market, [(book, book.bids(), book.asks()) for book in market.books]
                )
                shown = True

    def _skip(self, market: Market, step: Step) -> None:
        """Apply a step that nobody was there to see."""
        if _needs_fine_tick(market, step):
            market.tick_size_e4 = _FINE_TICK_E4
        for change in step.changes:
            market.books[change.outcome].put(change.side, change.price_e4, change.size_e6)

    def _show(self, market: Market, step: Step) -> None:
        self._tick_size(market, step)
        changes: list[Change] = [
            (market.books[c.outcome].token_id, c.side, c.price_e4, c.size_e6) for c in step.changes
        ]
        if changes:
            self._venue.change_levels(market, changes)

    def _tick_size(self, market: Market, step: Step) -> None:
        if _needs_fine_tick(market, step):
            self._venue.change_tick_size(market, _FINE_TICK_E4)

    async def _sleep_until(self, at_ms: float) -> None:
        await asyncio.sleep(max(0.0, at_ms - self._venue.now_ms()) / 1000)


def _needs_fine_tick(market: Market, step: Step) -> bool:
    """The real venue's tick becomes 0.001 near the ends of the price range."""
    return any(change.price_e4 % market.tick_size_e4 for change in step.changes)
