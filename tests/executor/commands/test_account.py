"""Status, positions and decisions, and what every command does when something is wrong."""

from __future__ import annotations

import json

import pytest

from functions.adapters.dynamodb.items import claim_attribute, decision_item, trade_key
from functions.adapters.dynamodb.store import DynamoStore
from functions.core.account import utc_day
from functions.core.claim import ClaimState
from functions.ports import Claimed
from sandbox.dynamodb import decision_table_of
from tests.executor.conftest import SECRET, Command
from tests.support.account_builders import (
    ACCOUNT,
    LIMITS,
    make_claim,
    make_decision,
    make_open,
    now_ms,
)
from tests.support.dynamodb_items import Table

READING = (["status"], ["positions"], ["decisions"])


async def claimed(store: DynamoStore, market: str) -> None:
    assert await store.claim(make_claim(market, age_ms=0), LIMITS, now_ms()) == Claimed()


async def test_status_of_a_real_account(run: Command, store: DynamoStore) -> None:
    await store.open_account()
    await claimed(store, "m1")
    result = await run("status")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == f"account {ACCOUNT} (paper)"
    assert "0 open, 0 unknown, 1 claimed" in result.stdout
    assert "1.10 USD, cap 200.00" in result.stdout


async def test_the_limits_are_the_environments(
    run: Command, store: DynamoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.open_account()
    monkeypatch.setenv("MAX_POSITIONS", "7")
    monkeypatch.setenv("DAILY_LOSS_LIMIT_USD", "12.5")
    told = json.loads((await run("status", "--json")).stdout)
    assert (told["account"], told["slots"], told["daily_loss_limit_e6"]) == (ACCOUNT, 7, 12_500_000)
    assert told["trading"] is True


async def test_positions_and_what_ended(run: Command, store: DynamoStore) -> None:
    await store.open_account()
    await claimed(store, "alive")
    for number in range(3):
        ended = make_open(f"e{number}", age_ms=9_000 - number, state=ClaimState.SETTLED)
        await store.put_ledger(ended)
    result = await run("positions", "--ended", "2")
    assert result.exit_code == 0, result.output
    assert "btc-updown-15m-alive" in result.stdout
    assert "0xorder-alive" in result.stdout
    assert "-e0" not in result.stdout
    told = json.loads((await run("positions", "--ended", "2", "--json")).stdout)
    assert [each["condition_id"] for each in told["positions"]] == ["0xalive"]
    assert [each["condition_id"] for each in told["ended"]] == ["0xe1", "0xe2"]
    assert "ended" not in (await run("positions")).stdout


async def test_an_old_row_is_found_when_there_are_few(run: Command, store: DynamoStore) -> None:
    await store.open_account()
    await store.put_ledger(make_open("old", age_ms=20 * 86_400_000, state=ClaimState.SETTLED))
    await store.put_ledger(make_open("new", state=ClaimState.SETTLED))
    assert "btc-updown-15m-old" not in (await run("positions", "--ended", "1")).stdout
    assert "btc-updown-15m-old" in (await run("positions", "--ended", "5")).stdout


async def test_decisions_newest_first(run: Command, store: DynamoStore) -> None:
    day = utc_day(now_ms())
    rows = [make_decision(number, decided_at_ms=now_ms() + number) for number in range(1, 4)]
    await store.put_decisions(rows)
    told = json.loads((await run("decisions", "--limit", "2", "--day", day, "--json")).stdout)
    assert [each["market"][-1] for each in told["decisions"]] == ["3", "2"]
    text = (await run("decisions", "--day", day)).stdout
    assert text.count("refused: cooldown") == 3
    assert "no decisions on 2026-01-01" in (await run("decisions", "--day", "2026-01-01")).stdout


@pytest.mark.parametrize("readable", [0, 2])
@pytest.mark.parametrize("command", ["decisions", "positions --ended 9"])
async def test_rows_that_cannot_be_read_are_counted_and_named_on_one_line_and_hide_no_other(
    run: Command, store: DynamoStore, state_table: str, command: str, readable: int
) -> None:
    await store.open_account()
    argv, url = command.split(), store._table._client.meta.endpoint_url
    for number in range(readable):
        await store.put_decisions([make_decision(number)])
        await store.put_ledger(make_open(f"r{number}", state=ClaimState.SETTLED))
    for number in (7, 8):
        bad = make_decision(number)
        row = {**decision_item(bad), "timeline": {"S": "much"}}
        row["sk"] = {"S": row["sk"]["S"] + "\n\x1b[2J"}  # a table's keys may be anything
        Table(url, decision_table_of(state_table)).put(row)
        claim = make_open(f"b{number}", state=ClaimState.SETTLED)
        row = {**trade_key(ACCOUNT, claim), **claim_attribute(claim)["M"], "spend_e6": {"S": "x"}}
        Table(url, state_table).put(row)
    result = await run(*argv)
    assert (result.exit_code, result.stderr) == (0, "")
    told = json.loads((await run(*argv, "--json")).stdout)
    shown = told["decisions"] if argv == ["decisions"] else told["ended"]
    assert (len(shown), len(told["unreadable"])) == (readable, 2)
    [line] = [each for each in result.stdout.splitlines() if "CANNOT BE READ" in each]
    assert line.startswith("2 rows CANNOT BE READ, the first: ")
    assert ("timeline" if argv == ["decisions"] else "spend_e6") in line
    assert "\x1b" not in result.stdout
    assert result.stdout.count("btc-updown-15m-") == readable


@pytest.mark.parametrize("argv", READING, ids=" ".join)
async def test_no_table_is_one_line(
    run: Command, store: DynamoStore, monkeypatch: pytest.MonkeyPatch, argv: list[str]
) -> None:
    variable = "DECISION_TABLE" if argv == ["decisions"] else "STATE_TABLE"
    monkeypatch.setenv(variable, "no-such-table")
    result = await run(*argv)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert f"{variable}: there is no table no-such-table" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "argv", [*READING, ["halt", "--reason", "x"], ["resume"], ["reconcile"]], ids=" ".join
)
async def test_no_store_is_one_line(run: Command, dynamodb_server: str, argv: list[str]) -> None:
    result = await run(*argv)  # the environment points at a closed port
    assert result.exit_code == 1
    assert "Cannot connect to host 127.0.0.1:1" in result.stderr
    assert result.stderr.count("\n") == 1


