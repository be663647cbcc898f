"""Snapshots (books given as price in USD and whole shares), claims and evidence for tests."""

from __future__ import annotations

import itertools
import time
from decimal import Decimal
from typing import Any

import msgspec

from functions.core.claim import Claim, ClaimState, Trader, trader_of
from functions.core.evidence import OrderLookup
from protocol.book import Book, Level, Proof
from protocol.fee import FeeSchedule
from protocol.fill import Fill, TradeStatus
from protocol.market import DOWN, UP, MarketInfo, Outcome
from protocol.snapshot import BookSnapshot
from venue.wire.clob_market import ClobMarket
from venue.wire.orders import OrderRecord

Levels = list[tuple[str, int]]
"""("0.49", 100): price in USD, size in shares."""

_sequences = itertools.count(1)

# Up leans to the bid side by 0.6, Down is its mirror.
BULLISH_BIDS: Levels = [("0.49", 400), ("0.48", 400)]
BULLISH_ASKS: Levels = [("0.50", 100), ("0.51", 100)]


def market(
    condition_id: str = "0xc1",
    *,
    start_ms: int | None = None,
    end_ms: int | None = None,
    tick_size_e4: int = 100,
    accepting: bool = True,
) -> MarketInfo:
    """A running fifteen-minute market with ten minutes left."""
    now_ms = time.time_ns() // 1_000_000
    return MarketInfo(
        condition_id=condition_id,
        slug=f"btc-updown-15m-{condition_id}",
        series="btc-15m",
        # Down first: whoever maps tokens by position buys the wrong one.
        outcomes=(
            Outcome(name=DOWN, token_id=f"{condition_id}-down"),
            Outcome(name=UP, token_id=f"{condition_id}-up"),
        ),
        start_ms=now_ms - 300_000 if start_ms is None else start_ms,
        end_ms=now_ms + 600_000 if end_ms is None else end_ms,
        tick_size_e4=tick_size_e4,
        min_order_size_e6=5_000_000,
        fee=FeeSchedule(rate=Decimal("0.07"), exponent=1),
        neg_risk=False,
        accepting=accepting,
    )


def clob_market(condition_id: str = "0xc1", **changes: Any) -> ClobMarket:
    """What the CLOB says of `market(condition_id)`; the tokens come in another order."""
    agreeing = ClobMarket(
        outcomes=(
            Outcome(name=UP, token_id=f"{condition_id}-up"),
            Outcome(name=DOWN, token_id=f"{condition_id}-down"),
        ),
        neg_risk=False,
        tick_size_e4=100,
        min_order_size_e6=5_000_000,
        fee=FeeSchedule(rate=Decimal("0.07"), exponent=1),
        taker_delay_ms=None,
    )
    return msgspec.structs.replace(agreeing, **changes)


def levels(given: Levels) -> tuple[Level, ...]:
    """Exact levels."""
    return tuple((int(Decimal(price) * 10_000), size * 1_000_000) for price, size in given)


def mirrored(given: tuple[Level, ...]) -> tuple[Level, ...]:
    """The other token's opposite side."""
    return tuple((10_000 - price, size) for price, size in given)


def snapshot(
    bids: Levels | None = None,
    asks: Levels | None = None,
    *,
    of: MarketInfo | None = None,
    down: tuple[Levels, Levels] | None = None,
    received_at_ns: int | None = None,
    epoch: int = 1,
    sequence: int | None = None,
) -> BookSnapshot:
    """Up's book as given; Down's is its mirror unless given as (bids, asks).

    Each is newer than the one before, unless its sequence is given.
    """
    info = of or market()
    up_bids = levels(BULLISH_BIDS if bids is None else bids)
    up_asks = levels(BULLISH_ASKS if asks is None else asks)
    down_bids, down_asks = (
        (levels(down[0]), levels(down[1])) if down else (mirrored(up_asks), mirrored(up_bids))
    )
    now_ns = time.time_ns()
    received_ns = now_ns if received_at_ns is None else received_at_ns
    return BookSnapshot(
        market=info,
        books=(
            Book(token_id=info.token_of(UP), bids=up_bids, asks=up_asks),
            Book(token_id=info.token_of(DOWN), bids=down_bids, asks=down_asks),
        ),
        proof=Proof.CHECKSUM,
        venue_timestamp_ms=received_ns // 1_000_000,
        received_at_ns=received_ns,
        published_at_ns=received_ns,
        epoch=epoch,
        sequence=next(_sequences) if sequence is None else sequence,
    )


def stale(book: BookSnapshot, by_ms: int) -> BookSnapshot:
    """The same book, received `by_ms` earlier."""
    received = book.received_at_ns - by_ms * 1_000_000
    return msgspec.structs.replace(book, received_at_ns=received)


MADE_AT_MS = 1_790_000_000_000
"""When `a_claim` is made: 2026-09-21, ten minutes before its market ends."""
MARKET_END_MS = MADE_AT_MS + 600_000


def a_claim(**changes: Any) -> Claim:
    """A claim of 1.10 USD at up to 0.55, as it begins; `changes` as `Claim` names its fields."""
    begun = Claim(
        intent_id="intent-1",
        attempt_id="attempt-1",
        order_id="0xOrder1",
        trader=TRADER,
        condition_id="0xc1",
        slug="btc-updown-15m-1",
        token_id="up",
        outcome="Up",
        state=ClaimState.CLAIMED,
        max_price_e4=5_500,
        spend_e6=1_100_000,
        fee_rate="0.07",
        salt="1",
        order_timestamp_ms=MADE_AT_MS,
        claimed_at_ms=MADE_AT_MS,
        market_end_ms=MARKET_END_MS,
        counted=True,
    )
    return msgspec.structs.replace(begun, **changes)


def a_fill(
    trade_id: str = "t1",
    status: TradeStatus = TradeStatus.MATCHED,
    *,
    size_e6: int = 2_000_000,
    price_e4: int = 5_500,
    order_id: str = "0xorder1",
    matched_at_ms: int = MADE_AT_MS + 100,
) -> Fill:
    """A trade of `a_claim`'s order: all of its money, unless told otherwise."""
    return Fill(
        trade_id=trade_id,
        order_id=order_id,
        condition_id="0xc1",
        token_id="up",
        status=status,
        price_e4=price_e4,
        size_e6=size_e6,
        matched_at_ms=matched_at_ms,
    )


TRADER = trader_of("0x" + "51" * 20, "0x" + "3A" * 20)
"""Whose `a_claim` is, and who looks."""
STRANGER = trader_of("0x" + "52" * 20, "0x" + "3B" * 20)


def a_look(
    *trades: Fill, status: str = "", matched_e6: int = 0, seen_by: Trader = TRADER
) -> OrderLookup:
    """What one look shows; without a status there is no order record."""
    order = OrderRecord(order_id="0xorder1", status=status, size_matched_e6=matched_e6)
    return OrderLookup(seen_by=seen_by, order=order if status else None, trades=trades)
