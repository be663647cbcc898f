"""What can go wrong with an order at the venue, and what the journal says about it."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from polymarket import AsyncSecureClient
from polymarket.errors import RateLimitError, RequestRejectedError, TransportError
from polymarket.models.clob.order_response import AcceptedOrder

from sandbox.simulator import Market, Venue
from sandbox.simulator.journal import Entry
from tests.sandbox.simulator.conftest import ADDRESS, SHARES, buy, sign, until
from venue.trading import official_client
from venue.wire.order_answer import Rejected, RejectReason, refusal

BALANCE_E6 = 100_000_000
SPENT_E6 = 1_035_000  # 1 USD for 2 shares at 0.50, and the fee


async def refused(client: AsyncSecureClient, market: Market) -> RequestRejectedError:
    """What a buy of 1 USD is refused with."""
    with pytest.raises(RequestRejectedError) as caught:
        await buy(client, market.token("Up"), "1", "0.52")
    return caught.value


async def lost(client: AsyncSecureClient, market: Market) -> None:
    """A buy of 1 USD that nobody answers."""
    with pytest.raises(TransportError):
        await buy(client, market.token("Up"), "1", "0.52")


def last(venue: Venue) -> Entry:
    return venue.journal.entries[-1]


# ---- at the door --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("restart", 425, RejectReason.ENGINE_RESTARTING),
        ("disabled", 503, RejectReason.TRADING_DISABLED),
    ],
)
async def test_the_venue_takes_no_orders(
    client: AsyncSecureClient,
    venue: Venue,
    market: Market,
    name: str,
    status: int,
    reason: RejectReason,
) -> None:
    setattr(venue.faults, name, 1.0)
    error = await refused(client, market)

    assert error.status == status
    understood = refusal(error.status, str(error), last(venue).order_id)
    assert isinstance(understood, Rejected)
    assert understood.reason is reason
    assert (last(venue).verdict, last(venue).faults) == ("intercepted", [name])
    assert venue.chance.injected == {name: 1}
    setattr(venue.faults, name, 0.0)
    assert (await buy(client, market.token("Up"), "1", "0.52")).status == "matched"


async def test_too_many_requests(client: AsyncSecureClient, venue: Venue, market: Market) -> None:
    venue.faults.rate_limited, venue.faults.rate_limited_ms = 1.0, 1_000
    now_ms = venue.now_ms()
    venue.now_ms = lambda: now_ms  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(RateLimitError):
            await buy(client, market.token("Up"), "1", "0.52")
        venue.faults.rate_limited = 0.0
    now_ms += 1_000
    assert (await buy(client, market.token("Up"), "1", "0.52")).status == "matched"


async def test_a_restart_takes_its_time_and_ends_in_post_only_mode(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    matched = await buy(client, market.token("Up"), "1", "0.50")
    venue.faults.restart, venue.faults.restart_ms, venue.faults.post_only_ms = 1.0, 90_000, 120_000
    now_ms = venue.now_ms()
    venue.now_ms = lambda: now_ms  # type: ignore[method-assign]
    market.end_ms = now_ms + 900_000
    assert (await refused(client, market)).status == 425

    venue.faults.restart = 0.0
    now_ms += 89_999
    assert (await refused(client, market)).status == 425
    with pytest.raises(RequestRejectedError) as look:
        await client.get_order(order_id=matched.order_id)
    assert look.value.status == 425, "order look-ups restart with the engine"
    now_ms += 1
    error = await refused(client, market)
    understood = refusal(error.status, str(error), last(venue).order_id, error.code)
    assert isinstance(understood, Rejected)
    assert understood.reason is RejectReason.TRADING_DISABLED
    assert (error.restriction, error.retry_after) == ("post_only", 120)
    now_ms += 120_000
    assert (await buy(client, market.token("Up"), "1", "0.52")).status == "matched"


# ---- on the way to the engine -------------------------------------------------------------------


async def test_dropped_before_the_match(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    venue.faults.drop_before = 1.0
    signed = await sign(client, market.token("Up"), "1", "0.52")
    with pytest.raises(TransportError):
        await client.post_order(signed)

    (entry,) = venue.journal.entries  # the client did not send it again
    assert (entry.verdict, entry.faults) == ("intercepted", ["drop_before"])
    assert venue.account(ADDRESS).balance_e6 == BALANCE_E6
    venue.faults.drop_before = 0.0
    posted = await client.post_order(signed)
    assert isinstance(posted, AcceptedOrder), "it was never seen"


async def test_a_late_landing(client: AsyncSecureClient, venue: Venue, market: Market) -> None:
    venue.faults.late_landing, venue.faults.late_landing_ms = 1.0, 50
    await lost(client, market)
    assert (last(venue).verdict, last(venue).matched_at_ms) == ("pending", 0)
    assert venue.journal.orders == {}

    await until(venue, lambda: last(venue).verdict == "matched")
    assert last(venue).faults == ["late_landing"]
    assert last(venue).matched_at_ms * 1_000_000 >= last(venue).received_at_ns + 49_000_000
    assert venue.account(ADDRESS).balance_e6 == BALANCE_E6 - SPENT_E6
    order = await client.get_order(order_id=last(venue).order_id)
    assert order.size_matched == 2


async def test_a_late_landing_may_find_nothing(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    venue.faults.late_landing = 1.0
    venue.faults.no_match = 1.0
    await lost(client, market)
    await until(venue, lambda: last(venue).verdict == "refused")
    assert "no orders found to match" in last(venue).text


async def test_an_order_that_lands_although_its_sender_gave_up(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    venue.faults.delay_before, venue.faults.delay_before_ms = 1.0, 100
    posting = asyncio.create_task(buy(client, market.token("Up"), "1", "0.52"))
    await until(
        venue, lambda: "delay_before" in last(venue).faults if venue.journal.entries else False
    )
    assert last(venue).verdict == "received"
    posting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await posting
    await until(venue, lambda: last(venue).verdict == "matched")


# ---- in the engine ------------------------------------------------------------------------------


async def test_no_match_although_there_are_asks(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    venue.faults.no_match = 1.0
    error = await refused(client, market)
    understood = refusal(error.status, str(error), last(venue).order_id)
    assert isinstance(understood, Rejected)
    assert understood.reason is RejectReason.NO_MATCH
    assert venue.account(ADDRESS).balance_e6 == BALANCE_E6


async def test_a_part_is_matched(client: AsyncSecureClient, venue: Venue, market: Market) -> None:
    venue.faults.partial = 1.0
    answer = await buy(client, market.token("Up"), "1", "0.50")

    assert Decimal("0.1") <= answer.making_amount <= Decimal("0.9")
    assert answer.making_amount == answer.taking_amount / 2
    assert answer.making_amount * 100 % 1 == 0
    assert venue.account(ADDRESS).balance_e6 == last(venue).balance_after_e6
    assert last(venue).spend_e6 == answer.making_amount * 1_000_000
    fok = await buy(client, market.token("Up"), "1", "0.60", "FOK")
    assert fok.making_amount == 1, "fill or kill is never in part"


async def test_delayed_and_matched_later(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    venue.faults.delayed, venue.faults.delayed_ms = 1.0, 50
    answer = await buy(client, market.token("Up"), "1", "0.52")

    assert (answer.status, answer.making_amount, answer.taking_amount) == ("delayed", 0, 0)
    assert (answer.trade_ids, answer.transactions_hashes) == ((), ())
    assert last(venue).verdict == "pending"
    assert venue.account(ADDRESS).balance_e6 == BALANCE_E6
    held = await client.get_order(order_id=answer.order_id)
    assert (held.status, held.size_matched) == ("DELAYED", 0)

    await until(venue, lambda: last(venue).verdict == "matched")
    order = await client.get_order(order_id=answer.order_id)
    assert (order.status, order.size_matched) == ("MATCHED", 2)
    assert list(order.associate_trades) == last(venue).trade_ids
    assert order.created_at == held.created_at
    assert venue.account(ADDRESS).balance_e6 == BALANCE_E6 - SPENT_E6


@pytest.mark.parametrize("why", ["fault", "market ends", "asks vanish", "money is gone"])
async def test_delayed_and_never_matched(
    client: AsyncSecureClient, venue: Venue, market: Market, why: str
) -> None:
    venue.faults.delayed, venue.faults.unmatched = 1.0, float(why == "fault")
    venue.faults.delayed_ms = 50
    answer = await buy(client, market.token("Up"), "1", "0.52")
    match why:
        case "market ends":
            market.end_ms = venue.now_ms()
        case "asks vanish":
            venue.set_book(market.token("Up"), [], [])
        case "money is gone":
            venue.account(ADDRESS).balance_e6 = 0

    await until(venue, lambda: last(venue).verdict != "pending")
    assert (last(venue).verdict, last(venue).fills) == ("unmatched", [])
    order = await client.get_order(order_id=answer.order_id)
    assert (order.status, order.size_matched) == ("UNMATCHED", 0)
    assert venue.journal.trades == {}


async def test_a_delayed_order_is_a_duplicate_at_once(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    venue.faults.delayed, venue.faults.delayed_ms = 1.0, 50
    signed = await sign(client, market.token("Up"), "1", "0.52")
    await client.post_order(signed)
    with pytest.raises(RequestRejectedError, match="Duplicated"):
        await client.post_order(signed)
    await until(venue, lambda: venue.journal.pending() == [])
    assert [entry.verdict for entry in venue.journal.entries] == ["matched", "refused"]


async def test_the_balance_is_locked_after_some_matches(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    venue.set_book(market.token("Up"), [], [(5000, 1000 * SHARES)])
    venue.faults.phantom_lock_after, venue.faults.phantom_lock_ms = 2, 500
    now_ms = venue.now_ms()
    venue.now_ms = lambda: now_ms  # type: ignore[method-assign]
    for _ in range(2):
        await buy(client, market.token("Up"), "1", "0.52")

    for _ in range(2):
        error = await refused(client, market)
        understood = refusal(error.status, str(error), last(venue).order_id)
        assert isinstance(understood, Rejected)
        assert understood.reason is RejectReason.NOT_ENOUGH_BALANCE
    await official_client.refresh_balance(client, market.token("Up"))  # that is about shares
    now_ms += 500
    assert "not enough balance" in str(await refused(client, market))
    await official_client.refresh_balance(client)
    now_ms += 499
    assert "not enough balance" in str(await refused(client, market)), "not at once"
    await official_client.refresh_balance(client)  # asking twice does not make it longer
    now_ms += 1
    for _ in range(2):
        await buy(client, market.token("Up"), "1", "0.52")
    assert "not enough balance" in str(await refused(client, market)), "and again"
    assert venue.chance.injected["phantom_lock"] == 5
    venue.faults.phantom_lock_after = 0
    await buy(client, market.token("Up"), "1", "0.52")
    venue.faults.phantom_lock_after = 1
    await buy(client, market.token("Up"), "1", "0.52")  # counted from when it was set
    assert "not enough balance" in str(await refused(client, market))


# ---- on the answer's way back -------------------------------------------------------------------


async def test_dropped_after_the_match(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    venue.faults.drop_after = 1.0
    await lost(client, market)
    (entry,) = venue.journal.entries
    assert (entry.verdict, entry.faults) == ("matched", ["drop_after"])
    assert (entry.spend_e6, entry.live_spend_e6) == (1_000_000, 1_000_000)


async def test_an_internal_error_after_the_match(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    venue.faults.error_after = 1.0
    error = await refused(client, market)
    assert error.status == 500
    assert not isinstance(refusal(500, str(error), last(venue).order_id), Rejected)
    assert last(venue).verdict == "matched"


async def test_an_answer_that_takes_its_time(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    venue.faults.delay_after, venue.faults.delay_after_ms = 1.0, 50
    posting = asyncio.create_task(buy(client, market.token("Up"), "1", "0.52"))
    await until(venue, lambda: venue.journal.matched() != [])
    assert not posting.done()
    assert (await posting).status == "matched"


# ---- all together -------------------------------------------------------------------------------


async def test_the_same_seed_does_the_same_to_the_same_orders(
    market: Market, url: str, venue: Venue, client: AsyncSecureClient
) -> None:
    venue.set_book(market.token("Up"), [], [(5000, 1000 * SHARES)])
    faults = venue.faults
    faults.restart = faults.drop_before = faults.delayed = faults.partial = faults.drop_after = 0.3
    runs = []
    for _ in range(2):
        venue.chance.restart(11)
        start = len(venue.journal.entries)
        for _ in range(12):
            try:
                await buy(client, market.token("Up"), "1", "0.52")
            except (TransportError, RequestRejectedError):
                continue
        await until(venue, lambda: venue.journal.pending() == [])
        runs.append([(e.verdict, e.faults, e.spend_e6) for e in venue.journal.entries[start:]])
    assert runs[0] == runs[1]
    assert len({verdict for verdict, _, _ in runs[0]}) > 1
