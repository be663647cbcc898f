"""A strategy asked about one book: the same for a worker, a backtest and a replay. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from operator import index

from functions.core.configuration import Configuration, written
from functions.core.hold import HoldReason, hold
from functions.core.trade import (
    MalformedSignalError,
    Trade,
    checked_signal,
    terms_of,
    trade_on,
)
from protocol.book import PUBLISHED_LEVELS_MAX
from strategies.interface import Hold, Signal, Strategy
from strategies.parameters import StrategyParameters
from strategies.view import MarketView


def ask_strategy(
    strategy: type[Strategy], view: MarketView, configuration: Configuration
) -> Trade | Hold:
    """What it would do, at the view's moment. The gate comes first (`functions.core.gate`).

    Raises MalformedSignalError for an answer that is none, and whatever the strategy raises.
    """
    answer = answer_of(strategy, view, configuration.parameters)
    if isinstance(answer, Hold):
        return answer
    terms = terms_of(answer, view, configuration.order)
    if isinstance(terms, Hold):
        return terms
    return trade_on(answer, terms, view, configuration.version)


def answer_of(
    strategy: type[Strategy], view: MarketView, parameters: StrategyParameters
) -> Signal | Hold:
    """What it says, checked: the same for all accounts that have the same strategy and parameters.

    Where the feeder publishes fewer bids than the strategy says that it looks at, it is not asked.
    Raises as `ask_strategy`.
    """
    if view.bids_max < PUBLISHED_LEVELS_MAX and view.bids_max < bids_wanted(strategy, parameters):
        return hold(HoldReason.TOO_FEW_BIDS)
    answer: object = strategy.decide(view, parameters, view.now_ms)
    # Exactly these: what a subclass says may change between two looks.
    if type(answer) is Signal:
        return checked_signal(answer)
    if type(answer) is Hold and isinstance(answer.reason, strategy.Reason):
        return answer
    raise MalformedSignalError("neither a Signal nor a Hold with a reason of its own")


def question_of(strategy: type[Strategy], parameters: StrategyParameters) -> Hashable:
    """Equal for those accounts whose strategy must answer the same to the same view."""
    try:
        return strategy, written(parameters)
    except Exception:  # noqa: BLE001 - a strategy's parameters may be anything
        return object()  # equal to none


def bids_wanted(strategy: type[Strategy], parameters: StrategyParameters) -> int:
    """How many bids of each book must be published for it, at most `PUBLISHED_LEVELS_MAX`.

    Raises TypeError and ValueError for what is no number of bids, and whatever the strategy raises.
    """
    seen = strategy.bids_seen(parameters)
    if seen is None:
        return PUBLISHED_LEVELS_MAX
    wanted = index(seen)  # a half, or no number at all, would pass for enough, or stop a feeder
    if wanted < 0:
        raise ValueError(f"bids_seen: {wanted} is no number of bids; None says all")
    return min(wanted, PUBLISHED_LEVELS_MAX)
