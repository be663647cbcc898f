"""The contract of strategies, on every one that comes with the project."""

from __future__ import annotations

import pytest

from protocol.market import DOWN, UP
from strategies.builtin import BUILTIN
from strategies.interface import Signal, Strategy
from tests.support.recorded_views import MARKETS, answers_on
from tests.support.strategy_contract import StrategyContract


class TestBuiltIn(StrategyContract):
    @pytest.fixture(params=list(BUILTIN.values()), ids=list(BUILTIN))
    def strategy(self, request: pytest.FixtureRequest) -> type[Strategy]:
        found: type[Strategy] = request.param
        return found

    def test_it_is_found_by_its_name(self, strategy: type[Strategy]) -> None:
        assert BUILTIN[strategy.name] is strategy

    def test_with_its_defaults_it_buys_either_outcome_now_and_then(
        self, strategy: type[Strategy]
    ) -> None:
        answers = [answer for slug in MARKETS for answer in answers_on(strategy, slug)]
        signals = [answer for answer in answers if isinstance(answer, Signal)]
        assert 0 < len(signals) < len(answers) / 2
        assert {signal.outcome for signal in signals} == {UP, DOWN}
