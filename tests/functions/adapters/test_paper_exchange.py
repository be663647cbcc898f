"""Paper orders: filled from the published book, final at once, and settled like real ones."""

from __future__ import annotations

import msgspec

from functions.adapters.paper_exchange import PaperExchange
from functions.core.book_imbalance import book_imbalance_crypto
from functions.core.claim import ClaimState
from functions.core.evidence import Resolution
from functions.core.lifecycle import apply_answer, apply_resolution, final
from functions.core.strategy import OrderConfig, Trade
from protocol.decision import Timeline
from protocol.snapshot import BookSnapshot
from tests.support.trading_builders import a_claim, snapshot
from venue.wire.order_answer import Accepted, Rejected, RejectReason

ORDER = OrderConfig(spend_e6=1_100_000)


def traded_on(book: BookSnapshot) -> Trade:
    trade = book_imbalance_crypto(book, ORDER, book.received_at_ns // 1_000_000)
    assert isinstance(trade, Trade)
    return trade


async def test_a_paper_order_is_bought_level_by_level_and_final() -> None:
    book = snapshot(asks=[("0.50", 1), ("0.51", 100)])
    trade = traded_on(book)
    exchange = PaperExchange(delay_ms=0)
    order = await exchange.prepare(trade, book)
    answer = await exchange.post(order)
    assert isinstance(answer, Accepted)
    assert [(f.price_e4, f.size_e6) for f in answer.fills] == [
        (5_000, 1_000_000),
        (5_100, 1_176_470),
    ]
    assert (answer.status, answer.spend_e6, answer.size_e6) == ("matched", 1_100_000, 2_176_470)

    claim = a_claim(order_id=order.order_id, token_id=trade.token_id)
    opened = apply_answer(claim, answer, claim.claimed_at_ms + 300, Timeline())
    assert opened is not None
    assert final(opened)
    won = Resolution(payouts_e6={trade.token_id: 1_000_000}, source="gamma")
    ended = apply_resolution(opened, won, claim.market_end_ms)
    assert ended is not None
    assert ended.state is ClaimState.SETTLED
    assert ended.pnl_e6 == 2_176_470 - 1_100_000 - opened.fee_e6


async def test_nothing_at_or_below_the_limit_is_no_match() -> None:
    book = snapshot()
    exchange = PaperExchange(delay_ms=0)
    below = msgspec.structs.replace(traded_on(book), max_price_e4=100)
    answer = await exchange.post(await exchange.prepare(below, book))
    assert isinstance(answer, Rejected)
    assert answer.reason is RejectReason.NO_MATCH


async def test_a_thin_book_fills_a_part() -> None:
    book = snapshot(asks=[("0.50", 1), ("0.51", 1), ("0.60", 100)])
    exchange = PaperExchange(delay_ms=0)
    below = msgspec.structs.replace(traded_on(snapshot()), max_price_e4=5_100)
    answer = await exchange.post(await exchange.prepare(below, book))
    assert isinstance(answer, Accepted)
    assert (answer.status, answer.spend_e6) == ("partly_matched", 1_010_000)
