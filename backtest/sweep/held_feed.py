"""A feed that is read several times, decoded once if it is small."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from backtest.feed.events import Exclusion, Feed, FeedEvent

HELD_MAX: Final = 25_000
"""About 150 MB of books."""


class HeldFeed:
    """Keeps its events from the first reading on, up to HELD_MAX; more are read again each time."""

    def __init__(self, open_feed: Callable[[], Feed], held_max: int = HELD_MAX) -> None:
        self._open_feed = open_feed
        self._held_max = held_max
        self._feed, self._is_new = open_feed(), True
        self._held: list[FeedEvent] | None = None

    @property
    def name(self) -> str:
        """The feed's."""
        return self._feed.name

    @property
    def exclusions(self) -> list[Exclusion]:
        """What the last reading has left out."""
        return self._feed.exclusions

    def __iter__(self) -> Iterator[FeedEvent]:
        """As the feed. Raises FeedError."""
        if self._held is not None:
            yield from self._held
            return
        if not self._is_new:
            self._feed = self._open_feed()
        self._is_new = False
        read: list[FeedEvent] | None = []
        for event in self._feed:
            if read is not None:
                read.append(event)
                if len(read) > self._held_max:
                    read = None
            yield event
        self._held = read
