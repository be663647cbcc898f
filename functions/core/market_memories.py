"""The memory of each market that a worker deals with, and what a strategy sees of it. Pure."""

from __future__ import annotations

from protocol.book import Proof
from protocol.snapshot import BookSnapshot
from strategies.memory import MarketMemory
from strategies.view import MarketView


class MarketMemories:
    """By condition id; as many as the worker knows markets, since it says which are forgotten."""

    def __init__(self) -> None:
        self._memories: dict[str, MarketMemory] = {}

    def __len__(self) -> int:
        return len(self._memories)

    def note(self, snapshot: BookSnapshot) -> None:
        """Keep one book that was admitted; a dark one shows nothing, and is not kept."""
        if snapshot.proof is Proof.NONE:
            return
        market = snapshot.market
        books = snapshot.up_and_down()
        if books is None:
            return  # the evaluator holds for it
        memory = self._memories.get(market.condition_id)
        if memory is None:
            memory = self._memories[market.condition_id] = MarketMemory()
        at_ms = snapshot.received_at_ns // 1_000_000
        memory.note(market, books[0], at_ms, snapshot.epoch, snapshot.sequence)

    def forget(self, condition_id: str) -> None:
        """The worker does not deal with that market any more."""
        self._memories.pop(condition_id, None)

    def view(self, snapshot: BookSnapshot, now_ms: int) -> MarketView | None:
        """What strategies see at `now_ms` (epoch); None for outcomes other than Up and Down."""
        market = snapshot.market
        books = snapshot.up_and_down()
        if books is None:
            return None
        memory = self._memories.get(market.condition_id) or MarketMemory()
        return MarketView(market, *books, market.end_ms - now_ms, memory)
