"""The steps of `executor paper` and `executor live`, each a line for who started it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

from executor.answers import EXIT_FAILED
from executor.commands.paper import (
    RefusedError,
    Wanted,
    check,
    check_port,
    other_store_named,
    plan_of,
    with_variables,
)
from executor.commands.paper_told import tell_accounts, tell_console, tell_problems
from executor.doctor import in_force
from executor.doctor.finding import Level
from executor.doctor.in_force import bids_wanted_most
from executor.local_defaults import DEFAULT_FOLDER, FOLDER_VARIABLE
from functions.bootstrap import unopened_stores
from functions.core.account import utc_day
from functions.ports import StoreError
from functions.settings import WorkerSettings
from local.data_folder import DataFolder, DataFolderError
from local.services import PUBLISHED_BIDS
from local.status import read_status
from local.system import SystemFailedError, SystemPlan, run_system
from runtime.output import STDOUT, complain, one_line
from runtime.process import run_service, stop_tasks


def run(wanted: Wanted) -> int:
    """Start the system, and keep it running until SIGINT, SIGTERM or SIGHUP; the exit code.

    Raises RefusedError while nothing has been started.
    """
    plan = plan_of(wanted, os.environ)
    worker = check(plan)
    tell(f"configuration: valid; accounts: {_accounts(worker)}")
    check_port(wanted.console_port)
    if name := other_store_named(os.environ):
        tell(f"accounts are kept in the data folder: {name} is not used; unset it to look at them")
    try:
        folder = DataFolder.open(plan.data.path)
    except DataFolderError as error:
        raise RefusedError(str(error)) from None
    try:
        tell(f"data folder: {folder.path}")
        _refuse_another_venue(folder, plan)
        plan = replace(plan, data=folder)
        _refuse_what_is_stored_otherwise(worker)
        plan = _publishing_what_is_looked_at(plan, worker)
        if wanted.execution == "live":
            from executor.commands.live import NotReadyError, ready  # noqa: PLC0415 - not on paper

            try:
                plan = ready(plan)
            except NotReadyError as error:
                complain(f"failed: {error}")
                return EXIT_FAILED
        return _kept_running(plan, worker)
    finally:
        folder.close()


def tell(text: str) -> None:
    """A line for a person. A terminal that nobody reads delays nothing."""
    STDOUT.write(one_line(text))


def _kept_running(plan: SystemPlan, worker: WorkerSettings) -> int:
    tell(f"venue: {plan.venue.origin}")
    if plan.recording_bytes_max:
        limit_gb = plan.recording_bytes_max / 1e9
        tell(f"recording: {plan.data.recording}, {limit_gb:g} GB at most")
    here = plan.data.path == Path.cwd() / DEFAULT_FOLDER
    where = "" if here else f"{FOLDER_VARIABLE}={plan.data.path} "
    tell(f"to look at it from another terminal: {where}executor status | positions | decisions")
    tell(f"to stop all orders at once: {where}executor halt --all --reason WHY; to end it: Ctrl-C")
    _stop_with_the_terminal()
    try:
        code = run_service(_told(plan, worker))
    except SystemFailedError as error:
        complain(f"failed: {error}")
        return EXIT_FAILED
    tell("stopped")
    return code


async def _told(plan: SystemPlan, worker: WorkerSettings) -> None:
    """The system, and what is told of it beside. Raises SystemFailedError."""
    telling = [
        asyncio.create_task(_harmless(tell_console(plan.data.path, os.getpid(), tell))),
        asyncio.create_task(_harmless(tell_problems(plan.data.path, os.getpid(), tell))),
        asyncio.create_task(_harmless(tell_accounts(worker, tell))),
    ]
    try:
        await run_system(plan, tell)
    finally:
        await stop_tasks(*telling)


async def _harmless(telling: Coroutine[Any, Any, None]) -> None:
    """Trading goes on, whatever happens to what is told of it."""
    try:
        await telling
    except Exception as error:  # noqa: BLE001 - see above
        tell(f"some lines are not shown here any more: {type(error).__name__}: {error}")


def _refuse_another_venue(folder: DataFolder, plan: SystemPlan) -> None:
    """Positions of one venue are never settled at another, and the days' sums would mix. Raises
    RefusedError."""
    before = read_status(folder.path)
    if before is not None and before.venue != plan.venue.origin:
        raise RefusedError(
            f"--data: {folder.path} holds the accounts of {before.venue}, and this is for "
            f"{plan.venue.origin}: name another folder"
        )


def _refuse_what_is_stored_otherwise(worker: WorkerSettings) -> None:
    """A configuration that was stored before counts: variables that contradict it are a mistake. A
    store that cannot be read is one, too: no process would get anywhere. Raises RefusedError."""
    if worker.state_file is None or not worker.state_file.exists():
        return
    try:
        asyncio.run(_read(worker))
    except StoreError as error:
        raise RefusedError(str(error)) from None
    for finding in asyncio.run(in_force.check(worker, worker)):
        if finding.level is Level.FAIL:
            raise RefusedError(f"{finding.what}: {finding.text}: {finding.do}")


def _publishing_what_is_looked_at(plan: SystemPlan, worker: WorkerSettings) -> SystemPlan:
    """With as many bids published as a strategy looks at, unless the person says how many."""
    if PUBLISHED_BIDS in plan.variables:
        return plan
    bids = asyncio.run(bids_wanted_most(worker))
    return with_variables(plan, {PUBLISHED_BIDS: str(bids)})


async def _read(worker: WorkerSettings) -> None:
    """Raises StoreError."""
    today = utc_day(time.time_ns() // 1_000_000)
    async with unopened_stores(worker) as stores:
        for store in stores.values():
            await store.configuration()
            await store.decisions(today, 1)


def _accounts(worker: WorkerSettings) -> str:
    return ", ".join(f"{each.account} ({each.execution})" for each in worker.entries)


def _stop_with_the_terminal() -> None:
    """A terminal that is closed stops the system in order, unless somebody wants it to go on."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
