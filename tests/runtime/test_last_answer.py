"""What a health check says of a dependency that is asked again and again."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from runtime import last_answer
from runtime.last_answer import LastAnswer


def test_a_dependency_that_does_not_answer_is_a_problem_until_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(monotonic=lambda: clock.now_s, now_s=100.0)
    monkeypatch.setattr(last_answer, "time", clock)
    answers = LastAnswer("table t has not answered")
    clock.now_s += 30
    assert answers.problem() is None
    clock.now_s += 1
    assert answers.problem() == "table t has not answered for 31 s: no answer yet"
    answers.failed("x" * 1_000)
    assert answers.problem() == f"table t has not answered for 31 s: {'x' * 300}"
    answers.came()
    assert answers.problem() is None
