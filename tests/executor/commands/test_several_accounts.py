"""Commands while STRATEGIES names several accounts: all of them, or the one that is named."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from functions.adapters.dynamodb.store import DynamoStore
from functions.ports import Claimed, StoreError
from tests.executor.conftest import Command
from tests.support.account_builders import LIMITS, make_claim, now_ms
from tests.support.dynamodb_engines import store_on

ACCOUNTS = ("first", "second", "shadow-paper")


@pytest.fixture
async def stores(
    store: DynamoStore, dynamodb_server: str, state_table: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[dict[str, DynamoStore]]:
    """Two live accounts and one on paper, none opened yet, which the commands serve, too."""
    monkeypatch.setenv("EXECUTION", "live")
    monkeypatch.setenv(
        "STRATEGIES",
        "first=book_imbalance_crypto,second=book_imbalance_crypto,"
        "shadow=book_imbalance_crypto@paper",
    )
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(store_on(dynamodb_server, state_table, name))
            for name in ACCOUNTS
        }


async def opened(stores: dict[str, DynamoStore], *names: str) -> None:
    for name in names:
        await stores[name].open_account()


async def trading(stores: dict[str, DynamoStore]) -> dict[str, str]:
    return {name: (await each.account()).trading for name, each in stores.items()}


async def test_status_shows_a_line_for_each_account(
    run: Command, stores: dict[str, DynamoStore]
) -> None:
    await opened(stores, *ACCOUNTS)
    assert await stores["first"].claim(make_claim("m1", age_ms=0), LIMITS, now_ms()) == Claimed()
    await stores["second"].halt("odd fills")
    result = await run("status")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    assert [name for name in lines if name in ACCOUNTS] == list(ACCOUNTS)
    assert "1 of 3 used" in lines["first"]
    assert "odd fills" in lines["second"]
    assert "odd fills" not in lines["shadow-paper"]
    told = json.loads((await run("status", "--json")).stdout)
    assert [each["account"] for each in told["accounts"]] == list(ACCOUNTS)
    assert [each["trading"] for each in told["accounts"]] == [True, False, True]
    assert told["unreadable"] == {}


async def test_an_account_that_cannot_be_read_hides_no_other(
    run: Command, stores: dict[str, DynamoStore]
) -> None:
    await opened(stores, "first", "shadow-paper")
    for argv in (["status"], ["status", "--json"]):
        result = await run(*argv)
        assert result.exit_code == 1
        assert "first" in result.stdout
        assert "shadow-paper" in result.stdout
        assert result.stderr.startswith("failed: second: ")
        assert result.stderr.count("\n") == 1
    told = json.loads(result.stdout)
    assert "there is no account second" in told["unreadable"]["second"]


async def test_one_account_is_shown_in_full_by_its_name(
    run: Command, stores: dict[str, DynamoStore]
) -> None:
    await opened(stores, *ACCOUNTS)
    result = await run("status", "--account", "shadow-paper")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "account shadow-paper (paper)"
    assert (
        json.loads((await run("status", "--account", "second", "--json")).stdout)["account"]
        == "second"
    )


@pytest.mark.parametrize("told", [(), ("--all",)], ids=str)
async def test_halt_and_resume_of_all_are_of_each(
    run: Command, stores: dict[str, DynamoStore], told: tuple[str, ...]
) -> None:
    """Nobody who wants to halt has to name anything first; to resume, they do."""
    halted = await run("halt", *told, "--reason", "odd fills")
    assert (halted.exit_code, halted.stderr) == (0, "")
    assert halted.stdout.count("HALTED: odd fills") == 3
    assert await trading(stores) == dict.fromkeys(ACCOUNTS, "halted")
    resumed = await run("resume", "--all")
    assert (resumed.exit_code, resumed.stderr) == (0, "")
    assert resumed.stdout.count("lifted: odd fills") == 3
    assert await trading(stores) == dict.fromkeys(ACCOUNTS, "enabled")


async def test_a_halt_by_name_leaves_the_others(
    run: Command, stores: dict[str, DynamoStore]
) -> None:
    await opened(stores, *ACCOUNTS)
    assert (await run("halt", "--account", "second", "--reason", "x")).exit_code == 0
    assert await trading(stores) == {
        "first": "enabled",
        "second": "halted",
        "shadow-paper": "enabled",
    }
    assert (await run("resume", "--account", "second")).exit_code == 0
    assert set((await trading(stores)).values()) == {"enabled"}


async def test_what_fails_of_one_account_is_named_and_stops_no_other(
    run: Command, stores: dict[str, DynamoStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    await opened(stores, *ACCOUNTS)
    written = DynamoStore.halt

    async def failing(self: DynamoStore, reason: str) -> None:
        if self.account_name == "first":
            raise StoreError("halt: no answer")
        await written(self, reason)

    monkeypatch.setattr(DynamoStore, "halt", failing)
    result = await run("halt", "--all", "--reason", "x")
    assert result.exit_code == 1
    assert result.stdout.count("HALTED: x") == 2
    assert result.stderr.startswith("failed: first: ")
    assert result.stderr.count("\n") == 1
    assert await trading(stores) == {
        "first": "enabled",
        "second": "halted",
        "shadow-paper": "halted",
    }


@pytest.mark.parametrize(
    "argv",
    [
        ["positions"],
        ["decisions"],
        ["resume"],
        ["config", "show"],
        ["status", "--account", "third"],
        ["halt", "--reason", "x", "--account", "third"],
        ["halt", "--reason", "x", "--all", "--account", "first"],
    ],
    ids=" ".join,
)
async def test_without_a_name_that_there_is_nothing_is_done(
    run: Command, stores: dict[str, DynamoStore], argv: list[str]
) -> None:
    await opened(stores, *ACCOUNTS)
    result = await run(*argv)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert "--account" in result.stderr
    if "first" not in argv:
        assert ", ".join(ACCOUNTS) in result.stderr
    assert await trading(stores) == dict.fromkeys(ACCOUNTS, "enabled")
