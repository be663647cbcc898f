"""What every strategy promises (`strategies.interface.Strategy`): one set of tests for all.

A subclass in a test module gives the fixture `strategy`: the class. Where another process could not
import it from this project's root, it gives `import_folder`, too.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from enum import StrEnum
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from executor.strategy_check.bids_seen import with_bids_of
from functions.core.ask import bids_wanted
from functions.core.trade import OrderConfig, Trade, check_signal, trade_of
from protocol.book import Book
from protocol.market import MarketInfo
from strategies.interface import Hold, Signal, Strategy
from strategies.memory import ROWS_MAX, BookRow, MarketMemory
from strategies.parameters import StrategyParameters
from strategies.view import MarketView
from tests.support.generated_views import bounds_of, parameters_of, views
from tests.support.recorded_views import MARKETS, answers_on, recorded_views

ROOT = Path(__file__).parents[2]
UNITS = {"ms", "s", "ns", "e4", "e6", "usd", "ticks", "bps", "ratio"}
NOW_MS = st.integers(0, 4 * 10**12)
# Many classes inherit these tests, and the fixture is the class itself: nothing is to be made anew.
anything = settings(
    max_examples=150,
    suppress_health_check=[
        HealthCheck.differing_executors,
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)


class StrategyContract:
    """Inherit it, and give the fixture `strategy`."""

    @pytest.fixture
    def import_folder(self) -> Path:
        """Where another process finds the strategy's module."""
        return ROOT

    # -- what it is ------------------------------------------------------------------------------

    def test_its_name_is_plain(self, strategy: type[Strategy]) -> None:
        assert re.fullmatch(r"[a-z][a-z0-9_]{0,63}", strategy.name)

    def test_its_reasons_are_a_small_plain_set(self, strategy: type[Strategy]) -> None:
        assert issubclass(strategy.Reason, StrEnum)
        assert 0 < len(strategy.Reason) <= 32  # each is a label of a metric
        for reason in strategy.Reason:
            assert re.fullmatch(r"[a-z][a-z0-9_]{0,63}", reason.value)

    def test_each_parameter_has_help_and_bounds_and_ends_with_its_unit(
        self, strategy: type[Strategy]
    ) -> None:
        model = strategy.Parameters
        assert issubclass(model, StrategyParameters)
        for name, field in model.model_fields.items():
            assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
            assert not UNITS & set(name.split("_")[:-1]), f"{name}: its unit is not last"
            assert field.description, f"{name} has no help"
            assert field.description.endswith("."), f"{name}: help is a sentence"
            assert not field.is_required(), f"{name} has no default"
            if field.annotation in (int, float):
                low, high = bounds_of(field.metadata)
                assert low <= field.default <= high, name
            else:
                assert name not in model.tunable(), f"{name}: only a number can be tuned"

    def test_parameters_out_of_bounds_are_refused_and_none_can_be_changed(
        self, strategy: type[Strategy]
    ) -> None:
        model = strategy.Parameters
        made = model()
        assert model.model_validate_json(made.model_dump_json()) == made
        for wrong in ({"no_such_parameter": 1}, *_out_of_bounds(model)):
            with pytest.raises(ValidationError):
                model(**wrong)
        for name in model.model_fields:
            with pytest.raises(ValidationError):
                setattr(made, name, 1)

    # -- what it answers -------------------------------------------------------------------------

    @given(data=st.data(), view=views(), now_ms=NOW_MS)
    @anything
    def test_it_answers_any_book_with_a_signal_or_a_hold_of_its_own_and_touches_nothing(
        self, strategy: type[Strategy], data: st.DataObject, view: MarketView, now_ms: int
    ) -> None:
        parameters = data.draw(parameters_of(strategy.Parameters))
        check_once(strategy, parameters, view, now_ms)

    @given(data=st.data(), first=st.integers(0, 39), slug=st.sampled_from(MARKETS))
    @settings(anything, max_examples=20)
    def test_it_keeps_its_promises_on_recorded_books_with_any_parameters(
        self, strategy: type[Strategy], data: st.DataObject, first: int, slug: str
    ) -> None:
        parameters = data.draw(parameters_of(strategy.Parameters))
        for view, now_ms in islice(recorded_views(slug), first, None, 40):
            check_once(strategy, parameters, view, now_ms)

    @pytest.mark.parametrize("slug", MARKETS)
    def test_it_answers_every_recorded_book(self, strategy: type[Strategy], slug: str) -> None:
        parameters, answered = strategy.Parameters(), 0
        for view, now_ms in recorded_views(slug):
            assert len(view.memory.rows) <= ROWS_MAX
            check_answer(strategy, strategy.decide(view, parameters, now_ms), view)
            answered += 1
        assert answered > 500

    def test_it_answers_the_same_in_another_process(
        self, strategy: type[Strategy], import_folder: Path
    ) -> None:
        """With another hash seed: what goes through a set has another order there."""
        found = f"{strategy.__module__}:{strategy.__qualname__}"
        there = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-m", "tests.support.strategy_contract", found, MARKETS[1]],
            cwd=ROOT,
            env={"PYTHONHASHSEED": "4711", "PYTHONPATH": f"{ROOT}{os.pathsep}{import_folder}"},
            capture_output=True,
            check=True,
            timeout=50,
        )
        assert there.stdout.decode().strip() == spelled(answers_on(strategy, MARKETS[1]))


