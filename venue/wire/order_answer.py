"""What the answer to one `POST /order` means: accepted, *proven* rejected, or unknown. Pure.

1. Only proof of non-acceptance is a rejection (invariant 4). Whatever is not recognised is unknown.
2. A success is read leniently: only the order's id, `success`, `status` and the amounts must be
   there. Everything else may be missing, null, empty or of another type. An amount of `""` or null
   is 0, and has at most six decimals.
3. An accepted order counts only under our own id, within its money and its price.
4. What speaks of success anywhere beside a refusal makes it unknown, with any HTTP status; so does
   what is not read in full.
5. The words of a refusal count in any case, with any spaces, and under any name that an error has
   (`error`, `errorMsg`, `message`, nested or not); see `venue.wire.refusal_text`.
6. A page of HTML is nobody's word. It proves nothing, also with status 403: Cloudflare refuses
   before an order can reach the engine, but a filter between us and it refuses *answers* with such
   a page, too. So 403 counts only with a text in the venue's own form; without, the order is
   unknown, and the account pauses. 425 and 429 count with any body: the venue documents these
   statuses, and what limits requests stands before what it limits.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from protocol.fill import Fill
from protocol.units import cost_e6
from venue.wire.errors import TEXT_LENGTH_MAX, UNDECODABLE, decoded
from venue.wire.numbers import MISSING, size_or_zero_e6
from venue.wire.refusal_text import MODES, Said, mode_word, plain, read_in_full, read_refusal


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
    """Refused before the venue's own servers, or because of where we are."""
    MAKER_NOT_ALLOWED = "maker_not_allowed"
    """A wallet of this kind may not trade: the venue wants a deposit wallet."""
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
    retry_after_ms: int = 0
    """How long the venue asks to wait; 0 when it does not say."""


class HttpAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as it came."""

    status: int
    body: bytes
    content_type: str = ""
    retry_after: str = ""
    """The header of that name."""


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """No proof either way. The exposure stays reserved until the venue's evidence resolves it."""

    text: str
    alarm: bool = False
    """True when the venue answered with an order id that is not the one we computed."""
    implausible: bool = False
    """True when the venue took the order, with amounts that cannot be its own."""
    concerns: RejectReason | None = None
    """What the answer says about the account, although it proves nothing about the order."""


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
    ("not enough balance", RejectReason.NOT_ENOUGH_BALANCE),
    ("balance is not enough", RejectReason.NOT_ENOUGH_BALANCE),
    ("allowance is not enough", RejectReason.NOT_ENOUGH_BALANCE),
    ("maker address not allowed", RejectReason.MAKER_NOT_ALLOWED),
    ("use the deposit wallet flow", RejectReason.MAKER_NOT_ALLOWED),
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
# In an answer of status 200. The venue also remarks on orders that it took, and a kill may follow
# a part that was filled: so only the two texts that mean "killed" count, word for word (but for the
# full stop at the end), and not beside anything that speaks of success.
_KILLED: Final = {
    "no orders found to match with FAK order. "
    "FAK orders are partially filled or killed if no match is found": RejectReason.NO_MATCH,
    "order couldn't be fully filled. "
    "FOK orders are fully filled or killed": RejectReason.FOK_NOT_FILLED,
}
_FULL_FILL_E6: Final = 10_000
"""The answer rounds: less than a cent unspent is a full fill."""
_SIZE_ROUNDING_E6: Final = 10_000
"""The venue rounds shares to hundredths of one."""
_STATUS_PREFIX: Final = "order_status_"


class _Success(msgspec.Struct):
    status: object = None
    order_id: object = msgspec.field(name="orderID", default=None)
    success: object = None
    error_msg: object = msgspec.field(name="errorMsg", default=None)
    error: object = None
    making: msgspec.Raw = msgspec.field(name="makingAmount", default=MISSING)
    taking: msgspec.Raw = msgspec.field(name="takingAmount", default=MISSING)
    trade_ids: object = msgspec.field(name="tradeIDs", default=None)
    hashes: object = msgspec.field(name="transactionsHashes", default=None)

    def word(self) -> str:
        """The status in lower case and without its prefix, "" when it is none."""
        return plain(self.status).removeprefix(_STATUS_PREFIX)

    def remarks(self) -> list[object]:
        """What it says beside a status."""
        said = (self.error_msg, self.error)
        return [each for each in said if (each.strip() if isinstance(each, str) else each)]


