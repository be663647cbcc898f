"""What can be told a strategy, and what cannot."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from strategies.parameters import StrategyParameters, parameter


class Some(StrategyParameters):
    window_s: float = parameter(10.0, "How far back.", gt=0, le=60, tunable=True)
    levels: int = parameter(5, "How many.", ge=1, lt=41)
    careful: bool = parameter(True, "Whether.")


def test_the_default_needs_nothing() -> None:
    assert Some().model_dump() == {"window_s": 10.0, "levels": 5, "careful": True}


def test_a_sweep_varies_what_is_marked() -> None:
    assert Some.tunable() == ("window_s",)


@pytest.mark.parametrize(
    "wrong",
    [
        {"window_s": 0},
        {"window_s": 60.001},
        {"window_s": float("nan")},
        {"window_s": float("inf")},
        {"window_s": "soon"},
        {"levels": 0},
        {"levels": 41},
        {"levels": 1.5},
        {"window_ms": 1},
    ],
    ids=repr,
)
def test_what_is_out_of_bounds_or_unknown_is_refused_by_name(wrong: dict[str, object]) -> None:
    (name,) = wrong
    with pytest.raises(ValidationError, match=name):
        Some(**wrong)  # type: ignore[arg-type]


def test_a_default_out_of_its_bounds_is_no_default() -> None:
    class Wrong(StrategyParameters):
        levels: int = parameter(0, "How many.", ge=1, le=5)

    with pytest.raises(ValidationError, match="levels"):
        Wrong()
