"""Opening, the ledger, the decision log, and everything that can go wrong with a call."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from functions.adapters.dynamodb import store as store_module
from functions.adapters.dynamodb import table
from functions.adapters.dynamodb.items import account_item, claim_of
from functions.adapters.dynamodb.store import open_store
from functions.core.account import Redemption
from functions.ports import Claimed, StoreError
from protocol.decision import Timeline
from runtime.process import stop_tasks
from sandbox.dynamodb import CREDENTIALS_ENV, REGION
from tests.support.dynamodb_engines import store_on
from tests.support.dynamodb_proxy import LOSE_REPLY, refuse_with
from tests.support.store_builders import (
    LIMITS,
    NOW_MS,
    STRATEGY,
    TODAY,
    make_account,
    make_claim,
    make_decision,
)
from tests.support.stored_account_contract import ended


async def raised_by(call) -> str:
    with pytest.raises(StoreError) as caught:
        await call
    text = str(caught.value)
    assert "\n" not in text
    assert CREDENTIALS_ENV["AWS_SECRET_ACCESS_KEY"] not in text
    return text


# -- the account ---------------------------------------------------------------------------------


async def test_a_missing_table_is_named_and_never_created(table) -> None:
    async with store_on(table.url, "missing", STRATEGY) as store:
        for call in (
            store.open_account(),
            store.claim(make_claim(), LIMITS, NOW_MS),
            store.put_ledger(make_claim()),
        ):
            text = await raised_by(call)
            assert text.startswith("STATE_TABLE: there is no table missing at 127.0.0.1:")
            assert "infra/state.yml" in text
        for call in (store.put_decisions([make_decision(1)]), store.decisions(TODAY, 1)):
            text = await raised_by(call)
            assert text.startswith("DECISION_TABLE: there is no table missing-decisions at 127.0.0")
            assert "infra/state.yml" in text


async def test_without_a_decision_table_everything_else_goes_on(table) -> None:
    async with open_store(
        table=table.name,
        decision_table="missing",
        account_name=STRATEGY,
        region=REGION,
        endpoint_url=table.url,
    ) as store:
        await store.open_account()
        writing = asyncio.create_task(raised_by(store.put_decisions([make_decision(1)])))
        assert await store.claim(make_claim(), LIMITS, NOW_MS) == Claimed()
        await store.put_ledger(ended())
        assert "DECISION_TABLE" in await writing
        assert table.account().claims == {"0xm1": make_claim()}


# -- the ledger ----------------------------------------------------------------------------------


async def test_the_same_ledger_row_twice_is_one_row(store, table) -> None:
    claim = ended(text="no orders found to match", timeline=Timeline(received_at_ns=1))
    await store.put_ledger(claim)
    await store.put_ledger(claim)
    [row] = table.rows(f"STRATEGY#{STRATEGY}")
    assert row["sk"] == {"S": f"TRADE#00{NOW_MS}#intent-a1"}
    assert claim_of(row) == claim
    assert await store.ledger_row(make_claim()) == claim


# -- trading, pauses, pruning ----------------------------------------------------------------------


async def test_nothing_is_removed_from_an_account_that_is_not_there(store, table) -> None:
    await store.set_redemptions({"0xm1": None}, {"0xm1": Redemption(token_id="7", since_ms=1)})
    await store.prune(make_account(pnl_e6={"2026-01-01": 1}), NOW_MS)
    assert table.rows(f"STRATEGY#{STRATEGY}") == []


async def test_a_note_of_an_older_version_is_read_and_changed(store, table) -> None:
    await store.open_account()
    item = account_item(STRATEGY, make_account())
    item["redeem"]["M"]["0xm1"] = {
        "M": {"token_id": {"S": "7"}, "since_ms": {"N": "1"}, "asked_at_ms": {"N": "2"}}
    }
    table.put(item)
    old = (await store.account()).redeem["0xm1"]
    assert old == Redemption(token_id="7", since_ms=1, asked_at_ms=2)
    asked = Redemption(token_id="7", since_ms=1, asked_at_ms=3, tries=2)
    assert await store.set_redemptions({"0xm1": asked}, {"0xm1": old})
    assert not await store.set_redemptions({"0xm1": None}, {"0xm1": old})
    assert await store.set_redemptions({"0xm1": None}, {"0xm1": asked})
    assert table.account().redeem == {}


# -- what goes wrong -----------------------------------------------------------------------------


async def test_nobody_listening_is_one_line_in_bounded_time(unused_tcp_port: int) -> None:
    async with store_on(f"http://127.0.0.1:{unused_tcp_port}", "t", STRATEGY) as store:
        before = time.monotonic()
        text = await raised_by(store.open_account())
        assert time.monotonic() - before < table.CALL_TIMEOUT_S
    assert text.startswith(f"open_account: table t at 127.0.0.1:{unused_tcp_port}: Endpoint")


async def test_a_password_in_the_url_is_not_told(unused_tcp_port: int) -> None:
    url = f"http://someone:hidden@127.0.0.1:{unused_tcp_port}"
    async with store_on(url, "t", STRATEGY) as store:
        assert "hidden" not in await raised_by(store.open_account())


@pytest.fixture
async def silent_url():
    """A server that takes connections and never answers."""
    connected = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", connected
    server.close()


async def test_a_silent_server_is_given_up(silent_url, monkeypatch) -> None:
    monkeypatch.setattr(table, "CALL_TIMEOUT_S", 0.1)
    url, _ = silent_url
    async with store_on(url, "t", STRATEGY) as store:
        text = await raised_by(store.claim(make_claim(), LIMITS, NOW_MS))
    assert text.startswith("claim: table t at 127.0.0.1:")
    assert text.endswith("TimeoutError")


async def test_the_sdk_itself_gives_up_reading_and_tries_once_more(silent_url, monkeypatch) -> None:
    monkeypatch.setattr(table._CONFIG, "read_timeout", 0.1)
    url, _ = silent_url
    async with store_on(url, "t", STRATEGY) as store:
        text = await raised_by(store.claim(make_claim(), LIMITS, NOW_MS))
    assert "ReadTimeoutError" in text


async def test_a_cancelled_claim_is_cancelled_not_failed(silent_url) -> None:
    url, connected = silent_url
    async with store_on(url, "t", STRATEGY) as store:
        call = asyncio.create_task(store.claim(make_claim(), LIMITS, NOW_MS))
        await connected.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


@pytest.mark.parametrize(
    ("step", "tries", "said"),
    [
        (refuse_with("ThrottlingException"), 2, "ThrottlingException"),
        (refuse_with("InternalServerError", 500), 2, "InternalServerError"),
        (refuse_with("AccessDeniedException"), 1, "AccessDeniedException"),
        (refuse_with("ValidationException"), 1, "ValidationException"),
        (LOSE_REPLY, 2, "ConnectionClosedError"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_every_failure_is_one_line(proxied, proxy, step, tries, said) -> None:
    proxy.script.extend([step] * 5)
    text = await raised_by(proxied.put_ledger(make_claim()))
    assert text.startswith("put_ledger: table state-")
    assert said in text
    assert len(proxy.requests) == tries


async def test_one_throttled_try_is_not_a_failure(proxied, proxy, table) -> None:
    proxy.script.append(refuse_with("ProvisionedThroughputExceededException"))
    await proxied.put_ledger(make_claim())
    assert len(table.rows(f"STRATEGY#{STRATEGY}")) == 1


@pytest.mark.parametrize(
    ("region", "endpoint_url", "blamed"),
    [
        ("", None, "AWS_REGION: "),
        ("not a region", None, "AWS_REGION: "),
        (REGION, "no-scheme", "AWS_ENDPOINT_URL_DYNAMODB: "),
    ],
)
async def test_a_client_that_cannot_be_built_is_one_line(
    region, endpoint_url, blamed, monkeypatch
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    if endpoint_url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", endpoint_url)

    async def opened() -> None:
        async with open_store(
            table="t",
            decision_table="d",
            account_name=STRATEGY,
            region=region,
            endpoint_url=endpoint_url,
        ):
            pass

    assert (await raised_by(opened())).startswith(blamed)


async def test_closing_twice_is_closing(store) -> None:
    await store.open_account()
    await store.close()
    await store.close()


async def test_a_table_that_is_gone_for_long_is_a_problem_until_it_answers(
    dynamodb_server: str, state_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "KEEP_WARM_S", 0.01)
    async with store_on(dynamodb_server, state_table, STRATEGY) as store:
        await store.open_account()
        store._last_answer.silent_max_s = 0.5
        await asyncio.sleep(0.6)  # a venue, say, is waited for: nobody has asked the table since
        assert store.problem() is not None
        away, get = asyncio.Event(), store._table.get

        async def maybe(call: str, **request: Any) -> Any:
            if away.is_set():
                raise StoreError("it is away")
            return await get(call, **request)

        monkeypatch.setattr(store._table, "get", maybe)
        keeping = asyncio.create_task(store.upkeep())
        await asyncio.sleep(0)
        assert store.problem() is None
        try:
            for change, said in ((away.set, True), (away.clear, False)):
                change()
                async with asyncio.timeout(30):
                    while (store.problem() is not None) is not said:  # noqa: ASYNC110 - no event
                        await asyncio.sleep(0.01)
                if said:
                    assert str(store.problem()).startswith(f"table {state_table} has not answered")
                    assert str(store.problem()).endswith("it is away")
        finally:
            await stop_tasks(keeping)
