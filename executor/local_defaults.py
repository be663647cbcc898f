"""Commands that look at accounts find the system on this machine: where it is, and whose accounts,
is taken from its data folder, `EXECUTOR_DATA` or `executor-data` here.

1. Only where no variable says where accounts are stored: who has set one means another store.
   Otherwise what a terminal has left of other uses does not count: `halt` would stop an account
   that nobody trades, and say that it has.
2. The folder must be the person's own, and nobody else may write to it: its file says which venue a
   signing key would be used at.
3. Nothing is imported here that takes time: `halt` shall not wait.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

from local.status import FILE_NAME, SystemStatus, read_status
from runtime.output import STDERR, complain, one_line

FOLDER_VARIABLE: Final = "EXECUTOR_DATA"
DEFAULT_FOLDER: Final = "executor-data"
STORE_VARIABLES: Final = ("STATE", "STATE_TABLE", "AWS_ENDPOINT_URL_DYNAMODB")
LOOKING: Final = frozenset(
    {
        *("status", "positions", "decisions", "explain", "console"),
        *("halt", "resume", "config"),
        *("doctor", "reconcile", "backup", "alert"),
    }
)
"""The commands that look at accounts, or change them."""
WHOSE: Final = ("STRATEGIES", "STRATEGY", "GROUP", "EXECUTION")
"""Which accounts there are; one that the system has not set must not be another one here."""
LOCK: Final = "lock"
"""Held by each process of a system (`local.data_folder`)."""
STALE_S: Final = 10
"""A system that runs writes its file every two seconds."""
EXIT_REFUSED: Final = 2
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def use_local_system(
    arguments: Sequence[str], environment: MutableMapping[str, str] = os.environ
) -> None:
    """Set what the system has set, and say so in one line on stderr, with the variables of this
    terminal that do not count; not where JSON or help is wanted.

    One line and exit code 2 where there is a file that cannot be used.
    """
    if not arguments or arguments[0] not in LOOKING or "--help" in arguments:
        return
    if any(environment.get(name) for name in STORE_VARIABLES):
        return
    folder = data_folder(environment)
    status = _read(folder)
    if status is None:
        return
    theirs = {**dict.fromkeys(WHOSE, ""), **status.environment}
    unlike = [
        name for name in theirs if environment.get(name, theirs[name]) not in ("", theirs[name])
    ]
    environment.update({name: value for name, value in theirs.items() if value})
    for name in WHOSE:
        if not theirs[name]:
            environment.pop(name, None)
    environment[FOLDER_VARIABLE] = str(folder)
    if "--json" not in arguments:
        other = f"; not as set here: {', '.join(unlike)}" if unlike else ""
        STDERR.write(one_line(f"looking at {folder}: {_said_of(folder, status)}{other}"))


def data_folder(environment: MutableMapping[str, str] = os.environ) -> Path:
    """Where the system on this machine keeps what it knows, unless a command says another one."""
    return Path(environment.get(FOLDER_VARIABLE) or DEFAULT_FOLDER)


def _read(folder: Path) -> SystemStatus | None:
    """None: there is no system. Exits where there is a file that cannot be used."""
    file = folder / FILE_NAME
    try:
        of_folder, of_file = folder.stat(), file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        _refuse(file, error.strerror or str(error))
    own = {of_folder.st_uid, of_file.st_uid} == {os.geteuid()}
    if not own or of_folder.st_mode & _OTHERS_WRITE:
        _refuse(file, "another user can write it, or it is another user's")
    status = read_status(folder)
    if status is None:
        _refuse(file, "it cannot be read, or another version of executor wrote it")
    return status


def runs(folder: Path, status: SystemStatus) -> bool:
    """Whether the system of this folder runs, or at least a process of it."""
    fresh = time.time() - status.written_at_ms / 1000 <= STALE_S
    # On a full disk it cannot be written.
    return not status.stopped and (fresh or _is_locked(folder / LOCK))


def _is_locked(file: Path) -> bool:
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _said_of(folder: Path, status: SystemStatus) -> str:
    if status.stopped:
        return f"{status.execution}, stopped"
    if not runs(folder, status):
        return f"{status.execution}, DOES NOT RUN (it was killed)"
    return f"{status.execution}, running"


def _refuse(file: Path, why: str) -> NoReturn:
    complain(
        f"{file}: {why}; name the system's folder in {FOLDER_VARIABLE}, or the store in STATE "
        "or STATE_TABLE"
    )
    raise SystemExit(EXIT_REFUSED)
