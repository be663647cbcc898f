"""The venue's records, on the simulated venue."""

from __future__ import annotations

import pytest

from functions.adapters.redeemer import records_of
from functions.adapters.venue_records import PublicRecords
from functions.core.evidence import Resolution, Undecided
from functions.ports import RecordsError
from tests.support.canned_venue import KEY, account, nothing_seen, undated
from tests.support.venue_records import (
    Desk,
)

# ---- the simulated venue ----------------------------------------------------------------------


async def test_a_bought_order_is_found_with_its_trades(desk: Desk) -> None:
    bought = await desk.bought()
    look = await desk.records.lookup(bought)
    assert look.order is not None
    assert (look.order.order_id, look.order.status) == (bought.order_id, "matched")
    assert look.order.size_matched_e6 == 2_200_000
    [fill] = look.trades
    [entry] = desk.venue.journal.entries
    assert [fill.trade_id] == entry.trade_ids
    assert (fill.order_id, fill.condition_id, fill.token_id) == (
        bought.order_id,
        desk.market.condition_id,
        desk.up,
    )
    assert (fill.price_e4, fill.size_e6) == (5_000, 2_200_000)
    assert abs(fill.matched_at_ms - desk.venue.now_ms()) < 60_000


async def test_an_order_that_was_never_posted_is_not_found(desk: Desk) -> None:
    await desk.bought()  # another one, in the same market
    assert undated(await desk.records.lookup(desk.claim())) == nothing_seen(KEY.address)


async def test_the_account_s_trades_since_a_moment(desk: Desk) -> None:
    bought = await desk.bought()
    now_ms = desk.venue.now_ms()
    [fill] = await desk.records.trades_since(now_ms - 5_000)
    assert fill.order_id == bought.order_id
    assert await desk.records.trades_since(now_ms + 60_000) == ()


async def test_a_trade_of_the_very_second_asked_for_is_not_lost(desk: Desk) -> None:
    await desk.bought()
    [fill] = await desk.records.trades_since(0)
    # The venue tells whole seconds: it may have been matched after this moment.
    assert await desk.records.trades_since(fill.matched_at_ms + 999) == (fill,)


async def test_a_market_is_resolved_by_the_clob_s_winner(desk: Desk) -> None:
    assert isinstance(await desk.records.resolution(desk.claim()), Undecided)
    desk.venue.resolve(desk.market, "Down")
    assert await desk.records.resolution(desk.claim()) == Resolution(
        payouts_e6={desk.up: 0, desk.down: 1_000_000}, source="clob"
    )


async def test_a_split_is_decided_by_gamma(desk: Desk) -> None:
    desk.venue.resolve(desk.market, None)
    assert await desk.records.resolution(desk.claim()) == Resolution(
        payouts_e6={desk.up: 500_000, desk.down: 500_000}, source="gamma"
    )


async def test_positions_are_counted_by_token(desk: Desk) -> None:
    await desk.bought()
    held = await desk.records.positions([desk.up, desk.down, desk.up])
    assert held == {desk.up: 2_200_000, desk.down: 0}


async def test_winnings_are_redeemed_and_then_no_longer_held(desk: Desk) -> None:
    await desk.bought()
    trades = desk.venue.journal.trades.values()
    await desk.venue.notice.until(lambda: all(each.status == "CONFIRMED" for each in trades))
    desk.venue.resolve(desk.market, "Up")
    await desk.records.redeem(desk.market.condition_id)
    await desk.venue.notice.until(lambda: len(desk.venue.journal.redemptions) == 1)
    [paid] = desk.venue.journal.redemptions
    assert (paid.size_e6, paid.payout_e6) == (2_200_000, 2_200_000)
    assert await desk.records.positions([desk.up]) == {desk.up: 0}


async def test_late_reads_are_not_found_yet(desk: Desk) -> None:
    bought = await desk.bought()
    desk.venue.faults.lag_ms = 60_000
    assert undated(await desk.records.lookup(bought)) == nothing_seen(KEY.address)
    desk.venue.faults.lag_ms = 0
    assert len((await desk.records.lookup(bought)).trades) == 1


async def test_a_look_up_that_fails_is_no_answer(desk: Desk) -> None:
    bought = await desk.bought()
    desk.venue.faults.read_error = 1.0
    with pytest.raises(RecordsError):
        await desk.records.lookup(bought)
    with pytest.raises(RecordsError):
        await desk.records.trades_since(0)
    with pytest.raises(RecordsError):
        await desk.records.positions([desk.up])


async def test_an_empty_wallet_can_be_reconciled(desk: Desk) -> None:
    desk.venue.account(KEY.address).balance_e6 = 0
    live = await records_of(account(desk.url), redeem=False)
    assert undated(await live.lookup(desk.claim())) == nothing_seen(KEY.address)
    await live.close()


async def test_paper_knows_resolutions_and_nothing_else(desk: Desk) -> None:
    desk.venue.resolve(desk.market, "Up")
    paper = PublicRecords(desk.url, desk.url)
    try:
        assert await paper.resolution(desk.claim()) == Resolution(
            payouts_e6={desk.up: 1_000_000, desk.down: 0}, source="clob"
        )
        assert undated(await paper.lookup(desk.claim())) == nothing_seen()
        assert await paper.trades_since(0) == ()
        assert await paper.positions([desk.up]) == {}
        await paper.redeem(desk.market.condition_id)
    finally:
        await paper.close()
    assert desk.venue.journal.entries == []
