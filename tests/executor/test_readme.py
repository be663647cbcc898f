"""The commands that README, tutorials and guides show, run as they stand there."""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest

from backtest.feed import bundled as bundled_feed
from backtest.pictures import page
from executor.command_line import app
from executor.commands import backtest, backtest_outputs, record
from executor.commands.backtest_options import Asked, plan_of
from executor.strategy_check import run as proofs
from executor.strategy_check.report import StrategyCheck, StrategyReport
from executor.strategy_check.source_rules import broken_rules
from functions.adapters.dynamodb.store import DynamoStore
from functions.strategy_loading import file_of, load_strategy
from recordings.loader import bundled
from sandbox.simulator import Venue
from strategies.interface import Signal
from tests.executor.conftest import Command
from tests.support.configuration_builders import seed
from tests.support.guides import pages
from tests.support.recorded_views import answers_on

ROOT = Path(__file__).parents[2]
HISTORY = ROOT / "tests/histories/paper_fast.jsonl.gz"
NAMES = {each.callback.__name__ for each in app.registered_commands if each.callback is not None}
TUTORIALS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs/tutorial").glob("*.md"))
COMING = {"backup"}
"""What the documents show before it is there."""
SERVERS = ("paper", "live", "console", "alert")
"""They run until they are stopped, or tell somebody: their own tests and proofs run them."""
GUIDES = sorted(page for page in pages() if Path(page).stem not in ("backtest", "strategies"))
"""Backtests are long: what they ask for is tested below."""
GROUPS = {each.name for each in app.registered_groups}


def shown(document: str) -> list[list[str]]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return [shlex.split(line)[1:] for line in re.findall(r"(?m)^ {4,}(executor .*)$", text)]


async def exit_code(run: Command, argv: list[str]) -> int:
    """Of a command; `record` must not take the hour that it shows."""
    if argv[0] == "record":
        argv = [*argv[: argv.index("--duration")], "--duration", "1"]
    return (await run(*argv)).exit_code


def keep(file: Path, text: str) -> None:
    """As `> file` does."""
    file.write_text(text, encoding="utf-8")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where recordings may be left, and where no real venue is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MARKET_WS_URL", "ws://127.0.0.1:1")
    for recording in ("monday", "friday", "executor-data/recording"):
        (tmp_path / recording).mkdir(parents=True)
        shutil.copy(HISTORY, tmp_path / recording / "part-000001-20261129T170800Z.jsonl.gz")
    # All of them take seconds; a sweep needs two.
    monkeypatch.setattr(bundled_feed, "bundled", lambda: bundled()[:2])
    # Commands run in a thread here, where signals cannot be handled.
    monkeypatch.setattr(record, "run_service", asyncio.run)
    monkeypatch.setattr(backtest_outputs, "_uninterrupted", nullcontext)


def proven_by_its_source(text: str) -> StrategyReport:
    """A whole proof is seconds of CPU time, and `tests/executor/commands/` has one."""
    path = file_of(text)
    assert path is not None
    check = StrategyCheck(what="source", ok=not broken_rules(path), text="")
    return StrategyReport(
        file=text, strategy=load_strategy(text).name, ok=check.ok, checks=(check,), trials=None
    )


def commands_of(*documents: str) -> list[list[str]]:
    """Those that end by themselves."""
    return [
        argv
        for document in documents
        for argv in shown(document)
        if argv[0] not in SERVERS and argv[0] in NAMES | GROUPS
    ]


def test_every_command_that_is_shown_is_there() -> None:
    told = {argv[0] for document in ("README.md", *TUTORIALS, *GUIDES) for argv in shown(document)}
    assert told >= NAMES | GROUPS
    assert told - NAMES - GROUPS <= COMING


async def test_the_commands_of_readme_and_tutorials_work(
    run: Command, store: DynamoStore, venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proofs, "prove", proven_by_its_source)
    # Drawing takes a second, and `tests/backtest/pictures/` does it.
    monkeypatch.setattr(page, "html_of", lambda *_: "")
    keep(Path("momentum.py"), strategy_of_the_readme())
    await seed(store)
    for argv in commands_of("README.md", *TUTORIALS):
        if "--account" in argv:
            monkeypatch.setenv("STRATEGIES", "./my_strategy.py@paper")
        # No NATS runs here, and the doctor must say so; nothing is listed that could be recorded.
        assert await exit_code(run, argv) == (argv[0] in ("doctor", "record")), argv


async def test_the_guides_commands_work(run: Command, store: DynamoStore) -> None:
    await seed(store)
    await store.group("NAME-paper").open(None)
    commands = commands_of(*GUIDES)
    assert ["resume"] in commands
    for argv in commands:
        assert await exit_code(run, argv) == (argv[0] in ("doctor", "record")), argv


def strategy_of_the_readme() -> str:
    """The one that is to be put into a file."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return text.partition("```python\n")[2].partition("```")[0]


def test_the_strategy_of_the_readme_is_as_short_as_it_says_and_gives_signals() -> None:
    text = strategy_of_the_readme()
    assert len([line for line in text.splitlines() if line]) == 15
    keep(Path("momentum.py"), text)
    answers = answers_on(load_strategy("./momentum.py"), "btc-updown-15m-1790588700")
    assert 0 < sum(isinstance(answer, Signal) for answer in answers) < len(answers)


@pytest.mark.parametrize("document", ["docs/how-to/backtest.md", "docs/how-to/strategies.md"])
async def test_backtests_that_are_shown_ask_for_what_there_is(
    run: Command, document: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked_for(asked: Asked) -> None:
        plan_of(asked, {})

    monkeypatch.setattr(backtest, "run", asked_for)
    await run("strategy", "new", "my_strategy")
    logged = await run("decisions", "--recording", "friday", "--json")
    keep(Path("log.json"), logged.stdout)
    commands = [argv for argv in shown(document) if argv[0] == "backtest"]
    assert commands
    for argv in commands:
        assert await exit_code(run, argv) == 0, argv
