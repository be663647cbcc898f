"""How a strategy is written, against the code: tables, figures, and the example, which is run."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from recordings.loader import bundled
from strategies.builtin import BUILTIN
from strategies.interface import Signal, Strategy
from tests.support.generated_views import bounds_of
from tests.support.recorded_views import answers_on
from tests.support.strategy_contract import StrategyContract

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/how-to/strategies.md").read_text(encoding="utf-8")


def table_of(strategy: type[Strategy]) -> list[str]:
    """The rows of a strategy's parameters, as the document has them."""
    rows = ["| parameter | default | from | to | what it is |", "|---|---|---|---|---|"]
    for name, field in strategy.Parameters.model_fields.items():
        low, high = bounds_of(field.metadata)
        tuned = name in strategy.Parameters.tunable()
        rows.append(
            f"| `{name}` | {field.default:g} | {low:g} | {high:g} | {field.description}"
            f"{'' if tuned else ' Not for a sweep.'} |"
        )
    return rows


def told_of(strategy: type[Strategy]) -> str:
    return (
        TEXT.partition(f"\n### `{strategy.name}`\n")[2].partition("\n### ")[0].partition("\n## ")[0]
    )


@pytest.mark.parametrize("strategy", BUILTIN.values(), ids=list(BUILTIN))
def test_the_parameters_are_told_as_they_are(strategy: type[Strategy]) -> None:
    rows = [line for line in told_of(strategy).splitlines() if line.startswith("|")]
    assert rows == table_of(strategy)


@pytest.mark.parametrize("strategy", BUILTIN.values(), ids=list(BUILTIN))
def test_the_reasons_are_told(strategy: type[Strategy]) -> None:
    told = set(re.findall(r"`(\w+)`", told_of(strategy)))
    assert {reason.value for reason in strategy.Reason} <= told


def test_the_number_of_signals_is_told() -> None:
    section = TEXT.partition("\n## The built-in strategies\n")[2].partition("\n### ")[0]
    told = dict(re.findall(r"(?m)^\| `(\w+)` \| ([\d,]+) \|", section))
    counted = {}
    for name, strategy in BUILTIN.items():
        answers = (a for path in bundled() for a in answers_on(strategy, path.name.split(".")[0]))
        counted[name] = f"{sum(isinstance(answer, Signal) for answer in answers):,}"
    assert told == counted


# -- the example ---------------------------------------------------------------------------------


class TestExample(StrategyContract):
    @pytest.fixture
    def import_folder(self, tmp_path: Path) -> Path:
        return tmp_path

    @pytest.fixture
    def strategy(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Strategy]]:
        """As a trader has it: a file of their own, with nothing else in it."""
        section = TEXT.partition("\n## A whole strategy\n")[2].partition("\n## ")[0]
        lines = [line for line in section.splitlines() if line.startswith("    ") or not line]
        code = textwrap.dedent("\n".join(lines))
        (tmp_path / "momentum.py").write_text(code, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        import momentum  # type: ignore[import-not-found]  # noqa: PLC0415 - written just now

        found: type[Strategy] = momentum.Momentum
        yield found
        del sys.modules["momentum"]

    def test_it_gives_signals(self, strategy: type[Strategy]) -> None:
        answers = answers_on(strategy, "btc-updown-15m-1790588700")
        assert 0 < sum(isinstance(answer, Signal) for answer in answers) < len(answers) / 2
