"""Whether a strategy looks at no more bids than it says (`Strategy.bids_seen`)."""

from __future__ import annotations

from typing import Final

import msgspec

from executor.strategy_check.report import StrategyCheck
from functions.core.ask import bids_wanted
from functions.core.strategy_rules import said_of
from protocol.book import PUBLISHED_LEVELS_MAX, Book
from strategies.interface import Strategy
from strategies.view import MarketView

WHAT: Final = "bids it looks at"


def bids_check(strategy: type[Strategy], views: list[MarketView]) -> StrategyCheck | None:
    """Asked with no more bids than it says, it answers the same; None where it says nothing."""
    parameters = strategy.Parameters()
    try:
        most = bids_wanted(strategy, parameters)
        if most >= PUBLISHED_LEVELS_MAX:
            return None
        for view in views:
            cut = with_bids_of(view, most)
            now_ms = view.now_ms
            if strategy.decide(cut, parameters, now_ms) != strategy.decide(
                view, parameters, now_ms
            ):
                text = f"it says {most}, and answers otherwise when it is shown no more"
                return StrategyCheck(what=WHAT, ok=False, text=text)
    except Exception as error:  # noqa: BLE001 - a strategy may raise anything
        return StrategyCheck(what=WHAT, ok=False, text=f"raises {said_of(error)}")
    text = f"{most} of each book; with no more it answers the same about {len(views):,} books"
    return StrategyCheck(what=WHAT, ok=True, text=text)


def with_bids_of(view: MarketView, most: int) -> MarketView:
    """The same view of books with so many bids at most."""

    def of(book: Book) -> Book:
        return msgspec.structs.replace(book, bids=book.bids[:most])

    return msgspec.structs.replace(view, up=of(view.up), down=of(view.down), bids_max=most)
