"""Opening, the ledger, the decision log, and everything that can go wrong with a call."""

from __future__ import annotations

import asyncio
import time

import pytest

from functions.adapters import dynamodb
from functions.adapters.dynamodb import BATCH_TRIES_MAX, open_store
from functions.adapters.dynamodb_items import trade_of
from functions.core.intent import ClaimState
from functions.ports import StoreError
from protocol.decision import Decision, Timeline
from sandbox.dynamodb import CREDENTIALS_ENV, REGION
from tests.functions.adapters.dynamodb.builders import (
    LIMITS,
    NOW_MS,
    STRATEGY,
    TODAY,
    make_account,
    make_claim,
)
from tests.functions.adapters.dynamodb.proxy import FORWARD, LOSE_REPLY

DECISIONS_PK = f"DECISION#{STRATEGY}#{TODAY}"


def make_decision(number: int, **changes) -> Decision:
    fields = {
        "decision_id": f"d{number:03d}",
        "strategy": STRATEGY,
        "worker": "w1",
        "condition_id": "0xm1",
        "slug": "slug",
        "outcome": "Up",
        "token_id": "7",
        "result": "refused",
        "reason": "cooldown",
        "imbalance": 0.5,
        "signal_price_e4": 5_200,
        "max_price_e4": 5_460,
        "spend_e6": 1_100_000,
        "decided_at_ms": NOW_MS + number,
        "timeline": Timeline(),
    }
    return Decision(**{**fields, **changes})


async def raised_by(call) -> str:
    with pytest.raises(StoreError) as caught:
        await call
    text = str(caught.value)
    assert "\n" not in text
    assert CREDENTIALS_ENV["AWS_SECRET_ACCESS_KEY"] not in text
    return text


# -- the account ---------------------------------------------------------------------------------


async def test_opening_creates_an_account_that_may_trade(store, table) -> None:
    assert await store.open_account() == make_account(day="")
    assert table.account() == make_account(day="")


async def test_opening_never_changes_what_is_there(store, table) -> None:
    account = make_account(
        trading="halted",
        halt_reason="by hand",
        claims={"0xm1": make_claim()},
        cooldowns={"0xm1": NOW_MS},
        pnl_today_e6=-5,
    )
    table.put_account(account)
    assert await store.open_account() == account
    assert table.account() == account


async def test_many_may_open_at_once(store) -> None:
    accounts = await asyncio.gather(*(store.open_account() for _ in range(8)))
    assert accounts == [make_account(day="")] * 8


async def test_a_missing_table_is_named_and_never_created(table) -> None:
    async with open_store(
        table="missing", strategy=STRATEGY, region=REGION, endpoint_url=table.url
    ) as store:
        for call in (
            store.open_account(),
            store.claim(make_claim(), LIMITS, NOW_MS),
            store.put_ledger(make_claim(), Timeline()),
            store.put_decisions([make_decision(1)]),
        ):
            text = await raised_by(call)
            assert text.startswith("STATE_TABLE: there is no table missing at 127.0.0.1:")
            assert "infra/state.yml" in text


# -- the ledger ----------------------------------------------------------------------------------


async def test_the_same_ledger_row_twice_is_one_row(store, table) -> None:
    claim = make_claim(state=ClaimState.RELEASED, text="no orders found to match")
    timeline = Timeline(received_at_ns=1, resolved_at_ns=9)
    await store.put_ledger(claim, timeline)
    await store.put_ledger(claim, timeline)
    [row] = table.rows(f"STRATEGY#{STRATEGY}")
    assert row["sk"] == {"S": f"TRADE#00{NOW_MS}#intent-a1"}
    assert trade_of(row) == (claim, timeline)


# -- the decision log ----------------------------------------------------------------------------


