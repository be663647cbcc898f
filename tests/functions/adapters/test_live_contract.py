"""The live adapters on the venue as it is now: deposit wallet, its answers, its records."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from functions.adapters.live_exchange import LiveExchange
from functions.adapters.redeemer import records_of
from functions.adapters.venue_records import LiveRecords
from functions.core.claim import ClaimState
from functions.core.evidence import OrderLookup
from functions.core.lifecycle import apply_lookup
from functions.ports import PreparedOrder
from tests.support import canned_venue
from tests.support.live_desk import KEY, WALLET, Desk, account, open_desk, signed_order_of
from venue.trading.direct_orders import DirectOrders
from venue.trading.login import log_in
from venue.wallet import DEPOSIT, is_wallet_of, signature_type
from venue.wire.order_answer import Accepted, Rejected, RejectReason, Unknown


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with open_desk() as opened:
        yield opened


@asynccontextmanager
async def records(desk: Desk) -> AsyncIterator[LiveRecords]:
    live = await records_of(account(desk.url), redeem=False)
    try:
        yield live
    finally:
        await live.close()


async def lookup(desk: Desk, order: PreparedOrder) -> OrderLookup:
    claim = canned_venue.claim(
        order_id=order.order_id,
        condition_id=desk.market.condition_id,
        token_id=desk.market.token("Up"),
    )
    async with records(desk) as live:
        return await live.lookup(claim)


async def test_a_deposit_wallet_trades_and_is_asked_about(desk: Desk) -> None:
    assert is_wallet_of(KEY.address, WALLET)
    assert signature_type(KEY.address, WALLET) == DEPOSIT
    order = await desk.prepare()
    assert signed_order_of(order).signature_type == DEPOSIT
    bought = await desk.exchange.post(order)
    assert isinstance(bought, Accepted)
    look = await lookup(desk, order)
    assert look.order is not None
    assert look.order.size_matched_e6 == bought.size_e6
    assert [fill.trade_id for fill in look.trades] == list(bought.trade_ids)
    async with records(desk) as live:
        up = desk.market.token("Up")
        assert await live.positions([up]) == {up: bought.size_e6}


async def test_a_plain_wallet_is_told_what_the_venue_wants(desk: Desk) -> None:
    plain = dataclasses.replace(account(desk.url), wallet=KEY.address)
    client = await log_in(plain)
    exchange = LiveExchange(client, DirectOrders(client))
    try:
        answered = await Desk(desk.venue, desk.url, exchange, desk.market).buy()
    finally:
        await exchange.close()
    assert isinstance(answered, Rejected)
    assert answered.reason is RejectReason.MAKER_NOT_ALLOWED


async def test_null_lists_and_an_amount_a_unit_short_are_a_full_match(desk: Desk) -> None:
    desk.venue.faults.null_lists = desk.venue.faults.unit_short = 1.0
    bought = await desk.buy()
    [entry] = desk.venue.journal.entries
    assert bought == Accepted(
        status="matched",
        spend_e6=1_099_999,
        size_e6=2_200_000,
        trade_ids=tuple(entry.trade_ids),
    )


async def test_a_killed_order_is_on_record_with_nothing_bought(desk: Desk) -> None:
    order = await desk.prepare(max_price_e4=4_900)
    assert isinstance(await desk.exchange.post(order), Rejected)
    look = await lookup(desk, order)
    assert look.order is not None
    assert look.order.status.startswith("canceled_no orders found")
    assert (look.order.size_matched_e6, look.trades) == (0, ())


async def test_null_for_an_unknown_order_releases_no_faster_than_not_found(desk: Desk) -> None:
    order = await desk.prepare()
    look = await lookup(desk, order)
    assert (look.seen_by, look.order, look.trades) == (order.trader, None, ())
    claim = canned_venue.claim(order_id=order.order_id, trader=order.trader)
    early = apply_lookup(claim, look, claim.claimed_at_ms + 44_000)
    assert early is None
    seen, times = claim, 0
    while seen.state is not ClaimState.RELEASED and times < 9:
        times += 1
        seen = apply_lookup(seen, look, claim.claimed_at_ms + 45_000 + times * 6_000) or seen
    assert times == 3


async def test_a_market_that_holds_orders_answers_when_they_are_matched(desk: Desk) -> None:
    desk.market.itode = True
    posted = asyncio.create_task(desk.buy())
    async with asyncio.timeout(30):
        await desk.venue.notice.until(lambda: bool(desk.venue.journal.orders))
    assert not posted.done()
    bought = await posted
    assert isinstance(bought, Accepted)
    assert bought.status == "matched"


@pytest.mark.parametrize(
    ("fault", "kind"), [("cancel_only", Rejected), ("blocked", Unknown), ("disabled", Rejected)]
)
async def test_what_stands_before_the_engine(desk: Desk, fault: str, kind: type) -> None:
    setattr(desk.venue.faults, fault, 1.0)
    answered = await desk.buy()
    assert isinstance(answered, kind)
    assert desk.venue.journal.orders == {}
