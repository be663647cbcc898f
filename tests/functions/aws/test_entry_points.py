"""The cloud's functions end to end: a real (serialised) table, a simulated venue, real secrets."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator

import msgspec
import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from functions.adapters.dynamodb.store import DynamoStore
from functions.aws import entry_points
from functions.aws.environment import Function, FunctionError
from functions.aws.settings import ReconcileSettings
from functions.core.account import Limits, utc_day
from functions.core.claim import Claim, ClaimState
from functions.core.collective import CollectiveState
from functions.handlers.compare_group import GroupReport
from functions.handlers.reconcile import ReconcileReport
from functions.ports import StoreError
from tests.functions.adapters.conftest import _certificates_are_read_once
from tests.support.canned_venue import KEY, account
from tests.support.dynamodb_engines import dynamodb_server, one_sdk_session, state_table, store_on
from tests.support.fake_ports import MemoryStore, ScriptedRecords
from tests.support.lambda_runtime import CREDENTIALS_SECRET, KEY_SECRET, Secrets, environment
from tests.support.memory_groups import MemoryGroup
from tests.support.venue_records import Desk, desk
from venue.trading.login import secure_client

__all__ = [
    "_certificates_are_read_once",
    "desk",
    "dynamodb_server",
    "one_sdk_session",
    "state_table",
]

LIVE = "book_imbalance_crypto"
LIMITS = Limits(
    max_positions=3, cooldown_ms=0, daily_loss_limit_e6=20_000_000, daily_spend_cap_e6=10**9
)


@pytest.fixture
async def store(dynamodb_server: str, state_table: str) -> AsyncIterator[DynamoStore]:
    async with store_on(dynamodb_server, state_table, LIVE) as opened:
        await opened.open_account()
        yield opened


@pytest.fixture
async def live(deployed: pytest.MonkeyPatch, desk: Desk, secrets: Secrets) -> None:
    """EXECUTION=live at the simulated venue, with the secrets that each function names."""
    client = await secure_client(account(desk.url))
    given = client.credentials
    await client.close()
    secrets.texts[CREDENTIALS_SECRET] = json.dumps(
        {
            "key": given.key,
            "secret": given.secret,
            "passphrase": given.passphrase,
            "address": KEY.address,
        }
    )
    secrets.texts[KEY_SECRET] = f"{account(desk.url).private_key.get_secret_value()}\n"
    for name, value in {
        "EXECUTION": "live",
        "WALLET": KEY.address,
        "CLOB_URL": desk.url,
        "GAMMA_URL": desk.url,
        "API_CREDENTIALS_SECRET": CREDENTIALS_SECRET,
    }.items():
        deployed.setenv(name, value)


def reconciling() -> Function[entry_points.ScheduledResources]:
    return Function("reconcile", entry_points.open_reconcile, entry_points.work_reconcile)


def settling() -> Function[entry_points.ScheduledResources]:
    return Function("settle", entry_points.open_settle, entry_points.work_settle)


async def bought(desk: Desk, store: DynamoStore, **changes: object) -> Claim:
    """A confirmed purchase whose claim nobody has resolved: the worker died after its POST."""
    now_ms = desk.venue.now_ms()
    posted = await desk.bought()
    claim = msgspec.structs.replace(
        posted,
        **{
            "state": ClaimState.CLAIMED,
            "claimed_at_ms": now_ms - 60_000,
            "market_end_ms": desk.market.end_ms,
            "counted": True,
            **changes,
        },
    )
    await store.claim(claim, LIMITS, now_ms)
    trades = desk.venue.journal.trades.values()
    await desk.venue.notice.until(lambda: all(each.status == "CONFIRMED" for each in trades))
    return claim


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    """The last line of metrics."""
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    line: dict[str, object] = json.loads(lines[-1])
    return line


async def test_reconcile_resolves_a_live_claim_with_api_credentials_alone(
    live: None,
    desk: Desk,
    store: DynamoStore,
    secrets: Secrets,
    capsys: pytest.CaptureFixture[str],
) -> None:
    claim = await bought(desk, store)
    async with environment(reconciling()) as env:
        assert await env.invoke() == {"runs": 1, "failed": 0}
        [now] = (await store.account()).claims.values()
        assert (now.order_id, now.state) == (claim.order_id, ClaimState.OPEN)
        assert now.filled_size_e6 == 2_200_000
        assert await store.accounts_of_wallet(KEY.address) == [LIVE]
        line = told(capsys)
        assert (line["Stage"], line["Service"]) == ("test", "reconcile")
        assert {name: line[name] for name in line if name[0].isupper()} == {
            "Stage": "test",
            "Service": "reconcile",
            "ReconcileRuns": 1,
            "GroupDifferenceUsd": 0,
            "ClaimsUnresolved30s": 0,
            "ClaimsOverdue": 0,
            "PositionMismatches": 0,
            "Halted": 0,
            "DailyLossReached": 0,
        }
        await store.halt("test")
        assert await env.invoke() == {"runs": 1, "failed": 0}
        assert told(capsys)["Halted"] == 1
    assert secrets.asked == [CREDENTIALS_SECRET]  # once for both


async def test_two_environments_at_once_file_one_result(
    live: None, desk: Desk, store: DynamoStore
) -> None:
    await bought(desk, store)
    async with environment(reconciling()) as one, environment(reconciling()) as other:
        answers = await asyncio.gather(one.invoke(), other.invoke())
    assert list(answers) == [{"runs": 1, "failed": 0}] * 2
    [now] = (await store.account()).claims.values()
    assert (now.state, now.filled_size_e6) == (ClaimState.OPEN, 2_200_000)


async def test_settle_books_without_any_secret(
    live: None,
    deployed: pytest.MonkeyPatch,
    desk: Desk,
    store: DynamoStore,
    secrets: Secrets,
    capsys: pytest.CaptureFixture[str],
) -> None:
    await bought(desk, store, market_end_ms=desk.venue.now_ms() - 2_000)
    async with environment(reconciling()) as env:
        await env.invoke()
    secrets.asked.clear()
    desk.venue.resolve(desk.market, "Up")
    async with environment(settling()) as env:
        assert await env.invoke() == {"settled": 1, "failures": 0}
    line = told(capsys)
    assert (line["Service"], line["SettleRuns"], line["Settled"]) == ("settle", 1, 1)
    after = await store.account()
    assert after.claims == {}
    assert after.pnl_e6[utc_day(desk.venue.now_ms())] > 0
    assert after.redeem == {}
    assert secrets.asked == []


async def test_settle_redeems_once_whichever_environment_it_is(
    live: None,
    deployed: pytest.MonkeyPatch,
    desk: Desk,
    store: DynamoStore,
    secrets: Secrets,
) -> None:
    deployed.setenv("REDEEM", "true")
    deployed.setenv("PRIVATE_KEY_SECRET", KEY_SECRET)
    await bought(desk, store, market_end_ms=desk.venue.now_ms() - 2_000)
    async with environment(reconciling()) as env:
        await env.invoke()
    desk.venue.resolve(desk.market, "Up")
    desk.venue.faults.receipt_ms = 3_600_000  # so the shares stay
    async with environment(settling()) as first:
        assert await first.invoke(remaining_s=30) == {"settled": 1, "failures": 0}
        await first.invoke()  # asks
        assert len((await store.account()).redeem) == 1
    assert desk.venue.account(KEY.address).nonce == 1
    async with environment(settling()) as second:
        await second.invoke(remaining_s=30)
    assert desk.venue.account(KEY.address).nonce == 1
    assert secrets.asked.count(KEY_SECRET) == 2


async def test_runs_are_repeated_while_there_is_time_and_failures_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(entry_points, "RUN_S", 0.0)
    outcomes: list[object] = [ReconcileReport(), StoreError("away"), ReconcileReport()]

    async def run() -> ReconcileReport:
        if not outcomes:
            await asyncio.Event().wait()
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        assert isinstance(outcome, ReconcileReport)
        return outcome

    until_s = asyncio.get_running_loop().time() + 0.05
    with capture_logs() as logs:
        reports, errors = await entry_points.repeated(run, every_s=0.001, until_s=until_s)
    assert len(reports) == 2
    assert [str(error) for error in errors] == ["away", "not done in the time that was left"]
    assert [line["event"] for line in logs] == ["run_failed"] * 2


async def test_no_run_begins_without_time_for_an_answer() -> None:
    began: list[float] = []
    loop = asyncio.get_running_loop()

    async def run() -> ReconcileReport:
        began.append(loop.time())
        return ReconcileReport()

    await entry_points.repeated(run, every_s=0.01, until_s=loop.time() + entry_points.RUN_S + 0.005)
    assert len(began) == 1


async def test_an_invocation_without_a_single_run_fails_and_the_next_opens_anew(
    live: None, desk: Desk, store: DynamoStore, secrets: Secrets, deployed: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    async with environment(reconciling()) as env:
        assert (await env.invoke())["runs"] == 1

        async def away(self: DynamoStore) -> object:
            raise StoreError("account: no answer")

        with deployed.context() as patch:
            patch.setattr(DynamoStore, "account", away)
            with pytest.raises(FunctionError, match=r"^reconcile: account: no answer$"):
                await env.invoke()
        assert told(capsys)["ReconcileRuns"] == 0
        assert (await env.invoke())["runs"] == 1
    assert secrets.asked == [CREDENTIALS_SECRET] * 2


async def test_a_last_run_that_hangs_does_not_take_along_what_the_others_found(
    deployed: pytest.MonkeyPatch, store: DynamoStore, capsys: pytest.CaptureFixture[str]
) -> None:
    reports = [ReconcileReport(mismatches=["token 7"]), ReconcileReport(incomplete=True)]

    async def run(*_: object) -> ReconcileReport:
        if not reports:
            await asyncio.Event().wait()
        return reports.pop(0)

    deployed.setattr(entry_points, "RUN_S", 0.0)
    deployed.setattr(entry_points, "reconcile_once", run)
    settings = ReconcileSettings().model_copy(update={"reconcile_every_s": 0.001})
    opened = entry_points.ScheduledResources(
        settings=settings, stores={"s": store}, records={"s": ScriptedRecords()}
    )
    until_s = asyncio.get_running_loop().time() + entry_points.REPORT_S + 0.3
    async with asyncio.timeout_at(until_s):  # as every invocation is bounded
        done = await entry_points.work_reconcile(opened, None, until_s)
    assert done.result == {"runs": 2, "failed": 1}
    line = told(capsys)
    assert line["ReconcileRuns"] == 1
    assert "PositionMismatches" not in line  # the last run could not compare


async def test_what_all_groups_of_the_stage_count_is_compared_once(
    deployed: pytest.MonkeyPatch,
) -> None:
    """Two that differ do not cancel each other out, and one that cannot be read hides none."""
    store = MemoryStore()
    away = StoreError("group: no answer")
    differ_e6: dict[str, int | StoreError] = {"a": 2_500_000, "b": -2_500_000, "b-paper": away}

    async def compared(group: MemoryGroup, _: int) -> GroupReport | None:
        asked.append(group.name)
        difference_e6 = differ_e6.get(group.name)
        if isinstance(difference_e6, StoreError):
            raise difference_e6
        if difference_e6 is None:
            return None
        return GroupReport(
            exposure_e6=0, difference_e6=difference_e6, compared=True, state=CollectiveState()
        )

    deployed.setattr(entry_points, "compare_group", compared)
    deployed.setenv("GROUP_NAMES", "a,b")
    deployed.setenv("WALLET", KEY.address)
    deployed.setenv("API_CREDENTIALS_SECRET", CREDENTIALS_SECRET)
    deployed.setenv("STRATEGIES", "x=book_imbalance_crypto@live,y=book_imbalance_crypto")
    settings = ReconcileSettings()
    opened = entry_points.Resources(settings=settings, stores={"s": store})  # type: ignore[dict-item]
    items = settings.group_items
    until_s = asyncio.get_running_loop().time() + 20
    asked: list[str] = []
    assert await entry_points.groups_difference_usd(opened, items, until_s) == 5
    assert asked == ["a", "a-paper", "b", "b-paper"]
    differ_e6 = {"b-paper": away}
    assert math.isnan(await entry_points.groups_difference_usd(opened, items, until_s))
    differ_e6 = {}
    assert await entry_points.groups_difference_usd(opened, items, until_s) == 0


def test_without_names_the_one_group_is_compared(deployed: pytest.MonkeyPatch) -> None:
    deployed.setenv("GROUP", "mine")
    assert ReconcileSettings().group_items == ("mine-paper",)
    deployed.setenv("GROUP_NAMES", "a,,b")
    with pytest.raises(ValidationError):
        ReconcileSettings()


async def test_credentials_that_were_rotated_are_read_again(
    live: None, desk: Desk, store: DynamoStore, secrets: Secrets
) -> None:
    await bought(desk, store)
    good = secrets.texts[CREDENTIALS_SECRET]
    secrets.texts[CREDENTIALS_SECRET] = str(good).replace('"key": "', '"key": "revoked-')
    async with environment(reconciling()) as env:
        with capture_logs() as logs, pytest.raises(FunctionError, match="does not take these API"):
            await env.invoke()  # a failed invocation and the silence after it are alarms
        assert CREDENTIALS_SECRET not in str(logs)
        assert "revoked-" not in str(logs)
        assert [c.state for c in (await store.account()).claims.values()] == [ClaimState.CLAIMED]
        secrets.texts[CREDENTIALS_SECRET] = good
        await env.invoke()
    assert [c.state for c in (await store.account()).claims.values()] == [ClaimState.OPEN]
