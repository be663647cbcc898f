"""Numbers by day and by name, as the stand-ins in memory count them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

DAYS_KEPT_MS: Final = 8 * 86_400_000


def day_of(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).date().isoformat()


def plus(days: dict[str, int], at_ms: int, amount_e6: int) -> dict[str, int]:
    return added(days, day_of(at_ms), amount_e6)


def added(numbers: dict[str, int], key: str, amount: int) -> dict[str, int]:
    return {**numbers, key: numbers.get(key, 0) + amount} if amount else numbers


def count_down(left: dict[str, int], name: str, error: Exception) -> None:
    if left.get(name, 0) > 0:
        left[name] -= 1
        raise error
