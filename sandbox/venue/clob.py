"""HTTP handlers of the CLOB API: public market data, API keys, orders and look-ups."""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec
from aiohttp import web

from sandbox.venue import rules
from sandbox.venue.auth import ApiKey, AuthError, check_l1
from sandbox.venue.frames import rest_book
from sandbox.venue.journal import Entry
from sandbox.venue.market import Market
from sandbox.venue.order import InvalidPayloadError, Order, identify, parse_posting
from sandbox.venue.text import PRICE_TEXT, size_text
from sandbox.venue.user_events import order_json, trade_json
from sandbox.venue.venue import CutConnection, Venue

VENUE: Final = web.AppKey("venue", Venue)
_LAST_PAGE: Final = "LTE="
_encoder = msgspec.json.Encoder()


def answer(body: object, status: int = 200) -> web.Response:
    """A JSON answer."""
    return web.Response(body=_encoder.encode(body), status=status, content_type="application/json")


def error(text: str, status: int = 400) -> web.Response:
    """The venue's form of every error."""
    return answer({"error": text}, status)


def _market_of_token(request: web.Request, token_id: str | None) -> Market:
    market = request.app[VENUE].by_token.get(token_id or "")
    if market is None:
        raise web.HTTPNotFound(
            text=f'{{"error":"{"market not found" if token_id else "Invalid token id"}"}}',
            content_type="application/json",
        )
    return market


# ---- public -----------------------------------------------------------------------------------


async def get_time(_: web.Request) -> web.Response:
    """GET /time: epoch seconds."""
    return answer(int(time.time()))


async def get_book(request: web.Request) -> web.Response:
    """GET /book?token_id="""
    venue, token_id = request.app[VENUE], request.query.get("token_id", "")
    market = venue.by_token.get(token_id)
    if market is None or not market.open_at(venue.now_ms()):
        return error("No orderbook exists for the requested token id", 404)
    book = next(book for book in market.books if book.token_id == token_id)
    return web.Response(text=rest_book(market, book), content_type="application/json")


async def get_market_by_token(request: web.Request) -> web.Response:
    """GET /markets-by-token/{token_id}"""
    market = _market_of_token(request, request.match_info["token_id"])
    return answer(
        {
            "condition_id": market.condition_id,
            "primary_token_id": market.books[0].token_id,
            "secondary_token_id": market.books[1].token_id,
        }
    )


async def get_clob_market(request: web.Request) -> web.Response:
    """GET /clob-markets/{condition_id}: the facts an order is built from."""
    venue = request.app[VENUE]
    market = venue.markets.get(request.match_info["condition_id"])
    if market is None:
        return error("market not found", 404)
    return answer(
        {
            "t": [
                {"t": book.token_id, "o": outcome}
                for book, outcome in zip(market.books, market.outcomes, strict=True)
            ],
            "mts": market.tick_size_e4 / 10_000,
            "mos": market.min_order_size_e6 / 1_000_000,
            "nr": market.neg_risk,
            "ao": market.accepting and market.open_at(venue.now_ms()),
            "fd": {"r": float(market.fee.rate), "e": market.fee.exponent, "to": True},
        }
    )


async def get_market(request: web.Request) -> web.Response:
    """GET /markets/{condition_id}: `tokens[].winner` once resolved."""
    venue = request.app[VENUE]
    market = venue.markets.get(request.match_info["condition_id"])
    if market is None:
        return error("market not found", 404)
    now_ms = venue.now_ms()
    winner = market.winner_at(now_ms)
    payouts = market.payouts if market.resolved_at(now_ms) else None
    return answer(
        {
            "condition_id": market.condition_id,
            "market_slug": market.slug,
            "active": True,
            "closed": market.resolved_at(now_ms),
            "accepting_orders": market.accepting and market.open_at(now_ms),
            "minimum_tick_size": market.tick_size_e4 / 10_000,
            "minimum_order_size": market.min_order_size_e6 / 1_000_000,
            "neg_risk": market.neg_risk,
            "tokens": [
                {
                    "token_id": book.token_id,
                    "outcome": outcome,
                    "price": float(payouts[index]) if payouts else 0.5,
                    "winner": outcome == winner,
                }
                for index, (book, outcome) in enumerate(
                    zip(market.books, market.outcomes, strict=True)
                )
            ],
        }
    )


async def get_tick_size(request: web.Request) -> web.Response:
    """GET /tick-size?token_id="""
    market = _market_of_token(request, request.query.get("token_id"))
    return answer({"minimum_tick_size": float(PRICE_TEXT[market.tick_size_e4])})


async def get_neg_risk(request: web.Request) -> web.Response:
    """GET /neg-risk?token_id="""
    market = _market_of_token(request, request.query.get("token_id"))
    return answer({"neg_risk": market.neg_risk})


# ---- API keys ---------------------------------------------------------------------------------


async def create_api_key(request: web.Request) -> web.Response:
    """POST /auth/api-key; 400 when the wallet has one, and the client then derives it."""
    venue = request.app[VENUE]
    try:
        address, nonce = check_l1(request.headers)
    except AuthError as refusal:
        return error(str(refusal), 401)
    key = venue.keys.create(address, nonce)
    if key is None:
        return error("Could not create api key")
    venue.account(address)
    return answer(key.as_json())


