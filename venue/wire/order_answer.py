"""What the answer to one `POST /order` means: accepted, *proven* rejected, or unknown. Pure.

1. Only proof of non-acceptance is a rejection (invariant 4). Whatever is not recognised is unknown.
2. A success is read leniently: `errorMsg` may be missing, `transactionsHashes` and `tradeIDs` empty
   or null, amounts `""` or null, which is 0. Amounts have at most six decimals.
3. An accepted order counts only under our own id, within its money and its price.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from protocol.fill import Fill
from protocol.units import cost_e6
from venue.wire.errors import UNDECODABLE, decoded
from venue.wire.numbers import MISSING, size_or_zero_e6


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
    """It is proven that the order is not at the venue: the venue's own words, in `text`, or no byte
    of the order has left this machine."""

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


_ACCEPTED: Final = frozenset({"live", "matched", "delayed"})
# In an answer of status 200. The venue also remarks on orders that it took, so only the two texts
# that mean "killed" count, and only word for word, and not beside anything that speaks of success.
_KILLED: Final = {
    "no orders found to match with FAK order. "
    "FAK orders are partially filled or killed if no match is found.": RejectReason.NO_MATCH,
    "order couldn't be fully filled. "
    "FOK orders are fully filled or killed.": RejectReason.FOK_NOT_FILLED,
}
_FULL_FILL_E6: Final = 10_000
"""The answer rounds: less than a cent unspent is a full fill."""
_SIZE_ROUNDING_E6: Final = 10_000
"""The venue rounds shares to hundredths of one."""
_TEXT_LENGTH_MAX: Final = 300


class _Success(msgspec.Struct):
    status: str | None = None
    order_id: str | None = msgspec.field(name="orderID", default=None)
    success: bool | None = None
    error: str | None = msgspec.field(name="errorMsg", default=None)
    making: msgspec.Raw = msgspec.field(name="makingAmount", default=MISSING)
    taking: msgspec.Raw = msgspec.field(name="takingAmount", default=MISSING)
    trade_ids: list[object] | None = msgspec.field(name="tradeIDs", default=None)
    hashes: list[object] | None = msgspec.field(name="transactionsHashes", default=None)


_decode_success: Final = msgspec.json.Decoder(_Success).decode


def read_success(body: bytes, order_id: str, spend_e6: int, size_e6: int) -> Answer:
    """Classify the body of an answer of status 200 to a BUY order of ours, which offers `spend_e6`
    for `size_e6` shares. Raises nothing, whatever the bytes are."""
    try:
        answer = decoded(_decode_success, body)
        spent_e6, bought_e6 = size_or_zero_e6(answer.making), size_or_zero_e6(answer.taking)
    except (*UNDECODABLE, ValueError) as error:
        return Unknown(text=f"HTTP 200, unreadable: {error}"[:_TEXT_LENGTH_MAX])
    if answer.order_id and answer.order_id.lower() != order_id.lower():
        text = f"HTTP 200, answered as {answer.order_id[:80]}, not as {order_id}"
        return Unknown(text=text, alarm=True)
    return _classified(answer, spent_e6, bought_e6, (spend_e6, size_e6))


def _classified(
    answer: _Success, spent_e6: int, bought_e6: int, offered_e6: tuple[int, int]
) -> Answer:
    spend_e6, size_e6 = offered_e6
    said = f"HTTP 200, {answer.status}: {answer.error}"[:_TEXT_LENGTH_MAX]
    if answer.error:
        reason = _KILLED.get(answer.error)
        taken = answer.success or answer.status in _ACCEPTED or answer.status == "unmatched"
        bought = spent_e6 or bought_e6 or answer.trade_ids or answer.hashes
        if reason is None or taken or bought:
            return Unknown(text=said)
        return Rejected(reason=reason, text=answer.error)
    if not (answer.success and answer.order_id and answer.status in _ACCEPTED):
        return Unknown(text=said)
    if answer.status == "matched" and not bought_e6:
        return _implausible(spent_e6, bought_e6)
    # The price of an order is its spend over its size; no share is cheaper than 1e-4 USD.
    too_dear = (bought_e6 + _SIZE_ROUNDING_E6) * spend_e6 < spent_e6 * size_e6
    if spent_e6 > spend_e6 or too_dear or cost_e6(1, bought_e6) > spend_e6:
        return _implausible(spent_e6, bought_e6)
    partly = answer.status == "matched" and spend_e6 - spent_e6 >= _FULL_FILL_E6
    return Accepted(
        status="partly_matched" if partly else answer.status,
        spend_e6=spent_e6,
        size_e6=bought_e6,
        trade_ids=tuple(each for each in answer.trade_ids or () if isinstance(each, str)),
    )


def _implausible(spent_e6: int, bought_e6: int) -> Unknown:
    text = f"implausible fill: {spent_e6}e-6 USD, {bought_e6}e-6 shares"
    return Unknown(text=text, alarm=True)


def refusal(status: int, text: str, order_id: str, code: str | None = None) -> Rejected | Unknown:
    """Classify an answer that is not a success: HTTP `status`, the venue's own `text` and, where
    it names one, its error `code`.

    `order_id` is ours: a text about another order proves nothing about this one.
    """
    named = _ORDER_ID.findall(text)
    if any(other.lower() != order_id.lower() for other in named):
        return Unknown(text=f"HTTP {status} about another order: {text}", alarm=True)
    reason = _proven_reason(status, text.lower(), code)
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
_DISABLED_TEXTS: Final = ("trading is currently", "trading is disabled", "post-only mode")
_DISABLED_CODES: Final = frozenset({"post_only_mode", "cancel_only", "restarting"})
"""Of a 503: no order reaches the engine. The venue names them without a text, too."""


def _proven_reason(status: int, text: str, code: str | None) -> RejectReason | None:
    if "context canceled" in text or "timeout" in text:
        return None  # something broke on the way, whatever else the text says
    if status in (400, 404) and _NO_ORDERBOOK.match(text):
        return RejectReason.MARKET_CLOSED
    if status == 400:
        return next((reason for words, reason in _REFUSALS_400 if words in text), None)
    if status == 401 and "invalid api key" in text:
        return RejectReason.UNAUTHORIZED
    if status == 503 and (
        code in _DISABLED_CODES or any(words in text for words in _DISABLED_TEXTS)
    ):
        return RejectReason.TRADING_DISABLED
    return _REFUSALS_BY_STATUS.get(status)
