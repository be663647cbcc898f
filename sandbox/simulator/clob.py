"""HTTP handlers of the CLOB API: public market data, API keys, balances and look-ups.

Look-ups of orders and trades show the past by as much as `faults.lag_ms` says; balances do not.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from contextlib import suppress
from typing import Any, Final

import msgspec
from aiohttp import web

from sandbox.simulator import rules
from sandbox.simulator.auth import ApiKey, AuthError, check_l1
from sandbox.simulator.frames import rest_book
from sandbox.simulator.market import SPLIT, Market
from sandbox.simulator.market_faults import BY_REST, CORRUPTED, mangled
from sandbox.simulator.text import PRICE_TEXT
from sandbox.simulator.user_events import order_json, trade_json
from sandbox.simulator.venue import Venue
from sandbox.simulator.wallets import DEPOSIT, deposit_wallet_of

VENUE: Final = web.AppKey("venue", Venue)
FIRST_PAGE: Final = "MA=="
LAST_PAGE: Final = "LTE="
"""Cursors are offsets in base64: 0 and, at the end, -1. Source: the official clients."""
TRADES_PAGE: Final = 100
BOOK_HANG_S_MAX: Final = 60
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
    faults, now_ms = venue.faults, venue.now_ms()
    market = venue.by_token.get(token_id)
    if _book_fault(venue, market, "book_hang", faults.book_hang):
        with suppress(TimeoutError):
            async with asyncio.timeout(BOOK_HANG_S_MAX):
                await venue.closing.wait()
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=499)  # nobody is left to read it
    if _book_fault(venue, market, "book_error", faults.book_error):
        return error(rules.INTERNAL, 500)
    if market is None or not market.open_at(now_ms):
        return error("No orderbook exists for the requested token id", 404)
    book = next(book for book in market.books if book.token_id == token_id)
    past = book.past.at(now_ms - faults.book_lag_ms) if faults.book_lag_ms else None
    if past is not None:
        venue.injections.note("book_lag_ms", BY_REST, market.condition_id)
    text = rest_book(market, book, past)
    if _book_fault(venue, market, "book_corrupted", faults.book_corrupted):
        text = mangled(CORRUPTED, text, None, venue.chance.stream("book_corrupted/how"))
    return web.Response(text=text, content_type="application/json")


def _book_fault(venue: Venue, market: Market | None, name: str, rate: float) -> bool:
    happens = rate > 0 and venue.chance.draw(name, rate)
    if happens:
        venue.injections.note(name, BY_REST, "" if market is None else market.condition_id)
    return happens


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
            "itode": market.itode,
            "sd": market.delay_s,
        }
    )


async def get_market(request: web.Request) -> web.Response:
    """GET /markets/{condition_id}: `tokens[].winner` once resolved; a split has no winner."""
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
            "is_50_50_outcome": payouts == SPLIT,
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
    venue.account(venue.opened(address))
    return answer(key.as_json())


async def derive_api_key(request: web.Request) -> web.Response:
    """GET /auth/derive-api-key"""
    try:
        address, nonce = check_l1(request.headers)
    except AuthError as refusal:
        return error(str(refusal), 401)
    venue = request.app[VENUE]
    key = venue.keys.derive(address, nonce)
    if key is None:
        return error("Could not derive api key!")
    venue.account(venue.opened(address))
    return answer(key.as_json())


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
    """GET /balance-allowance; of a token: shares bought, less failed trades, until redeemed."""
    key = await authenticated(request)
    venue = request.app[VENUE]
    if _broken(venue):
        return error(rules.INTERNAL, 500)
    wallet = _wallet(request, key)
    account = venue.account(wallet)
    balance_e6 = (
        account.balance_e6
        if request.query.get("asset_type") == "COLLATERAL"
        else venue.journal.shares_e6(wallet, request.query.get("token_id", ""))
    )
    allowances = {exchange: str(amount) for exchange, amount in account.allowances.items()}
    return answer({"balance": str(balance_e6), "allowances": allowances})


async def update_balance_allowance(request: web.Request) -> web.Response:
    """GET /balance-allowance/update: of the collateral, it ends a phantom lock, now or soon.

    The simulated balance itself is never stale.
    """
    key = await authenticated(request)
    venue = request.app[VENUE]
    account, now_ms = venue.account(_wallet(request, key)), venue.now_ms()
    if (
        request.query.get("asset_type") == "COLLATERAL"
        and account.phantom_locked(venue.faults.phantom_lock_after, now_ms)
        and account.unlocks_at_ms is None
    ):
        account.unlocks_at_ms = now_ms + venue.faults.phantom_lock_ms
    return answer("")


def _wallet(request: web.Request, key: ApiKey) -> str:
    """Of which wallet of the caller's it is asked, by the kind of its signatures; lower case."""
    deposit = request.query.get("signature_type") == str(DEPOSIT)
    return deposit_wallet_of(key.address).lower() if deposit else key.address


