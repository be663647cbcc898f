"""Why nothing is bought on a book, apart from what a strategy says itself. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from strategies.interface import Hold


class HoldReason(StrEnum):
    """The worker's own reasons; the closed set, in the order of the checks."""

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
    UNKNOWN_OUTCOMES = "unknown_outcomes"
    # The feeder publishes fewer bids than the strategy looks at (`functions.core.ask`).
    TOO_FEW_BIDS = "too_few_bids"
    # The strategy failed, or has failed too often (`functions.core.strategy_failures`). Why it
    # holds of its own accord is of its own closed set (`strategies.interface.Strategy.Reason`).
    STRATEGY_ERROR = "strategy_error"
    STRATEGY_DISABLED = "strategy_disabled"
    # What a signal asks for cannot be bought (`functions.core.trade`).
    ONE_SIDED = "one_sided"
    CROSSED = "crossed"
    BELOW_MINIMUM = "below_minimum"
    THIN_ASKS = "thin_asks"
    # The market (`functions.handlers.verify_markets`).
    MARKET_UNVERIFIED = "market_unverified"
    MARKET_DIFFERS = "market_differs"


MARKET_DOUBTS: Final = (HoldReason.MARKET_UNVERIFIED, HoldReason.MARKET_DIFFERS)
"""Only asked of a signal: it is refused, and reported, for them."""


_HOLDS: Final = {reason: Hold(reason) for reason in HoldReason}  # one object a reason: no garbage


def hold(reason: HoldReason) -> Hold:
    """The one `Hold` of a reason."""
    return _HOLDS[reason]
