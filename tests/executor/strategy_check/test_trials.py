"""A strategy is asked about books: what is wrong with its answers is found and said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.strategy_check import measures, trials
from executor.strategy_check.bids_seen import bids_check
from executor.strategy_check.made_up_views import made_up_views
from executor.strategy_check.recorded_views import recorded_views, recordings, with_own_memory
from executor.strategy_check.trials import ANSWERS, GIVEN, GRID, RAISES, Trials, answers_of
from executor.strategy_template.my_strategy import MyStrategy
from functions.core.trade import Trade, trade_of
from functions.strategy_trial import check_answer
from protocol.book import Level, check_order
from strategies.book_imbalance import BookImbalance
from strategies.builtin import BUILTIN
from strategies.interface import Hold, Signal, Strategy
from strategies.made_up import NOW_MS, made_up_view
from strategies.memory import digest_of
from strategies.parameters import StrategyParameters, parameter
from strategies.view import MarketView
from tests.support.strategies import AlwaysBuy

GOOD = (*BUILTIN.values(), MyStrategy)


@pytest.fixture(autouse=True)
def fewer_books(monkeypatch: pytest.MonkeyPatch) -> None:
    some = recordings()[:2]
    monkeypatch.setattr(trials, "MADE_UP", 300)
    monkeypatch.setattr(trials, "recordings", lambda: some)


def answering(answer: Callable[[MarketView], Any]) -> type[Strategy]:
    class Answering(AlwaysBuy):
        name = "answering"

        @staticmethod
        def decide(view: MarketView, parameters: StrategyParameters, now_ms: int) -> Any:
            return answer(view)

    return Answering


def wrong(strategy: type[Strategy]) -> dict[str, str]:
    ran = Trials(strategy, __file__)
    ran.run()
    return {check.what: check.text for check in ran.checks() if not check.ok}


def test_one_that_looks_at_more_bids_than_it_says_is_found() -> None:
    views = list(made_up_views(seed=1, count=200))

    class Deeper(BookImbalance):
        @staticmethod
        def bids_seen(parameters: Any) -> int:
            return parameters.levels - 1  # type: ignore[no-any-return]

    said = [bids_check(each, views) for each in (BookImbalance, Deeper, MyStrategy)]
    assert [None if each is None else each.ok for each in said] == [True, False, None]


@pytest.mark.parametrize("strategy", GOOD)
def test_a_good_one_passes_and_is_counted(strategy: type[Strategy]) -> None:
    ran = Trials(strategy, "")
    counted = ran.run()
    assert all(check.ok for check in ran.checks())
    assert counted.markets == 2
    assert counted.books > 1_000
    assert counted.bought + sum(counted.holds.values()) == counted.books
    assert counted.signals >= counted.bought


def test_what_it_raises_is_said_with_its_line_and_the_book() -> None:
    def answer(view: MarketView) -> Signal:
        return Signal(outcome="Up", numbers={"mid": view.up.bids[0][0] / 1})

    found = wrong(answering(answer))
    assert list(found) == [RAISES]
    assert found[RAISES].startswith("raises IndexError: tuple index out of range (line ")
    assert ": made-up book " in found[RAISES]


def test_what_only_a_parameter_at_its_bound_raises_is_found() -> None:
    class Divides(AlwaysBuy):
        class Parameters(StrategyParameters):
            books: int = parameter(5, "By how many it divides.", ge=0, le=9)

        @staticmethod
        def decide(view: MarketView, parameters: Any, now_ms: int) -> Signal | Hold:
            return Signal(outcome="Up", numbers={"share": 1 / parameters.books})

    assert "ZeroDivisionError" in (found := wrong(Divides)[RAISES])
    assert found.endswith("with books=0")


def leave(_: MarketView) -> None:
    raise SystemExit


@pytest.mark.parametrize(
    ("answer", "what", "said"),
    [
        (lambda view: None, ANSWERS, "neither a Signal nor a Hold of its own (NoneType)"),
        (lambda view: Hold(RAISES), ANSWERS, "(Hold)"),  # type: ignore[arg-type]
        (lambda view: Signal(outcome="No", numbers={}), ANSWERS, "outcome: 'No' is neither"),
        (
            lambda view: Signal(outcome="Up", numbers={"x": float("nan")}),
            ANSWERS,
            "numbers: x is not a number",
        ),
        (
            lambda view: Signal(outcome="Up", numbers={}, limit_price_e4=5_000.5),  # type: ignore[arg-type]
            ANSWERS,
            "limit_price_e4",
        ),
        (leave, RAISES, "raises SystemExit"),
    ],
)
def test_nonsense_is_found(answer: Callable[[MarketView], Any], what: str, said: str) -> None:
    assert said in wrong(answering(answer))[what]


def test_one_that_changes_what_it_is_shown_is_found() -> None:
    def answer(view: MarketView) -> Signal:
        view.memory.note(view.market, view.up, 0, 2, 10**9 + view.time_to_close_ms)
        return Signal(outcome="Up", numbers={})

    assert GIVEN in wrong(answering(answer))


def test_a_limit_off_the_grid_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes orders floors to the grid; if it did not, it would be seen."""

    def off(*arguments: Any) -> Any:
        done = trade_of(*arguments)
        if isinstance(done, Trade):
            return msgspec.structs.replace(done, max_price_e4=done.max_price_e4 + 1)
        return done

    monkeypatch.setattr(trials, "trade_of", off)
    assert "e-4 USD: " in wrong(AlwaysBuy)[GRID]