# ---- look-ups ---------------------------------------------------------------------------------


async def get_order(request: web.Request) -> web.Response:
    """GET /data/order/{id}; null for an order that the venue does not know.

    The real one has also answered null for filled FAK orders (py-clob-client#217): not modelled.
    """
    key = await authenticated(request)
    venue, order_id = request.app[VENUE], request.match_info["order_id"]
    if venue.chance.open("restart", venue.now_ms()):
        return error(rules.RESTARTING, 425)
    if _broken(venue):
        return error(rules.INTERNAL, 500)
    record = venue.journal.order_as_of(order_id, _shown_ms(venue))
    if record != venue.journal.order_as_of(order_id, venue.now_ms()):
        venue.chance.injected["lag"] += 1
    if record is None or record.order.owner != key.key:
        return answer(None)
    return answer(order_json(record))


async def cancel_order(request: web.Request) -> web.Response:
    """DELETE /order: never done, since an order here is matched, killed, or held, and a held one
    cannot be cancelled."""
    key = await authenticated(request)
    try:
        order_id = msgspec.json.decode(await request.read(), type=dict[str, str])["orderID"]
    except (msgspec.MsgspecError, KeyError):
        return error("Invalid order payload")
    record = request.app[VENUE].journal.order_as_of(order_id, request.app[VENUE].now_ms())
    mine = record is not None and record.order.owner == key.key
    held = mine and record is not None and record.status == "DELAYED"
    return answer({"canceled": [], "not_canceled": {order_id: rules.not_cancelled(held=held)}})


async def get_open_orders(request: web.Request) -> web.Response:
    """GET /data/orders: always empty, since nothing rests."""
    await authenticated(request)
    venue = request.app[VENUE]
    if venue.chance.open("restart", venue.now_ms()):
        return error(rules.RESTARTING, 425)
    return _page([], LAST_PAGE)


async def get_trades(request: web.Request) -> web.Response:
    """GET /data/trades?id=&market=&asset_id=&maker_address=&after=&before=&next_cursor=

    `after` and `before` are epoch seconds of the match, both included; `taker_order_id` is taken,
    too. Oldest first (which order the real venue keeps is not documented), 100 a page.
    """
    key = await authenticated(request)
    venue, wanted = request.app[VENUE], request.query
    if _broken(venue):
        return error(rules.INTERNAL, 500)
    try:
        after_s, before_s = int(wanted.get("after", 0)), int(wanted.get("before", 1 << 62))
        start = _offset(wanted.get("next_cursor", FIRST_PAGE))
    except ValueError:
        return error("Invalid trade params payload")
    mine = [trade for trade in venue.journal.trades.values() if trade.owner == key.key]
    known = [seen for trade in mine if (seen := trade.as_of(_shown_ms(venue))) is not None]
    if [trade.status for trade in known] != [trade.status for trade in mine]:
        venue.chance.injected["lag"] += 1
    trades = [
        shown
        for shown in map(trade_json, known)
        if all(
            name not in wanted or shown[name].lower() == wanted[name].lower()
            for name in ("id", "market", "asset_id", "maker_address", "taker_order_id")
        )
        and after_s <= int(shown["match_time"]) <= before_s
    ]
    end = start + TRADES_PAGE
    return _page(trades[start:end], _cursor(end) if end < len(trades) else LAST_PAGE)


def _shown_ms(venue: Venue) -> int:
    """The moment that look-ups show."""
    return venue.now_ms() - venue.faults.lag_ms


def _broken(venue: Venue) -> bool:
    return venue.chance.hit("read_error", venue.faults.read_error)


def _cursor(offset: int) -> str:
    return base64.b64encode(str(offset).encode()).decode()


def _offset(cursor: str) -> int:
    """Raises ValueError for what is no cursor of ours."""
    try:
        offset = int(base64.b64decode(cursor, validate=True))
    except binascii.Error as wrong:
        raise ValueError(cursor) from wrong
    if offset < 0:
        raise ValueError(cursor)
    return offset


def _page(items: list[dict[str, Any]], next_cursor: str) -> web.Response:
    return answer(
        {"data": items, "next_cursor": next_cursor, "limit": TRADES_PAGE, "count": len(items)}
    )
