"""When an alert is told, told again, and told to be over. Pure.

An alert is told once per key, and again each hour while it lasts; its end is told once it has not
held for a while. Of one key there are at least 60 seconds between two messages, whatever flickers:
what would come sooner comes then, if it still holds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from executor.alerts.alert import Alert, Level

APART_MS: Final = 60_000
AGAIN_MS: Final = 3_600_000
NOTED_EVERY_MS: Final = 20_000
"""That an alert still holds is written down no more often."""
KEPT_MS: Final = 3 * 86_400_000
"""How long what has happened is remembered after it was last seen; longer than it can be seen."""


class ToldAlert(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of an alert, by its key."""

    scope: str
    level: Level
    over: str
    calm_ms: int
    began_at_ms: int
    told_at_ms: int
    """When the last message about it was made, whatever it said."""
    seen_at_ms: int
    ended: bool = False
    """Its end was told."""


class AlertMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be sent, to every service."""

    key: str
    level: Level
    text: str


class DecidedAlerts(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from one look; both are to be stored in one transaction."""

    changed: dict[str, ToldAlert | None]
    """By key; None: forget it."""
    messages: list[AlertMessage]


def decide(
    told: Mapping[str, ToldAlert], alerts: Sequence[Alert], known: Collection[str], now_ms: int
) -> DecidedAlerts:
    """What is to be told now, and remembered; `known`: the scopes of which anything was seen."""
    decided = DecidedAlerts(changed={}, messages=[])
    holding = {alert.key: alert for alert in alerts}
    for key, alert in holding.items():
        _hold(decided, alert, told.get(key), now_ms)
    for key, row in told.items():
        if key not in holding:
            _pass(decided, key, row, known, now_ms)
    return decided


def elapsed(since_ms: int, span_ms: int, now_ms: int) -> bool:
    """Whether `span_ms` have passed; nobody waits for a clock that was set back."""
    return not 0 <= now_ms - since_ms < span_ms


def _hold(decided: DecidedAlerts, alert: Alert, row: ToldAlert | None, now_ms: int) -> None:
    again = row is not None and not row.ended
    if row is not None:
        lasting = bool(alert.over) and alert.repeats
        due_ms = AGAIN_MS if again else APART_MS
        if (again and not lasting) or not elapsed(row.told_at_ms, due_ms, now_ms):
            if again and elapsed(row.seen_at_ms, NOTED_EVERY_MS, now_ms):
                decided.changed[alert.key] = msgspec.structs.replace(row, seen_at_ms=now_ms)
            return
    text = f"(still) {alert.text}" if again else alert.text
    decided.messages.append(AlertMessage(key=alert.key, level=alert.level, text=text))
    decided.changed[alert.key] = ToldAlert(
        scope=alert.scope,
        level=alert.level,
        over=alert.over,
        calm_ms=alert.calm_ms,
        began_at_ms=row.began_at_ms if again and row is not None else now_ms,
        told_at_ms=now_ms,
        seen_at_ms=now_ms,
    )


def _pass(
    decided: DecidedAlerts, key: str, row: ToldAlert, known: Collection[str], now_ms: int
) -> None:
    if now_ms - max(row.told_at_ms, row.seen_at_ms) >= KEPT_MS:
        decided.changed[key] = None
        return
    calm = elapsed(row.seen_at_ms, row.calm_ms, now_ms)
    apart = elapsed(row.told_at_ms, APART_MS, now_ms)
    if row.ended or not row.over or row.scope not in known or not calm or not apart:
        return
    minutes = max(0, now_ms - row.began_at_ms) // 60_000
    text = f"{row.over} (it lasted {minutes} min)" if minutes else row.over
    decided.messages.append(AlertMessage(key=key, level="information", text=text))
    decided.changed[key] = msgspec.structs.replace(row, told_at_ms=now_ms, ended=True)
