"""POST /order: from the body to an answer, to no answer, or to something that comes later.

Every POST is journalled, whatever happens to it. What can go wrong is tried in the order in which
an order meets it: at the door, on its way to the engine, in the engine, on the answer's way back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from aiohttp import web

from sandbox.simulator import engine, rules
from sandbox.simulator.auth import ApiKey
from sandbox.simulator.clob import VENUE, answer, authenticated, error
from sandbox.simulator.engine import hit
from sandbox.simulator.journal import Entry
from sandbox.simulator.market import Market
from sandbox.simulator.order import InvalidPayloadError, Order, identify, parse_posting
from sandbox.simulator.text import amount_text
from sandbox.simulator.venue import CutConnection, Venue


async def post_order(request: web.Request) -> web.Response:
    """POST /order: journalled whatever happens."""
    venue = request.app[VENUE]
    body = await request.read()
    entry = Entry(received_at_ns=time.time_ns())
    venue.journal.entries.append(entry)
    try:
        return await _post_order(request, venue, body, entry)
    except web.HTTPUnauthorized as refusal:
        entry.verdict, entry.text = "unauthorized", refusal.text or ""
        raise
    except rules.Refused as refusal:
        entry.verdict, entry.text = "refused", str(refusal)
        return error(entry.text)
    except CutConnection:
        if entry.verdict == "received":
            entry.verdict = "intercepted"
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=499)  # nobody is left to read it
    finally:
        venue.notice.changed()


async def _post_order(
    request: web.Request, venue: Venue, body: bytes, entry: Entry
) -> web.Response:
    try:
        posting = parse_posting(body)
        market = venue.by_token.get(posting.order.token_id)
        order = identify(posting, neg_risk=market is not None and market.neg_risk)
    except InvalidPayloadError as refusal:
        await authenticated(request)
        raise rules.Refused(rules.INVALID_PAYLOAD) from refusal
    _describe(entry, order, market)
    key = await authenticated(request)
    instead = _turned_away(venue, entry)
    if instead is None:
        instead = await _on_the_way(venue, order, key, entry)
    if instead is not None:
        entry.verdict = "intercepted"
        return instead
    outcome = await engine.place(venue, order, key, entry)
    instead = await _on_the_way_back(venue, order, entry)
    return _accepted(venue, order, entry, outcome) if instead is None else instead


def _turned_away(venue: Venue, entry: Entry) -> web.Response | None:
    """What the venue answers while it takes no orders."""
    faults, chance, now_ms = venue.faults, venue.chance, venue.now_ms()
    if chance.in_window("restart", faults.restart, faults.restart_ms, now_ms):
        entry.faults.append("restart")
        return error(rules.RESTARTING, 425)
    if chance.closed_within("restart", faults.post_only_ms, now_ms):
        chance.injected["post_only"] += 1
        entry.faults.append("post_only")
        wait_s = -(-faults.post_only_ms // 1000)
        return answer({"code": rules.POST_ONLY_CODE, "retry_after_seconds": wait_s}, 503)
    for name, turned_away in _WINDOWS.items():
        rate, duration_ms = getattr(faults, name), getattr(faults, f"{name}_ms")
        if chance.in_window(name, rate, duration_ms, now_ms):
            entry.faults.append(name)
            return turned_away()
    return None


_WINDOWS: Final[dict[str, Callable[[], web.Response]]] = {
    "cancel_only": lambda: answer({"code": rules.CANCEL_ONLY_CODE}, 503),
    "blocked": lambda: web.Response(text=rules.BLOCKED_PAGE, status=403, content_type="text/html"),
    "disabled": lambda: error(rules.DISABLED, 503),
    "rate_limited": lambda: error(rules.RATE_LIMITED, 429),
}


async def _on_the_way(venue: Venue, order: Order, key: ApiKey, entry: Entry) -> web.Response | None:
    """What happens before the engine sees the order. Raises CutConnection."""
    faults = venue.faults
    if hit(venue, entry, "drop_before", faults.drop_before):
        raise CutConnection
    if hit(venue, entry, "late_landing", faults.late_landing):
        entry.verdict = "pending"
        venue.spawn(_land(venue, order, key, entry, faults.late_landing_ms))
        raise CutConnection
    if hit(venue, entry, "delay_before", faults.delay_before):
        venue.notice.changed()
        await asyncio.sleep(faults.delay_before_ms / 1000)
    if venue.before_matching is None:
        return None
    venue.notice.changed()
    return await venue.before_matching(order.order_id)


async def _land(venue: Venue, order: Order, key: ApiKey, entry: Entry, after_ms: int) -> None:
    """An order whose sender has long lost the connection."""
    await asyncio.sleep(after_ms / 1000)
    try:
        await engine.place(venue, order, key, entry)
    except rules.Refused as refusal:
        entry.verdict, entry.text = "refused", str(refusal)
    finally:
        venue.notice.changed()


async def _on_the_way_back(venue: Venue, order: Order, entry: Entry) -> web.Response | None:
    """What happens to the answer of an order that was accepted. Raises CutConnection."""
    faults = venue.faults
    if hit(venue, entry, "delay_after", faults.delay_after):
        venue.notice.changed()
        await asyncio.sleep(faults.delay_after_ms / 1000)
    if hit(venue, entry, "drop_after", faults.drop_after):
        raise CutConnection
    if hit(venue, entry, "error_after", faults.error_after):
        return error(rules.INTERNAL, 500)
    if venue.after_matching is None:
        return None
    venue.notice.changed()
    return await venue.after_matching(order.order_id)


def _accepted(venue: Venue, order: Order, entry: Entry, outcome: str) -> web.Response:
    """Trades are named by their ids; the hash of their transaction is not known yet."""
    matched = outcome == "matched"
    body: dict[str, object] = {
        "success": True,
        "orderID": order.order_id,
        "takingAmount": amount_text(entry.size_e6) if matched else "",
        "makingAmount": amount_text(entry.spend_e6) if matched else "",
        "status": outcome,
        "tradeIDs": entry.trade_ids if matched else [],
    }
    if matched and hit(venue, entry, "null_lists", venue.faults.null_lists):
        return answer({**body, "transactionsHashes": None})
    return answer({**body, "errorMsg": "", "transactionsHashes": []})


def _describe(entry: Entry, order: Order, market: Market | None) -> None:
    entry.order_id = order.order_id
    entry.token_id = order.token_id
    entry.order_type = order.order_type
    entry.amount_e6 = order.maker_amount_e6
    if market is not None:
        entry.condition_id = market.condition_id
        entry.slug = market.slug
        entry.outcome = market.outcome_of(order.token_id)
