"""What is told, and what was seen of the system: structs, pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from functions.core.account import Account, Limits
from functions.core.claim import Claim
from local.status import SystemStatus

Level = Literal["alarm", "information"]
"""An alarm wants a person, and while it lasts there is no heartbeat."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Something that holds now and that a person is to know."""

    key: str
    """What it is about: the same key is the same alert, before a crash and after it. It names the
    kind, the account, and what tells it from the next one: a claim's attempt, a halt, a day."""
    scope: str
    """What must have been seen so that its absence means that it is over."""
    level: Level = "alarm"
    text: str
    """The first line says what and of which account, the others what is known and what to do."""
    over: str = ""
    """What is said when it does not hold any more; empty: nothing, it has simply happened."""
    calm_ms: int = 300_000
    """So long it must not hold to be over."""
    repeats: bool = True
    """Whether it is told again each hour while it lasts; only where `over` is said."""


class SeenAccount(msgspec.Struct, frozen=True, kw_only=True):
    """One account as it was last read."""

    name: str
    execution: str
    account: Account | None = None
    """None: it could not be read at this look."""
    limits: Limits
    size_e6: int = 0
    """What an order of it costs, in 1e-6 USD; 0: not known."""
    problem: str = ""
    """Why it could not be read."""
    unread_since_ms: int = 0
    """Since when it cannot be read; 0: it was read."""
    ended: tuple[Claim, ...] = ()
    """Rows of the ledger, of claims made in the last 26 hours, as far as they have been read."""


class SeenProcess(msgspec.Struct, frozen=True, kw_only=True):
    """What a process answers about itself (`/healthz`)."""

    problem: str = ""
    since_ms: int = 0
    """When the problem began; 0: there is none."""


class SeenSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """What the schedule's last reconciliation of an account found: it asks the venue, as nobody
    else does, and says it anew with each run."""

    mismatches: int = 0
    strangers: int = 0
    group_difference_usd: float = 0.0


class SeenNow(msgspec.Struct, frozen=True, kw_only=True):
    """One look. Times are epoch ms."""

    at_ms: int
    since_ms: int
    """When alerts were first watched with this data folder."""
    accounts: tuple[SeenAccount, ...] = ()
    system: SystemStatus | None = None
    processes: Mapping[str, SeenProcess] = {}
    schedule: Mapping[str, SeenSchedule] = {}
    """By account; only of those that were reconciled since the schedule's start."""
    proven_at_ms: Mapping[str, int] = {}
    """By series: when a proven book was last there, or when we began to look."""
    books_problem: str = ""
    """Why books cannot be seen; empty: they can."""
    disk_free_bytes: int | None = None
    failing: Mapping[str, str] = {}
    """Services that take no alerts, by label, and why."""
    told_keys: tuple[tuple[str, int], ...] = ()
    """Keys of alarms that were told, and when: for the digest."""


def usd(amount_e6: int) -> str:
    """`+1.20 USD`."""
    return f"{amount_e6 / 1e6:+.2f} USD"
