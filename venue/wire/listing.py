"""The Gamma API's listing (`GET /events?slug=`): of one window's market, and what it paid. Pure.

1. Each market of an event is judged alone, and each event: what is malformed beside the market that
   is wanted spoils nothing.
2. Token ids belong to outcomes by name: the two lists run in parallel, but which outcome comes
   first means nothing.
3. Prices are a payout only when they are final: closed, not called unresolved, and exactly 0 and 1
   or one half each; or near one half each, when the market is expressly called resolved: so void
   markets were seen (0.505 and 0.495). Anything else is a price. Whatever two tokens pay, together
   it is 1: that much is locked for each pair of them. So 0 and 0 is how nothing is written, and no
   payout, whatever else is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Final

import msgspec

from protocol.fee import NO_FEE, FeeSchedule
from protocol.market import MarketInfo, Outcome
from protocol.series import Series
from protocol.subjects import book_subject
from protocol.units import PRICE_SCALE, SIZE_SCALE, to_price_e4, to_size_e6
from venue.wire import numbers
from venue.wire.errors import UNDECODABLE, WireError, decoded, undecodable
from venue.wire.market_record import check_tokens
from venue.wire.numbers import MISSING

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FEE_EXPONENT_MAX: Final = 10
_MIN_ORDER_SIZE_MAX: Final = 1_000_000
_ZERO: Final = Decimal(0)
_HALF: Final = Decimal("0.5")
_ONE: Final = Decimal(1)
_NEAR_HALF: Final = Decimal("0.05")
"""Of a void: as far from one half as any that was seen, tenfold."""
_SUM_ROUNDING: Final = Decimal("0.01")
"""Two prices, each rounded to the cent."""
_RESOLVED: Final = "resolved"


class ListingError(WireError):
    """A listing that cannot be used; the text names the field."""


class _Event(msgspec.Struct, rename="camel"):
    markets: list[msgspec.Raw]
    neg_risk: object = None


class _Heading(msgspec.Struct, rename="camel"):
    """Which market it is."""

    slug: object = None
    condition_id: object = None


class _Fee(msgspec.Struct):
    rate: msgspec.Raw
    exponent: msgspec.Raw


class _Window(msgspec.Struct, rename="camel"):
    """A market's facts while it is traded."""

    condition_id: str
    slug: str
    outcomes: str
    clob_token_ids: str
    event_start_time: Instant
    end_date: Instant
    order_price_min_tick_size: msgspec.Raw
    order_min_size: msgspec.Raw
    accepting_orders: bool
    active: bool
    closed: bool
    # Not every listing has these three; what their absence means is in `_fee` and `_market_info`.
    neg_risk: bool | None = None
    fees_enabled: bool | None = None
    fee_schedule: _Fee | None = None


class _Result(msgspec.Struct, rename="camel"):
    """A market's facts after its end."""

    closed: object = None
    clob_token_ids: msgspec.Raw = MISSING
    outcome_prices: msgspec.Raw = MISSING
    uma_resolution_status: object = None


class ListedResult(msgspec.Struct, frozen=True, kw_only=True):
    """What Gamma says that a market's tokens pay."""

    payouts_e6: dict[str, int] | None = None
    """token id -> USD a share in 1e-6, None while that is not final."""
    text: str
    """What it says, in a few words."""
    resolved: bool = False
    """It calls the market resolved expressly."""
    near_half: bool = False
    """Near one half each, not exactly: a void, or a price that is behind the market's status."""


_decode_events: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_event: Final = msgspec.json.Decoder(_Event).decode
_decode_heading: Final = msgspec.json.Decoder(_Heading).decode
_decode_window: Final = msgspec.json.Decoder(_Window).decode
_decode_result: Final = msgspec.json.Decoder(_Result).decode
_decode_list: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_names: Final = msgspec.json.Decoder(list[str]).decode
_decode_text: Final = msgspec.json.Decoder(str).decode


