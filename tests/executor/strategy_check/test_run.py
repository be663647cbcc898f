"""The whole proof in processes of its own: what passes, and what only a process shows."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from executor.strategy_check import __main__ as proof
from executor.strategy_check import another_order, trials
from executor.strategy_check.recorded_views import recordings
from executor.strategy_check.report import StrategyCheck, StrategyReport
from executor.strategy_check.run import prove
from functions.strategy_loading import load_strategy
from strategies.view import MarketView
from tests.support.strategy_files import write_strategy

pytestmark = pytest.mark.timeout(240)  # each proof is a few seconds of CPU time, on busy cores


def failed(report: StrategyReport) -> dict[str, str]:
    assert report.ok == all(check.ok for check in report.checks)
    return {check.what: check.text for check in report.checks if not check.ok}


@functools.cache
def sample() -> list[MarketView]:
    """A second of CPU time, and nothing changes it."""
    return another_order.sample()


def told_before(doing: str, said: Iterator[dict[str, Any]]) -> list[StrategyCheck]:
    """What a proof in this process finds before it comes to that."""
    begun = takewhile(lambda each: each.get("doing") != doing, said)
    return [each["check"] for each in begun if "check" in each]


# A whole proof, of a file, is in `tests/executor/commands/test_strategy.py`: seconds of CPU time.
def test_a_built_in_is_looked_at_by_its_name() -> None:
    checks = told_before("books", proof._proof("book_imbalance_crypto"))
    assert [check.what for check in checks] == ["source", "imports", "parameters"]
    assert all(check.ok for check in checks)


def test_what_breaks_a_rule_of_the_source_is_never_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    path = write_strategy(tmp_path, top=f"import os\nos.mkdir({str(trace)!r})\n")
    found = failed(prove(str(path)))
    assert list(found) == ["source"]
    assert "imports os" in found["source"]
    assert not trace.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no_such_strategy", "no such strategy; there is: "),
        ("./gone.py:Mine", "gone.py: cannot be read: No such file"),
    ],
)
def test_what_is_not_there_is_said(text: str, said: str) -> None:
    assert said in failed(prove(text))["source"]


def test_one_that_does_not_import_is_said(tmp_path: Path) -> None:
    path = write_strategy(tmp_path, top="WRONG = 1 / 0\n")
    assert "does not import: ZeroDivisionError" in failed(prove(str(path)))["imports"]


def test_one_that_raises_is_asked_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = recordings()[:1]
    monkeypatch.setattr(trials, "MADE_UP", 300)
    monkeypatch.setattr(trials, "recordings", lambda: some)
    path = write_strategy(tmp_path, before="first = up.bids[0]")
    said = list(proof._proof(str(path)))
    assert {"doing": another_order.WHAT} not in said
    found = [each["check"] for each in said if "check" in each and not each["check"].ok]
    assert [check.what for check in found] == ["never raises"]
    assert "raises IndexError" in found[0].text


def test_state_behind_another_name_is_found_in_another_order(tmp_path: Path) -> None:
    """The source does not show it: the list is changed under a name of the function's own."""
    before = (
        "seen = SEEN\nseen.append(up.mid_e4)\nif len(seen) % 7 == 0:\n    return Hold(reason.QUIET)"
    )
    path = write_strategy(tmp_path, top="SEEN: list[float | None] = []\n", before=before)
    checks = another_order.checks(load_strategy(str(path)), str(path), sample())
    assert [check.what for check in checks if not check.ok]


def test_an_order_of_a_set_that_the_process_decides_is_found(tmp_path: Path) -> None:
    before = 'return Signal(outcome=UP, numbers={"".join(set("abcdefghijkl")): 1.0})'
    text = str(write_strategy(tmp_path, before=before))
    checks = another_order.checks(load_strategy(text), text, sample())
    assert [(check.what, check.ok) for check in checks] == [
        ("deterministic", True),
        ("keeps no state", False),
    ]
    assert "answered differently in another process" in checks[1].text


def test_a_proof_that_does_not_end_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    found = failed(prove(str(write_strategy(tmp_path)), time_max_s=0.3))
    (said,) = found.values()
    assert said == "did not come to its end within 0.3 s: a loop without end?"


def test_a_loop_that_catches_everything_ends_all_the_same(tmp_path: Path) -> None:
    loop = "try:\n    while True:\n        pass\nexcept BaseException:\n    pass"
    loop = f"while True:\n{textwrap.indent(loop, '    ')}"
    found = failed(prove(str(write_strategy(tmp_path, before=loop)), cpu_max_s=3))
    assert found == {"books": "did not come to its end within 3 s of CPU time: a loop without end?"}


def test_one_that_takes_all_memory_ends(tmp_path: Path) -> None:
    found = failed(prove(str(write_strategy(tmp_path, before="large = [0] * 10**10"))))
    assert "MemoryError" in found["never raises"]
