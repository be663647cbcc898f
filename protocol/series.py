"""A series of short-lived markets: one market per window, windows back to back.

`btc-15m` is the venue's `btc-updown-15m-<start>`: a new market every 900 s, whose start is a
multiple of 900 s since the epoch. The window's length stands in the name, so a sandbox that runs
ten times faster simply offers `btc-90s`.

Windows of several hours begin at New York's midnight and every so many hours of its clocks after
that (btc-updown-4h-1769288400 is 16:00 there). In the two nights a year when those are changed, a
window is an hour shorter or longer, or the venue keeps its length: its listing says which.

Whether a series exists only the venue's listing knows: nothing here names coins or lengths.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

_NAME = re.compile(r"([a-z0-9]{2,10})-([1-9]\d{0,4})([smh])", re.ASCII)
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3600}
_DAY_S: Final = 24 * 3600
_STANDARD_S: Final = -5 * 3600
_SUMMER_S: Final = -4 * 3600


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One coin and one window length."""

    name: str
    window_s: int

    def window_start_s(self, now_s: float) -> int:
        """Start (epoch seconds) of the window that contains `now_s`."""
        if self._by_new_york:
            return _of_new_york(self._clock_start_s(int(now_s)))
        return int(now_s) // self.window_s * self.window_s

    def next_start_s(self, start_s: int) -> int:
        """Start of the window after the one that starts at `start_s`."""
        if self._by_new_york:
            return _of_new_york(self._clock_start_s(start_s) + self.window_s)
        return start_s + self.window_s

    @property
    def _by_new_york(self) -> bool:
        # Of one hour it makes no difference; what fits into no day has no place in one.
        return self.name.endswith("h") and self.window_s > 3600 and _DAY_S % self.window_s == 0

    def _clock_start_s(self, at_s: int) -> int:
        """By New York's clocks, as if they showed UTC."""
        return (at_s + _new_york_offset_s(at_s)) // self.window_s * self.window_s

    def slug(self, start_s: int) -> str:
        """The venue's name of the market whose window starts at `start_s`."""
        coin, _, window = self.name.partition("-")
        return f"{coin}-updown-{window}-{start_s}"


def parse_series(name: str) -> Series:
    """`btc-15m` to a Series. Raises ValueError saying what a series looks like."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"not a series: {name!r} (expected e.g. btc-15m, eth-15m, btc-5m)")
    return Series(name=name, window_s=int(match.group(2)) * _UNIT_S[match.group(3)])


def _of_new_york(clock_s: int) -> int:
    """The instant (epoch seconds) at which New York's clocks show this; the first of two, and the
    moment of the change for what they skip."""
    summer_s = clock_s - _SUMMER_S
    return summer_s if _new_york_offset_s(summer_s) == _SUMMER_S else clock_s - _STANDARD_S


def _new_york_offset_s(at_s: int) -> int:
    """Since 2007: summer from the second Sunday of March to the first of November, 2:00 each
    (Energy Policy Act of 2005, section 110). By rule, because no room that is pure reads files."""
    year = datetime.fromtimestamp(at_s, UTC).year
    begins = _sunday(year, 3, 8) + timedelta(hours=7)
    ends = _sunday(year, 11, 1) + timedelta(hours=6)
    return _SUMMER_S if begins.timestamp() <= at_s < ends.timestamp() else _STANDARD_S


def _sunday(year: int, month: int, day: int) -> datetime:
    """The first one from this day on."""
    earliest = datetime(year, month, day, tzinfo=UTC)
    return earliest + timedelta(days=6 - earliest.weekday())
