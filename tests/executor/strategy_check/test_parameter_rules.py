"""What parameters must say of themselves."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from executor.strategy_check.parameter_rules import parameter_check
from strategies.builtin import BUILTIN
from strategies.interface import Strategy
from strategies.parameters import StrategyParameters, parameter
from tests.support.strategies import AlwaysBuy

HELP = "A sentence of help."


def with_parameter(name: str, kind: Any, field: Any) -> type[Strategy]:
    body = {"__annotations__": {name: kind}, name: field, "__module__": __name__}
    model = type("Parameters", (StrategyParameters,), body)
    return type("Odd", (AlwaysBuy,), {"Parameters": model})


@pytest.mark.parametrize("strategy", BUILTIN.values())
def test_the_built_ins_say_enough(strategy: type[Strategy]) -> None:
    assert parameter_check(strategy).ok, parameter_check(strategy).text


@pytest.mark.parametrize(
    ("name", "kind", "field"),
    [
        ("levels", int, parameter(5, HELP, ge=1, le=40)),
        ("share_min", float, parameter(0.5, HELP, gt=0, lt=1)),
        ("spread_max_e4", int, parameter(200, HELP, ge=1, le=10_000)),
        ("reversed", bool, parameter(False, HELP)),
        ("side", Literal["Up", "Down"], parameter("Up", HELP)),
    ],
)
def test_what_says_enough(name: str, kind: Any, field: Any) -> None:
    check = parameter_check(with_parameter(name, kind, field))
    assert check.ok, check.text


@pytest.mark.parametrize(
    ("name", "field", "said"),
    [
        ("levels", parameter(5, "", ge=1, le=40), "levels: no sentence of help"),
        ("levels", parameter(5, HELP, ge=1), "levels: wants a lower and an upper bound"),
        ("levels", parameter(5, HELP, lt=9), "levels: wants a lower and an upper bound"),
        ("levels", 5, "levels: no sentence of help; levels: wants a lower"),
        ("spread_max", parameter(5, HELP, ge=1, le=9), "spread_max: its unit stands last"),
        ("window", parameter(5, HELP, ge=1, le=9), "window: its unit stands last"),
    ],
)
def test_what_does_not(name: str, field: Any, said: str) -> None:
    check = parameter_check(with_parameter(name, int, field))
    assert not check.ok
    assert said in check.text
