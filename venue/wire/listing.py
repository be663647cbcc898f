"""The Gamma API's listing (`GET /events?slug=`): of one window's market, and what it paid. Pure.

1. Each market of an event is judged alone, and each event: what is malformed beside the market that
   is wanted spoils nothing, not even under the same name.
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
from decimal import Decimal
from typing import Final

import msgspec

from protocol.bounds import Name
from protocol.fee import NO_FEE, FeeSchedule
from protocol.market import MarketInfo, Outcome
from protocol.series import Series
from protocol.subjects import book_subject
from protocol.units import PRICE_SCALE, SIZE_SCALE, to_price_e4, to_size_e6
from venue.wire import numbers, scalars
from venue.wire.doubt import refuse_doubled
from venue.wire.errors import UNDECODABLE, WireError, decoded, undecodable
from venue.wire.market_record import check_tokens
from venue.wire.numbers import MISSING
from venue.wire.scalars import truth

ASSUMED_FEE: Final = FeeSchedule(rate=Decimal("0.07"), exponent=1)
"""Of a market with fees that names none (a live 5m market, 2026-03): what the venue's crypto
markets cost. This very object, so that a reader can tell."""
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
    neg_risk: msgspec.Raw = MISSING


class _Heading(msgspec.Struct, rename="camel"):
    """Which market it is."""

    slug: object = None
    condition_id: object = None


class _Fee(msgspec.Struct):
    rate: msgspec.Raw = MISSING
    exponent: msgspec.Raw = MISSING


class _Window(msgspec.Struct, rename="camel"):
    """A market's facts while it is traded."""

    condition_id: Name
    slug: str
    outcomes: msgspec.Raw = MISSING
    clob_token_ids: msgspec.Raw = MISSING
    event_start_time: msgspec.Raw = MISSING
    end_date: msgspec.Raw = MISSING
    order_price_min_tick_size: msgspec.Raw = MISSING
    order_min_size: msgspec.Raw = MISSING
    accepting_orders: msgspec.Raw = MISSING
    active: msgspec.Raw = MISSING
    closed: msgspec.Raw = MISSING
    # Not every listing has these three; what their absence means is in `_fee` and `_market_info`.
    neg_risk: msgspec.Raw = MISSING
    fees_enabled: msgspec.Raw = MISSING
    fee_schedule: msgspec.Raw = MISSING


class _Result(msgspec.Struct, rename="camel"):
    """A market's facts after its end."""

    closed: msgspec.Raw = MISSING
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
    closed: bool = False
    near_half: bool = False
    """At or near one half each: a split or a void, or a price that is behind the market's status.
    """


_decode_events: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_event: Final = msgspec.json.Decoder(_Event).decode
_decode_heading: Final = msgspec.json.Decoder(_Heading).decode
_decode_window: Final = msgspec.json.Decoder(_Window).decode
_decode_result: Final = msgspec.json.Decoder(_Result).decode
_decode_list: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_text: Final = msgspec.json.Decoder(str).decode
_decode_name: Final = msgspec.json.Decoder(Name).decode
_decode_fee: Final = msgspec.json.Decoder(_Fee).decode


def parse_listing(payload: bytes, series: Series, start_s: int) -> MarketInfo | None:
    """The answer to `GET /events?slug=` to the market of that window, None when not listed (yet).

    Raises ListingError naming the field. Start and end must be the window's: how many markets are
    followed at once rests on that.
    """
    slug, refusal = series.slug(start_s), None
    for raw, event_neg_risk in _each(payload, slug, "no market of that slug", _called(slug)):
        try:
            return _market_info(_window(raw, slug), event_neg_risk, series, start_s)
        except ListingError as error:
            refusal = refusal or error
    if refusal is not None:
        raise refusal
    return None


def _called(slug: str) -> Callable[[_Heading], bool]:
    return lambda each: each.slug == slug


def _window(raw: msgspec.Raw, slug: str) -> _Window:
    try:
        refuse_doubled(raw)
        return _decode_window(raw)
    except UNDECODABLE as error:
        raise ListingError(str(undecodable(slug, error))) from error


def read_result(payload: bytes, condition_id: str, token_id: str) -> ListedResult:
    """The answer to `GET /events?slug=` to what the market's tokens pay. `token_id` must be one of
    them. Raises WireError."""
    what, wanted = f"listing of {condition_id}", condition_id.lower()
    results: list[ListedResult] = []
    refusal: WireError | None = None
    for raw, _ in _each(
        payload, what, "no such market", lambda each: str(each.condition_id).lower() == wanted
    ):
        try:
            results.append(_read_result(raw, what, condition_id, token_id))
        except WireError as error:
            refusal = refusal or error
    final = [each for each in results if each.payouts_e6 is not None]
    if any(each.payouts_e6 != final[0].payouts_e6 for each in final):
        raise ListingError(f"{what}: listed twice with different results")
    if results:  # under one name, what is closed is newer than what is not
        return next(iter(final), max(results, key=lambda each: each.closed))
    if refusal is not None:
        raise refusal
    return ListedResult(text="Gamma does not list it")


