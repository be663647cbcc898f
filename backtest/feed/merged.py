"""Many sources of events as one, in order of time: each is opened when its first event may be due.

So no more is held than what is open at a moment, however long the recording is. Events of the same
millisecond come in the order of their sources' first times, then of the sources as given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush
from math import inf

import msgspec

from backtest.feed.events import FeedEvent, event_at_ms


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Events in order of time, of a market for instance."""

    first_at_ms: int
    """Epoch; none of its events is older."""
    events: Callable[[], Iterable[FeedEvent]]
    """Called once, when the first one may be due."""


def merged(sources: Iterable[Source]) -> Iterator[FeedEvent]:
    """All events of all sources, in order of `event_at_ms`."""
    waiting = sorted(sources, key=lambda source: source.first_at_ms)
    waiting.reverse()  # the next one to be opened is the last
    opened: list[tuple[int, int, FeedEvent, Iterator[FeedEvent]]] = []
    while waiting or opened:
        while waiting and (not opened or waiting[-1].first_at_ms <= opened[0][0]):
            events = iter(waiting.pop().events())
            first = next(events, None)
            if first is not None:
                # No two sources have the same number: nothing behind it is ever compared.
                heappush(opened, (event_at_ms(first), -len(waiting), first, events))
        if not opened:
            continue
        _, number, event, events = heappop(opened)
        until_ms = min(opened[0][0] if opened else inf, waiting[-1].first_at_ms if waiting else inf)
        yield event
        # As long as nobody else is due, events come straight from their source.
        for event in events:
            at_ms = event_at_ms(event)
            if at_ms >= until_ms:
                heappush(opened, (at_ms, number, event, events))
                break
            yield event
