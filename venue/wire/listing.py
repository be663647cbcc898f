"""The Gamma API's listing of one window's market, to `MarketInfo`.

Token ids are mapped to outcomes by name: the two lists run in parallel, but which outcome comes
first means nothing. Numbers arrive as JSON numbers or as strings; both are taken, exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Final

import msgspec

from protocol.fee import NO_FEE, FeeSchedule
from protocol.market import MarketInfo, Outcome
from protocol.series import Series
from protocol.subjects import book_subject
from protocol.units import PRICE_SCALE, to_price_e4, to_size_e6

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FEE_EXPONENT_MAX: Final = 10
_MIN_ORDER_SIZE_MAX: Final = 1_000_000


class ListingError(ValueError):
    """A listing that cannot be used; the text names the field."""


class _Fee(msgspec.Struct):
    rate: Decimal
    exponent: Decimal


class _Market(msgspec.Struct, rename="camel"):
    condition_id: str
    slug: str
    outcomes: str
    clob_token_ids: str
    event_start_time: Instant
    end_date: Instant
    order_price_min_tick_size: Decimal
    order_min_size: Decimal
    accepting_orders: bool
    active: bool
    closed: bool
    # Not every listing has these three; what their absence means is in `_fee` and `_market_info`.
    neg_risk: bool | None = None
    fees_enabled: bool | None = None
    fee_schedule: _Fee | None = None


class _Listing(msgspec.Struct, rename="camel"):
    markets: list[_Market]
    neg_risk: bool | None = None


_decode: Final = msgspec.json.Decoder(list[_Listing]).decode
_decode_names: Final = msgspec.json.Decoder(list[str]).decode


def parse_listing(payload: bytes, series: Series, start_s: int) -> MarketInfo | None:
    """The answer to `GET /events?slug=` to the market of that window, None when not listed (yet).

    Raises ListingError naming the field. Start and end must be the window's: how many markets are
    followed at once rests on that.
    """
    slug = series.slug(start_s)
    try:
        listings = _decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ListingError(f"{slug}: {error}") from error
    for listing in listings:
        for market in listing.markets:
            if market.slug == slug:
                return _market_info(market, listing.neg_risk, series, start_s)
    if listings:
        raise ListingError(f"{slug}: $[0].markets: no market of that slug")
    return None


def _market_info(
    market: _Market, event_neg_risk: bool | None, series: Series, start_s: int
) -> MarketInfo:
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
        tick_size_e4 = to_price_e4(market.order_price_min_tick_size)
        if not 0 < tick_size_e4 < PRICE_SCALE:
            raise ValueError(f"not a tick size: {market.order_price_min_tick_size}")
    with _naming(market, "orderMinSize"):
        # Before it is an integer: one of "1e500000" takes long to make, and cannot be written.
        if not 0 <= market.order_min_size <= _MIN_ORDER_SIZE_MAX:
            raise ValueError(f"not a size: {market.order_min_size}")
        min_order_size_e6 = to_size_e6(market.order_min_size)
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
        neg_risk=bool(event_neg_risk if market.neg_risk is None else market.neg_risk),
        accepting=market.active and not market.closed and market.accepting_orders,
    )


@contextmanager
def _naming(market: _Market, field: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, ArithmeticError, msgspec.MsgspecError) as error:
        raise ListingError(f"{market.slug}: {field}: {error}") from error


def _pair(text: str) -> tuple[str, str]:
    names = _decode_names(text)
    if len(names) != 2 or not all(names) or names[0] == names[1]:
        raise ValueError(f"not two different names: {text[:200]}")
    return names[0], names[1]


def _fee(market: _Market) -> FeeSchedule:
    schedule = market.fee_schedule
    if market.fees_enabled is False or (market.fees_enabled is None and schedule is None):
        return NO_FEE
    if schedule is None:
        raise ValueError("missing although feesEnabled")
    exponent = schedule.exponent
    if not schedule.rate.is_finite() or not 0 <= schedule.rate <= 1:
        raise ValueError(f"rate: {schedule.rate}")
    if not exponent.is_finite() or exponent % 1 or not 0 <= exponent <= _FEE_EXPONENT_MAX:
        raise ValueError(f"exponent: {exponent}")
    return FeeSchedule(rate=schedule.rate, exponent=int(exponent))


def _epoch_ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)
