"""What the venue's answer to one POST means: accepted, *proven* rejected, or unknown.

Only proof of non-acceptance is a rejection (invariant 4). Whatever is not recognised is unknown.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from protocol.fill import Fill


class RejectReason(StrEnum):
    """Why the venue did not accept an order; the closed set."""

    NO_MATCH = "no_match"
    FOK_NOT_FILLED = "fok_not_filled"
    NOT_ENOUGH_BALANCE = "not_enough_balance"
    BELOW_MINIMUM = "below_minimum"
    BAD_TICK = "bad_tick"
    BAD_AMOUNTS = "bad_amounts"
    BAD_SIGNATURE = "bad_signature"
    INVALID_ORDER = "invalid_order"
    MARKET_NOT_READY = "market_not_ready"
    MARKET_CLOSED = "market_closed"
    ENGINE_RESTARTING = "engine_restarting"
    TRADING_DISABLED = "trading_disabled"
    RATE_LIMITED = "rate_limited"
    UNAUTHORIZED = "unauthorized"
    GEOBLOCKED = "geoblocked"
    NOT_SENT = "not_sent"
    """The connection was never made: no byte of the order left this machine."""
    TOO_LATE = "too_late"
    """Our own decision: the claim took so long that the book is too old. Never sent."""


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The venue has the order. `delayed` is accepted with no fill *yet*."""

    status: str
    """`matched`, `partly_matched`, `delayed` or `live`."""
    spend_e6: int
    size_e6: int
    trade_ids: tuple[str, ...] = ()
    fills: tuple[Fill, ...] = ()
    """Trades that are known already, and final: on paper, nobody reports them later."""


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """The venue proved that it did not take the order; `text` keeps its own words."""

    reason: RejectReason
    text: str


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """No proof either way. The exposure stays reserved until the venue's evidence resolves it."""

    text: str
    alarm: bool = False
    """True when the venue answered with an order id that is not the one we computed."""


Answer: TypeAlias = Accepted | Rejected | Unknown

_NO_ORDERBOOK: Final = re.compile(r"the orderbook \S+ does not exist")
_ORDER_ID: Final = re.compile(r"0x[0-9a-fA-F]{64}")

# What the venue says, word for word in part, when it has refused an order for good. Source: its
# error-code page (docs, 2026-11) and public issue threads. Two things it also says with status
# 400 are deliberately absent, because they are not refusals: "Duplicated" means that it has seen
# this very order before, and "order match delayed due to market conditions" that it may still
# match. The page also says that any internal error with "context canceled" becomes a 400, so a
# 400 as such proves nothing.
_REFUSALS_400: Final[tuple[tuple[str, RejectReason], ...]] = (
    ("no orders found to match with fak order", RejectReason.NO_MATCH),
    ("fok orders are fully filled or killed", RejectReason.FOK_NOT_FILLED),
    ("not enough balance / allowance", RejectReason.NOT_ENOUGH_BALANCE),
    ("breaks minimum tick size rule", RejectReason.BAD_TICK),
    ("lower than the minimum", RejectReason.BELOW_MINIMUM),
    ("invalid amount for a marketable buy order", RejectReason.BELOW_MINIMUM),
    ("invalid amounts", RejectReason.BAD_AMOUNTS),
    ("invalid signature", RejectReason.BAD_SIGNATURE),
    ("order_version_mismatch", RejectReason.INVALID_ORDER),
    ("invalid order payload", RejectReason.INVALID_ORDER),
    ("the order owner has to be the owner of the api key", RejectReason.INVALID_ORDER),
    ("the order signer address has to be the address of the api key", RejectReason.INVALID_ORDER),
    ("invalid nonce", RejectReason.INVALID_ORDER),
    ("invalid expiration", RejectReason.INVALID_ORDER),
    ("address banned", RejectReason.UNAUTHORIZED),
    ("address in closed only mode", RejectReason.UNAUTHORIZED),
    ("the market is not yet ready to process new orders", RejectReason.MARKET_NOT_READY),
)


def refusal(status: int, text: str, order_id: str) -> Rejected | Unknown:
    """Classify an answer that is not a success: HTTP `status` and the venue's own `text`.

    `order_id` is ours: a text about another order proves nothing about this one.
    """
    named = _ORDER_ID.findall(text)
    if any(other.lower() != order_id.lower() for other in named):
        return Unknown(text=f"HTTP {status} about another order: {text}", alarm=True)
    reason = _proven_reason(status, text.lower())
    if reason is None:
        return Unknown(text=f"HTTP {status}: {text}")
    return Rejected(reason=reason, text=text)


# Answers that the venue gives before an order can reach its engine, whatever their text says:
# refused at the edge (region, firewall), engine restarting, too many requests.
_REFUSALS_BY_STATUS: Final = {
    403: RejectReason.GEOBLOCKED,
    425: RejectReason.ENGINE_RESTARTING,
    429: RejectReason.RATE_LIMITED,
}


def _proven_reason(status: int, text: str) -> RejectReason | None:
    if "context canceled" in text or "timeout" in text:
        return None  # something broke on the way, whatever else the text says
    if status in (400, 404) and _NO_ORDERBOOK.match(text):
        return RejectReason.MARKET_CLOSED
    if status == 400:
        return next((reason for words, reason in _REFUSALS_400 if words in text), None)
    if status == 401 and "invalid api key" in text:
        return RejectReason.UNAUTHORIZED
    if status == 503 and ("trading is currently" in text or "post-only mode" in text):
        return RejectReason.TRADING_DISABLED
    return _REFUSALS_BY_STATUS.get(status)
