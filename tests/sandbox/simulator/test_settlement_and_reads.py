"""Trades on their way to the chain, and look-ups that show the past or fail."""

from __future__ import annotations

from decimal import Decimal

import aiohttp
import pytest
from polymarket import AsyncSecureClient
from polymarket.errors import RequestRejectedError
from polymarket.models.clob.account import ClobTrade

from sandbox.simulator import Market, Venue, clob
from tests.sandbox.simulator.conftest import ADDRESS, OTHER_ADDRESS, SHARES, buy, until

BALANCE_E6 = 100_000_000


async def trades(client: AsyncSecureClient, **wanted: str) -> list[ClobTrade]:
    return [trade async for trade in client.list_account_trades(**wanted).iter_items()]


async def held(client: AsyncSecureClient, token: str) -> int:
    answer = await client.get_balance_allowance(asset_type="CONDITIONAL", token_id=token)
    return answer.balance


def final(venue: Venue) -> bool:
    statuses = {trade.status for trade in venue.journal.trades.values()}
    return bool(statuses) and statuses <= {"CONFIRMED", "FAILED"}


async def test_a_failed_trade_gives_everything_back(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    up = market.token("Up")
    venue.faults.failed_trade = 1.0
    answer = await buy(client, up, "1", "0.52")
    assert await held(client, up) == 2 * SHARES
    await until(venue, lambda: final(venue))

    (trade,) = await trades(client, id=answer.trade_ids[0])
    assert trade.status == "FAILED"
    (known,) = venue.journal.trades.values()
    assert [status for _, status in known.steps] == ["MATCHED", "RETRYING", "FAILED"]
    assert await held(client, up) == 0
    assert venue.account(ADDRESS).balance_e6 == BALANCE_E6
    (entry,) = venue.journal.entries
    assert (entry.verdict, entry.faults) == ("matched", ["failed_trade"])
    assert (entry.spend_e6, entry.size_e6, entry.fee_e6) == (1_000_000, 2 * SHARES, 35_000)
    assert (entry.live_spend_e6, entry.live_size_e6, entry.live_fee_e6) == (0, 0, 0)
    order = await client.get_order(order_id=answer.order_id)
    assert (order.status, order.size_matched) == ("MATCHED", 2)


async def test_one_of_two_trades_fails(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    venue.faults.failed_trade = 0.5
    venue.chance.restart(1)  # the second one
    await buy(client, market.token("Up"), "2", "0.55")
    await until(venue, lambda: final(venue))

    stays, fails = venue.journal.trades.values()
    assert (stays.status, fails.status) == ("CONFIRMED", "FAILED")
    (entry,) = venue.journal.entries
    live = (entry.live_size_e6, entry.live_spend_e6, entry.live_fee_e6)
    assert live == (stays.fill.size_e6, stays.fill.spend_e6, stays.fill.fee_e6)
    assert await held(client, market.token("Up")) == stays.fill.size_e6
    assert venue.account(ADDRESS).balance_e6 == BALANCE_E6 - stays.fill.spend_e6 - stays.fill.fee_e6


async def test_settlement_that_takes_its_time(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    venue.faults.settle_ms = 100
    await buy(client, market.token("Up"), "1", "0.52")
    await until(venue, lambda: final(venue))
    (trade,) = venue.journal.trades.values()
    (matched_ms, _), (mined_ms, _), (confirmed_ms, _) = trade.steps
    # 0.1 s and 0.2 s without the fault; clocks round to milliseconds.
    assert mined_ms - matched_ms >= 199
    assert confirmed_ms - mined_ms >= 299


async def test_look_ups_show_what_was_a_while_ago(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    venue.faults.delayed, venue.faults.failed_trade = 1.0, 1.0
    answer = await buy(client, market.token("Up"), "1", "0.52")
    await until(venue, lambda: final(venue))
    (entry,), (trade,) = venue.journal.entries, venue.journal.trades.values()
    accepted_ms = venue.journal.orders[entry.order_id][0].since_ms
    # The moment looked at is set by the clock, so that no sleep is needed.
    venue.faults.lag_ms = 5_000

    def looking_at(at_ms: int) -> None:
        venue.now_ms = lambda: at_ms + 5_000  # type: ignore[method-assign]

    looking_at(accepted_ms - 1)
    assert await client._ctx.secure_clob.get_json(f"/data/order/{answer.order_id}") is None
    assert await trades(client) == []
    assert venue.chance.injected["lag"] == 2

    # Both may be of one millisecond; then the later state counts.
    looking_at(accepted_ms)
    assert (await client.get_order(order_id=answer.order_id)).status in ("DELAYED", "MATCHED")
    for at_ms, status in trade.steps:
        looking_at(at_ms)
        (shown,) = await trades(client)
        assert shown.status == status
        assert (await client.get_order(order_id=answer.order_id)).status == "MATCHED"
    assert trade.status == "FAILED"
    hits = venue.chance.injected["lag"]
    await trades(client)
    assert venue.chance.injected["lag"] == hits, "nothing was hidden"


async def test_look_ups_may_fail(client: AsyncSecureClient, venue: Venue, market: Market) -> None:
    answer = await buy(client, market.token("Up"), "1", "0.52")
    venue.faults.read_error = 1.0
    with pytest.raises(RequestRejectedError) as order:
        await client.get_order(order_id=answer.order_id)
    with pytest.raises(RequestRejectedError) as listed:
        await trades(client)
    with pytest.raises(RequestRejectedError) as balance:
        await client.get_balance_allowance(asset_type="COLLATERAL")
    assert [e.value.status for e in (order, listed, balance)] == [500, 500, 500]
    assert venue.chance.injected == {"read_error": 3}


async def test_trades_come_in_pages(
    client: AsyncSecureClient, venue: Venue, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clob, "TRADES_PAGE", 2)
    venue.set_book(market.token("Up"), [], [(4000 + 100 * n, SHARES) for n in range(5)])
    answer = await buy(client, market.token("Up"), "2.1", "0.52")
    assert len(answer.trade_ids) == 5

    pages = [page async for page in client.list_account_trades()]
    assert [len(page.items) for page in pages] == [2, 2, 1]
    assert [t.id for page in pages for t in page.items] == list(answer.trade_ids)
    assert [page.has_more for page in pages] == [True, True, False]


@pytest.mark.parametrize("cursor", ["!", "LTE=", "eA=="])
async def test_a_cursor_that_is_none(client: AsyncSecureClient, cursor: str) -> None:
    with pytest.raises(RequestRejectedError, match="Invalid trade params payload"):
        await client.list_account_trades().from_cursor(cursor).first_page()


async def test_trades_are_filtered_by_wallet_and_id(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    answer = await buy(client, market.token("Up"), "2", "0.55")
    assert len(await trades(client, maker_address=ADDRESS)) == 2
    assert await trades(client, maker_address=OTHER_ADDRESS) == []
    (one,) = await trades(client, id=answer.trade_ids[1])
    assert (one.id, one.price) == (answer.trade_ids[1], Decimal("0.51"))
    assert await trades(client, id="0", market=market.condition_id) == []


async def test_the_journal_tells_it_all_over_http(
    client: AsyncSecureClient, url: str, venue: Venue, market: Market
) -> None:
    venue.faults.failed_trade = 1.0
    await buy(client, market.token("Up"), "1", "0.52")
    assert len(venue.journal.unsettled()) == 1
    await until(venue, lambda: final(venue))
    async with aiohttp.ClientSession() as http, http.get(f"{url}/sandbox/journal") as got:
        journal = await got.json()
    (entry,), (trade,) = journal["entries"], journal["trades"]
    assert (entry["live_size_e6"], entry["size_e6"]) == (0, 2 * SHARES)
    assert (trade["status"], trade["steps"][-1][1]) == ("FAILED", "FAILED")
    assert (journal["pending"], journal["unsettled"]) == (0, 0)
    assert journal["injected"] == {"failed_trade": 1}
