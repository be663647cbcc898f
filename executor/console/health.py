"""The view Health: what a person must look at, what runs, what is out of reach, and the doctor."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from aiohttp import web

from executor.console.alarms import ALARM_SAMPLES, LINES, LINES_WANTED, shown_alarms, user_channels
from executor.console.doctor_run import DoctorRun
from executor.console.formats import data_size
from executor.console.view import Query, Shared
from local.status import ProcessStatus, SystemStatus

DISK_EVERY_S: Final = 5.0
OLD_MS: Final = 5_000
"""`system.json` is written every two seconds."""
DISK_FREE_MIN_BYTES: Final = 2 * 10**9
_FEEDER: Final[tuple[tuple[str, str], ...]] = (
    ("Leases held (series)", "feeder_leases_held"),
    ("Markets followed", "feeder_markets_followed"),
    ("Markets with a book", "feeder_markets_ready"),
    ("Markets dark", "feeder_markets_dark"),
    ("Connections lost", "feeder_reconnects_total"),
    ("Snapshots published", "feeder_snapshots_published_total"),
    ("Not acknowledged", "feeder_publish_failures_total"),
)
_USER_FEEDER: Final[tuple[tuple[str, str], ...]] = (
    ("Fills published", "feeder_user_fills_published_total"),
    ("Fills waiting", "feeder_user_fills_waiting"),
    ("Not acknowledged", "feeder_user_publish_failures_total"),
)
USER_FEEDER: Final = "user-feeder"
FEEDERS: Final = ("feeder", USER_FEEDER)


class HealthView:
    """See the top of this module."""

    name, title, template = "health", "Health", "health.html"

    def __init__(self, shared: Shared, doctor: DoctorRun | None = None) -> None:
        self._shared = shared
        rows = (*_FEEDER, *_USER_FEEDER)
        shared.metrics.want(self.name, [*ALARM_SAMPLES, *(sample for _, sample in rows)])
        self._doctor = doctor or DoctorRun()
        self._disk: tuple[int, int] | None = None
        """Free and all bytes."""

    def variables(self, query: Query) -> dict[str, Any]:
        """For each macro of `health_parts.html`, its arguments."""
        shared, now_ms = self._shared, self._shared.now_ms()
        system = shared.system()
        processes = () if system is None else system.processes
        old = system is not None and not system.stopped and now_ms - system.written_at_ms > OLD_MS
        return {
            "alarms": {
                "alarms": shown_alarms(
                    shared.accounts.of.values(), processes, shared.metrics, now_ms
                )
            },
            "processes": {
                "processes": [(each, self._seen(each)) for each in processes],
                "system": system,
                "old": old,
                "now_ms": now_ms // 1_000 * 1_000,
            },
            "feed": {"feeders": [self._feed(each) for each in processes if each.name in FEEDERS]},
            "surroundings": {"facts": self._facts(system)},
            "doctor": {
                "report": self._doctor.report,
                "read_only": shared.settings.console_read_only,
            },
        }

    def parts(self, query: Query) -> dict[str, str]:
        """All of it."""
        part = self._shared.pages.part
        return {
            f"health-{name}": part("health_parts.html", name, **given)
            for name, given in self.variables(query).items()
        }

    def data_at_ms(self) -> int:
        """Of the accounts, which are read every second."""
        return self._shared.accounts.read_at_ms()

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """The doctor's button."""
        return (web.post("/health/doctor", self._ask_doctor),)

    async def run(self) -> None:
        """Look at the disk, and run the doctor when he is asked for."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._doctor.run())
            group.create_task(self._watch_disk())

    async def _ask_doctor(self, _: web.Request) -> NoReturn:
        asked = self._doctor.ask(self._shared.now_ms())
        text = "The doctor looks at everything." if asked else "The doctor is at it already."
        raise self._shared.messages.see("/health", text)

    async def _watch_disk(self) -> None:
        while True:
            try:
                usage = await asyncio.to_thread(
                    shutil.disk_usage, self._shared.settings.executor_data
                )
                self._disk = usage.free, usage.total
            except OSError:
                self._disk = None
            await asyncio.sleep(DISK_EVERY_S)

    def _seen(self, process: ProcessStatus) -> str:
        """What is wrong with what it counts, if anything."""
        return self._shared.metrics.errors.get(process.name, "")

    def _feed(self, process: ProcessStatus) -> dict[str, Any]:
        samples, name = self._shared.metrics, process.name
        if name == USER_FEEDER:
            lines, wanted, rows = user_channels(samples, name), 1, _USER_FEEDER
        else:
            lines, wanted, rows = samples.value(name, LINES), LINES_WANTED, _FEEDER
        told = [(text, samples.value(name, sample)) for text, sample in rows]
        return {"name": name, "lines": lines, "wanted": wanted, "rows": told}

    def _facts(self, system: SystemStatus | None) -> list[tuple[str, str, bool]]:
        """Name, text, and whether it is as it should be."""
        shared = self._shared
        nats = shared.nats_problem()
        facts = [("NATS", nats or f"connected to {shared.nats.where}", not nats)]
        for name, store in shared.stores.items():
            problem = store.problem() or shared.accounts.of[name].error
            facts.append((f"Store of {name}", problem or "answers", not problem))
        if not shared.stores:
            facts.append(("Store", "not open yet: it does not answer", False))
        if self._disk is not None:
            free, total = self._disk
            text = f"{data_size(free)} free of {data_size(total)}"
            facts.append(("Disk", text, free >= DISK_FREE_MIN_BYTES))
        facts.append(("Data folder", str(shared.settings.executor_data.absolute()), True))
        if system is not None:
            facts.append(("Venue", system.venue, True))
            facts.append(("Recording", system.recording or "none is written", True))
        return facts
