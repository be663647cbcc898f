"""The venue's JSON about orders, trades and markets, read into evidence. No network.

Only what is needed is read, and tolerantly: fields that nobody uses may be missing, sizes may be
strings or numbers, statuses are open sets with or without a prefix. What is needed and cannot be
read raises RecordsError, and nothing else is ever raised: an answer that is not understood is not
"not found".

Sizes are decimal shares (the venue's API reference says so expressly; an older edition said 1e-6).
Should that ever change, `plausible` notices: the same digits read as shares would cost more than
the order's money even at the lowest price there is.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec
import structlog

from functions.core.claim import Claim
from functions.core.evidence import OrderRecord
from functions.ports import RecordsError
from protocol.fill import Fill, TradeStatus
from protocol.units import PRICE_SCALE, SIZE_SCALE, cost_e6, parse_size_e6

LAST_CURSOR: Final = "LTE="
_ORDER_PREFIX: Final = "order_status_"
_TRADE_PREFIX: Final = "TRADE_STATUS_"
_NUMBER_LENGTH_MAX: Final = 28
"""What Decimal's default context holds exactly."""
_WORD_LENGTH_MAX: Final = 200
_MILLISECONDS_FROM: Final = 100_000_000_000
"""Epoch times from here on are milliseconds: as seconds this is the year 5138."""
_EPOCH_MS_MAX: Final = 253_402_300_799_999
"""The end of the year 9999."""
_PAYS_ALL: Final = SIZE_SCALE
_PAYS_HALF: Final = SIZE_SCALE // 2
_log = structlog.get_logger()


class MarketWord(msgspec.Struct, frozen=True, kw_only=True):
    """What the CLOB's market record says."""

    closed: bool
    payouts_e6: dict[str, int] | None
    """token id -> USD a share in 1e-6; None while no token is called the winner."""


def order_record(body: object, order_id: str) -> OrderRecord | None:
    """`GET /data/order/{id}`; None for the `null` that the venue has answered for filled orders
    (py-clob-client#217). Raises RecordsError."""
    if body is None:
        return None
    fields = _object(body, "order")
    if _text(fields, "id", "order").lower() != order_id.lower():
        raise RecordsError(f"order {order_id}: the answer is about {_shown(fields['id'])}")
    status = fields.get("status")
    return OrderRecord(
        order_id=order_id,
        status=(
            status.lower().removeprefix(_ORDER_PREFIX)
            if isinstance(status, str) and _is_word(status)
            else ""
        ),
        size_matched_e6=_size_e6(fields, "size_matched", "order"),
    )


def page(body: object) -> tuple[list[object], str | None]:
    """One page of a list and the next one's cursor, None on the last. Raises RecordsError."""
    fields = _object(body, "page")
    items, cursor = fields.get("data"), fields.get("next_cursor")
    if items is None and "data" in fields:  # as Go writes an empty list
        items = []
    if not isinstance(items, list):
        raise RecordsError("page: no list named data")
    if cursor in (None, "", LAST_CURSOR):
        return items, None
    if not isinstance(cursor, str):
        raise RecordsError(f"page: unreadable next_cursor {_shown(cursor)}")
    return items, cursor


def taker_order_id(item: object) -> str:
    """Whose trade it is, in lower case. Raises RecordsError."""
    return _text(_object(item, "trade"), "taker_order_id", "trade").lower()


def bought_as_taker(item: object) -> bool:
    """Whether the trade is a purchase by the account as a taker. Raises RecordsError."""
    fields = _object(item, "trade")
    side, trader_side = fields.get("side", "BUY"), fields.get("trader_side", "TAKER")
    if not (isinstance(side, str) and isinstance(trader_side, str)):
        raise RecordsError("trade: unreadable side")
    return (side.upper(), trader_side.upper()) == ("BUY", "TAKER")


