"""A series of short-lived markets: one market per window, windows back to back.

`btc-15m` is the venue's `btc-updown-15m-<start>`: a new market every 900 s, whose start is a
multiple of 900 s since the epoch. The window's length stands in the name, so a sandbox that runs
ten times faster simply offers `btc-90s`.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

_NAME = re.compile(r"([a-z0-9]{2,10})-([1-9]\d{0,4})([smh])", re.ASCII)
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3600}


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One coin and one window length."""

    name: str
    window_s: int

    def window_start_s(self, now_s: float) -> int:
        """Start (epoch seconds) of the window that contains `now_s`."""
        return int(now_s) // self.window_s * self.window_s

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
