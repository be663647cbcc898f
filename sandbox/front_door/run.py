"""`executor paper` as a person uses it, on the simulated venue, killed and started again.

    simulated venue  ◀─  executor paper  ◀─  kill -9: worker; supervisor, and with it everything;
                                             feeder; nats
    halted, looked at, stopped by Ctrl-C; then account = ledger = decisions, and the recording makes
    every decision again

The data folder stays the same throughout: nothing that was written may be lost.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from feeder.recording.errors import RecordingError
from feeder.recording.reader import RecordingReader
from local.child import Child
from local.status import ProcessStatus
from protocol.snapshot import ProtocolError
from sandbox.audit import unfinished
from sandbox.cluster import start_venue
from sandbox.front_door.audit import (
    audit_input_of_folder,
    disagreements_of,
    logged_decisions,
)
from sandbox.front_door.looks import looked_at, replayed_again
from sandbox.front_door.person import FOLDER, STOP_S, Person, runs
from sandbox.front_door.recorded import unrecorded
from sandbox.services import Options

KILL_SEEN_S: Final = 45.0
"""The back-off of a restart, and a start on a busy machine."""
CONVERGE_S: Final = 90.0
"""A claim whose worker was killed is given up after a minute."""
_LOOK_EVERY_S: Final = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrontDoorOutcome:
    """What was found."""

    violations: list[str]
    lines: list[str]


class FrontDoor:
    """One proof run. `say` gets a line for each thing that happens."""

    def __init__(self, options: Options, log_dir: Path, say: Callable[[str], None]) -> None:
        self._options = options
        self._log_dir = log_dir
        self._say = say
        self._found: list[str] = []
        self._begun_s = time.monotonic()

    async def run(self, duration_s: int) -> FrontDoorOutcome:
        """All of it. Raises ChildError, OSError, aiohttp.ClientError, StoreError."""
        self._log_dir.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix="front-door-"))
        venue = Child("venue", self._log_dir)
        log_path = self._log_dir / "front-door.log"
        log_path.unlink(missing_ok=True)
        try:
            url, series = await start_venue(venue, self._options)
            person = Person(scratch, log_path, _variables(self._options, series))
            try:
                return await self._with(person, url, duration_s)
            finally:
                await person.leaves()
                self._keep_logs(person)
        finally:
            await venue.stop()
            shutil.rmtree(scratch, ignore_errors=True)

    async def _with(self, person: Person, venue_url: str, duration_s: int) -> FrontDoorOutcome:
        options = ("--venue", venue_url, "--data", FOLDER, "--console-port", "0")
        await person.types_paper(*options)
        self._tell("executor paper: all processes run")
        steps = (
            self._kill_one(person, "worker-1"),
            self._kill_all(person, options),
            self._kill_one(person, "feeder"),
            self._kill_one(person, "nats"),
        )
        pause_s = duration_s / (len(steps) + 1)
        for step in steps:
            await asyncio.sleep(pause_s)  # let it trade: that is what the time is for
            await step
        await asyncio.sleep(pause_s)
        self._found += await looked_at(person, runs=True)
        await self._halt(person)
        await self._converge(person, venue_url)
        await self._stop(person)
        self._found += await looked_at(person, runs=False)
        last = await audit_input_of_folder(person.data, venue_url, self._options)
        decisions = await logged_decisions(person.data, self._options)
        lines, found = disagreements_of(last, decisions, self._options)
        self._found += found
        try:
            records = RecordingReader(person.data / "recording", without_frames=True)
            line, lost = unrecorded(itertools.chain(*decisions.values()), records)
        except (RecordingError, ProtocolError) as error:
            self._found.append(f"the recording: {error}")
        else:
            lines.append(line)
            self._found += [f"decision {each.decision_id} is not recorded" for each in lost]
        lines_of_replay, unlike = await replayed_again(person)
        self._found += unlike
        return FrontDoorOutcome(violations=self._found, lines=[*lines, *lines_of_replay])

    async def _kill_one(self, person: Person, name: str) -> None:
        before = _process(person, name)
        self._tell(f"kill -9: {name} (pid {before.pid})")
        os.kill(before.pid, signal.SIGKILL)

        def back() -> bool:
            now = _process(person, name)
            return now.state == "running" and now.restarts > before.restarts

        await person.sees(f"{name} runs again", KILL_SEEN_S, back)
        self._tell(f"{name} runs again (pid {_process(person, name).pid})")

    async def _kill_all(self, person: Person, options: Sequence[str]) -> None:
        pids = [each.pid for each in person.status().processes if each.pid]
        self._tell(f"kill -9: executor paper (pid {person.pid}), with all its processes")
        os.kill(person.pid, signal.SIGKILL)
        await person.killed()
        await person.sees("its processes are gone", STOP_S, lambda: not any(map(runs, pids)))
        await person.types_paper(*options)
        self._tell("executor paper, in the same folder: all processes run")

    async def _halt(self, person: Person) -> None:
        """No more entries."""
        answer = await person.types("halt", "--reason", "the proof is over")
        if answer.code:
            self._found.append(f"executor halt: exit code {answer.code}: {answer.stderr.strip()}")
        self._tell("halted; waiting for what is under way ...")

    async def _converge(self, person: Person, venue_url: str) -> None:
        """What is under way is resolved and settled, in bounded time."""
        until_s = time.monotonic() + CONVERGE_S
        while time.monotonic() < until_s:
            audits = await audit_input_of_folder(person.data, venue_url, self._options)
            if not any(map(unfinished, audits.values())):
                return
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _stop(self, person: Person) -> None:
        pids = [each.pid for each in person.status().processes if each.pid]
        code, took_s = await person.presses_ctrl_c()
        self._tell(f"Ctrl-C: stopped after {took_s:.1f} s, exit code {code}")
        if code or took_s > STOP_S:
            self._found.append(f"Ctrl-C: exit code {code} after {took_s:.1f} s")
        if left := [pid for pid in pids if runs(pid)]:
            self._found.append(f"still run after Ctrl-C: pids {left}")
        if not person.status().stopped:
            self._found.append("system.json does not say that the system was stopped")

    def _tell(self, text: str) -> None:
        self._say(f"{time.monotonic() - self._begun_s:6.1f} s  {text}")

    def _keep_logs(self, person: Person) -> None:
        for log in (person.data / "logs").glob("*.log*"):
            shutil.copy(log, self._log_dir / f"front-door-{log.name}")


def _process(person: Person, name: str) -> ProcessStatus:
    return next(each for each in person.status().processes if each.name == name)


def _variables(options: Options, series: Sequence[str]) -> dict[str, str]:
    """What the person has set: the account's times at this speed."""
    return {
        "SERIES": ",".join(series),
        "STRATEGIES": options.strategies,
        "MAX_POSITIONS": str(options.max_positions),
        "COOLDOWN_S": str(options.cooldown_s),
        "MIN_TIME_TO_CLOSE_S": str(options.min_time_to_close_s),
        # A sped-up run lives through many days' trading in one.
        "DAILY_SPEND_CAP_USD": str(options.balance_usd),
        "DAILY_LOSS_LIMIT_USD": str(options.balance_usd),
    }
