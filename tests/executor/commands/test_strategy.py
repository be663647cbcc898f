"""`executor strategy new` and `executor strategy check`: as a person and as a script meet them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from functions.strategy_loading import load_strategy
from tests.executor.conftest import Command
from tests.support.strategy_files import write_strategy

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def ran(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own tools
        [sys.executable, "-m", *command], capture_output=True, text=True, timeout=55, check=False
    )


def write(name: str, text: str) -> None:
    Path(name).write_text(text)


def files() -> dict[str, str]:
    return {path.name: path.read_text() for path in Path().iterdir()}


async def test_new_writes_a_strategy_that_can_be_loaded_and_its_test_passes(run: Command) -> None:
    result = await run("strategy", "new", "quick_fox")
    assert result.exit_code == 0
    assert "written: quick_fox.py and test_quick_fox.py" in result.output
    assert "executor strategy check ./quick_fox.py" in result.output
    assert "make run STRATEGIES=./quick_fox.py@paper" in result.output
    assert load_strategy("./quick_fox.py:QuickFox").name == "quick_fox"
    done = ran("pytest", "-q", "-p", "no:cacheprovider", "test_quick_fox.py")
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout


async def test_what_new_writes_is_clean(run: Command) -> None:
    await run("strategy", "new", "zebra", "--file", "striped.py")
    files = ("striped.py", "test_striped.py")
    for config in (("--isolated",), ("--config", str(ROOT / "pyproject.toml"))):
        done = ran("ruff", "check", "--no-cache", *config, *files)
        assert done.returncode == 0, done.stdout
        formatted = ran("ruff", "format", "--check", "--line-length", "100", *config, *files)
        assert formatted.returncode == 0, formatted.stdout
    typed = ran("mypy", "--strict", "--config-file", "", "--cache-dir", ".mypy", *files)
    assert typed.returncode == 0, typed.stdout


@pytest.mark.parametrize("there", ["mine.py", "test_mine.py"])
async def test_new_never_overwrites_and_leaves_nothing_half_done(there: str, run: Command) -> None:
    write(there, "precious")
    result = await run("strategy", "new", "mine")
    assert result.exit_code == 2
    assert result.output == f"{there}: exists already; nothing was written\n"
    assert files() == {there: "precious"}


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["My-Strategy"], "NAME: 'My-Strategy' is not a small letter"),
        (["../up"], "NAME: '../up' is not"),
        (["class"], "no word of Python's"),
        (["x" * 65], "NAME: "),
        (["a\nb"], "NAME: 'a\\nb' is not"),
        (["book_imbalance_crypto"], "is a built-in strategy; choose another"),
        (["strategies"], "strategies.py would stand in the way of another module"),
        (["random"], "random.py would stand in the way"),
        (["mine", "--file", "mine.txt"], "--file: mine.txt: not the name of a module"),
        (["mine", "--file", "my-file.py"], "--file: my-file.py: not the name of a module"),
        (["mine", "--file", "nowhere/mine.py"], "No such file or directory; nothing was written"),
    ],
)
async def test_a_bad_name_is_one_line(argv: list[str], said: str, run: Command) -> None:
    result = await run("strategy", "new", *argv)
    assert result.exit_code == 2
    assert said in result.output
    assert result.output.count("\n") == 1
    assert files() == {}


@pytest.mark.timeout(240)  # a proof is a few seconds of CPU time, on busy cores: the only whole one
async def test_check_says_a_line_for_each_and_what_it_did_on_the_recordings(run: Command) -> None:
    write_strategy(Path())
    result = await run("strategy", "check", "./mine.py")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert [line[8:].split("  ")[0] for line in lines if line.startswith("ok ")] == [
        *("source", "imports", "parameters", "never raises", "answers are valid"),
        *("on the tick grid", "changes nothing", "deterministic", "keeps no state"),
        *("fast enough", "memory is bounded"),
    ]
    assert any(line.startswith("recordings ") and " 18 markets, " in line for line in lines)
    assert "us at p99 (CPU time, best of 3 rounds" in result.output
    assert any(line.startswith("signals ") and "a market (median)" in line for line in lines)
    assert any(line.startswith("held ") for line in lines)
    assert lines[-2:] == [
        "mine: it may run: make run STRATEGIES=./mine.py@paper",
        "what it is worth: executor backtest --strategy ./mine.py",
    ]


async def test_check_fails_where_one_fails_and_says_so_to_scripts(run: Command) -> None:
    write_strategy(Path(), top="import time\n")
    result = await run("strategy", "check", "./mine.py:Mine")
    assert result.exit_code == 1
    assert result.output.startswith("FAILED  source  mine.py:")
    assert "imports time: a strategy may import" in result.output

    result = await run("strategy", "check", "./mine.py:Mine", "--json")
    assert result.exit_code == 1
    report = json.loads(result.output)
    assert (report["ok"], report["strategy"], report["trials"]) == (False, "", None)
    assert [check["what"] for check in report["checks"]] == ["source"]
