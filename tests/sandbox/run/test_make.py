"""`make run`: what it is told in vain it must not take for something else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]


def made(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Without doing it."""
    there = {"PATH": os.environ["PATH"], **env}
    command = ["make", "--dry-run", "run", *arguments]
    return subprocess.run(  # noqa: S603 - make, which only says what it would do
        command, cwd=ROOT, env=there, capture_output=True, text=True, timeout=30, check=False
    )


def test_the_earlier_name_of_strategies_is_refused_not_left_for_a_built_in_one_to_trade() -> None:
    done = made("STRATEGY=./mine.py")
    assert done.returncode == 2
    assert "STRATEGY is called STRATEGIES now: make run STRATEGIES=./mine.py" in done.stderr
    assert done.stdout == ""


def test_strategies_reach_the_run_and_the_environment_s_earlier_name_does_not() -> None:
    done = made("STRATEGIES=a@paper,b", STRATEGY="c")
    assert done.returncode == 0, done.stderr
    assert "--strategies 'a@paper,b'" in done.stdout


def test_where_a_run_is_recorded_reaches_it_and_by_default_it_is_not() -> None:
    assert "--record 'my history'" in made("RECORD=my history").stdout
    assert "--record" not in made().stdout