async def test_decisions_are_written_in_batches_with_an_expiry(proxied, proxy, table) -> None:
    decisions = [make_decision(number) for number in range(60)]
    await proxied.put_decisions(decisions)
    assert proxy.operations() == ["BatchWriteItem"] * 3
    rows = table.rows(DECISIONS_PK)
    assert [row["decision_id"]["S"] for row in rows] == [d.decision_id for d in decisions]
    assert {row["expires_at"]["N"] for row in rows} == {str(NOW_MS // 1000 + 604_800)}
    await proxied.put_decisions(decisions)
    assert len(table.rows(DECISIONS_PK)) == 60


async def test_a_redelivered_decision_in_one_batch_is_written_once(store, table) -> None:
    await store.put_decisions([make_decision(1), make_decision(2), make_decision(1, repeats=4)])
    assert [row["repeats"]["N"] for row in table.rows(DECISIONS_PK)] == ["4", "0"]


async def test_no_decisions_cost_no_call(proxied, proxy) -> None:
    await proxied.put_decisions([])
    assert proxy.requests == []


def hand_back(parameters):
    """Throttled: nothing was written."""
    return 200, {"UnprocessedItems": parameters["RequestItems"]}


async def test_unprocessed_decisions_are_asked_again(proxied, proxy, table, monkeypatch) -> None:
    monkeypatch.setattr(dynamodb, "BATCH_PAUSE_S", 0)
    proxy.script.extend([hand_back, hand_back, FORWARD])
    await proxied.put_decisions([make_decision(1), make_decision(2)])
    assert proxy.operations() == ["BatchWriteItem"] * 3
    assert len(table.rows(DECISIONS_PK)) == 2


async def test_decisions_are_not_asked_for_ever(proxied, proxy, monkeypatch) -> None:
    monkeypatch.setattr(dynamodb, "BATCH_PAUSE_S", 0)
    proxy.script.extend([hand_back] * 50)
    text = await raised_by(proxied.put_decisions([make_decision(1), make_decision(2)]))
    assert "left 2 of 2 rows unwritten" in text
    assert len(proxy.requests) == BATCH_TRIES_MAX


# -- what goes wrong -----------------------------------------------------------------------------


async def test_nobody_listening_is_one_line_in_bounded_time(unused_tcp_port: int) -> None:
    async with open_store(
        table="t",
        strategy=STRATEGY,
        region=REGION,
        endpoint_url=f"http://127.0.0.1:{unused_tcp_port}",
    ) as store:
        before = time.monotonic()
        text = await raised_by(store.open_account())
        assert time.monotonic() - before < dynamodb.CALL_TIMEOUT_S
    assert text.startswith(f"open_account: table t at 127.0.0.1:{unused_tcp_port}: Endpoint")


async def test_a_password_in_the_url_is_not_told(unused_tcp_port: int) -> None:
    url = f"http://someone:hidden@127.0.0.1:{unused_tcp_port}"
    async with open_store(table="t", strategy=STRATEGY, region=REGION, endpoint_url=url) as store:
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
    monkeypatch.setattr(dynamodb, "CALL_TIMEOUT_S", 0.1)
    url, _ = silent_url
    async with open_store(table="t", strategy=STRATEGY, region=REGION, endpoint_url=url) as store:
        text = await raised_by(store.claim(make_claim(), LIMITS, NOW_MS))
    assert text.startswith("claim: table t at 127.0.0.1:")
    assert text.endswith("TimeoutError")


async def test_the_sdk_itself_gives_up_reading_and_tries_once_more(silent_url, monkeypatch) -> None:
    monkeypatch.setattr(dynamodb._CONFIG, "read_timeout", 0.1)
    url, _ = silent_url
    async with open_store(table="t", strategy=STRATEGY, region=REGION, endpoint_url=url) as store:
        text = await raised_by(store.claim(make_claim(), LIMITS, NOW_MS))
    assert "ReadTimeoutError" in text


async def test_a_cancelled_claim_is_cancelled_not_failed(silent_url) -> None:
    url, connected = silent_url
    async with open_store(table="t", strategy=STRATEGY, region=REGION, endpoint_url=url) as store:
        call = asyncio.create_task(store.claim(make_claim(), LIMITS, NOW_MS))
        await connected.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


def refuse_with(code: str, status: int = 400):
    def step(_):
        return status, {
            "__type": f"com.amazonaws.dynamodb.v20120810#{code}",
            "message": "first line\n second line",
        }

    return step


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
    text = await raised_by(proxied.put_ledger(make_claim(), Timeline()))
    assert text.startswith("put_ledger: table state-")
    assert said in text
    assert len(proxy.requests) == tries


async def test_one_throttled_try_is_not_a_failure(proxied, proxy, table) -> None:
    proxy.script.append(refuse_with("ProvisionedThroughputExceededException"))
    await proxied.put_ledger(make_claim(), Timeline())
    assert len(table.rows(f"STRATEGY#{STRATEGY}")) == 1


@pytest.mark.parametrize(
    ("region", "endpoint_url"), [("", None), ("not a region", None), (REGION, "no-scheme")]
)
async def test_a_client_that_cannot_be_built_is_one_line(region, endpoint_url, monkeypatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)

    async def opened() -> None:
        async with open_store(
            table="t", strategy=STRATEGY, region=region, endpoint_url=endpoint_url
        ):
            pass

    assert (await raised_by(opened())).startswith("no client for region")


async def test_closing_twice_is_closing(store) -> None:
    await store.open_account()
    await store.close()
    await store.close()
