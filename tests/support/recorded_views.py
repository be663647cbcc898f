"""The bundled recordings as a worker's strategies see them: one worker, every book."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from functions.core.gate import GateConfig, hold_reason_of
from functions.core.market_memories import MarketMemories
from protocol.snapshot import BookSnapshot
from recordings.books import snapshots_of
from recordings.loader import bundled, load
from strategies.interface import Hold, Signal, Strategy
from strategies.view import MarketView

# A quiet market, a busy one, and one whose tick becomes finer.
MARKETS = ("btc-updown-15m-1790595000", "btc-updown-15m-1790588700", "btc-updown-15m-1790596800")


@functools.cache
def recorded_books(slug: str) -> tuple[BookSnapshot, ...]:
    """Every state of one bundled market."""
    (path,) = (path for path in bundled() if path.name.startswith(slug))
    return tuple(snapshots_of(load(path)))


def recorded_views(slug: str) -> Iterator[tuple[MarketView, int]]:
    """What passes the gate of the default settings, and when (epoch milliseconds)."""
    memories, gate = MarketMemories(), GateConfig()
    for book in recorded_books(slug):
        memories.note(book)
        now_ms = book.received_at_ns // 1_000_000
        if hold_reason_of(book, gate, now_ms) is None:
            view = memories.view(book, now_ms)
            assert view is not None
            yield view, now_ms


def answers_on(strategy: type[Strategy], slug: str) -> list[Signal | Hold]:
    """What it says of each book, with its default parameters."""
    parameters = strategy.Parameters()
    return [strategy.decide(view, parameters, now_ms) for view, now_ms in recorded_views(slug)]
