"""The system on this machine: what its supervisor tells, what its processes answer, and the disk.

Where no supervisor tells anything (`system.json` is not there), processes are somebody else's to
watch, and of reconciliation nothing is known here.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import Final

import aiohttp
import structlog
from prometheus_client.parser import text_string_to_metric_families

from executor.alerts.alert import SeenProcess, SeenSchedule
from local.status import ProcessStatus, SystemStatus, read_status
from runtime.addresses import origins

LOOK_EVERY_S: Final = 5.0
ANSWER_S: Final = 3.0
ANSWER_BYTES_MAX: Final = 2_000_000
PROCESS: Final = "alerts"
"""What this process is called there: it does not ask itself."""
SCHEDULE: Final = "schedule"
_log = structlog.get_logger()


class WatchedSystem:
    """What the last look has brought."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.status: SystemStatus | None = None
        self.processes: dict[str, SeenProcess] = {}
        self.schedule: dict[str, SeenSchedule] = {}
        self.disk_free_bytes: int | None = None

    async def run(self) -> None:
        """Look until cancelled."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                await self.look(session)
                await asyncio.sleep(LOOK_EVERY_S)

    async def look(self, session: aiohttp.ClientSession) -> None:
        """Once. Raises nothing."""
        self.status = read_status(self._data)
        try:
            self.disk_free_bytes = shutil.disk_usage(self._data).free
        except OSError:
            self.disk_free_bytes = None
        asked = [each for each in self._processes() if each.metrics_url and each.name != PROCESS]
        answers = await asyncio.gather(*(_health(session, each) for each in asked))
        now_ms = time.time_ns() // 1_000_000
        self.processes = {
            each.name: self._seen(each.name, problem, now_ms)
            for each, problem in zip(asked, answers, strict=True)
        }
        schedule = next((each for each in asked if each.name == SCHEDULE), None)
        self.schedule = {} if schedule is None else await _schedule(session, schedule.metrics_url)

    def _processes(self) -> list[ProcessStatus]:
        if self.status is None or self.status.stopped:
            return []
        return [each for each in self.status.processes if each.state == "running"]

    def _seen(self, name: str, problem: str, now_ms: int) -> SeenProcess:
        if not problem:
            return SeenProcess()
        before = self.processes.get(name)
        since_ms = before.since_ms if before is not None and before.problem else now_ms
        return SeenProcess(problem=problem, since_ms=since_ms)


async def _health(session: aiohttp.ClientSession, process: ProcessStatus) -> str:
    """What /healthz complains of; empty: nothing."""
    url = f"{process.metrics_url.removesuffix('/metrics')}/healthz"
    status, text = await _asked(session, url)
    if status == 200:
        return ""
    return origins(" ".join(text.split()))[:200] or f"it answers HTTP {status}"


async def _schedule(session: aiohttp.ClientSession, url: str) -> dict[str, SeenSchedule]:
    """By account, of those that were reconciled since the schedule's start."""
    status, text = await _asked(session, url)
    if status != 200:
        return {}
    try:
        return _reconciled(text)
    except Exception:  # noqa: BLE001 - the parser raises anything at what is no metrics
        return {}


def _reconciled(text: str) -> dict[str, SeenSchedule]:
    """Raises whatever the parser raises, ValueError and OverflowError for numbers that are none."""
    values: dict[tuple[str, str], float] = {}
    runs: set[str] = set()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            account = sample.labels.get("strategy", "")
            values[sample.name, account] = sample.value
            done = (sample.labels.get("name"), sample.labels.get("result"))
            if sample.name == "schedule_runs_total" and done == ("reconcile", "done"):
                runs |= {account} if sample.value else set()
    return {
        account: SeenSchedule(
            mismatches=int(values.get(("schedule_position_mismatches", account), 0)),
            strangers=int(values.get(("schedule_claims_of_another_trader", account), 0)),
            group_difference_usd=values.get(("schedule_group_difference_usd", account), 0.0),
        )
        for account in runs
    }


async def _asked(session: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    """Status and text; 0 and why, when there was no answer."""
    try:
        async with session.get(url, allow_redirects=False) as answer:
            body = await answer.content.read(ANSWER_BYTES_MAX)
            while len(body) < ANSWER_BYTES_MAX and (more := await answer.content.read(65_536)):
                body += more
            return answer.status, body.decode("utf-8", "replace")
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        return 0, f"it does not answer ({type(error).__name__})"
