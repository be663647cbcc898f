"""The system on this machine, as its supervisor tells of it: does it run, and all of it?

Nothing is said where the environment names another store than that of a data folder.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from executor.doctor.finding import Finding, fail, ok, warn
from executor.local_defaults import runs
from local.status import ProcessStatus, SystemStatus, read_status

WHAT: Final = "system on this machine"
FREE_WARN_BYTES: Final = 2_000_000_000
FREE_FAIL_BYTES: Final = 256 << 20
"""Below it nothing is recorded, and soon nothing is claimed."""
_RESTARTS_MANY: Final = 5


async def check(folder: Path | None) -> list[Finding]:
    """Of the system whose data folder this is; None: there is none."""
    status = None if folder is None else read_status(folder)
    if folder is None or status is None:
        return []
    processes = map(_process, status.processes) if runs(folder, status) else ()
    return [_itself(folder, status), *processes, _disk(folder)]


def stands_still(folder: Path | None) -> bool:
    """Whether there is a system that does not run; without a folder nobody knows of one."""
    status = None if folder is None else read_status(folder)
    return folder is not None and status is not None and not runs(folder, status)


def _itself(folder: Path, status: SystemStatus) -> Finding:
    start = f"start it: executor {status.execution}"
    if status.stopped:
        return warn(WHAT, f"{folder}: it was stopped", start)
    if not runs(folder, status):
        return fail(WHAT, f"{folder}: it does not run, and was not stopped in order", start)
    return ok(WHAT, f"{folder}: it runs, {status.execution}, at {status.venue}")


def _process(process: ProcessStatus) -> Finding:
    what = f"process {process.name}"
    why = f": {process.last_end}" if process.last_end else ""
    if process.state == "waiting":
        return fail(what, f"it does not run{why}", "see logs/ in the data folder")
    if process.problem:
        return warn(what, process.problem, "see logs/ in the data folder, if it goes on")
    if process.restarts >= _RESTARTS_MANY:
        text = f"{process.state}; it was started again {process.restarts} times{why}"
        return warn(what, text, "see logs/ in the data folder")
    if process.state == "running":
        return ok(what, "running")
    return warn(what, process.state, "nothing, unless it stays so")


def _disk(folder: Path) -> Finding:
    what = "room on the disk"
    try:
        free_bytes = shutil.disk_usage(folder).free
    except OSError as error:
        return warn(what, f"not known: {error.strerror or error}", f"see {folder}")
    text = f"{free_bytes / 1e9:.1f} GB are free"
    if free_bytes < FREE_FAIL_BYTES:
        return fail(what, f"{text}: nothing is recorded", "make room")
    if free_bytes < FREE_WARN_BYTES:
        return warn(what, text, "make room, or start it with a smaller --record-gb")
    return ok(what, text)
