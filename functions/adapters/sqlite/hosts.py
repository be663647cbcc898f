"""Which host uses a state file: one at a time, because a second one would not see its locks.

A folder that was copied or moved to another machine is taken over once the first one has been
silent for a minute.
"""

from __future__ import annotations

import socket
import sqlite3
import uuid
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from functions.ports import StoreMisconfiguredError

SILENT_MS: Final = 60_000
"""After so long without a sign of life another host may take the file over."""
_MACHINE: Final = Path("/etc/machine-id")
_KERNEL: Final = Path("/proc/sys/kernel/random/boot_id")


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """A machine: one that has the same installation, or runs on the same kernel, is the same."""

    name: str
    """For a person."""
    machine: str
    """Of the installation: the same after a restart of the machine."""
    kernel: str
    """Of the running kernel: the same in all containers on it, which see each other's locks. Empty
    where the system does not tell."""

    def is_same(self, other: Host) -> bool:
        """Whether processes of both see each other's locks, or cannot run at the same time."""
        return self.machine == other.machine or (self.kernel != "" and self.kernel == other.kernel)


@cache
def this_host() -> Host:
    """The one that we run on."""
    return Host(
        name=socket.gethostname(),
        machine=_text_in(_MACHINE) or f"{uuid.getnode():x}",
        kernel=_text_in(_KERNEL),
    )


def check_host(sql: sqlite3.Connection, path: Path, host: Host, now_ms: int) -> int:
    """When `host` was last noted in the file, epoch ms; 0: it is not.

    Raises StoreMisconfiguredError while another one uses the file.
    """
    row = sql.execute("SELECT name, machine, kernel, seen_at_ms FROM host").fetchone()
    if row is None:
        return 0
    name, machine, kernel, seen_at_ms = row
    other = Host(name=str(name), machine=str(machine), kernel=str(kernel))
    if host.is_same(other):
        return int(seen_at_ms)
    silent_ms = now_ms - int(seen_at_ms)
    if abs(silent_ms) < SILENT_MS:
        raise StoreMisconfiguredError(
            f"STATE: {path} is in use on host {other.name}, {silent_ms / 1000:.0f} s ago:"
            " DynamoDB is the only store across hosts (STATE=dynamodb). A copied folder can be used"
            f" after {SILENT_MS // 1000} s"
        )
    return 0


def note_host(sql: sqlite3.Connection, host: Host, now_ms: int) -> None:
    """That `host` uses the file, in a transaction of the caller's, who has checked."""
    sql.execute(
        "INSERT OR REPLACE INTO host (only_one, name, machine, kernel, seen_at_ms)"
        " VALUES (1, ?, ?, ?, ?)",
        (host.name, host.machine, host.kernel, now_ms),
    )


def _text_in(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
