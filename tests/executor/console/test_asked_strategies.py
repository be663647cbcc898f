"""Strategies that are asked by the console: what they answer, and what they cannot do to it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from structlog.testing import capture_logs

from executor.console import asked_strategies
from executor.console.accounts import AccountNow
from executor.console.asked_strategies import AskedStrategies, measure_check
from executor.console.settings import ConsoleSettings
from functions.core.account import Limits
from functions.core.configuration import Configuration, ConfigurationRow
from strategies.builtin import BUILTIN
from strategies.interface import Signal
from strategies.made_up import made_up_view
from strategies.view import MarketView
from tests.support.account_builders import LIMITS
from tests.support.configuration_builders import a_configuration, a_row
from tests.support.generated_views import views
from tests.support.strategy_files import write_strategy

LEANING = made_up_view(((5_000, 90_000_000),), ((5_100, 10_000_000),))


def now(row: ConfigurationRow | None, limits: Limits = LIMITS) -> AccountNow:
    return AccountNow(name="mine-paper", execution="paper", limits=limits, configuration=row)


def asked_of(folder: Path, before: str, top: str = "") -> tuple[AskedStrategies, Configuration]:
    path = write_strategy(folder, top=top, before=before)
    asked = AskedStrategies(ConsoleSettings(strategies=f"mine={path}"))
    strategy = asked.strategy("mine-paper")
    assert not isinstance(strategy, str)
    followed = asked.followed(now(a_row(parameters=strategy.Parameters(), strategy="mine")))
    assert isinstance(followed, Configuration)
    return asked, followed


def test_a_built_in_tells_its_answer_and_its_numbers() -> None:
    asked = AskedStrategies(ConsoleSettings(strategies="book_imbalance_crypto"))
    account = "book_imbalance_crypto-paper"
    answer = asked.ask(account, LEANING, a_configuration())
    assert answer.kind == "signal"
    assert answer.trade is not None
    assert answer.trade.outcome == "Up"
    told = {each.name: (each.value, each.wanted, each.passed) for each in answer.measures}
    assert told["imbalance"] == ("0.8", "at least 0.5", True)
    even = made_up_view(((5_000, 10_000_000),), ((5_100, 10_000_000),))
    answer = asked.ask(account, even, a_configuration())
    assert (answer.kind, answer.text) == ("hold", "no_imbalance")
    assert [each.name for each in answer.measures if not each.passed] == ["imbalance"]


@pytest.mark.parametrize(
    ("before", "text"),
    [
        ("raise ValueError('no')", "it raises ValueError: no"),
        ("raise SystemExit(3)", "it raises SystemExit: 3"),
        ("return 7", "it raises MalformedSignalError: neither a Signal nor a Hold"),
        ("while True:\n    pass", "it does not answer within 0.05 s"),
        ("import time; time.sleep(60)", "it does not answer within 0.05 s"),
    ],
)
def test_whatever_a_strategy_does_the_console_survives_and_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, text: str
) -> None:
    monkeypatch.setattr(asked_strategies, "ASK_MAX_S", 0.05)
    asked, configuration = asked_of(tmp_path, before)
    with capture_logs() as logs:
        answer = asked.ask("mine-paper", LEANING, configuration)
    assert (answer.kind, answer.text[: len(text)]) == ("trouble", text)
    assert [each["event"] for each in logs] == ["console_strategy_failed"]


def test_one_that_does_not_end_is_not_asked_a_third_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asked_strategies, "ASK_MAX_S", 0.05)
    asked, configuration = asked_of(tmp_path, "while True:\n    pass")
    for _ in range(2):
        asked.ask("mine-paper", LEANING, configuration)
    began_s = time.thread_time()
    assert "asks it no more" in asked.ask("mine-paper", LEANING, configuration).text
    assert time.thread_time() - began_s < 0.04


def test_numbers_that_are_none_are_told_as_a_failure(tmp_path: Path) -> None:
    asked, configuration = asked_of(tmp_path, "pass")
    strategy = asked.strategy("mine-paper")
    for told in (
        7,
        {"a": "b"},
        {"a": True},
        {1: 2.0},
        {"": 1.0},
        dict.fromkeys("abcdefghijklmnopq", 1.0),
    ):
        strategy.measures = staticmethod(lambda *_, told=told: told)  # type: ignore[union-attr,assignment]
        assert "TypeError" in asked.ask("mine-paper", LEANING, configuration).text


def test_what_cannot_be_loaded_or_followed_is_a_sentence(tmp_path: Path) -> None:
    missing = AskedStrategies(ConsoleSettings(strategies=f"mine={tmp_path / 'no.py'}"))
    row = a_row(parameters=BUILTIN["fair_value"].Parameters(), strategy="fair_value")
    assert "cannot be read" in str(missing.followed(now(row)))
    assert "cannot be read" in missing.ask("mine-paper", LEANING, a_configuration()).text
    assert "no configuration yet" in str(missing.followed(now(None)))
    other = AskedStrategies(ConsoleSettings(strategies="mine=book_imbalance_crypto"))
    assert "this account is the strategy fair_value's" in str(other.followed(now(row)))


@given(views())
@settings(max_examples=20)
def test_what_a_built_in_buys_on_passes_all_its_numbers(view: MarketView) -> None:
    for strategy in BUILTIN.values():
        parameters = strategy.Parameters()
        numbers = strategy.measures(view, parameters, view.now_ms)
        checks = [measure_check(each, value, parameters) for each, value in numbers.items()]
        if isinstance(strategy.decide(view, parameters, view.now_ms), Signal):
            assert all(each.passed for each in checks)