async def derive_api_key(request: web.Request) -> web.Response:
    """GET /auth/derive-api-key"""
    try:
        address, nonce = check_l1(request.headers)
    except AuthError as refusal:
        return error(str(refusal), 401)
    key = request.app[VENUE].keys.derive(address, nonce)
    return error("Could not derive api key!") if key is None else answer(key.as_json())


async def authenticated(request: web.Request) -> ApiKey:
    """Who calls. Raises HTTPUnauthorized with the venue's text."""
    body = (await request.read()).decode("utf-8", "replace")
    try:
        return request.app[VENUE].keys.check_l2(request.headers, request.method, request.path, body)
    except AuthError as refusal:
        raise web.HTTPUnauthorized(
            text=f'{{"error":"{refusal}"}}', content_type="application/json"
        ) from refusal


async def get_api_keys(request: web.Request) -> web.Response:
    """GET /auth/api-keys"""
    key = await authenticated(request)
    return answer({"apiKeys": request.app[VENUE].keys.keys_of(key.address)})


async def get_closed_only(request: web.Request) -> web.Response:
    """GET /auth/ban-status/closed-only"""
    await authenticated(request)
    return answer({"closed_only": False})


async def get_balance_allowance(request: web.Request) -> web.Response:
    """GET /balance-allowance; of a token it is what was bought, resolved or not."""
    key = await authenticated(request)
    venue = request.app[VENUE]
    account = venue.account(key.address)
    token_id = request.query.get("token_id")
    balance = (
        account.balance_e6
        if request.query.get("asset_type") == "COLLATERAL"
        else sum(
            trade.fill.size_e6
            for trade in venue.journal.trades.values()
            if trade.token_id == token_id and trade.maker_address == key.address
        )
    )
    allowances = {exchange: str(amount) for exchange, amount in account.allowances.items()}
    return answer({"balance": str(balance), "allowances": allowances})


async def update_balance_allowance(request: web.Request) -> web.Response:
    """GET /balance-allowance/update: the simulated balance is never stale."""
    await authenticated(request)
    return answer("")


# ---- look-ups ---------------------------------------------------------------------------------


async def get_order(request: web.Request) -> web.Response:
    """GET /data/order/{id}.

    The real one has also answered null for filled FAK orders (py-clob-client#217): not modelled.
    """
    key = await authenticated(request)
    matched = request.app[VENUE].journal.orders.get(request.match_info["order_id"])
    if matched is None or matched.order.owner != key.key:
        return error("order not found", 404)
    return answer(order_json(matched))


async def get_open_orders(request: web.Request) -> web.Response:
    """GET /data/orders: always empty, since nothing rests."""
    await authenticated(request)
    return _page([])


async def get_trades(request: web.Request) -> web.Response:
    """GET /data/trades?market=&asset_id=&id=&taker_order_id=&after=&before= (epoch seconds)."""
    key = await authenticated(request)
    wanted = request.query
    try:
        after_s, before_s = int(wanted.get("after", 0)), int(wanted.get("before", 1 << 62))
    except ValueError:
        return error("Invalid trade params payload")
    trades = [
        shown
        for trade in request.app[VENUE].journal.trades.values()
        if trade.owner == key.key
        for shown in (trade_json(trade),)
        if all(
            name not in wanted or shown[name].lower() == wanted[name].lower()
            for name in ("id", "market", "asset_id", "maker_address", "taker_order_id")
        )
        and after_s <= int(shown["match_time"]) <= before_s
    ]
    return _page(trades)


def _page(items: list[dict[str, Any]]) -> web.Response:
    """Everything on one page: a sandbox has few orders."""
    return answer(
        {"data": items, "next_cursor": _LAST_PAGE, "limit": len(items), "count": len(items)}
    )


# ---- POST /order ------------------------------------------------------------------------------


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
    if venue.before_matching is not None:
        venue.notice.changed()
        instead = await venue.before_matching(order.order_id)
        if instead is not None:
            entry.verdict = "intercepted"
            return instead
    transactions = venue.place(order, key, entry)
    if venue.after_matching is not None:
        venue.notice.changed()
        instead = await venue.after_matching(order.order_id)
        if instead is not None:
            return instead
    return answer(
        {
            "success": True,
            "errorMsg": "",
            "orderID": order.order_id,
            "takingAmount": size_text(entry.size_e6),
            "makingAmount": size_text(entry.spend_e6),
            "status": "matched",
            "transactionsHashes": transactions,
            "tradeIDs": entry.trade_ids,
        }
    )


def _describe(entry: Entry, order: Order, market: Market | None) -> None:
    entry.order_id = order.order_id
    entry.token_id = order.token_id
    entry.order_type = order.order_type
    entry.amount_e6 = order.maker_amount_e6
    if market is not None:
        entry.condition_id = market.condition_id
        entry.slug = market.slug
        entry.outcome = market.outcome_of(order.token_id)
