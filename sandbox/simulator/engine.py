"""What an order does once it has reached the matching engine: refused, matched, or held.

A held order (`delayed`) is on record, and takes nothing until its time comes; then it meets the
book, the balance and the market as they are by then. Meanwhile its money is reserved, and nothing
can cancel it. A market with `sd` answers `delayed` at once, one with `itode` after the match (which
of the two the real venue does for which is not known). Nothing here awaits except a hold.

Ids of trades and transactions follow from the order id, so that a run can be repeated.

Not modelled: why the real venue delays an order, and what its user channel says when one ends
unmatched (here: one CANCELLATION with status UNMATCHED).
"""

from __future__ import annotations

import asyncio
import uuid
from typing import Literal

import msgspec
from eth_utils.crypto import keccak

from sandbox.simulator import rules
from sandbox.simulator.auth import ApiKey
from sandbox.simulator.contracts import exchange_for
from sandbox.simulator.journal import Entry, JournalTrade, VenueOrder
from sandbox.simulator.market import HOLD_MS
from sandbox.simulator.matching import VenueFill, buy
from sandbox.simulator.order import Order
from sandbox.simulator.settlement import settle
from sandbox.simulator.user_broadcast import broadcast_to
from sandbox.simulator.user_events import order_event, trade_event
from sandbox.simulator.venue import Venue


async def place(
    venue: Venue, order: Order, key: ApiKey, entry: Entry
) -> Literal["matched", "delayed"]:
    """Check an order, then match it, or hold it when its market or a fault says so; fills in
    `entry`.

    Raises rules.Refused with the venue's text.
    """
    _check(venue, order, key, entry)
    venue.journal.seen.add(order.order_id)
    market, account = venue.by_token[order.token_id], venue.account(order.maker)
    delayed = hit(venue, entry, "delayed", venue.faults.delayed)
    delay_ms = venue.faults.delayed_ms if delayed else int(market.delay_s * 1000)
    if not (delayed or delay_ms or market.itode):
        _match_or_kill(venue, order, entry)
        return "matched"
    entry.verdict = "pending"
    _put_on_record(venue, order, entry, "DELAYED", venue.now_ms())
    reserved_e6 = _needed_e6(venue, order, entry)
    account.reserved_e6 += reserved_e6
    if delayed or delay_ms:
        never = delayed and hit(venue, entry, "unmatched", venue.faults.unmatched)
        venue.spawn(_match_later(venue, order, entry, (delay_ms, reserved_e6), never=never))
        return "delayed"
    venue.notice.changed()
    await asyncio.sleep(HOLD_MS / 1000)
    account.reserved_e6 -= reserved_e6
    _match_or_kill(venue, order, entry)
    return "matched"


def hit(venue: Venue, entry: Entry, name: str, rate: float) -> bool:
    """Draw a fault for one order, and note a hit on its entry."""
    if not venue.chance.hit(name, rate):
        return False
    entry.faults.append(name)
    return True


def transaction_of(order_id: str) -> str:
    """The hash of the transaction that settles an order's match."""
    return "0x" + keccak(text=f"{order_id}/settlement").hex()


def _check(venue: Venue, order: Order, key: ApiKey, entry: Entry) -> None:
    market = venue.by_token.get(order.token_id)
    rules.check_identity(order, key.key, key.address, venue.grandfathered)
    if order.maker in venue.undeployed:
        raise rules.Refused(rules.INVALID_SIGNATURE)  # there is no contract that could say yes
    if market is None or not market.open_at(venue.now_ms()):
        raise rules.Refused(rules.no_orderbook(order.token_id))
    if order.order_id in venue.journal.seen:
        raise rules.Refused(rules.duplicated(order.order_id))
    if not market.accepting:
        raise rules.Refused(rules.NOT_READY)
    rules.check_decimals(order, market.tick_size_e4)
    entry.limit_e4 = limit_e4 = rules.limit_price_e4(order, market.tick_size_e4)
    rules.check_minimum(order, market, limit_e4)
    _check_funds(venue, order, entry)


def _needed_e6(venue: Venue, order: Order, entry: Entry) -> int:
    """USD that the order may take, its fee included."""
    market = venue.by_token[order.token_id]
    worst_fee_e6 = rules.fee_e6(market.fee, entry.limit_e4, order.taker_amount_e6)
    return order.maker_amount_e6 + worst_fee_e6


def _check_funds(venue: Venue, order: Order, entry: Entry) -> None:
    market, account = venue.by_token[order.token_id], venue.account(order.maker)
    needed_e6, free_e6 = _needed_e6(venue, order, entry), account.balance_e6 - account.reserved_e6
    exchange, _ = exchange_for(order.token_id, neg_risk=market.neg_risk)
    rules.check_funds(needed_e6, free_e6, account.allowances.get(exchange, 0), exchange)
    if account.phantom_locked(venue.faults.phantom_lock_after, venue.now_ms()):
        venue.chance.injected["phantom_lock"] += 1
        entry.faults.append("phantom_lock")
        raise rules.Refused(rules.phantom_lock(needed_e6, account.balance_e6))


def _match_or_kill(venue: Venue, order: Order, entry: Entry) -> None:
    """Meet the book now; an order that finds nothing there is killed, and its owner hears of it.
    Raises rules.Refused then."""
    try:
        _match(venue, order, entry)
    except rules.Refused as refusal:
        status = f"CANCELED_{refusal}"
        record = _put_on_record(venue, order, entry, status, venue.now_ms(), killed=True)
        broadcast_to(venue, order.owner, entry.condition_id, order_event(record, "CANCELLATION"))
        raise