def fill_of(item: object) -> Fill:
    """One item of `GET /data/trades`. Raises RecordsError."""
    fields = _object(item, "trade")
    token = "asset_id" if "asset_id" in fields else "token_id"
    return Fill(
        trade_id=_text(fields, "id", "trade"),
        order_id=taker_order_id(item),
        condition_id=_text(fields, "market", "trade"),
        token_id=_text(fields, token, "trade"),
        status=_trade_status(_text(fields, "status", "trade")),
        price_e4=_price_e4(fields),
        size_e6=_size_e6(fields, "size", "trade"),
        matched_at_ms=_epoch_ms(fields.get("match_time")),
    )


def balance_e6(body: object, what: str) -> int:
    """`GET /balance-allowance`: the balance, a whole number of 1e-6. Raises RecordsError."""
    balance = body.get("balance") if isinstance(body, dict) else None
    try:
        text = _number(balance)
    except ValueError:
        text = "."
    if "." in text:
        raise RecordsError(f"{what}: unreadable balance {_shown(balance)}")
    return int(text)


def plausible(claim: Claim, order: OrderRecord | None, trades: tuple[Fill, ...]) -> bool:
    """Whether the order's money can have bought this much."""
    matched_e6 = 0 if order is None else order.size_matched_e6
    # Twice: a trade's price may be rounded to the tick.
    traded_e6 = max((cost_e6(fill.price_e4, fill.size_e6) for fill in trades), default=0)
    return cost_e6(1, matched_e6) <= claim.spend_e6 and traded_e6 <= 2 * claim.spend_e6


def market_word(body: object, claim: Claim) -> MarketWord:
    """CLOB `GET /markets/{condition_id}`. Raises RecordsError."""
    fields = _object(body, "market")
    condition_id = _text(fields, "condition_id", "market")
    if condition_id.lower() != claim.condition_id.lower():
        raise RecordsError(f"market {claim.condition_id}: the answer is about {condition_id}")
    closed, tokens = fields.get("closed"), fields.get("tokens")
    if not isinstance(closed, bool) or not isinstance(tokens, list):
        raise RecordsError(f"market {claim.condition_id}: no closed or no tokens")
    won: dict[str, bool] = {}
    for token in tokens:
        each = _object(token, "market token")
        winner = each.get("winner") or False
        if not isinstance(winner, bool):
            raise RecordsError(f"market {claim.condition_id}: unreadable winner")
        won[_text(each, "token_id", "market token")] = winner
    _check_tokens(list(won), len(tokens), claim)
    if sum(won.values()) > 1:
        raise RecordsError(f"market {claim.condition_id}: more than one winner")
    payouts = {token_id: _PAYS_ALL if winner else 0 for token_id, winner in won.items()}
    return MarketWord(closed=closed, payouts_e6=payouts if any(won.values()) else None)


def listed_payouts(body: object, claim: Claim) -> dict[str, int] | None:
    """Gamma `GET /events?slug=`: token id -> USD a share in 1e-6, None while it is not final.

    Final is: closed, not called unresolved, and prices of exactly 0 and 1, or one half each.
    Anything else is a price, not a payout. Raises RecordsError.
    """
    if not isinstance(body, list):
        raise RecordsError("listing: not a list of events")
    if not body:
        return None
    market = _listed(body, claim)
    if market.get("closed") is not True or not market.get("outcomePrices"):
        return None
    # A market that is closed but not yet resolved may happen to stand at one half each.
    if market.get("umaResolutionStatus") not in (None, "", "resolved"):
        return None
    token_ids = _inner_list(market, "clobTokenIds")
    prices = [_decimal(price) for price in _inner_list(market, "outcomePrices")]
    if not all(isinstance(each, str) for each in token_ids) or len(prices) != len(token_ids):
        raise RecordsError(f"listing of {claim.slug}: tokens and prices do not match")
    _check_tokens(list(dict.fromkeys(token_ids)), len(token_ids), claim)
    if sorted(prices) == [0] * (len(prices) - 1) + [1]:
        return {each: _PAYS_ALL * int(p) for each, p in zip(token_ids, prices, strict=True)}
    if prices == [Decimal("0.5")] * 2:
        return dict.fromkeys(token_ids, _PAYS_HALF)
    return None


