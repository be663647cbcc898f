"""Looks at a system that is well, and what is wrong with it."""

from __future__ import annotations

from typing import Any

import msgspec

from executor.alerts.alert import Alert, SeenAccount, SeenNow
from executor.alerts.conditions import conditions
from functions.core.claim import Claim
from local.status import ProcessStatus, SystemStatus
from tests.support.account_builders import LIMITS, make_account

NOW_MS = 1_790_000_000_000
"""14:13:20 UTC."""
DAY = "2026-09-21"


def seen_account(*claims: Claim, ended: tuple[Claim, ...] = (), **changes: Any) -> SeenAccount:
    """`changes`: of the account item."""
    return SeenAccount(
        name="imbalance",
        execution="paper",
        account=make_account(*claims, **changes),
        limits=LIMITS,
        size_e6=1_100_000,
        ended=ended,
    )


def process(name: str = "worker-1", **changes: Any) -> ProcessStatus:
    """Running for an hour."""
    fields: dict[str, Any] = {"state": "running", "since_ms": NOW_MS - 3_600_000, "pid": 7}
    return ProcessStatus(name=name, **{**fields, **changes})


def system(*processes: ProcessStatus, **changes: Any) -> SystemStatus:
    """Written just now."""
    fields: dict[str, Any] = {
        "pid": 1,
        "started_at_ms": NOW_MS - 3_600_000,
        "written_at_ms": NOW_MS,
        "execution": "paper",
        "environment": {},
        "venue": "http://127.0.0.1:1",
        "processes": processes,
    }
    return SystemStatus(**{**fields, **changes})


def seen(*accounts: SeenAccount, **changes: Any) -> SeenNow:
    """A look at NOW_MS."""
    now = SeenNow(at_ms=NOW_MS, since_ms=NOW_MS - 5 * 86_400_000, accounts=accounts)
    return msgspec.structs.replace(now, **changes)


def alerts_of(look: SeenNow) -> dict[str, Alert]:
    """By the kind that the key begins with; fails when there are two of one."""
    alerts, _ = conditions(look)
    found = {alert.key.partition("|")[0]: alert for alert in alerts}
    assert len(found) == len(alerts), [alert.key for alert in alerts]
    return found