def _match(venue: Venue, order: Order, entry: Entry) -> None:
    """Meet the book now. Raises rules.Refused when nothing is there."""
    now_ms = venue.now_ms()
    market, book, _ = venue.books(order.token_id)
    fills = _fills(venue, order, entry)
    account = venue.account(order.maker)
    for fill in fills:
        book.take(fill.price_e4, fill.size_e6)
        account.balance_e6 -= fill.spend_e6 + fill.fee_e6
    if order.order_type == "FAK" and venue.faults.phantom_lock_after:
        account.matched_since_lock += 1
    transaction = transaction_of(order.order_id)
    trades = [
        JournalTrade(
            trade_id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{order.order_id}/{number}")),
            order_id=order.order_id,
            owner=order.owner,
            maker_address=order.maker,
            condition_id=market.condition_id,
            token_id=order.token_id,
            outcome=market.outcome_of(order.token_id),
            fill=fill,
            transaction_hash=transaction,
            status="MATCHED",
            matched_at_ms=now_ms,
            updated_at_ms=now_ms,
            steps=[(now_ms, "MATCHED")],
        )
        for number, fill in enumerate(fills)
    ]
    venue.journal.trades.update((trade.trade_id, trade) for trade in trades)
    entry.verdict, entry.matched_at_ms, entry.fills = "matched", now_ms, fills
    entry.spend_e6 = entry.live_spend_e6 = sum(fill.spend_e6 for fill in fills)
    entry.size_e6 = entry.live_size_e6 = sum(fill.size_e6 for fill in fills)
    entry.fee_e6 = entry.live_fee_e6 = sum(fill.fee_e6 for fill in fills)
    entry.trade_ids = [trade.trade_id for trade in trades]
    entry.balance_after_e6 = account.balance_e6
    record = _put_on_record(venue, order, entry, "MATCHED", now_ms)
    broadcast_to(venue, order.owner, market.condition_id, order_event(record))
    for trade in trades:
        broadcast_to(venue, order.owner, market.condition_id, trade_event(trade))
    settle(venue, entry, trades)
    venue.send_trades(order.token_id, fills, transaction, now_ms)


def _fills(venue: Venue, order: Order, entry: Entry) -> list[VenueFill]:
    """What the order would buy now. Raises rules.Refused when that is not enough."""
    market, book, _ = venue.books(order.token_id)
    spend_e6, fak = order.maker_amount_e6, order.order_type == "FAK"
    if fak and hit(venue, entry, "no_match", venue.faults.no_match):
        raise rules.Refused(rules.NO_MATCH)
    if fak and hit(venue, entry, "partial", venue.faults.partial):
        # Whole cents, as other amounts are.
        spend_e6 = max(10_000, int(spend_e6 * venue.chance.fraction("partial")) // 10_000 * 10_000)
    fills, complete = buy(book.buyable(), entry.limit_e4, spend_e6, market.fee)
    if not fak and not complete:
        raise rules.Refused(rules.NOT_FILLED)
    if not fills or not market.open_at(venue.now_ms()):  # it may have been held until the end
        raise rules.Refused(rules.NO_MATCH)
    if complete and hit(venue, entry, "unit_short", venue.faults.unit_short):
        fills[-1] = msgspec.structs.replace(fills[-1], spend_e6=fills[-1].spend_e6 - 1)
    return fills


async def _match_later(
    venue: Venue, order: Order, entry: Entry, held: tuple[int, int], *, never: bool
) -> None:
    """`held` is for how many milliseconds, and how much USD (1e-6) is reserved meanwhile."""
    after_ms, reserved_e6 = held
    await asyncio.sleep(after_ms / 1000)
    venue.account(order.maker).reserved_e6 -= reserved_e6
    market = venue.by_token[order.token_id]
    if never or not market.open_at(venue.now_ms()):
        _end_unmatched(venue, order, entry, "")
    else:
        try:
            _check_funds(venue, order, entry)
            _match(venue, order, entry)
        except rules.Refused as refusal:
            _end_unmatched(venue, order, entry, str(refusal))
    venue.notice.changed()


def _end_unmatched(venue: Venue, order: Order, entry: Entry, text: str) -> None:
    entry.verdict, entry.text = "unmatched", text
    record = _put_on_record(venue, order, entry, "UNMATCHED", venue.now_ms())
    broadcast_to(venue, order.owner, entry.condition_id, order_event(record, "CANCELLATION"))


def _put_on_record(
    venue: Venue,
    order: Order,
    entry: Entry,
    status: str,
    now_ms: int,
    *,
    killed: bool = False,
) -> VenueOrder:
    """Add the order's newest state to its record."""
    states = venue.journal.orders.setdefault(order.order_id, [])
    states.append(
        VenueOrder(
            order=order,
            status=status,
            since_ms=now_ms,
            condition_id=entry.condition_id,
            outcome=entry.outcome,
            limit_e4=entry.limit_e4,
            size_matched_e6=None if killed else entry.size_e6,
            trade_ids=tuple(entry.trade_ids),
            created_at_ms=states[0].created_at_ms if states else now_ms,
        )
    )
    return states[-1]