def _listed(events: list[object], claim: Claim) -> dict[Any, Any]:
    for event in events:
        markets = _object(event, "event").get("markets")
        for each in markets if isinstance(markets, list) else []:
            market = _object(each, "listed market")
            condition_id = market.get("conditionId")
            if isinstance(condition_id, str) and condition_id.lower() == claim.condition_id.lower():
                return market
    raise RecordsError(f"listing of {claim.slug}: no market {claim.condition_id}")


def _check_tokens(token_ids: list[str], listed: int, claim: Claim) -> None:
    if len(token_ids) != listed or listed < 2 or claim.token_id not in token_ids:
        raise RecordsError(f"market {claim.condition_id}: its tokens are not those that we know")


def _inner_list(fields: dict[Any, Any], name: str) -> list[Any]:
    """A list, or one written as JSON inside a string, as Gamma does."""
    value = fields.get(name)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise RecordsError(f"listing: {name} is not JSON") from error
    if not isinstance(value, list):
        raise RecordsError(f"listing: {name} is not a list")
    return value


def _trade_status(word: str) -> TradeStatus:
    status = word.upper().removeprefix(_TRADE_PREFIX)
    if status in TradeStatus.__members__:
        return TradeStatus[status]
    if status != "MATCHED_NOT_BROADCASTED":  # known to the official client: an early MATCHED
        _log.warning("unknown_trade_status", status=_shown(word))
    # It is on record, and nothing says that it is final or void: that is what MATCHED means.
    return TradeStatus.MATCHED


def _object(value: object, what: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise RecordsError(f"{what}: not a JSON object: {_shown(value)}")
    return value


def _text(fields: dict[Any, Any], name: str, what: str) -> str:
    """A word or an id, such as may be stored, logged and put into a URL."""
    value = fields.get(name)
    if not (isinstance(value, str) and _is_word(value)):
        raise RecordsError(f"{what}: unreadable {name} {_shown(value)}")
    return value


def _is_word(text: str) -> bool:
    return 0 < len(text) <= _WORD_LENGTH_MAX and text.isascii() and text.isprintable()


def _number(value: object) -> str:
    """Plain digits and at most one point. Raises ValueError."""
    if isinstance(value, float) and math.isfinite(value):
        text = format(Decimal(repr(value)), "f")
    elif isinstance(value, int) and not isinstance(value, bool):
        text = str(value)
    elif isinstance(value, str):
        text = value
    else:
        raise ValueError("not a number")
    digits = text.replace(".", "", 1)
    if len(text) > _NUMBER_LENGTH_MAX or not (digits.isdigit() and digits.isascii()):
        raise ValueError("not a plain number")
    return text


def _decimal(value: object) -> Decimal:
    try:
        return Decimal(_number(value))
    except ValueError as error:
        raise RecordsError(f"unreadable number {_shown(value)}") from error


def _size_e6(fields: dict[Any, Any], name: str, what: str) -> int:
    try:
        return parse_size_e6(_number(fields.get(name)))
    except ValueError as error:
        raise RecordsError(f"{what}: unreadable {name} {_shown(fields.get(name))}") from error


def _price_e4(fields: dict[Any, Any]) -> int:
    # Up, because a trade over several levels may show an average that is finer than our unit, and
    # a buyer's record must never be below what was paid.
    price_e4 = math.ceil(_decimal(fields.get("price")) * PRICE_SCALE)
    if not 0 < price_e4 <= PRICE_SCALE:
        raise RecordsError(f"trade: impossible price {_shown(fields.get('price'))}")
    return price_e4


def _epoch_ms(value: object) -> int:
    """Epoch seconds (as documented), epoch milliseconds, or ISO 8601."""
    try:
        if isinstance(value, str) and "-" in value:
            moment = datetime.fromisoformat(value)
            return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)
        number = int(Decimal(_number(value)))
    except (ValueError, OverflowError) as error:
        raise RecordsError(f"trade: unreadable match_time {_shown(value)}") from error
    if number > _EPOCH_MS_MAX:
        raise RecordsError(f"trade: unreadable match_time {_shown(value)}")
    return number if number >= _MILLISECONDS_FROM else number * 1000


def _shown(value: object) -> str:
    if value is None or isinstance(value, str | int | float):
        return repr(value)[:80]
    return type(value).__name__  # repr of deeply nested lists raises RecursionError
