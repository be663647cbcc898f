"""Plain, valid messages for tests to bend."""

from __future__ import annotations

from decimal import Decimal

from protocol.book import Book, Proof
from protocol.decision import Decision, Timeline
from protocol.fee import FeeSchedule
from protocol.market import MarketInfo, Outcome
from protocol.snapshot import BookSnapshot

UP_TOKEN, DOWN_TOKEN = "1" * 77, "2" * 77


def market_info() -> MarketInfo:
    return MarketInfo(
        condition_id="0x" + "ab" * 32,
        slug="btc-updown-15m-1700000100",
        series="btc-15m",
        outcomes=(
            Outcome(name="Up", token_id=UP_TOKEN),
            Outcome(name="Down", token_id=DOWN_TOKEN),
        ),
        start_ms=1_700_000_100_000,
        end_ms=1_700_001_000_000,
        tick_size_e4=100,
        min_order_size_e6=5_000_000,
        fee=FeeSchedule(rate=Decimal("0.07"), exponent=1),
        neg_risk=False,
        accepting=True,
    )


def snapshot() -> BookSnapshot:
    return BookSnapshot(
        market=market_info(),
        books=(
            Book(
                token_id=UP_TOKEN,
                bids=((5_200, 10_000_000), (5_100, 1)),
                asks=((5_300, 7_500_000), (5_400, 2_000_000)),
            ),
            Book(token_id=DOWN_TOKEN, bids=((4_700, 7_500_000),), asks=()),
        ),
        proof=Proof.CHECKSUM,
        venue_timestamp_ms=1_700_000_200_000,
        received_at_ns=1_700_000_200_010_000_000,
        published_at_ns=1_700_000_200_010_100_000,
        epoch=1_700_000_000_000,
        sequence=3,
    )


def decision() -> Decision:
    return Decision(
        decision_id="d-1",
        strategy="book_imbalance_crypto",
        worker="worker-1",
        condition_id="0x" + "ab" * 32,
        slug="btc-updown-15m-1700000100",
        outcome="Up",
        token_id=UP_TOKEN,
        result="executed",
        reason="matched",
        imbalance=0.61,
        signal_price_e4=5_300,
        max_price_e4=5_500,
        spend_e6=1_100_000,
        decided_at_ms=1_700_000_200_011,
        timeline=Timeline(received_at_ns=1_700_000_200_010_000_000),
    )
