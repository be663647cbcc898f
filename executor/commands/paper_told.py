"""What the person who started the system reads while it runs: where the console is, and a line of
each account when something has changed, or `QUIET_S` have passed.

Nothing here is in the way of trading: what cannot be told is left out.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from executor.console.links import LinkKeyError, link_key, link_secret
from feeder.recording.room import FREE_BYTES_MIN
from functions.adapters.sqlite.place import RESERVE_BYTES
from functions.bootstrap import unopened_stores
from functions.core.account_status import Status
from functions.handlers import control
from functions.ports import StoreError
from functions.settings import LimitSettings
from local.status import read_status
from protocol.units import usd_decimal

LOOK_EVERY_S: Final = 5.0
LINK_LOOK_EVERY_S: Final = 0.25
CHANGED_EVERY_S: Final = 30.0
"""Lines of one account are so far apart, however much changes."""
QUIET_S: Final = 600.0


class _Told(msgspec.Struct):
    line: str
    at_s: float


class AccountLines:
    """When which account's line is due. Pure but for the clock that it is given."""

    def __init__(self) -> None:
        self._told: dict[str, _Told] = {}

    def due(self, status: Status, now_s: float) -> str | None:
        """The line, if it is to be said now."""
        line, told = line_of(status), self._told.get(status.account)
        if told is not None:
            changed = line != told.line
            if now_s - told.at_s < (CHANGED_EVERY_S if changed else QUIET_S):
                return None
        self._told[status.account] = _Told(line, now_s)
        return line


def line_of(status: Status) -> str:
    """One account in one line."""
    trading = "" if status.trading else f"HALTED ({status.halt_reason or 'no reason given'}), "
    paused = f"paused ({status.pause_reason}), " if status.pause_until_ms else ""
    positions = "1 position" if status.open == 1 else f"{status.open} positions"
    unresolved = f", {status.unknown} orders unresolved" if status.unknown else ""
    return (
        f"{status.account}: {trading}{paused}{positions} open{unresolved}, "
        f"spent today {usd_decimal(status.spent_e6):.2f} USD, "
        f"P&L today {usd_decimal(status.pnl_e6):+.2f} USD"
    )


class ProblemLines:
    """What processes say is wrong, once it lasts, and that it is over."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}
        self._told: dict[str, str] = {}

    def due(self, problems: Mapping[str, str]) -> Iterator[str]:
        """By process, empty where all is well; called again and again."""
        for name, problem in problems.items():
            before, told = self._seen.get(name, ""), self._told.get(name, "")
            self._seen[name] = problem
            if problem and problem == before and problem != told:
                self._told[name] = problem
                yield f"{name}: {problem}"
            elif told and not problem:
                del self._told[name]
                yield f"{name}: well again"


def room_problem(folder: Path) -> str:
    """A sentence while the disk has little room left, else empty."""
    try:
        free_bytes = shutil.disk_usage(folder).free
    except OSError as error:
        return f"{folder} cannot be looked at: {error.strerror or error}"
    if free_bytes >= FREE_BYTES_MIN:
        return ""
    return (
        f"its disk has {free_bytes >> 20} MB left: nothing is recorded, and with less than "
        f"{RESERVE_BYTES >> 20} MB no order is made; make room"
    )


async def tell_problems(folder: Path, pid: int, say: Callable[[str], None]) -> None:
    """Until cancelled: what the processes of the supervisor `pid` say, and the room on the disk."""
    lines = ProblemLines()
    while True:
        problems = {"data folder": room_problem(folder)}
        status = read_status(folder)
        if status is not None and status.pid == pid:
            # One that has ended, or is told to, has not become well by that.
            running = [each for each in status.processes if each.state == "running"]
            problems |= {each.name: each.problem for each in running}
        for line in lines.due(problems):
            say(line)
        await asyncio.sleep(LOOK_EVERY_S)


async def tell_accounts(settings: LimitSettings, say: Callable[[str], None]) -> None:
    """Until cancelled. A store that does not answer is the processes' matter, which say so."""
    lines = AccountLines()
    while True:
        try:
            async with unopened_stores(settings) as stores:
                while True:
                    for one in settings.each():
                        store = stores[one.account]
                        status = await control.status(store, one.account, one.limits())
                        line = lines.due(status, time.monotonic())
                        if line is not None:
                            say(line)
                    await asyncio.sleep(LOOK_EVERY_S)
        except (StoreError, control.NotDoneError):
            await asyncio.sleep(LOOK_EVERY_S)


async def tell_console(folder: Path, pid: int, say: Callable[[str], None]) -> None:
    """A one-time link, once the console of the supervisor `pid` is up; then it ends."""
    while True:
        status = read_status(folder)
        if status is not None and status.pid == pid and status.console_url:
            break
        await asyncio.sleep(LINK_LOOK_EVERY_S)
    try:
        secret = link_secret(link_key(folder), time.time_ns() // 1_000_000)
    except LinkKeyError as error:
        say(f"console: {status.console_url}; no link: {error}")
        return
    link = f"{status.console_url}/open/{secret}"
    say(f"console: {link} (opens it once; for another link: executor console --link)")
