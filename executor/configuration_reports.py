"""What `executor config` prints, as structs; `--json` prints these as they are."""

from __future__ import annotations

import msgspec

from functions.core.configuration import Difference
from functions.core.configuration_effects import Effects


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One name that may be set."""

    name: str
    value: str
    default: str
    help: str


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A version as it is in force."""

    account: str
    strategy: str
    version: int
    who: str
    why: str
    made_at_ms: int
    settings: tuple[Setting, ...]
    parameters: tuple[Setting, ...]


class ConfigVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the history."""

    version: int
    who: str
    why: str
    made_at_ms: int
    changes: tuple[Difference, ...]
    """From the version before; empty for the first one that is shown."""


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first."""

    account: str
    in_force: int
    versions: tuple[ConfigVersion, ...]
    unreadable: tuple[str, ...] = ()


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """Two versions."""

    account: str
    before: int
    after: int
    changes: tuple[Difference, ...]


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """What a change has done, or would do, or why it was refused."""

    account: str
    seen_version: int
    """What it was made from."""
    version: int
    """What is in force now."""
    changes: tuple[Difference, ...]
    """What was asked for, compared with `seen_version`."""
    effects: Effects | None
    dry_run: bool
    refused: str = ""
    """In one sentence; empty: it was not."""
    others: tuple[Difference, ...] = ()
    """Where it was refused: what somebody else has changed meanwhile."""
    nudged: bool = False
    """Whether NATS took the nudge; without it a worker finds out within ten seconds."""
