"""The commands that the README shows, run as they stand there."""

from __future__ import annotations

import shlex
from pathlib import Path

from executor.__main__ import app
from functions.adapters.dynamodb import DynamoStore
from sandbox.venue import Venue
from tests.executor.conftest import Command

ROOT = Path(__file__).parents[2]
NAMES = {each.callback.__name__ for each in app.registered_commands if each.callback is not None}


def shown(document: str) -> list[list[str]]:
    lines = (ROOT / document).read_text(encoding="utf-8").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("    executor ")]


async def test_every_command_of_the_readme_works(
    run: Command, store: DynamoStore, venue: Venue
) -> None:
    commands = shown("README.md")
    assert {argv[0] for argv in commands} == NAMES
    await store.open_account()
    for argv in commands:
        result = await run(*argv)
        # No NATS runs here, and the doctor must say so.
        assert result.exit_code == (argv[0] == "doctor"), result.output


async def test_the_runbooks_commands_work(run: Command, store: DynamoStore) -> None:
    await store.open_account()
    commands = shown("docs/runbook.md")
    assert ["resume"] in commands
    for argv in commands:
        assert (await run(*argv)).exit_code == 0, argv
