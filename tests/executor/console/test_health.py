"""The view Health: alarms, processes, surroundings, and the doctor."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from executor.console import doctor_run
from executor.console.accounts import AccountNow
from executor.console.alarms import ShownAlarm, shown_alarms
from executor.console.doctor_run import DoctorLine, DoctorRun, doctor_line
from executor.console.health import HealthView
from executor.doctor.finding import fail, ok, warn
from executor.rendering import findings_view
from functions.core.account import Limits
from functions.core.account_status import Status
from local.status import ProcessStatus, SystemStatus
from tests.support.console_app import console_app, until
from tests.support.fake_ports import MemoryStore

NAME, NOW_MS = "one-paper", 10_000_000
LIMITS = Limits(
    max_positions=3, cooldown_ms=1, daily_loss_limit_e6=20_000_000, daily_spend_cap_e6=200_000_000
)
WELL = Status(
    account=NAME,
    trading=True,
    halt_reason="",
    pause_reason="",
    pause_until_ms=0,
    open=1,
    unknown=0,
    claimed=0,
    ended=0,
    slots_used=1,
    slots=3,
    entries=1,
    entries_max_in_a_market=1,
    max_entries_per_market=None,
    day="2026-11-29",
    pnl_e6=-1,
    daily_loss_limit_e6=LIMITS.daily_loss_limit_e6,
    spent_e6=1,
    daily_spend_cap_e6=LIMITS.daily_spend_cap_e6,
    redemptions_waiting=1,
    cooldowns=1,
    oldest_unresolved_ms=100,
    overdue=0,
)


class Told:
    """What processes count: samples by process and name."""

    def __init__(self, **samples: float) -> None:
        self.samples = samples

    def value(self, process: str, sample: str, **labels: str) -> float | None:
        return self.samples.get(sample)


def account(error: str = "", **changes: Any) -> AccountNow:
    return AccountNow(
        name=NAME,
        execution="paper",
        limits=LIMITS,
        status=msgspec.structs.replace(WELL, **changes),
        error=error,
    )


def process(name: str = "feeder", **changes: Any) -> ProcessStatus:
    told = {"state": "running", "since_ms": NOW_MS - 600_000, **changes}
    return ProcessStatus(name=name, **told)


def alarms(
    *,
    accounts: tuple[AccountNow, ...] = (),
    processes: tuple[ProcessStatus, ...] = (),
    **told: float,
) -> list[ShownAlarm]:
    return shown_alarms(accounts, processes, Told(**told), NOW_MS)


def test_when_all_is_well_there_is_no_alarm() -> None:
    well = process(restarts=3, last_end="it was killed")
    assert alarms(accounts=(account(),), processes=(well,), feeder_connected=2) == []


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"trading": False, "halt_reason": "why"}, "halted: why"),
        ({"trading": False}, "halted: no reason given"),
        ({"overdue": 2}, "2 claims unresolved for too long"),
        ({"oldest_unresolved_ms": 45_000}, "a claim is unresolved for 45 s"),
        ({"unsettled": ["btc-15m"]}, "btc-15m has ended long ago"),
        ({"redemptions_stuck": 1}, "winnings of 1 markets do not come"),
        ({"pnl_e6": -20_000_000}, "today's P&L -20.00 USD is at the limit of -20.00"),
        ({"spent_e6": 200_000_000}, "today's 200.00 USD spent are at the cap"),
        ({"error": "no answer"}, "cannot be read: no answer"),
    ],
    ids=lambda each: str(each)[:40],
)
def test_each_trouble_of_an_account_is_an_alarm(changes: dict[str, Any], wanted: str) -> None:
    (found,) = alarms(accounts=(account(**changes),))
    assert (found.severe, found.whose) == (True, NAME)
    assert wanted in found.text


def test_a_pause_is_worth_a_look() -> None:
    (found,) = alarms(accounts=(account(pause_until_ms=1_795_982_741_970, pause_reason="r"),))
    assert (found.severe, found.text) == (False, "paused until 20:05:41: r")


@pytest.mark.parametrize(
    ("told", "wanted", "severe"),
    [
        ({"state": "waiting", "last_end": "killed by SIGKILL"}, "waiting: killed by SIG", True),
        ({"state": "starting"}, "starting", False),
        (
            {"restarts": 1, "since_ms": NOW_MS - 5_000, "last_end": "it ended with 1"},
            "was started again 5.0 s ago: it ended with 1",
            False,
        ),
        ({"feeder_connected": 1}, "1 of 2 lines", False),
        ({"feeder_connected": 0}, "0 of 2 lines", True),
        ({"feeder_user_connected": 0}, "the user channel is not open", True),
        ({"worker_clocks_differing": 2}, "clocks differ, or books are late, in 2 series", True),
        ({"worker_markets_differing": 1}, "contradict each other about 1 markets", True),
        ({"feeder_series_without_market": 1}, "1 series have no running market", True),
        ({"feeder_markets_dark": 3}, "3 markets have no book", True),
    ],
    ids=lambda each: str(each)[:40],
)
def test_each_trouble_of_a_process_is_an_alarm(
    told: dict[str, Any], wanted: str, severe: bool
) -> None:
    samples = {name: value for name, value in told.items() if "_connected" in name or "er_" in name}
    changes = {name: value for name, value in told.items() if name not in samples}
    (found,) = alarms(processes=(process(**changes),), **samples)
    assert (wanted in found.text, found.severe) == (True, severe), found


def test_what_reconciliation_found_is_an_alarm_and_severe_ones_come_first() -> None:
    found = alarms(
        accounts=(account(pause_until_ms=1), account()),
        schedule_position_mismatches=1,
        schedule_group_difference_usd=-2.5,
    )
    assert [each.severe for each in found] == [True] * 4 + [False]
    assert "1 positions differ from what the venue holds" in found[0].text
    assert "counts -2.5 USD" in found[1].text


def test_the_doctors_lines_are_read_as_they_are_written() -> None:
    findings = [
        ok("NATS", "connected, 2.12"),
        warn("account at the venue", "not checked", "set PRIVATE_KEY and WALLET"),
        fail("table", "no -> answer", "start it"),
    ]
    lines = [doctor_line(each) for each in findings_view(findings).plain.splitlines()]
    assert lines == [
        DoctorLine("OK", "NATS", "connected, 2.12", ""),
        DoctorLine("WARN", "account at the venue", "not checked", "set PRIVATE_KEY and WALLET"),
        DoctorLine("FAIL", "table", "no", "answer -> start it"),
    ]
    assert doctor_line("account one (paper)") == DoctorLine("", "", "account one (paper)", "")


def scripted(text: str) -> DoctorRun:
    return DoctorRun((sys.executable, "-S", "-c", text))


async def report_of(doctor: DoctorRun) -> doctor_run.DoctorReport:
    running = asyncio.create_task(doctor.run())
    assert doctor.ask(5)
    assert not doctor.ask(6)
    await until(lambda: not doctor.report.running)
    running.cancel()
    return doctor.report


async def test_the_doctor_is_run_beside_and_without_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CONSOLE_TOKEN", "secret")
    script = "import os; print('OK    token  ' + os.environ.get('CONSOLE_TOKEN', 'none'))"
    report = await report_of(scripted(script))
    assert (report.lines, report.at_ms) == ((DoctorLine("OK", "token", "none", ""),), 5)


async def test_a_doctor_who_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_run, "RUN_MAX_S", 0.1)
    report = await report_of(scripted("import time; time.sleep(60)"))
    assert report.error == "the doctor was not done after 0.1 s"
    report = await report_of(DoctorRun(("/nowhere/at/all",)))
    assert "could not be run" in report.error


async def test_the_page_shows_it_all(tmp_path: Path) -> None:
    store = MemoryStore(name=NAME)
    script = "print('WARN  account  not checked -> set PRIVATE_KEY')"

    async with console_app(
        lambda shared: HealthView(shared, scripted(script)),
        stores={NAME: store},
        run_views=True,
        strategies="one=book_imbalance_crypto",
        executor_data=tmp_path,
    ) as console:
        text = await console.page("/health")
        assert "No system was started in this data folder" in text
        assert "not connected to NATS at nats://127.0.0.1:4222" in text
        now_ms = console.shared.now_ms()
        system = SystemStatus(
            pid=1,
            started_at_ms=1,
            written_at_ms=now_ms,
            execution="paper",
            environment={},
            venue="http://127.0.0.1:1",
            processes=(
                process("feeder", since_ms=now_ms - 90_999, pid=77),
                process("worker-1", state="waiting", restarts=2, last_end="killed by SIGKILL"),
            ),
        )
        console.status[0] = system
        sample = "feeder_connected 1\nfeeder_leases_held 4\n"
        console.shared.metrics.of["feeder"] = tuple(text_string_to_metric_families(sample))
        text = await console.page("/health")
        for wanted in ("1 min 30 s", "killed by SIGKILL", "1 of 2 open", "http://127.0.0.1:1"):
            assert wanted in text
        assert "waiting: killed by SIGKILL" in text
        console.status[0] = msgspec.structs.replace(system, written_at_ms=1)
        assert "The supervisor has said nothing since" in await console.page("/health")
        console.status[0] = msgspec.structs.replace(system, stopped=True)
        assert "The system was stopped at" in await console.page("/health")
        text = await console.post("/health/doctor")
        assert "The doctor looks at everything." in text
        text = await console.shown("/events/health", "health-doctor", "WARN")
        assert "set PRIVATE_KEY" in text
        await console.shown("/events/health", "health-surroundings", "free of")
