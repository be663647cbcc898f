"""`Hold(reason)`: buy nothing on this book, and why; what gate and strategy answer. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec


class HoldReason(StrEnum):
    """Why nothing is bought on this book; the closed set, in the order of the checks."""

    # The worker: no room for another market (`functions.handlers.verify_markets`).
    TOO_MANY_MARKETS = "too_many_markets"
    # The fence (`functions.core.fencing`).
    SUPERSEDED = "superseded"
    # The gate (`functions.core.gate`).
    DARK = "dark"
    UNPROVEN = "unproven"
    STALE_BOOK = "stale_book"
    CLOCK_BEHIND = "clock_behind"
    NOT_ACCEPTING = "not_accepting"
    NOT_STARTED = "not_started"
    TOO_CLOSE_TO_END = "too_close_to_end"
    # The strategy.
    UNKNOWN_OUTCOMES = "unknown_outcomes"
    ONE_SIDED = "one_sided"
    CROSSED = "crossed"
    OUTSIDE_PRICE_ZONE = "outside_price_zone"
    SPREAD_TOO_WIDE = "spread_too_wide"
    NO_IMBALANCE = "no_imbalance"
    THIN_ASKS = "thin_asks"
    BELOW_MINIMUM = "below_minimum"
    # The market (`functions.handlers.verify_markets`).
    MARKET_UNVERIFIED = "market_unverified"
    MARKET_DIFFERS = "market_differs"


MARKET_DOUBTS: Final = (HoldReason.MARKET_UNVERIFIED, HoldReason.MARKET_DIFFERS)
"""Only asked of a signal: it is refused, and reported, for them."""


class Hold(msgspec.Struct, frozen=True):
    """Buy nothing on this book."""

    reason: HoldReason


_HOLDS: Final = {reason: Hold(reason) for reason in HoldReason}  # one object a reason: no garbage


def hold(reason: HoldReason) -> Hold:
    """The one `Hold` of a reason."""
    return _HOLDS[reason]