def test_one_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "ANSWER_MAX_S", 0.2)

    def answer(view: MarketView) -> None:
        while view.up.bids:
            pass

    said = wrong(answering(answer))[RAISES]
    assert said.startswith("has not answered about all made-up books within 0.2 s; it was at made")


# -- the books -------------------------------------------------------------------------------------


def test_made_up_books_are_the_same_for_a_seed_and_of_every_shape() -> None:
    def told(view: MarketView) -> Any:
        return view.market, view.up, view.down, view.time_to_close_ms, view.memory.rows

    views = list(made_up_views(7, 400))
    assert [told(view) for view in views] == [told(view) for view in made_up_views(7, 400)]
    for view in views:
        check_order(view.up)
        check_order(view.down)
    shapes = {
        "one-sided": any(bool(view.up.bids) != bool(view.up.asks) for view in views),
        "empty": any(not view.up.bids and not view.up.asks for view in views),
        "crossed": any((view.up.spread_e4 or 1) <= 0 for view in views),
        "fine": any(view.market.tick_size_e4 == 1 for view in views),
        "full memory": any(len(view.memory.rows) == 256 for view in views),
        "no memory": any(len(view.memory.rows) == 1 for view in views),
        "the end": any(view.time_to_close_ms == 0 for view in views),
        "no mirror": any(len(view.up.bids) != len(view.down.asks) for view in views),
    }
    assert [name for name, seen in shapes.items() if not seen] == []


def test_a_recording_is_shown_book_by_book_with_its_memory() -> None:
    last = None
    for number, view in enumerate(recorded_views(recordings()[0])):
        check_order(view.up)
        assert view.memory.rows[-1].bids == view.up.bids[:5]
        assert last is None or view.time_to_close_ms < last
        last = view.time_to_close_ms
        if number in (0, 700):
            own = with_own_memory(view)
            assert own.memory is not view.memory
            assert digest_of(own.memory.rows, own.memory.start) == digest_of(
                view.memory.rows, view.memory.start
            )
    assert last is not None and last < 5_000


sides = st.lists(
    st.tuples(st.integers(1, 99), st.integers(1, 10**18)),
    max_size=40,
    unique_by=lambda each: each[0],
)


def best_first(levels: list[Level], *, highest: bool) -> tuple[Level, ...]:
    return tuple(sorted(((price * 100, size) for price, size in levels), reverse=highest))


@pytest.mark.parametrize("strategy", GOOD)
@settings(max_examples=60, deadline=None)
@given(
    bids=sides,
    asks=sides,
    past=st.lists(st.tuples(st.integers(0, 90_000), sides, sides), max_size=5),
)
def test_whatever_the_books_a_good_one_answers_validly(
    strategy: type[Strategy], bids: list[Level], asks: list[Level], past: list[Any]
) -> None:
    before = [
        (ago_ms, best_first(old_bids, highest=True), best_first(old_asks, highest=False))
        for ago_ms, old_bids, old_asks in sorted(past, key=lambda each: -each[0])
    ]
    view = made_up_view(
        best_first(bids, highest=True), best_first(asks, highest=False), before=before
    )
    answer = strategy.decide(view, strategy.Parameters(), NOW_MS)
    check_answer(strategy, answer, view)
    assert answers_of(strategy, [view]) == answers_of(strategy, [view])


# -- time and memory -------------------------------------------------------------------------------


@pytest.fixture
def views(monkeypatch: pytest.MonkeyPatch) -> list[MarketView]:
    monkeypatch.setattr(measures, "GROWTH_BOOKS", 400)
    return list(made_up_views(seed=9, count=200))


# The slowest of those that come with the project, and the template: each takes seconds.
@pytest.mark.parametrize("strategy", [BUILTIN["order_flow_imbalance"], MyStrategy])
def test_a_good_one_is_fast_and_small(strategy: type[Strategy], views: list[MarketView]) -> None:
    fast, small = measures.time_check(strategy, views), measures.memory_check(strategy, views)
    assert fast.ok, fast.text
    assert "us at p99 (CPU time" in fast.text
    assert small.ok, small.text


def test_a_slow_one_is_found(views: list[MarketView]) -> None:
    check = measures.time_check(
        answering(lambda view: Signal(outcome="Up", numbers={"x": float(sum(range(60_000)))})),
        views,
    )
    assert not check.ok, check.text


def test_one_that_grows_is_found(views: list[MarketView]) -> None:
    kept: list[Any] = []

    def answer(view: MarketView) -> Signal:
        kept.append([view.time_to_close_ms, view.up.mid_e4])
        return Signal(outcome="Up", numbers={})

    check = measures.memory_check(answering(answer), views)
    assert not check.ok, check.text


def test_one_that_takes_much_at_once_is_found(views: list[MarketView]) -> None:
    check = measures.memory_check(
        answering(lambda view: Signal(outcome="Up", numbers={"x": len([0] * 10**6)})), views
    )
    assert not check.ok, check.text
