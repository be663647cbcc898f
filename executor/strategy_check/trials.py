"""A strategy is asked about books, and each answer is judged."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import cycle
from statistics import median
from typing import Any, Final

import msgspec
from pydantic import ValidationError

from executor.strategy_check.made_up_views import made_up_views
from executor.strategy_check.recorded_views import recorded_views, recordings, with_own_memory
from executor.strategy_check.report import StrategyCheck, StrategyTrials
from functions.core.gate import GateConfig
from functions.core.strategy_rules import said_of
from functions.core.trade import MalformedSignalError, OrderConfig, Trade, trade_of
from protocol.units import PRICE_SCALE
from recordings.loader import Recording
from runtime.time_limit import TookTooLongError, within_s
from strategies.interface import Hold, Signal, Strategy
from strategies.parameters import StrategyParameters
from strategies.view import MarketView

MADE_UP: Final = 3_000
EVERY: Final = 10
"""Of the recorded books, so many are looked at once more by all further checks."""
ANSWER_MAX_S: Final = 10.0
"""For all books of one kind; many thousand answers of 200 µs take less."""
RAISES: Final = "never raises"
ANSWERS: Final = "answers are valid"
GRID: Final = "on the tick grid"
GIVEN: Final = "changes nothing"
_HELD: Final = {
    RAISES: "it answered all of {books:,} books",
    ANSWERS: "each answer is a Signal, or a Hold with a reason of its own",
    GRID: "each order's limit is on the market's grid and within the signal's",
    GIVEN: "books, market and memory were the same after each answer",
}


class Trials:
    """Asks one strategy, keeps what was wrong first of each kind, and counts what it did."""

    def __init__(self, strategy: type[Strategy], file: str) -> None:
        self._strategy = strategy
        self._file = file
        self._wrong: dict[str, str] = {}
        self._asked, self._at = 0, ""
        self.sample: list[MarketView] = []
        """For further checks: recorded views, each with a memory of its own, then made-up ones."""

    def run(self) -> StrategyTrials:
        """Ask about all books; `checks` says what came of it."""
        self._within("made-up books", self._made_up)
        recorded: list[StrategyTrials] = []
        self._within("recorded books", lambda: recorded.append(self._recorded(recordings())))
        self.sample += made_up_views(seed=2, count=500)
        if recorded:
            return recorded[0]
        return StrategyTrials(
            markets=0, books=0, signals=0, signals_per_market_median=0, bought=0, holds={}
        )

    def checks(self) -> Iterator[StrategyCheck]:
        """One of each kind."""
        for what, held in _HELD.items():
            wrong = self._wrong.get(what)
            text = held.format(books=self._asked) if wrong is None else wrong
            yield StrategyCheck(what=what, ok=wrong is None, text=text)

    def _within(self, what: str, ask: Callable[[], object]) -> None:
        try:
            with within_s(ANSWER_MAX_S, cpu=True):
                ask()
        except TookTooLongError:
            text = f"has not answered about all {what} within {ANSWER_MAX_S:g} s"
            self._note(RAISES, f"{text}; it was at {self._at}")

    def _note(self, what: str, text: str) -> None:
        self._wrong.setdefault(what, text)

    def _made_up(self) -> None:
        every = cycle(_parameter_sets(self._strategy))
        for number, view in enumerate(made_up_views(seed=1, count=MADE_UP), start=1):
            parameters, told = next(every)
            self.ask(view, parameters, f"made-up book {number}{told}")

    def _recorded(self, recorded: Iterable[Recording]) -> StrategyTrials:
        defaults, close_min_ms = self._strategy.Parameters(), GateConfig().time_to_close_min_ms
        signals: list[int] = []
        books = bought = 0
        holds: Counter[str] = Counter()
        for recording in recorded:
            signals.append(0)
            for number, view in enumerate(recorded_views(recording)):
                if number % EVERY == 0:
                    self.sample.append(with_own_memory(view))
                done = self.ask(view, defaults, None)
                if done is None or view.time_to_close_ms < close_min_ms:
                    continue
                books += 1
                signal, outcome = done
                signals[-1] += signal
                if isinstance(outcome, Trade):
                    bought += 1
                else:
                    holds[outcome.reason.value] += 1
        return StrategyTrials(
            markets=len(signals),
            books=books,
            signals=sum(signals),
            signals_per_market_median=median(signals),
            bought=bought,
            holds=dict(holds.most_common()),
        )

    def ask(
        self, view: MarketView, parameters: StrategyParameters, where: str | None
    ) -> tuple[bool, Trade | Hold] | None:
        """(whether it was a signal, what came of it); None where something was wrong.

        `where`: what to call the book; None: its market and time.
        """
        self._asked += 1
        self._at = where or view.market.slug
        before = _identity(view)
        now_ms = view.market.end_ms - view.time_to_close_ms
        try:
            answer: Any = self._strategy.decide(view, parameters, now_ms)
        except TookTooLongError:
            raise
        except BaseException as error:  # noqa: BLE001 - a strategy may raise anything
            self._note(
                RAISES,
                f"raises {said_of(error)}{self._line_of(error)}: {where or _moment_of(view)}",
            )
            return None
        if _identity(view) != before:
            self._note(GIVEN, f"changes what it is shown: {where or _moment_of(view)}")
        if type(answer) is Hold and isinstance(answer.reason, self._strategy.Reason):
            return False, answer
        if type(answer) is not Signal:
            kind = type(answer).__name__
            self._note(
                ANSWERS,
                f"neither a Signal nor a Hold of its own ({kind}): {where or _moment_of(view)}",
            )
            return None
        try:
            outcome = trade_of(answer, view, OrderConfig())
        except MalformedSignalError as error:
            self._note(ANSWERS, f"{error}: {where or _moment_of(view)}")
            return None
        if isinstance(outcome, Trade) and not _on_the_grid(outcome, answer, view):
            self._note(GRID, f"limit {outcome.max_price_e4}e-4 USD: {where or _moment_of(view)}")
        return True, outcome

    def _line_of(self, error: BaseException) -> str:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == self._file]
        return f" (line {lines[-1]})" if lines else ""


def _on_the_grid(trade: Trade, signal: Signal, view: MarketView) -> bool:
    limit_e4, tick_e4 = trade.max_price_e4, view.market.tick_size_e4
    within = signal.limit_price_e4 is None or limit_e4 <= signal.limit_price_e4
    return within and 0 < limit_e4 < PRICE_SCALE and limit_e4 % tick_e4 == 0


def _identity(view: MarketView) -> tuple[Any, ...]:
    rows = view.memory.rows
    last = rows[-1].sequence if rows else 0
    parts = (view.market, view.up, view.down, view.memory)
    return (*map(id, parts), view.time_to_close_ms, len(rows), last)


def _moment_of(view: MarketView) -> str:
    at_s = (view.market.end_ms - view.market.start_ms - view.time_to_close_ms) / 1000
    return f"{view.market.slug} at {at_s:.1f} s"


def _parameter_sets(strategy: type[Strategy]) -> list[tuple[StrategyParameters, str]]:
    """The defaults, and each parameter at each of its bounds, with how that is said."""
    sets = [(strategy.Parameters(), "")]
    for name, field in strategy.Parameters.model_fields.items():
        for bound in field.metadata:
            value = getattr(bound, "ge", getattr(bound, "le", None))
            if value is None:
                continue
            try:
                changed = strategy.Parameters.model_validate({name: value})
            except ValidationError:
                continue  # together with the others' defaults it is none
            sets.append((changed, f" with {name}={value}"))
    return sets


def answers_of(strategy: type[Strategy], views: Iterable[MarketView]) -> list[bytes]:
    """What it answers with its defaults, each as bytes that are equal where the answers are."""
    defaults, said = strategy.Parameters(), list[bytes]()
    for view in views:
        now_ms = view.market.end_ms - view.time_to_close_ms
        answer = strategy.decide(view, defaults, now_ms)
        said.append(msgspec.json.encode([type(answer).__name__, answer], order="deterministic"))
    return said
