"""One strategy asked about one book, as a worker with a new memory does."""

from __future__ import annotations

import time
from enum import StrEnum

from functions.core.market_memories import MarketMemories
from functions.core.trade import OrderConfig, Trade, trade_of
from protocol.snapshot import BookSnapshot
from strategies.interface import Hold, Signal, Strategy
from strategies.parameters import StrategyParameters
from strategies.view import MarketView


def view_of(*books: BookSnapshot, now_ms: int | None = None) -> MarketView:
    """What is seen with the last of these books, the others in memory."""
    memories = MarketMemories()
    for book in books:
        memories.note(book)
    view = memories.view(books[-1], now_ms or time.time_ns() // 1_000_000)
    assert view is not None
    return view


def decided(
    strategy: type[Strategy],
    *books: BookSnapshot,
    parameters: StrategyParameters | None = None,
    order: OrderConfig | None = None,
) -> Trade | Hold:
    """What is to be ordered after the last of these books."""
    view, now_ms = view_of(*books), time.time_ns() // 1_000_000
    answer = strategy.decide(view, parameters or strategy.Parameters(), now_ms)
    return answer if isinstance(answer, Hold) else trade_of(answer, view, order or OrderConfig())


class AlwaysBuy(Strategy):
    """A strategy that has forgotten everything."""

    name = "always_buy"

    class Parameters(StrategyParameters):
        """None."""

    class Reason(StrEnum):
        """It never holds."""

        NEVER = "never"

    @staticmethod
    def decide(view: MarketView, parameters: StrategyParameters, now_ms: int) -> Signal | Hold:
        """Buy Up."""
        return Signal(outcome="Up", numbers={})
