"""A strategy asked about one book: the same for a worker, a backtest and a replay. Pure."""

from __future__ import annotations

from functions.core.configuration import Configuration
from functions.core.trade import MalformedSignalError, Trade, trade_of
from strategies.interface import Hold, Signal, Strategy
from strategies.view import MarketView


def ask_strategy(
    strategy: type[Strategy], view: MarketView, configuration: Configuration
) -> Trade | Hold:
    """What it would do, at the view's moment. The gate comes first (`functions.core.gate`).

    Raises MalformedSignalError for an answer that is none, and whatever the strategy raises.
    """
    answer: object = strategy.decide(view, configuration.parameters, view.now_ms)
    # Exactly these: what a subclass says may change between two looks.
    if type(answer) is Signal:
        return trade_of(answer, view, configuration.order, configuration.version)
    if type(answer) is Hold and isinstance(answer.reason, strategy.Reason):
        return answer
    raise MalformedSignalError("neither a Signal nor a Hold with a reason of its own")
