"""`executor backtest` as a person and as a script meet it, mostly on one bundled market."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import util
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from typer.testing import CliRunner, Result

from backtest.feed.events import FeedError
from backtest.sweep.result import SweepDisagreesError
from executor import command_line, lab_line
from executor.commands import backtest
from recordings.loader import bundled
from tests.executor.test_entry import ROOT

MARKET = str(bundled()[0])
SECTIONS = (
    *("VERDICT", "WORTH", "TRUST", "FUNNEL", "MONEY", "EXECUTION", "COMPARED WITH"),
    *("BY KIND OF SIGNAL", "COST OF WAITING", "SIZE", "MARKETS", "WARNINGS", "ASSUMPTIONS"),
)
Backtest: TypeAlias = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Backtest:
    """`run("--no-poll", MARKET)`, in this process."""
    monkeypatch.delenv("STRATEGIES", raising=False)

    def command(*argv: str) -> Result:
        result = CliRunner().invoke(lab_line.app, ["backtest", *argv])
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        assert "Traceback" not in result.output
        return result

    return command


def test_the_report_is_in_its_order(run: Backtest) -> None:
    result = run(MARKET)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    heads = [line for line in lines if line and not line.startswith(" ")]
    assert [next(s for s in SECTIONS if head.startswith(s)) for head in heads] == list(SECTIONS)
    assert "\x1b" not in result.stdout


def test_in_a_file_no_line_is_longer_than_a_person_reads(run: Backtest) -> None:
    assert max(map(len, run(MARKET).stdout.splitlines())) <= 100


def test_the_same_run_is_the_same_text(run: Backtest) -> None:
    assert run("--no-poll", MARKET).stdout == run("--no-poll", MARKET).stdout


def test_without_paths_all_bundled_markets_are_taken(
    run: Backtest, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def opened(*what: Any) -> None:
        asked.append(what)
        raise FeedError("enough")

    monkeypatch.setattr(backtest, "open_feed", opened)
    assert run().exit_code == 2
    assert asked == [((), {})]


def test_what_is_set_is_what_is_run(run: Backtest) -> None:
    result = run(
        MARKET, "--no-poll", "--set", "imbalance_min=0.9", "--set", "size_usd=2", "--latency", "7"
    )
    assert result.exit_code == 0
    assert "imbalance_min=0.9" in result.stdout
    assert "size_usd=2" in result.stdout
    assert "7 ms" in result.stdout


def test_json_is_all_of_it_and_alone_on_stdout(run: Backtest, tmp_path: Path) -> None:
    result = run(MARKET, "--no-poll", "--json", "-")
    found = json.loads(result.stdout)
    report = found["report"]
    assert (report["funnel"]["moments"], len(report["markets"]), found["sweep"]) == (883, 1, None)
    assert run(MARKET, "--no-poll", "--json", str(tmp_path / "report")).stdout.startswith("VERDICT")
    assert json.loads((tmp_path / "report").read_bytes()) == found


def test_orders_are_written_as_csv(run: Backtest, tmp_path: Path) -> None:
    assert run(MARKET, "--no-poll", "--trades", str(tmp_path / "trades.csv")).exit_code == 0
    head, *orders = (tmp_path / "trades.csv").read_text(encoding="utf-8").splitlines()
    assert head.startswith("bracket,market,series,outcome,decided_at_utc,")
    assert [order.split(",")[0] for order in orders] == ["unchanged", "next"]


def test_a_disk_that_is_full_costs_the_file_and_not_the_report(run: Backtest) -> None:
    result = run(MARKET, "--no-poll", "--json", "/dev/full")
    assert result.exit_code == 1
    assert result.stdout.startswith("VERDICT")
    assert result.stderr == "failed: /dev/full cannot be written: No space left on device\n"


def test_a_series_that_is_not_there_is_one_line(run: Backtest) -> None:
    result = run(MARKET, "--series", "eth-15m")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "no market of eth-15m; there are: btc-15m\n"


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["/nowhere"], "/nowhere: no such file or folder: recognised are"),
        (["--strategy", "none"], "--strategy: none: no such strategy"),
        (["--set", "levels"], "'levels': NAME=VALUE is wanted"),
        (["--set", "levels=1", "--set", "levels=2"], "levels: given twice"),
        (["--poll", "1.5"], "--poll: a scanner looks every so many whole seconds"),
        (["--no-poll", "--poll", "30"], "--no-poll and --poll: one of them is wanted"),
        (["--latency", "-1"], "--latency: '-1': neither milliseconds (e.g. 250) nor a file"),
        (["--sweep", "levels=2..1"], "--sweep: levels=2..1: an empty sweep"),
        (["--columns", "x"], "'x': NAME=VALUE is wanted, e.g. ts=time_ms"),
        (["--columns", "x=y"], "columns are for tables, Parquet or CSV, and none is given"),
        (["--json", "/nowhere/at/all"], "--json: /nowhere/at/all cannot be written: No such"),
    ],
)
def test_what_a_person_can_mend_is_one_line_and_exit_2(
    run: Backtest, argv: list[str], says: str
) -> None:
    result = run(*argv)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(says)
    assert result.stderr.count("\n") == 1


def test_without_its_packages_it_says_which_extra_it_needs(
    run: Backtest, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = util.find_spec
    monkeypatch.setattr(
        "executor.commands.backtest_line.find_spec",
        lambda name: None if name == "numpy" else found(name),
    )
    result = run()
    assert result.exit_code == 2
    assert result.stderr == (
        "executor backtest needs the extra `backtest`: pip install 'streaming-executor[backtest]'\n"
    )


def test_a_strategy_that_raises_is_a_failure_with_a_report(run: Backtest, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(RAISES, encoding="utf-8")
    result = run(MARKET, "--no-poll", "--strategy", f"{tmp_path}/bad.py")
    assert result.exit_code == 1
    assert result.stdout.startswith("VERDICT")
    assert result.stderr == (
        "failed: the strategy raised: btc-updown-15m-1790586000: ValueError: no idea\n"
    )


RAISES = '''
from enum import StrEnum
from strategies.interface import Strategy
from strategies.parameters import StrategyParameters

class Bad(Strategy):
    """Always raises."""
    name = "bad"
    class Parameters(StrategyParameters):
        """None."""
    class Reason(StrEnum):
        NO = "no"
    @staticmethod
    def decide(view, parameters, now_ms):
        raise ValueError("no idea")
'''


def test_it_imports_nothing_that_only_accounts_or_pictures_need() -> None:
    code = (
        "import sys; sys.argv = ['executor', 'backtest', '--help']\n"
        "import executor.lab_line, executor.running, executor.commands.backtest\n"
        "names = ('aiobotocore', 'aiohttp', 'nats', 'eth_account', 'matplotlib', 'pyarrow',\n"
        "         'pydantic_settings', 'functions.bootstrap')\n"
        "print([name for name in names if name in sys.modules])"
    )
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "[]\n"


def test_both_command_lines_have_it() -> None:
    for app in (command_line.app, lab_line.app):
        assert "backtest" in CliRunner().invoke(app, ["--help"]).output
    assert lab_line.is_asked(["backtest", "--no-poll"])
    assert not lab_line.is_asked(["status"])
    assert not lab_line.is_asked([])
    assert not lab_line.is_asked(["--help"])


def test_other_commands_do_not_wait_for_it() -> None:
    for name in ("executor/command_line.py", "executor/commands/backtest_line.py"):
        tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
        imports = [each for each in tree.body if isinstance(each, ast.Import | ast.ImportFrom)]
        text = "\n".join(map(ast.unparse, imports)).replace("executor.commands.backtest_line", "")
        assert not re.search(r"numpy|\bbacktest\.|commands\.backtest", text), name


def test_a_sweep_stands_in_the_report_and_in_the_figures(run: Backtest, tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    axes = ("--sweep", "imbalance_min=0.4..0.6:0.1")
    result = run(*map(str, bundled()[:2]), "--no-poll", *axes, "--json", str(out))
    assert result.exit_code == 0
    assert "SWEEP  3 points tried" in result.stdout
    sweep = json.loads(out.read_bytes())["sweep"]
    assert sweep["trials"] == len(sweep["points"]) == 3


def test_a_sweep_that_production_does_not_agree_with_is_a_failure(
    run: Backtest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disagrees(*_: Any, **__: Any) -> None:
        raise SweepDisagreesError("levels=3: the sweep says 1, production 2")

    monkeypatch.setattr("backtest.sweep.run.sweep", disagrees)
    result = run(MARKET, "--no-poll", "--sweep", "levels=3..5")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "failed: levels=3: the sweep says 1, production 2\n"


def test_a_page_is_written_of_what_the_report_says(
    run: Backtest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Any] = []
    monkeypatch.setattr("backtest.pictures.page.write_html", lambda *what: written.append(what))
    result = run(MARKET, "--no-poll", "--html", str(tmp_path / "page.html"))
    assert (result.exit_code, result.stderr) == (0, "")
    ((report, view, sweep, path),) = written
    assert report.funnel.moments == 883
    assert view.renderables
    assert (sweep, path) == (None, tmp_path / "page.html")