def _read_result(raw: msgspec.Raw, what: str, condition_id: str, token_id: str) -> ListedResult:
    """What one of the markets of that name says."""
    try:
        result = _decode_result(raw)
        refuse_doubled(raw)
        if not truth(result.closed):
            return ListedResult(text="Gamma has not closed it")
        status = result.uma_resolution_status
        if isinstance(status, str):
            status = status.strip().lower()
        # A market that is closed but not yet resolved may happen to stand at one half each.
        if status not in (None, "", _RESOLVED):
            return ListedResult(text=f"Gamma calls it {ascii(status)[:40]}", closed=True)
        prices = [numbers.decimal(raw) for raw in _decode_list(_inner(result.outcome_prices))]
        if not prices:
            return ListedResult(text="Gamma names no prices", closed=True)
        token_ids = [scalars.token_id(raw) for raw in _decode_list(_inner(result.clob_token_ids))]
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
    halves = told == [_HALF, _HALF]
    near_half = halves or (
        resolved
        and len(told) == 2
        and all(abs(price - _HALF) <= _NEAR_HALF for price in told)
        and abs(sum(told, _ZERO) - _ONE) <= _SUM_ROUNDING
    )
    payouts_e6 = None
    if near_half or told == [_ZERO] * (len(told) - 1) + [_ONE]:
        payouts_e6 = {token_id: int(price * SIZE_SCALE) for token_id, price in prices.items()}
    return ListedResult(
        payouts_e6=payouts_e6,
        text=text[:200],
        resolved=resolved,
        closed=True,
        near_half=near_half,
    )


def _each(
    payload: bytes, what: str, missing: str, wanted: Callable[[_Heading], bool]
) -> Iterator[tuple[msgspec.Raw, msgspec.Raw]]:
    """Each market that is wanted, and its event's `negRisk`. Raises ListingError where there are
    events and none is."""
    try:
        events = decoded(_decode_events, payload)
    except UNDECODABLE as error:
        raise ListingError(str(undecodable(what, error))) from error
    unreadable, found = "", False
    for raw_event in events:
        try:
            event = _decode_event(raw_event)
        except UNDECODABLE as error:
            unreadable = f", and an event that cannot be read: {error}"
            continue
        for raw in event.markets:
            try:
                is_wanted = wanted(_decode_heading(raw))
            except UNDECODABLE as error:
                unreadable = f", and a market that cannot be read: {error}"
                continue
            if is_wanted:
                found = True
                yield raw, event.neg_risk
    if events and not found:
        raise ListingError(f"{what}: {missing}{unreadable}")


def _inner(raw: msgspec.Raw) -> bytes:
    """A list, or one written as JSON inside a string, as Gamma does; `""` and null have nothing."""
    written = bytes(raw)
    if written[:1] == b'"':
        written = _decode_text(written).encode()
    return b"[]" if written in (b"", b"null") else written


def _market_info(
    market: _Window, event_neg_risk: msgspec.Raw, series: Series, start_s: int
) -> MarketInfo:
    with _naming(market, "negRisk"):
        neg_risk = truth(market.neg_risk)
        if neg_risk is None:
            neg_risk = truth(event_neg_risk)
    with _naming(market, "conditionId"):
        book_subject(series.name, market.condition_id)
    with _naming(market, "outcomes"):
        names = _pair(market.outcomes, _name)
    with _naming(market, "clobTokenIds"):
        tokens = _pair(market.clob_token_ids, scalars.token_id)
    start_ms = start_s * 1000
    with _naming(market, "eventStartTime"):
        if numbers.first_time_ms(market.event_start_time) != start_ms:
            raise ValueError(f"{_shown(market.event_start_time)} is not the window's start")
    with _naming(market, "endDate"):
        end_ms = numbers.first_time_ms(market.end_date)
        # When clocks are changed, a window may end with the clocks or keep its length.
        if end_ms not in (series.next_start_s(start_s) * 1000, start_ms + series.window_s * 1000):
            raise ValueError(f"{_shown(market.end_date)} is not the window's end")
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
    with _naming(market, "feesEnabled"):
        fees_enabled = truth(market.fees_enabled)
    with _naming(market, "feeSchedule"):
        fee = _fee(fees_enabled, market.fee_schedule)
    accepting = [
        _said(market, "active", market.active),
        not _said(market, "closed", market.closed),
        _said(market, "acceptingOrders", market.accepting_orders),
    ]
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
        accepting=all(accepting),
    )


@contextmanager
def _naming(market: _Window, field: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, ArithmeticError, msgspec.MsgspecError) as error:
        raise ListingError(f"{market.slug}: {field}: {error}") from error


def _said(market: _Window, field: str, raw: msgspec.Raw) -> bool:
    with _naming(market, field):
        said = truth(raw)
        if said is None:
            raise ValueError("missing")
        return said


def _pair(raw: msgspec.Raw, read: Callable[[msgspec.Raw], str]) -> tuple[str, str]:
    names = [read(each) for each in _decode_list(_inner(raw))]
    if len(names) != 2 or not all(names) or names[0] == names[1]:
        raise ValueError(f"not two different names: {bytes(raw).decode()[:200]}")
    return names[0], names[1]


def _name(raw: msgspec.Raw) -> str:
    return _decode_name(raw)


def _fee(fees_enabled: bool | None, written: msgspec.Raw) -> FeeSchedule:
    schedule = _schedule(written)
    if fees_enabled is False or (fees_enabled is None and schedule is None):
        return NO_FEE
    if schedule is None:
        return ASSUMED_FEE
    rate, exponent = numbers.decimal(schedule.rate), numbers.whole(schedule.exponent)
    if rate > 1:
        raise ValueError(f"rate: {rate}")
    if exponent > _FEE_EXPONENT_MAX:
        raise ValueError(f"exponent: {exponent}")
    return FeeSchedule(rate=rate, exponent=exponent)


def _schedule(written: msgspec.Raw) -> _Fee | None:
    """None where it names neither rate nor exponent."""
    text = bytes(written)
    if text[:1] == b'"':
        text = _decode_text(text).encode()
    if text.strip() in (b"", b"null"):
        return None
    schedule = _decode_fee(text)
    given = [numbers.number_text(each) for each in (schedule.rate, schedule.exponent)]
    return None if given == [None, None] else schedule


def _shown(raw: msgspec.Raw) -> str:
    return bytes(raw).decode()[:40]
