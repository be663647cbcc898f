"""How numbers and times are written on the page; each is a filter of the templates, too.

None is written as a dash: a number that nobody knows is not 0.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from protocol.units import price_decimal, size_decimal, usd_decimal

NOTHING: Final = "–"  # noqa: RUF001 - a dash for people


def price(price_e4: int | None) -> str:
    """`0.53`, `0.5325`: at least two decimals, and as many as there are."""
    return NOTHING if price_e4 is None else _at_least_cents(f"{price_decimal(price_e4):f}")


def size(size_e6: int | None) -> str:
    """Shares: `1,213.25`."""
    return NOTHING if size_e6 is None else f"{size_decimal(size_e6):,.2f}"


def usd(usd_e6: int | None) -> str:
    """An amount: `12.50`."""
    return NOTHING if usd_e6 is None else f"{usd_decimal(usd_e6):,.2f}"


def signed_usd(usd_e6: int | None) -> str:
    """A profit or a loss: `+12.50`, `-0.03`, `0.00`."""
    if usd_e6 is None:
        return NOTHING
    text = f"{usd_decimal(usd_e6):+,.2f}"
    return text[1:] if text[1:] == "0.00" else text


def percent(share: float | None, decimals: int = 1) -> str:
    """Of 1: `0.125` is `12.5%`."""
    return NOTHING if share is None else f"{share * 100:.{decimals}f}%"


def number(value: float | None, decimals: int = 2) -> str:
    """`1,234.50`."""
    return NOTHING if value is None else f"{value:,.{decimals}f}"


def clock(at_ms: int | None) -> str:
    """Time of day, UTC: `14:03:09`."""
    return NOTHING if not at_ms else _utc(at_ms).strftime("%H:%M:%S")


def clock_ms(at_ms: int | None) -> str:
    """The same to the millisecond: `14:03:09.120`."""
    return NOTHING if not at_ms else f"{clock(at_ms)}.{at_ms % 1_000:03d}"


def moment(at_ms: int | None) -> str:
    """Date and time, UTC: `2026-11-29 14:03:09`."""
    return NOTHING if not at_ms else _utc(at_ms).strftime("%Y-%m-%d %H:%M:%S")


def millis(span_ms: float | None) -> str:
    """A short span: `0.42 ms`, `12.0 ms`, `1.25 s`."""
    if span_ms is None:
        return NOTHING
    if span_ms >= 1_000:
        return f"{span_ms / 1_000:.2f} s"
    return f"{span_ms:.2f} ms" if span_ms < 10 else f"{span_ms:.1f} ms"


def age(span_ms: float | None) -> str:
    """How old something is: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if span_ms is None:
        return NOTHING
    if span_ms < 10_000:
        return f"{max(0.0, span_ms / 1_000):.1f} s"
    return uptime(span_ms)


def uptime(span_ms: float) -> str:
    """The same in whole seconds: `4 s`."""
    seconds = max(0, int(span_ms / 1_000))
    minutes, hours, days = seconds // 60, seconds // 3_600, seconds // 86_400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def data_size(size_bytes: float | None) -> str:
    """`512 B`, `1.5 GB`; powers of 1000."""
    if size_bytes is None:
        return NOTHING
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1_000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1_000
    return f"{size_bytes:.1f} TB"


def _utc(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1_000, UTC)


def _at_least_cents(text: str) -> str:
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction.rstrip('0'):0<2}"


FILTERS: Final[dict[str, Callable[..., str]]] = {
    each.__name__: each
    for each in (price, size, usd, signed_usd, percent, number, clock, clock_ms, moment)
} | {"millis": millis, "age": age, "uptime": uptime, "data_size": data_size}