def parse_listing(payload: bytes, series: Series, start_s: int) -> MarketInfo | None:
    """The answer to `GET /events?slug=` to the market of that window, None when not listed (yet).

    Raises ListingError naming the field. Start and end must be the window's: how many markets are
    followed at once rests on that.
    """
    slug = series.slug(start_s)
    found = _find(payload, slug, "no market of that slug", lambda each: each.slug == slug)
    if found is None:
        return None
    raw, event_neg_risk = found
    try:
        window = _decode_window(raw)
    except UNDECODABLE as error:
        raise ListingError(str(undecodable(slug, error))) from error
    return _market_info(window, event_neg_risk, series, start_s)


def read_result(payload: bytes, condition_id: str, token_id: str) -> ListedResult:
    """The answer to `GET /events?slug=` to what the market's tokens pay. `token_id` must be one of
    them. Raises WireError."""
    what, wanted = f"listing of {condition_id}", condition_id.lower()
    found = _find(
        payload, what, "no such market", lambda each: str(each.condition_id).lower() == wanted
    )
    if found is None:
        return ListedResult(text="Gamma does not list it")
    try:
        result = _decode_result(found[0])
        if result.closed is not True:
            return ListedResult(text="Gamma has not closed it")
        status = result.uma_resolution_status
        # A market that is closed but not yet resolved may happen to stand at one half each.
        if status not in (None, "", _RESOLVED):
            return ListedResult(text=f"Gamma calls it {ascii(status)[:40]}")
        prices = [numbers.decimal(raw) for raw in _decode_list(_inner(result.outcome_prices))]
        if not prices:
            return ListedResult(text="Gamma names no prices")
        token_ids = _decode_names(_inner(result.clob_token_ids))
    except UNDECODABLE as error:
        raise ListingError(str(undecodable(what, error))) from error
    except ValueError as error:
        raise ListingError(f"{what}: {error}") from error
    if len(prices) != len(token_ids):
        raise ListingError(f"{what}: tokens and prices do not match")
    check_tokens(token_ids, condition_id, token_id)
    return _result(dict(zip(token_ids, prices, strict=True)), resolved=status == _RESOLVED)


def _result(prices: dict[str, Decimal], *, resolved: bool) -> ListedResult:
    """What the prices of a closed market's tokens are worth as payouts."""
    told = sorted(prices.values())
    text = f"Gamma's prices are {', '.join(f'{price:f}'[:12] for price in prices.values())}"
    exact = told in ([_ZERO] * (len(told) - 1) + [_ONE], [_HALF, _HALF])
    near_half = (
        not exact
        and resolved
        and len(told) == 2
        and all(abs(price - _HALF) <= _NEAR_HALF for price in told)
        and abs(sum(told, _ZERO) - _ONE) <= _SUM_ROUNDING
    )
    payouts_e6 = None
    if exact or near_half:
        payouts_e6 = {token_id: int(price * SIZE_SCALE) for token_id, price in prices.items()}
    return ListedResult(
        payouts_e6=payouts_e6, text=text[:200], resolved=resolved, near_half=near_half
    )


def _find(
    payload: bytes, what: str, missing: str, wanted: Callable[[_Heading], bool]
) -> tuple[msgspec.Raw, object] | None:
    """The first market that is wanted, and its event's `negRisk`; None when there is no event."""
    try:
        events = decoded(_decode_events, payload)
    except UNDECODABLE as error:
        raise ListingError(str(undecodable(what, error))) from error
    unreadable = ""
    for raw_event in events:
        try:
            event = _decode_event(raw_event)
        except UNDECODABLE as error:
            unreadable = f", and an event that cannot be read: {error}"
            continue
        for raw in event.markets:
            try:
                if wanted(_decode_heading(raw)):
                    return raw, event.neg_risk
            except UNDECODABLE as error:
                unreadable = f", and a market that cannot be read: {error}"
    if events:
        raise ListingError(f"{what}: {missing}{unreadable}")
    return None


