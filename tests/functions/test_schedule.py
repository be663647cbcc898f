"""The scheduled functions: when they run, what they say of themselves, and as a process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import msgspec
import pytest
from structlog.testing import capture_logs

from functions import schedule as module
from functions.core.account import Limits
from functions.core.claim import ClaimState
from functions.core.evidence import Resolution, Undecided
from functions.handlers.reconcile import ReconcileReport
from functions.handlers.redeem import WEI
from functions.handlers.settle import SettleReport
from functions.ports import RecordsDisagreeError, RecordsError, StoreError
from functions.schedule import LATE_RUNS, Schedule, open_records, reconciled, settled
from functions.schedule_metrics import ScheduleMetrics
from functions.settings import ScheduleSettings
from sandbox.dynamodb import CREDENTIALS_ENV
from tests.support.dynamodb_engines import dynamodb_server, state_table, store_on
from tests.support.fake_ports import MemoryStore, ScriptedRecords
from tests.support.metrics_builders import schedule_metrics
from tests.support.store_entries_contract import LIMITS
from tests.support.trading_builders import STRANGER, a_claim

__all__ = ["dynamodb_server", "state_table"]

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("forked")


# -- the loop ------------------------------------------------------------------------------------


class Clock:
    """`time.monotonic` of the schedule, and an `asyncio.sleep` that makes it go on."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds
        if len(self.slept) == 5:
            raise asyncio.CancelledError


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    simulated = SimpleNamespace(
        sleep=clock.sleep, timeout=asyncio.timeout, Semaphore=asyncio.Semaphore
    )
    monkeypatch.setattr(module, "asyncio", simulated)
    return clock


def runs(metrics: ScheduleMetrics, result: str) -> float | None:
    labels = {"name": "reconcile", "result": result, "strategy": "s"}
    return metrics.registry.get_sample_value("schedule_runs_total", labels)


def scheduled_value(metrics: ScheduleMetrics, name: str) -> float | None:
    return metrics.registry.get_sample_value(f"schedule_{name}", {"strategy": "s"})


async def test_it_runs_at_its_interval_however_long_a_run_takes(clock: Clock) -> None:
    metrics, _ = schedule_metrics()
    takes_s = iter([0.0, 3.0, 25.0, 0.0, 1.0])

    async def run() -> None:
        clock.now_s += next(takes_s)

    with pytest.raises(asyncio.CancelledError):
        await Schedule(metrics).every("s", "reconcile", 10, run)
    assert clock.slept == [10, 7, 0, 10, 9]  # one that took too long is followed at once
    assert runs(metrics, "done") == 5


@pytest.mark.parametrize("error", [StoreError("away"), RecordsError("silent"), TimeoutError()])
async def test_a_failed_run_is_counted_and_tried_again(error: Exception, clock: Clock) -> None:
    metrics, _ = schedule_metrics()
    tried = 0

    async def run() -> None:
        nonlocal tried
        tried += 1
        if tried <= 2:
            raise error

    with pytest.raises(asyncio.CancelledError):
        await Schedule(metrics).every("s", "reconcile", 10, run)
    assert (runs(metrics, "failed"), runs(metrics, "done")) == (2, 3)


async def test_a_defect_is_an_alarm_and_does_not_stop_the_others(clock: Clock) -> None:
    metrics, _ = schedule_metrics()

    async def run() -> None:
        raise ZeroDivisionError

    with capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        await Schedule(metrics).every("s", "reconcile", 10, run)
    assert runs(metrics, "failed") == 5
    assert {line["log_level"] for line in logs if line["event"] == "defect"} == {"critical"}


