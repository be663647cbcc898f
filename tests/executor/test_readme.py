"""The commands that the README shows, run as they stand there."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path

import pytest

from executor.command_line import app
from executor.commands import record
from functions.adapters.dynamodb.store import DynamoStore
from sandbox.simulator import Venue
from tests.executor.conftest import Command
from tests.support.configuration_builders import seed

ROOT = Path(__file__).parents[2]
NAMES = {each.callback.__name__ for each in app.registered_commands if each.callback is not None}
GROUPS = {each.name for each in app.registered_groups}


def shown(document: str) -> list[list[str]]:
    lines = (ROOT / document).read_text(encoding="utf-8").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("    executor ")]


async def exit_code(run: Command, argv: list[str]) -> int:
    """Of a command; `record` must not take the hour that it shows."""
    if argv[0] == "record":
        argv = [*argv[: argv.index("--duration")], "--duration", "1"]
    return (await run(*argv)).exit_code


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where recordings may be left, and where no real venue is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MARKET_WS_URL", "ws://127.0.0.1:1")
    # Commands run in a thread here, where signals cannot be handled.
    monkeypatch.setattr(record, "run_service", asyncio.run)


@pytest.mark.timeout(240)  # `strategy check` is a few seconds of CPU time, on busy cores
async def test_every_command_of_the_readme_works(
    run: Command, store: DynamoStore, venue: Venue
) -> None:
    commands = shown("README.md")
    assert {argv[0] for argv in commands} == NAMES | GROUPS
    await seed(store)
    for argv in commands:
        # No NATS runs here, and the doctor must say so; nothing is listed that could be recorded.
        assert await exit_code(run, argv) == (argv[0] in ("doctor", "record")), argv


async def test_the_runbooks_commands_work(run: Command, store: DynamoStore) -> None:
    await seed(store)
    await store.group("NAME-paper").open(None)
    commands = shown("docs/runbook.md")
    assert ["resume"] in commands
    for argv in commands:
        assert await exit_code(run, argv) == (argv[0] == "record"), argv
