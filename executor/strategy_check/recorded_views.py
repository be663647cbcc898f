"""The bundled recordings as a worker would show them to a strategy: a book a second, a memory."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from functions.core.market_memories import MarketMemories
from protocol.book import Book
from protocol.fee import FeeSchedule
from recordings.books import snapshots_of
from recordings.loader import Recording, bundled, load
from strategies.made_up import FEE
from strategies.memory import MarketMemory
from strategies.view import MarketView


def recordings() -> list[Recording]:
    """All that are bundled. Raises BundledRecordingError or OSError where they are damaged."""
    return [load(path) for path in bundled()]


def recorded_views(recording: Recording, fee: FeeSchedule = FEE) -> Iterator[MarketView]:
    """Each moment of the window in order; the memory in it is the market's, and goes on changing
    (`with_own_memory`)."""
    memories = MarketMemories()
    for snapshot in snapshots_of(recording):
        market = snapshot.market
        if fee != market.fee:
            market = msgspec.structs.replace(market, fee=fee)
            snapshot = msgspec.structs.replace(snapshot, market=market)  # noqa: PLW2901 - the same
        memories.note(snapshot)
        now_ms = snapshot.venue_timestamp_ms
        view = memories.view(snapshot, now_ms)
        if view is not None and now_ms >= market.start_ms:
            yield view


def with_own_memory(view: MarketView) -> MarketView:
    """The same view, with a memory that nothing will be added to."""
    memory, seen, start = MarketMemory(), view.memory.rows, view.memory.start
    rows = seen if start is None or start in seen else (start, *seen)
    for row in rows:
        book = Book(token_id=view.up.token_id, bids=row.bids, asks=row.asks)
        memory.note(view.market, book, row.at_ms, row.epoch, row.sequence)
    return MarketView(view.market, view.up, view.down, view.time_to_close_ms, memory)