_decode_success: Final = msgspec.json.Decoder(_Success).decode


def read_answer(answer: HttpAnswer, order_id: str, spend_e6: int, size_e6: int) -> Answer:
    """Classify an answer to the POST of a BUY order of ours, which offers `spend_e6` for `size_e6`
    shares. Raises nothing, whatever the answer is."""
    if 200 <= answer.status < 300:
        return read_success(answer.body, order_id, spend_e6, size_e6)
    said = read_refusal(answer.body, answer.content_type, answer.retry_after)
    if said.success or not said.in_full:
        doubt = "with signs of success" if said.success else "not readable in full"
        concerns = _REFUSALS_BY_STATUS.get(answer.status)
        return Unknown(text=f"HTTP {answer.status}, {doubt}: {said.text}", concerns=concerns)
    if answer.status == 403 and not said.in_own_form:
        return Unknown(text=f"HTTP 403: {said.text}", concerns=RejectReason.GEOBLOCKED)
    return _refused(answer.status, said, order_id)


def read_success(body: bytes, order_id: str, spend_e6: int, size_e6: int) -> Answer:
    """Classify the body of an answer of status 200, as `read_answer` does."""
    try:
        answer = decoded(_decode_success, body)
        spent_e6, bought_e6 = size_or_zero_e6(answer.making), size_or_zero_e6(answer.taking)
    except (*UNDECODABLE, ValueError) as error:
        return Unknown(text=f"HTTP 200, unreadable: {error}"[:TEXT_LENGTH_MAX])
    named = answer.order_id.strip() if isinstance(answer.order_id, str) else ""
    if named and named.lower() != order_id.lower():
        text = f"HTTP 200, answered as {named[:80]}, not as {order_id}"
        return Unknown(text=text, alarm=True)
    status = answer.word()
    if remarks := answer.remarks():
        return _remarked(answer, remarks, read_refusal(body, "", ""), order_id)
    in_full = read_in_full(body)
    taken = answer.success is True and named and status in _ACCEPTED
    if not (taken and in_full):
        return Unknown(text=_told(status, in_full=in_full))
    return _accepted(answer, status, (spent_e6, bought_e6), (spend_e6, size_e6))


def _told(status: str, text: str = "", *, in_full: bool) -> str:
    doubt = "" if in_full else "not readable in full, "
    return f"HTTP 200, {doubt}{status[:80]}: {text}"[:TEXT_LENGTH_MAX]


def _remarked(answer: _Success, remarks: list[object], told: Said, order_id: str) -> Answer:
    """An answer of status 200 that says more than a status."""
    said = _told(answer.word(), told.text, in_full=told.in_full)
    if any(_names_another(str(each), order_id) for each in remarks):
        return Unknown(text=f"HTTP 200 about another order: {said}"[:TEXT_LENGTH_MAX], alarm=True)
    killed = _killed(answer, remarks, told) if told.in_full else None
    return killed or Unknown(text=said)


def _killed(answer: _Success, remarks: list[object], told: Said) -> Rejected | None:
    """A kill, or a refusal beside `success: false`, in an answer of status 200."""
    if told.success or _is_taken_back(told) or len(remarks) > 1 or not isinstance(remarks[0], str):
        return None
    text = remarks[0]
    reason = _KILLED.get(text.strip().rstrip(". "))
    if reason is None and answer.success is False and not answer.word():
        reason = _proven_reason(400, plain(text), ())
        if reason in _KILLED.values():
            return None
    return None if reason is None else Rejected(reason=reason, text=text[:TEXT_LENGTH_MAX])