def _inner(raw: msgspec.Raw) -> bytes:
    """A list, or one written as JSON inside a string, as Gamma does; `""` and null have nothing."""
    written = bytes(raw)
    if written[:1] == b'"':
        written = _decode_text(written).encode()
    return b"[]" if written in (b"", b"null") else written


def _market_info(
    market: _Window, event_neg_risk: object, series: Series, start_s: int
) -> MarketInfo:
    neg_risk = event_neg_risk if market.neg_risk is None else market.neg_risk
    with _naming(market, "negRisk"):
        if neg_risk is not None and not isinstance(neg_risk, bool):
            raise ValueError(f"neither true nor false: {str(neg_risk)[:40]!r}")
    with _naming(market, "conditionId"):
        book_subject(series.name, market.condition_id)
    with _naming(market, "outcomes"):
        names = _pair(market.outcomes)
    with _naming(market, "clobTokenIds"):
        tokens = _pair(market.clob_token_ids)
    start_ms, end_ms = start_s * 1000, (start_s + series.window_s) * 1000
    with _naming(market, "eventStartTime"):
        if _epoch_ms(market.event_start_time) != start_ms:
            raise ValueError(f"{market.event_start_time} is not the window's start")
    with _naming(market, "endDate"):
        if _epoch_ms(market.end_date) != end_ms:
            raise ValueError(f"{market.end_date} is not the window's end")
    with _naming(market, "orderPriceMinTickSize"):
        tick_size = numbers.decimal(market.order_price_min_tick_size)
        tick_size_e4 = to_price_e4(tick_size)
        if not 0 < tick_size_e4 < PRICE_SCALE:
            raise ValueError(f"not a tick size: {tick_size}")
    with _naming(market, "orderMinSize"):
        min_order_size = numbers.decimal(market.order_min_size)
        if min_order_size > _MIN_ORDER_SIZE_MAX:
            raise ValueError(f"not a size: {min_order_size}")
        min_order_size_e6 = to_size_e6(min_order_size)
    with _naming(market, "feeSchedule"):
        fee = _fee(market)
    return MarketInfo(
        condition_id=market.condition_id,
        slug=market.slug,
        series=series.name,
        outcomes=(
            Outcome(name=names[0], token_id=tokens[0]),
            Outcome(name=names[1], token_id=tokens[1]),
        ),
        start_ms=start_ms,
        end_ms=end_ms,
        tick_size_e4=tick_size_e4,
        min_order_size_e6=min_order_size_e6,
        fee=fee,
        # Decides which contract an order is signed for; the event says it when the market does not.
        neg_risk=bool(neg_risk),
        accepting=market.active and not market.closed and market.accepting_orders,
    )


@contextmanager
def _naming(market: _Window, field: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, ArithmeticError, msgspec.MsgspecError) as error:
        raise ListingError(f"{market.slug}: {field}: {error}") from error


def _pair(text: str) -> tuple[str, str]:
    names = _decode_names(text)
    if len(names) != 2 or not all(names) or names[0] == names[1]:
        raise ValueError(f"not two different names: {text[:200]}")
    return names[0], names[1]


def _fee(market: _Window) -> FeeSchedule:
    schedule = market.fee_schedule
    if market.fees_enabled is False or (market.fees_enabled is None and schedule is None):
        return NO_FEE
    if schedule is None:
        raise ValueError("missing although feesEnabled")
    rate, exponent = numbers.decimal(schedule.rate), numbers.whole(schedule.exponent)
    if rate > 1:
        raise ValueError(f"rate: {rate}")
    if exponent > _FEE_EXPONENT_MAX:
        raise ValueError(f"exponent: {exponent}")
    return FeeSchedule(rate=rate, exponent=exponent)


def _epoch_ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)
