"""What the supervisor tells of the system on this machine, in `system.json` of its data folder.

The console, the alerts and the command line read it; nobody else writes it. It holds no secret: of
URLs only those that anybody on this machine may know.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import msgspec

FILE_NAME: Final = "system.json"
ProcessState = Literal["starting", "running", "waiting", "stopped"]
"""`waiting`: it has ended by itself, and is started again once its back-off is over."""


class ProcessStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One process, as the supervisor last saw it."""

    name: str
    """`nats`, `feeder`, `user-feeder`, `worker-1`, `schedule`, `recorder`, `console`, `alerts`."""
    state: ProcessState
    pid: int = 0
    """0 while it does not run."""
    since_ms: int
    """Epoch ms: when this state began."""
    restarts: int = 0
    """How often it was started again, since the supervisor started."""
    last_end: str = ""
    """Why it ended the last time, in a sentence; empty: it never has."""
    metrics_url: str = ""
    """Its `/metrics`, beside `/healthz`; empty where it has none, or has not said it yet."""
    problem: str = ""
    """What its `/healthz` complains of, or that it does not answer; empty: nothing."""


class SystemStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The system on this machine."""

    pid: int
    """The supervisor's."""
    started_at_ms: int
    written_at_ms: int
    """At least once in two seconds while it runs: an older file is of one that does not."""
    execution: Literal["paper", "live"]
    environment: dict[str, str]
    """The variables with which `executor` looks at this system: STATE, NATS_URL, STRATEGIES ...;
    no secret."""
    venue: str
    """Scheme, host and port of the CLOB that it trades at."""
    console_url: str = ""
    """Without the one-time link's token; empty: there is no console."""
    recording: str = ""
    """Directory of the recording that is being written; empty: none is."""
    processes: tuple[ProcessStatus, ...]
    stopped: bool = False
    """It was stopped in order."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(SystemStatus)


def write_status(folder: Path, status: SystemStatus) -> None:
    """Replace the file, so that a reader finds the old one or the new one. Raises OSError."""
    new = folder / f".{FILE_NAME}.new"
    new.write_bytes(_encoder.encode(status))
    new.replace(folder / FILE_NAME)


def read_status(folder: Path) -> SystemStatus | None:
    """What stands there; None: nothing that can be read."""
    try:
        return _decoder.decode((folder / FILE_NAME).read_bytes())
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
