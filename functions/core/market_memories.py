"""The memory of each market that a worker deals with, and what a strategy sees of it. Pure."""

from __future__ import annotations

from protocol.book import Proof
from protocol.snapshot import BookSnapshot
from strategies.memory import BookRow, MarketMemory
from strategies.view import MarketView


class MarketMemories:
    """By condition id; as many as the worker knows markets, since it says which are forgotten."""

    def __init__(self) -> None:
        self._memories: dict[str, MarketMemory] = {}

    def __len__(self) -> int:
        return len(self._memories)

    def note(self, snapshot: BookSnapshot) -> None:
        """Keep one book that was admitted."""
        row = row_of(snapshot)
        if row is None:
            return
        market = snapshot.market
        memory = self._memories.get(market.condition_id)
        if memory is None:
            memory = self._memories[market.condition_id] = MarketMemory()
        memory.keep(market, row)

    def forget(self, condition_id: str) -> None:
        """The worker does not deal with that market any more."""
        self._memories.pop(condition_id, None)

    def view(self, snapshot: BookSnapshot, now_ms: int) -> MarketView | None:
        """What strategies see at `now_ms` (epoch); None for outcomes other than Up and Down."""
        condition_id = snapshot.market.condition_id
        return view_of(snapshot, self._memories.get(condition_id) or MarketMemory(), now_ms)


def row_of(snapshot: BookSnapshot) -> BookRow | None:
    """What a memory keeps of a book; None for one that it does not keep: a dark one shows nothing,
    and for one of other outcomes the evaluator holds."""
    if snapshot.proof is Proof.NONE:
        return None
    books = snapshot.up_and_down()
    if books is None:
        return None
    at_ms = snapshot.received_at_ns // 1_000_000
    return BookRow.of(books[0], at_ms, snapshot.epoch, snapshot.sequence)


def view_of(snapshot: BookSnapshot, memory: MarketMemory, now_ms: int) -> MarketView | None:
    """What strategies see of a book at `now_ms` (epoch); None for outcomes other than Up and
    Down."""
    market = snapshot.market
    books = snapshot.up_and_down()
    if books is None:
        return None
    return MarketView(market, *books, market.end_ms - now_ms, memory, snapshot.bids_max)
