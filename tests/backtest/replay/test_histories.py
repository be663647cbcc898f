"""Recorded histories: the code at hand decides as was logged, and answers all books as before."""

from __future__ import annotations

from pathlib import Path

import pytest

from backtest.replay.told import lines_of, verdict_line
from tests.support.histories import expected, expected_of, histories, replayed_history

HOW_TO_SAY_IT = (
    "The code answers the recorded books otherwise than before. If that is meant, say so: "
    "`python -m tests.support.histories` writes tests/histories/expected.json anew, and its "
    "difference belongs into the change. Where logged decisions differ, too, record the history "
    "anew (`make run EXECUTION=paper STRATEGIES=... RECORD=DIR`, then "
    "`python -m tests.support.histories DIR NAME`)."
)


@pytest.mark.parametrize("path", histories(), ids=lambda path: path.name)
def test_a_change_of_behaviour_must_be_said(path: Path) -> None:
    report = replayed_history(path)
    told = "\n".join([verdict_line(report), *lines_of(report)])
    assert report.ok, f"{HOW_TO_SAY_IT}\n{told}"
    assert expected_of(report) == expected()[path.name], f"{HOW_TO_SAY_IT}\n{told}"


def test_every_history_is_held_and_they_are_small() -> None:
    assert {path.name for path in histories()} == set(expected())
    assert sum(path.stat().st_size for path in histories()) < 600_000