async def test_a_run_that_hangs_is_given_up(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RUN_TIMEOUT_S", 0.001)
    metrics, _ = schedule_metrics()

    async def run() -> None:
        await asyncio.Event().wait()

    with pytest.raises(asyncio.CancelledError):
        await Schedule(metrics).every("s", "reconcile", 10, run)
    assert runs(metrics, "failed") == 5


async def test_health_complains_when_a_function_has_not_succeeded_for_some_intervals(
    clock: Clock,
) -> None:
    schedule = Schedule(schedule_metrics()[0])
    assert schedule.problem() == "waiting for the store or the venue"
    began_s = clock.now_s

    async def run() -> None:
        late = clock.now_s - began_s > LATE_RUNS * 10 + 5
        problem = schedule.problem()
        if late:
            assert problem == f"reconcile has not succeeded for {clock.now_s - began_s:.0f} s"
        else:
            assert problem is None
        raise StoreError("away")

    with pytest.raises(asyncio.CancelledError):
        await schedule.every("s", "reconcile", 10, run)
    assert schedule.problem() is not None


def test_reports_become_metrics() -> None:
    metrics, own = schedule_metrics()
    own.after_reconciling(
        ReconcileReport(
            looked=3,
            resolved=2,
            failures=1,
            overdue=["a", "b"],
            mismatches=["c"],
            unresolved=3,
            halted=True,
            slots_used=2,
            pnl_today_e6=-20,
            spent_today_e6=1_100_000,
        ),
        daily_loss_limit_e6=20,
    )
    own.after_settling(
        SettleReport(
            settled=4,
            failures=1,
            redeeming=1,
            unsettled=["a", "b"],
            stuck=["c"],
            not_noted=1,
            requests=3,
            reverted=1,
            gas_wei=WEI // 4,
        )
    )

    def value(name: str) -> float | None:
        return scheduled_value(metrics, name.removeprefix("schedule_"))

    assert value("schedule_claims_looked_total") == 3
    assert value("schedule_claims_resolved_total") == 2
    assert value("schedule_claims_settled_total") == 4
    assert value("schedule_failures_total") == 2
    assert value("schedule_claims_overdue") == 2
    assert value("schedule_position_mismatches") == 1
    assert value("schedule_redeeming") == 1
    assert value("schedule_claims_unsettled") == 2
    assert value("schedule_redemptions_stuck") == 1
    assert value("schedule_winnings_not_noted_total") == 1
    assert value("schedule_redeem_requests_total") == 3
    assert value("schedule_redeem_reverted_total") == 1
    assert value("schedule_redeem_gas_pol_total") == 0.25
    standing = ("schedule_claims_unresolved_30s", "schedule_halted", "schedule_daily_loss_reached")
    assert [value(name) for name in standing] == [3, 1, 1]
    money = ("schedule_slots_used", "schedule_pnl_today_usd", "schedule_spent_today_usd")
    assert [value(name) for name in money] == [2, -20e-6, 1.1]
    own.after_reconciling(ReconcileReport(incomplete=True), daily_loss_limit_e6=20)
    assert value("schedule_position_mismatches") == 1  # as it was: nobody has compared
    own.after_reconciling(ReconcileReport(pnl_today_e6=-19), daily_loss_limit_e6=20)
    assert value("schedule_position_mismatches") == 0
    assert value("schedule_claims_overdue") == 0
    assert [value(name) for name in standing] == [0, 0, 0]


async def test_a_run_that_the_venue_left_without_an_answer_has_failed() -> None:
    records = ScriptedRecords()
    metrics, own = schedule_metrics()
    await reconciled(MemoryStore(), records, own, LIMITS)
    records.failures = {"trades_since": 1}
    with pytest.raises(RecordsError, match="incomplete"):
        await reconciled(MemoryStore(), records, own, LIMITS)
    assert scheduled_value(metrics, "failures_total") == 1


async def test_a_configuration_that_cannot_be_read_fails_no_reconciliation() -> None:
    store, (metrics, own) = MemoryStore(), schedule_metrics()
    own.daily_loss_reached.set(1)
    store.failures["configuration"] = 1
    await reconciled(store, ScriptedRecords(), own, LIMITS)
    assert scheduled_value(metrics, "slots_used") == 0
    assert scheduled_value(metrics, "daily_loss_reached") == 1  # as it was: nobody knows the limit


async def test_a_run_with_another_account_s_credentials_has_failed() -> None:
    records, store, (metrics, own) = ScriptedRecords(), MemoryStore(), schedule_metrics()
    assert store.item is not None
    store.item = msgspec.structs.replace(store.item, claims={"0xc1": a_claim()})
    records.trader = STRANGER
    with pytest.raises(RecordsError, match="not of the account"):
        await reconciled(store, records, own, LIMITS)
    assert scheduled_value(metrics, "claims_of_another_trader") == 1


async def test_a_settlement_that_the_venue_did_not_answer_at_all_has_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records, store, (metrics, own) = ScriptedRecords(), MemoryStore(), schedule_metrics()
    for name in ("0xc1", "0xc2"):
        over = a_claim(
            state=ClaimState.OPEN,
            condition_id=name,
            intent_id=name,
            market_end_ms=1,
            filled_size_e6=1_000_000,
        )
        store._change(claims={**store.claims, over.slot: over})
    records.failures = {"resolution": 1}
    await settled(store, records, own, redeem=False)  # one of two was answered
    records.failures = {"resolution": 2}
    with pytest.raises(RecordsError, match="no resolution got an answer"):
        await settled(store, records, own, redeem=False)
    assert scheduled_value(metrics, "failures_total") == 3

    async def disagree(_: object) -> Resolution | Undecided:
        raise RecordsDisagreeError("CLOB and Gamma disagree")

    monkeypatch.setattr(records, "resolution", disagree)
    store._change(claims={over.slot: over})
    await settled(store, records, own, redeem=False)  # answered, if with an alarm


# -- the process ---------------------------------------------------------------------------------


@asynccontextmanager
async def scheduled(env: Mapping[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "functions.schedule"),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "METRICS_PORT": "0", **CREDENTIALS_ENV, **env},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def said(process: asyncio.subprocess.Process, event: str) -> dict[str, object]:
    assert process.stderr is not None
    async with asyncio.timeout(30):
        while line := await process.stderr.readline():
            if line.startswith(b"{") and json.loads(line)["event"] == event:
                return dict(json.loads(line))
    raise AssertionError(f"the process ended without saying {event}")


async def fetched(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def test_it_starts_without_any_key_reconciles_and_stops_at_once(
    dynamodb_server: str, state_table: str
) -> None:
    env = {
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_server,
        "STATE_TABLE": state_table,
        "CLOB_URL": "http://127.0.0.1:1",
        "GAMMA_URL": "http://127.0.0.1:1",
        "RECONCILE_EVERY_S": "1",
        "SETTLE_EVERY_S": "1",
    }
    # A claim that nobody will ever hear of again: old, and without an order on record.
    async with store_on(dynamodb_server, state_table, "book_imbalance_crypto-paper") as store:
        await store.open_account()
        limits = Limits(
            max_positions=1,
            cooldown_ms=0,
            daily_loss_limit_e6=10**9,
            daily_spend_cap_e6=10**9,
        )
        await store.claim(a_claim(order_id="paper-1"), limits, a_claim().claimed_at_ms)
        async with scheduled(env) as process:
            line = await said(process, "schedule_started")
            assert line["execution"] == "paper"
            at = f"http://127.0.0.1:{line['metrics_port']}"
            first = await said(process, "reconciled")
            assert first["looked"] == 1
            assert await fetched(f"{at}/healthz") == (200, "ok")
            _, metrics = await fetched(f"{at}/metrics")
            assert 'schedule_runs_total{name="reconcile",result="done",strategy=' in metrics
            [claim] = (await store.account()).claims.values()
            assert claim.looks == 1
            process.send_signal(signal.SIGTERM)
            assert process.stderr is not None
            async with asyncio.timeout(30):
                rest = (await process.stderr.read()).decode()
                assert await process.wait() == 0
    assert "Traceback" not in rest
    assert "schedule_stopped" in rest


async def test_without_the_table_it_waits_says_so_and_stops_when_told(
    dynamodb_server: str,
) -> None:
    env = {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb_server, "STATE_TABLE": "missing"}
    async with scheduled(env) as process:
        line = await said(process, "not_reachable")
        assert "infra/state.yml" in str(line["error"])
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(30):
            assert await process.wait() == 0


async def test_a_wrong_variable_is_named_on_one_line_and_exits_2() -> None:
    async with scheduled({"RECONCILE_EVERY_S": "0", "WALLET": "0xsecret"}) as process:
        _, stderr = await process.communicate()
    text = stderr.decode()
    assert process.returncode == 2
    assert text.startswith("cannot start: WALLET: not an address")
    assert "; RECONCILE_EVERY_S: " in text
    assert text.count("\n") == 1
    assert "secret" not in text


async def test_a_live_account_without_its_key_does_not_start() -> None:
    async with scheduled({"EXECUTION": "live"}) as process:
        _, stderr = await process.communicate()
    assert process.returncode == 2
    assert "EXECUTION=live needs PRIVATE_KEY" in stderr.decode()


def test_the_api_credentials_of_another_account_do_not_start(
    capsys: pytest.CaptureFixture[str],
) -> None:
    live = {"EXECUTION": "live", "WALLET": "0x" + "11" * 20, "API_ADDRESS": "0x" + "22" * 20}
    given = {"API_KEY": "k-1", "API_SECRET": "c2VjcmV0", "API_PASSPHRASE": "p-1", **live}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit) as refused:
            asyncio.run(open_records(ScheduleSettings()))
    assert refused.value.code == 2
    assert capsys.readouterr().err.startswith("cannot start: API_ADDRESS: WALLET is not")
