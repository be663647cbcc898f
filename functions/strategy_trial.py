"""A strategy is asked about a handful of made-up books before anything starts.

Not a proof (that is `executor strategy check`): it finds what fails at once, when nothing is at
stake yet, and a person is there to read it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from functions.core.ask import bids_wanted
from functions.core.strategy_rules import StrategyNotUsableError, said_of
from functions.core.trade import MalformedSignalError, OrderConfig, trade_of
from protocol.book import Level
from runtime.time_limit import TookTooLongError, within_s
from strategies.interface import Hold, Signal, Strategy
from strategies.made_up import START_MS, WINDOW_MS, made_up_market, made_up_view
from strategies.parameters import StrategyParameters
from strategies.view import MarketView

TRIAL_MAX_S: Final = 5.0
_END_MS: Final = START_MS + WINDOW_MS


def try_out(
    strategy: type[Strategy],
    parameters: StrategyParameters | None = None,
    *,
    max_s: float = TRIAL_MAX_S,
) -> None:
    """Raises StrategyNotUsableError, one line, where it raises, answers nonsense or does not end.

    `parameters`: those that it will run with; else its defaults. `max_s`: for all books together.
    """
    name, used = strategy.name, parameters or strategy.Parameters()
    what = ""
    try:
        with within_s(max_s):
            what = "how many bids it looks at"
            bids_wanted(strategy, used)
            for asked in _views():
                what, view = asked
                now_ms = view.market.end_ms - view.time_to_close_ms
                check_answer(strategy, strategy.decide(view, used, now_ms), view)
    except TookTooLongError:
        raise StrategyNotUsableError(
            f"{name}: does not answer within {max_s:g} s when it is asked about {what}"
        ) from None
    except MalformedSignalError as error:
        raise StrategyNotUsableError(f"{name}: asked about {what}: {said_of(error)}") from None
    # SystemExit, too: nothing else runs here, so it is the strategy's.
    except BaseException as error:
        said = said_of(error)
        raise StrategyNotUsableError(f"{name}: asked about {what}: raises {said}") from error


def check_answer(strategy: type[Strategy], answer: object, view: MarketView) -> None:
    """Raises MalformedSignalError unless it is what the interface says."""
    if type(answer) is Signal:
        trade_of(answer, view, OrderConfig())
    elif type(answer) is not Hold or not isinstance(answer.reason, strategy.Reason):
        raise MalformedSignalError("neither a Signal nor a Hold with a reason of its own")


def _views() -> Iterator[tuple[str, MarketView]]:
    """Books as the gate may let them through, each with what it is called."""
    bids: tuple[Level, ...] = ((5_000, 90_000_000), (4_900, 50_000_000), (4_800, 20_000_000))
    asks: tuple[Level, ...] = ((5_100, 10_000_000), (5_200, 40_000_000), (5_300, 20_000_000))
    earlier = [(ms, bids, asks) for ms in range(60_000, 0, -250)]
    yield "an ordinary book", made_up_view(bids, asks)
    yield "an ordinary book with a past", made_up_view(bids, asks, before=earlier)
    yield "the market's first book", made_up_view(bids, asks, now_ms=START_MS)
    yield "the market's last moment", made_up_view(bids, asks, now_ms=_END_MS)
    yield "a book without bids", made_up_view((), asks, before=earlier)
    yield "a book without asks", made_up_view(bids, (), before=earlier)
    yield "an empty book", made_up_view((), ())
    yield "a book that was empty before", made_up_view(bids, asks, before=[(500, (), ())])
    yield "a crossed book", made_up_view(bids, ((4_900, 1_000_000),))
    yield "books that are no mirrors", made_up_view(bids, asks, down_bids=(), down_asks=())
    fine = made_up_market(tick_size_e4=10)
    high: tuple[tuple[Level, ...], tuple[Level, ...]] = (((9_980, 1),), ((9_990, 10**15),))
    yield "a market that is nearly decided", made_up_view(*high, market=fine)
    low: tuple[tuple[Level, ...], tuple[Level, ...]] = (((10, 10**15),), ((20, 1),))
    yield "a market that is nearly lost", made_up_view(*low, market=fine)