def check_once(
    strategy: type[Strategy], parameters: StrategyParameters, view: MarketView, now_ms: int
) -> None:
    """One book, asked three times. Raises whatever shows that a promise is not kept."""
    before, own = _seen(view), _own(strategy)
    answer = strategy.decide(view, parameters, now_ms)
    check_answer(strategy, answer, view)
    # Of the bids that a feeder need not publish for it, it takes no notice.
    published = with_bids_of(view, bids_wanted(strategy, parameters))
    assert strategy.decide(published, parameters, now_ms) == answer
    assert strategy.decide(view, parameters, now_ms) == answer
    assert _seen(view) == before
    assert _own(strategy) == own  # nothing is kept
    # Another process has other objects, which say the same.
    there = type(parameters).model_validate_json(parameters.model_dump_json())
    assert strategy.decide(_elsewhere(view), there, now_ms) == answer


def check_answer(strategy: type[Strategy], answer: object, view: MarketView) -> None:
    """Raises AssertionError, or MalformedSignalError, unless it is one of this strategy's."""
    if isinstance(answer, Hold):
        assert isinstance(answer.reason, strategy.Reason)
        return
    assert isinstance(answer, Signal)
    check_signal(answer)
    assert isinstance(trade_of(answer, view, OrderConfig()), Trade | Hold)


def spelled(answers: list[Signal | Hold]) -> str:
    """Every digit of them, as one short text."""
    return hashlib.blake2b("\n".join(map(repr, answers)).encode(), digest_size=8).hexdigest()


def _out_of_bounds(model: type[StrategyParameters]) -> list[dict[str, Any]]:
    wrong: list[dict[str, Any]] = []
    for name, field in model.model_fields.items():
        if field.annotation in (int, float):
            low, high = bounds_of(field.metadata)
            wrong += [{name: low - 1}, {name: high + 1}, {name: float("nan")}, {name: "much"}]
    return wrong


def _seen(view: MarketView) -> tuple[Any, ...]:
    memory = view.memory
    return (
        (view.market, view.up, view.down, view.time_to_close_ms, id(memory)),
        (memory.rows, memory.start),
    )


def _own(strategy: type[Strategy]) -> list[dict[str, Any]]:
    return [dict(vars(each)) for each in strategy.__mro__ if each is not object]


def _elsewhere(view: MarketView) -> MarketView:
    """The same from bytes."""

    def again(value: Any, kind: type) -> Any:
        return msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=kind)

    memory = MarketMemory()
    market = again(view.market, MarketInfo)
    for row in again(list(view.memory.rows), list[BookRow]):
        book = Book(token_id=view.up.token_id, bids=row.bids, asks=row.asks)
        memory.note(market, book, row.at_ms, row.epoch, row.sequence)
    up, down = again(view.up, Book), again(view.down, Book)
    return MarketView(market, up, down, view.time_to_close_ms, memory)


if __name__ == "__main__":
    module, _, qualified = sys.argv[1].partition(":")
    found = getattr(import_module(module), qualified)
    sys.stdout.write(spelled(answers_on(found, sys.argv[2])) + "\n")
