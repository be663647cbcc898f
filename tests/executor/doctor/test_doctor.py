"""Each thing that the doctor looks for, provoked for real."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.session
import nats
import pytest
from aiohttp import web
from eth_account import Account as EthAccount
from nats.js.api import StorageType, StreamConfig

from executor.doctor import checks
from executor.doctor import nats as nats_doctor
from executor.doctor import venue as venue_doctor
from executor.doctor.configuration import read
from executor.doctor.finding import Finding, Level
from functions.adapters.dynamodb.store import DynamoStore
from protocol.subjects import BOOKS, DECISIONS, FILLS
from runtime.nats import ensure_stream
from sandbox.dynamodb import REGION, decision_table_of
from sandbox.simulator import Venue, answer
from tests.executor.conftest import KEY, SECRET, Command
from tests.executor.doctor.test_market_data import list_markets
from tests.runtime.test_nats import server_that_says
from tests.support.configuration_builders import seed
from tests.support.servers import NatsServer
from venue.trading.official_client import STANDARD_EXCHANGE

STREAMS = {f"stream {spec.name}" for spec in (BOOKS, DECISIONS, FILLS)}


async def examined() -> dict[str, Finding]:
    return {finding.what: finding for finding in await checks.examine(read())}


def levels(found: dict[str, Finding]) -> dict[str, Level]:
    return {what: finding.level for what, finding in found.items()}


@pytest.fixture
def broker(nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> NatsServer:
    monkeypatch.setenv("NATS_URL", nats_server.url)
    return nats_server


async def declare(broker: NatsServer) -> None:
    client = await nats.connect(broker.url)
    for spec in (BOOKS, DECISIONS, FILLS):
        await ensure_stream(client.jetstream(), spec)
    await client.close()


# -- all is well ---------------------------------------------------------------------------------


async def test_everything_in_place_is_all_ok_and_shows_no_secret(
    run: Command,
    broker: NatsServer,
    live_store: DynamoStore,
    dynamodb_server: str,
    state_table: str,
    venue: Venue,
    live: None,
) -> None:
    await declare(broker)
    list_markets(venue, windows=3)  # should one end meanwhile
    await seed(live_store)
    for name in (state_table, decision_table_of(state_table)):
        dynamodb(dynamodb_server).update_table(TableName=name, DeletionProtectionEnabled=True)
    result = await run("doctor")
    lines = result.stdout.splitlines()
    assert lines[0] == "account book_imbalance_crypto (live)"
    # Of a plain wallet, which may be refused: a warning.
    assert {line.split()[1] for line in lines[1:] if not line.startswith("OK ")} <= {"wallet"}
    assert result.exit_code == 0
    for shown in ("credentials", "closed-only mode", "balance", "allowance", "TTL", "protection"):
        assert shown in result.stdout
    for shown in ("market channel", "user channel", "series btc-15m"):
        assert shown in result.stdout
    assert SECRET.removeprefix("0x") not in result.output


async def test_everything_missing_is_told_at_once(run: Command, live: None) -> None:
    result = await run("doctor")
    assert result.exit_code == 1
    failed = [line for line in result.stdout.splitlines() if line.startswith("FAIL")]
    for line, what in zip(failed, ("NATS", "state table", "CLOB", "Gamma", "log-in"), strict=True):
        assert what in line
        assert " -> " in line


# -- configuration -------------------------------------------------------------------------------


async def test_a_wrong_variable_fails_and_what_does_not_need_it_is_checked(
    run: Command, broker: NatsServer, store: DynamoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOB_URL", SECRET)
    result = await run("doctor")
    found = await examined()
    assert result.exit_code == 1
    assert found["configuration of the worker"].level is Level.FAIL
    assert found["configuration of the scheduled functions"].level is Level.FAIL
    assert found["venue"].text == "not checked: CLOB_URL is wrong"
    assert found["NATS"].level is Level.OK
    assert found["state table"].level is Level.OK
    assert SECRET not in result.output


async def test_live_without_a_key_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXECUTION", "live")
    found = await examined()
    assert "PRIVATE_KEY" in found["configuration of the worker"].text
    assert found["account at the venue"].text == "not checked"


async def test_an_unknown_account_is_said(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRATEGY", "no_such")
    result = await run("doctor")
    assert result.stdout.startswith("accounts unknown: STRATEGY is wrong")
    assert result.exit_code == 1


async def test_a_defect_of_one_check_hides_no_other(
    monkeypatch: pytest.MonkeyPatch, venue: Venue
) -> None:
    async def broken(_: object) -> list[Finding]:
        raise ZeroDivisionError(SECRET)

    monkeypatch.setattr("executor.doctor.table.check", broken)
    found = await examined()
    assert found["table"].text == "the check itself failed: ZeroDivisionError"
    assert found["Gamma"].level is Level.OK


# -- NATS ----------------------------------------------------------------------------------------


async def test_streams_that_are_not_there_are_a_warning_and_stay_away(broker: NatsServer) -> None:
    found = levels(await examined())
    assert found["NATS"] is Level.OK
    assert {found[stream] for stream in STREAMS} == {Level.WARN}
    client = await nats.connect(broker.url)
    assert await client.jetstream().streams_info() == []
    await client.close()


async def test_a_login_is_used_and_one_that_is_refused_or_half_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "nats.conf"
    config.write_text(
        "jetstream { store_dir: $NATS_STORE_DIR }\n"
        "authorization { users: [{ user: worker, password: hunter2 }] }"
    )
    with NatsServer(tmp_path / "jetstream", config) as server:
        monkeypatch.setenv("NATS_URL", server.url)
        monkeypatch.setenv("NATS_USER", "worker")
        assert (await examined())["NATS"].text == "not checked: NATS_PASSWORD is wrong"
        monkeypatch.setenv("NATS_PASSWORD", "hunter3")
        found = (await examined())["NATS"]
        assert found.level is Level.FAIL
        assert "NATS_USER worker or its NATS_PASSWORD is not the server's" in found.text
        assert "hunter" not in str(found)
        monkeypatch.setenv("NATS_PASSWORD", "hunter2")
        assert (await examined())["NATS"].level is Level.OK


async def test_another_number_of_replicas_is_said(
    broker: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await declare(broker)
    monkeypatch.setenv("STREAM_REPLICAS", "3")
    assert (await examined())["stream BOOKS"].text == "not as declared: num_replicas"


async def test_a_stopped_nats_fails(broker: NatsServer) -> None:
    await asyncio.to_thread(broker.stop)
    found = await examined()
    assert found["NATS"].level is Level.FAIL
    assert "Connect" in found["NATS"].text
    assert not STREAMS & found.keys()


async def test_a_nats_that_hangs_fails_in_bounded_time(
    broker: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_doctor, "CONNECT_TIMEOUT_S", 0.5)
    broker.pause()
    try:
        async with asyncio.timeout(30):
            assert (await examined())["NATS"].level is Level.FAIL
    finally:
        broker.resume()


async def test_an_old_nats_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async with server_that_says("2.9.10") as url:
        monkeypatch.setenv("NATS_URL", url.replace("//", "//user:hunter2@"))
        monkeypatch.setattr(nats_doctor, "REQUEST_TIMEOUT_S", 0.3)
        found = await examined()
    assert "2.9.10 is too old, 2.12 or newer is needed" in found["NATS"].text
    assert found["NATS"].do == "upgrade nats-server"
    assert "hunter2" not in str(found)
    assert found["stream BOOKS"].level is Level.FAIL  # it has no JetStream either


async def test_a_stream_of_another_kind_fails_and_is_left_alone(broker: NatsServer) -> None:
    await declare(broker)
    client = await nats.connect(broker.url)
    js = client.jetstream()
    await js.delete_stream(BOOKS.name)
    other = StreamConfig(name=BOOKS.name, subjects=["book.>"], storage=StorageType.FILE)
    await js.add_stream(other)
    fewer = (await js.stream_info(FILLS.name)).config
    fewer.max_age = 60
    fewer.duplicate_window = 30
    await js.update_stream(fewer)
    found = await examined()
    assert found["stream BOOKS"].level is Level.FAIL
    assert "storage" in found["stream BOOKS"].text
    assert "nats stream rm BOOKS" in found["stream BOOKS"].do
    assert found["stream FILLS"].level is Level.WARN
    assert found["stream FILLS"].text == "not as declared: max_age, duplicate_window"
    assert found["stream DECISIONS"].level is Level.OK
    assert (await js.stream_info(FILLS.name)).config.max_age == 60
    await client.close()


# -- the table -----------------------------------------------------------------------------------


async def test_a_missing_table_fails(store: DynamoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_TABLE", "no-such-table")
    found = await examined()
    assert found["state table"].level is Level.FAIL
    assert found["state table"].text.startswith("STATE_TABLE: there is no table no-such-table")


async def test_a_missing_decision_table_is_a_warning(
    store: DynamoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DECISION_TABLE", "no-such-table")
    found = await examined()
    assert found["decision table"].level is Level.WARN
    assert found["decision table"].text.startswith("DECISION_TABLE: there is no table no-such")
    assert found["state table"].level is Level.OK
    monkeypatch.setenv("DECISION_TABLE", "*")
    assert (await examined())["table"].text == "not checked: DECISION_TABLE is wrong"


async def test_the_account_item_is_looked_at_and_not_made(store: DynamoStore) -> None:
    assert (await examined())["account item"].level is Level.WARN
    assert "there is no account" in (await examined())["account item"].text
    await store.open_account()
    assert (await examined())["account item"].level is Level.OK
    await store.halt("odd fills")
    found = (await examined())["account item"]
    assert found.level is Level.WARN
    assert "odd fills" in found.text


def dynamodb(url: str) -> Any:
    return botocore.session.Session().create_client(
        "dynamodb", region_name=REGION, endpoint_url=url
    )


async def test_unprotected_tables_are_warnings(
    store: DynamoStore, dynamodb_server: str, state_table: str, live: None
) -> None:
    found = await examined()
    assert found["state table's TTL"].level is Level.OK
    assert found["decision table's TTL"].text == "on expires_at"
    client = dynamodb(dynamodb_server)
    for name in (state_table, decision_table_of(state_table)):
        client.update_continuous_backups(
            TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False}
        )
    client.update_time_to_live(
        TableName=decision_table_of(state_table),
        TimeToLiveSpecification={"Enabled": False, "AttributeName": "expires_at"},
    )
    client.update_time_to_live(
        TableName=state_table,
        TimeToLiveSpecification={"Enabled": True, "AttributeName": "market_end_ms"},
    )
    before, found = found, await examined()
    for what in ("TTL", "point-in-time recovery", "deletion protection"):
        for table in ("state table", "decision table"):
            assert found[f"{table}'s {what}"].level is Level.WARN, (table, what)
            expected = Level.WARN if "deletion" in what else Level.OK
            assert before[f"{table}'s {what}"].level is expected, (table, what)
    assert "infra/state.yml" in found["decision table's TTL"].do


async def test_a_state_table_from_which_decisions_expire_fails(
    store: DynamoStore, state_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_TABLE", decision_table_of(state_table))
    monkeypatch.setenv("DECISION_TABLE", state_table)
    assert (await examined())["state table's TTL"].level is Level.FAIL


async def test_on_paper_nothing_need_be_protected_from_deletion(store: DynamoStore) -> None:
    assert (await examined())["state table's deletion protection"].level is Level.OK


async def test_a_malformed_account_item_fails(
    store: DynamoStore, dynamodb_server: str, state_table: str
) -> None:
    await store.open_account()
    key = {"pk": {"S": "STRATEGY#book_imbalance_crypto-paper"}, "sk": {"S": "ACCOUNT"}}
    dynamodb(dynamodb_server).put_item(TableName=state_table, Item={**key, "trading": {"S": "x"}})
    assert (await examined())["account item"].level is Level.FAIL


# -- the venue -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead_s", "level", "word"),
    [(60, Level.FAIL, "behind"), (-60, Level.FAIL, "ahead"), (0, Level.OK, "agrees")],
)
async def test_a_clock_that_is_off(
    venue: Venue, monkeypatch: pytest.MonkeyPatch, ahead_s: int, level: Level, word: str
) -> None:
    venue_clock = SimpleNamespace(time=lambda: time.time() + ahead_s)
    monkeypatch.setattr("sandbox.simulator.clob.time", venue_clock)
    found = (await examined())["CLOB and clock"]
    assert found.level is level
    assert word in found.text


@pytest.mark.parametrize(
    ("offset_ms", "level"),
    [(500, Level.OK), (-501, Level.WARN), (2_000, Level.WARN), (2_001, Level.FAIL)],
)
async def test_how_far_a_clock_may_be_off(
    monkeypatch: pytest.MonkeyPatch, offset_ms: int, level: Level
) -> None:
    async def told(_: str) -> int:
        return offset_ms

    monkeypatch.setattr("venue.checks.clock_offset_ms", told)
    assert (await examined())["CLOB and clock"].level is level


@pytest.mark.parametrize(
    ("blocked", "live", "level"),
    [(False, True, Level.OK), (True, False, Level.WARN), (True, True, Level.FAIL)],
)
def test_a_blocked_address_matters_when_orders_are_sent(
    blocked: bool, live: bool, level: Level
) -> None:
    assert venue_doctor.geoblock_finding(blocked=blocked, live=live).level is level


async def test_credentials_that_the_venue_has_forgotten_fail(
    venue: Venue, live: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(venue.keys, "keys_of", lambda _: [])
    assert (await examined())["credentials"].level is Level.FAIL


async def test_an_account_that_may_only_close_fails(
    venue: Venue, live: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    client_told = True

    async def closed_only(_: object) -> bool:
        return client_told

    monkeypatch.setattr("venue.trading.account_checks.closed_only", closed_only)
    found = await examined()
    assert found["closed-only mode"].level is Level.FAIL
    assert "contact the venue" in found["closed-only mode"].do


async def test_an_empty_wallet_fails(
    venue: Venue, live: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    venue.account(KEY.address).balance_e6 = 1_099_999
    found = (await examined())["balance"]
    assert found.level is Level.FAIL
    assert found.text == "1.099999 USD, one order is 1.1"
    monkeypatch.setenv("SIZE_USD", "1")
    assert (await examined())["balance"].level is Level.OK


async def test_without_an_allowance_it_fails_for_the_contract_that_is_traded_on(
    venue: Venue, live: None
) -> None:
    allowances = venue.account(KEY.address).allowances
    allowances.update(dict.fromkeys(allowances, 0))
    found = await examined()
    by_contract = {what: each.level for what, each in found.items() if what.startswith("allow")}
    assert by_contract.pop(f"allowance of {STANDARD_EXCHANGE}") is Level.FAIL
    assert set(by_contract.values()) == {Level.WARN}


async def test_a_venue_that_answers_nonsense_fails_each_question(
    venue: Venue, live: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    venue.faults.read_error = 1.0
    found = await examined()
    assert found["balance"].level is Level.FAIL
    assert found["credentials"].level is Level.OK


async def test_another_wallets_key_fails_or_has_no_money(
    venue: Venue, live: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WALLET", EthAccount.create().address)
    found = await examined()
    assert found["log-in"].level is Level.FAIL


async def test_nobody_is_asked_about_an_account_on_paper(venue: Venue) -> None:
    found = await examined()
    assert found["account at the venue"].level is Level.OK
    assert not venue.accounts


async def test_the_real_venue_is_asked_about_this_address(
    monkeypatch: pytest.MonkeyPatch, venue: Venue
) -> None:
    async def geoblock(_: web.Request) -> web.Response:
        return answer({"blocked": True, "country": "XX"})

    app = web.Application()
    app.router.add_get("/api/geoblock", geoblock)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/geoblock"
        monkeypatch.setattr(venue_doctor, "GEOBLOCK_URL", url)
        # As if the simulated venue were the real one.
        monkeypatch.setattr(venue_doctor, "REAL_CLOB_URL", read().limits.clob_url)
        assert (await examined())["geoblock"].level is Level.WARN
    finally:
        await runner.cleanup()
