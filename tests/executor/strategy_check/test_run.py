"""The whole proof in processes of its own: what passes, and what only a process shows."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from executor.strategy_check import another_order
from executor.strategy_check.report import StrategyReport
from executor.strategy_check.run import prove
from functions.strategy_loading import load_strategy
from tests.support.strategy_files import write_strategy

pytestmark = pytest.mark.timeout(240)  # each proof is a few seconds of CPU time, on busy cores


def failed(report: StrategyReport) -> dict[str, str]:
    assert report.ok == all(check.ok for check in report.checks)
    return {check.what: check.text for check in report.checks if not check.ok}


def test_a_good_one_is_proven() -> None:
    report = prove("book_imbalance_crypto")
    assert failed(report) == {}
    assert report.strategy == "book_imbalance_crypto"
    assert [check.what for check in report.checks] == [
        *("source", "imports", "parameters", "never raises", "answers are valid"),
        *("on the tick grid", "changes nothing", "deterministic", "keeps no state"),
        *("fast enough", "memory is bounded"),
    ]
    assert report.trials is not None
    assert report.trials.markets == 18
    assert report.trials.signals > 0


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


def test_one_that_raises_is_asked_nothing_more(tmp_path: Path) -> None:
    found = failed(prove(str(write_strategy(tmp_path, before="first = up.bids[0]"))))
    assert list(found) == ["never raises"]
    assert "raises IndexError" in found["never raises"]


def test_state_behind_another_name_is_found_in_another_order(tmp_path: Path) -> None:
    """The source does not show it: the list is changed under a name of the function's own."""
    before = (
        "seen = SEEN\nseen.append(up.mid_e4)\nif len(seen) % 7 == 0:\n    return Hold(reason.QUIET)"
    )
    path = write_strategy(tmp_path, top="SEEN: list[float | None] = []\n", before=before)
    views = another_order.sample()
    checks = another_order.checks(load_strategy(str(path)), str(path), views)
    assert [check.what for check in checks if not check.ok]


def test_an_order_of_a_set_that_the_process_decides_is_found(tmp_path: Path) -> None:
    before = 'return Signal(outcome=UP, numbers={next(iter(set("abcdefghijkl"))): 1.0})'
    text = str(write_strategy(tmp_path, before=before))
    checks = another_order.checks(load_strategy(text), text, another_order.sample())
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
    found = failed(prove(str(write_strategy(tmp_path, before=loop)), cpu_max_s=4))
    assert found == {"books": "did not come to its end within 4 s of CPU time: a loop without end?"}


def test_one_that_takes_all_memory_ends(tmp_path: Path) -> None:
    found = failed(prove(str(write_strategy(tmp_path, before="large = [0] * 10**10"))))
    assert "MemoryError" in found["never raises"]