def _accepted(
    answer: _Success, status: str, got_e6: tuple[int, int], offered_e6: tuple[int, int]
) -> Answer:
    """A success under our own id; `got_e6` and `offered_e6` are (USD, shares)."""
    (spent_e6, bought_e6), (spend_e6, size_e6) = got_e6, offered_e6
    if status == "matched" and not (spent_e6 and bought_e6):
        return _implausible(spent_e6, bought_e6)
    # The price of an order is its spend over its size; no share is cheaper than 1e-4 USD.
    too_dear = (bought_e6 + _SIZE_ROUNDING_E6) * spend_e6 < spent_e6 * size_e6
    if spent_e6 > spend_e6 or too_dear or cost_e6(1, bought_e6) > spend_e6:
        return _implausible(spent_e6, bought_e6)
    partly = status == "matched" and spend_e6 - spent_e6 >= _FULL_FILL_E6
    ids = answer.trade_ids if isinstance(answer.trade_ids, list) else ()
    return Accepted(
        status="partly_matched" if partly else status,
        spend_e6=spent_e6,
        size_e6=bought_e6,
        trade_ids=tuple(each for each in ids if isinstance(each, str) and each),
    )


def _implausible(spent_e6: int, bought_e6: int) -> Unknown:
    text = f"implausible fill: {spent_e6}e-6 USD, {bought_e6}e-6 shares"
    return Unknown(text=text, implausible=True)


def refusal(status: int, text: str, order_id: str, code: str | None = None) -> Rejected | Unknown:
    """Classify an answer that is not a success: HTTP `status`, the venue's own `text` and, where
    it names one, its error `code`.

    `order_id` is ours: a text about another order proves nothing about this one.
    """
    return _refused(status, Said(text=text, codes=(code,) if code else ()), order_id)


def _refused(status: int, said: Said, order_id: str) -> Rejected | Unknown:
    text = said.text
    if any(_names_another(each, order_id) for each in (said.whole or text, *said.order_ids)):
        return Unknown(text=f"HTTP {status} about another order: {text}", alarm=True)
    reason = None
    if not _is_taken_back(said):
        reason = _proven_reason(status, plain(said.whole or text), said.codes)
    if reason is None:
        return Unknown(text=f"HTTP {status}: {text}", concerns=_REFUSALS_BY_STATUS.get(status))
    return Rejected(reason=reason, text=text, retry_after_ms=said.retry_after_ms)


def _is_taken_back(said: Said) -> bool:
    """Something broke on the way, or the venue has the order, whatever else it says."""
    text = plain(f"{said.text} {said.whole} {said.beside}")
    return any(words in text for words in _NO_REFUSALS)


def _names_another(text: str, order_id: str) -> bool:
    return any(other.lower() != order_id.lower() for other in _ORDER_ID.findall(text))


# Answers that the venue gives before an order can reach its engine, whatever their text says:
# refused at the edge (region, firewall), engine restarting, too many requests.
_REFUSALS_BY_STATUS: Final = {
    403: RejectReason.GEOBLOCKED,
    425: RejectReason.ENGINE_RESTARTING,
    429: RejectReason.RATE_LIMITED,
}
_NO_REFUSALS: Final = (
    "context cancel", "timeout", "timed out", "deadline exceeded", "duplicate", "delayed",
)  # fmt: skip
_DISABLED_TEXTS: Final = (
    "trading is currently",
    "trading is disabled",
    "post-only mode",
    "post only mode",
    "cancel-only",
    "cancel only",
)


def _proven_reason(status: int, text: str, codes: tuple[str, ...]) -> RejectReason | None:
    """`text` is in plain letters (`refusal_text.plain`)."""
    if status in (400, 404) and _NO_ORDERBOOK.search(text):
        return RejectReason.MARKET_CLOSED
    if status in (400, 403, 503) and (
        any(mode_word(code) in MODES for code in (text, *codes))
        or any(words in text for words in _DISABLED_TEXTS)
    ):
        return RejectReason.TRADING_DISABLED
    if status in (400, 403):
        known = next((reason for words, reason in _REFUSALS_400 if words in text), None)
        if known is not None or status == 400:
            return known
    if status == 401 and "invalid api key" in text:
        return RejectReason.UNAUTHORIZED
    return _REFUSALS_BY_STATUS.get(status)