async def test_no_account_is_one_line(run: Command, store: DynamoStore) -> None:
    result = await run("status")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"there is no account {ACCOUNT}" in result.stderr


@pytest.mark.parametrize(
    "argv",
    [*READING, ["halt", "--reason", "x"], ["resume"], ["reconcile"]],
    ids=" ".join,
)
async def test_a_wrong_variable_is_one_line_and_exits_2(
    run: Command, monkeypatch: pytest.MonkeyPatch, argv: list[str]
) -> None:
    monkeypatch.setenv("EXECUTION", SECRET)  # a key in the wrong variable
    result = await run(*argv)
    assert result.exit_code == 2
    assert result.stderr.startswith("cannot start: EXECUTION: ")
    assert result.stderr.count("\n") == 1
    assert SECRET not in result.output


@pytest.mark.parametrize(
    "argv",
    [
        ["halt"],
        ["halt", "--reason", "  "],
        ["halt", "--reason", "x" * 301],
        ["halt", "--reason", "\x1b[2J"],
        ["decisions", "--day", "yesterday"],
        ["decisions", "--limit", "0"],
        ["positions", "--ended", "-1"],
    ],
    ids=" ".join,
)
async def test_a_wrong_option_exits_2_before_anything_is_asked(
    run: Command, argv: list[str]
) -> None:
    result = await run(*argv)
    assert result.exit_code == 2
    assert (argv[1] if len(argv) > 1 else "--reason") in result.stderr
    assert "Cannot connect" not in result.output


async def test_looking_and_halting_need_no_key(
    run: Command, live_store: DynamoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXECUTION", "live")
    await live_store.open_account()
    for argv in (*READING, ["halt", "--reason", "x"], ["resume"]):
        result = await run(*argv)
        assert result.exit_code == 0, result.output
        assert result.stdout.splitlines()[0] == "account book_imbalance_crypto (live)"
