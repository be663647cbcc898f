"""One port with everything: Gamma, CLOB, both websockets, relayer, chain, the sandbox's own.

`/sandbox/*` does not exist at the real venue: it is how the sandbox and the tests see what the
venue saw, and decide what goes wrong. `/rpc` stands for a node of the chain.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web

from sandbox.simulator import clob, relayer, sockets
from sandbox.simulator.auto_redeem import redeem_by_itself
from sandbox.simulator.chain import post_rpc
from sandbox.simulator.clob import VENUE, answer, error
from sandbox.simulator.faults import InvalidFaultsError, parse_faults
from sandbox.simulator.gamma import event_json, market_json
from sandbox.simulator.market_faults import every_second
from sandbox.simulator.posting import post_order
from sandbox.simulator.venue import Venue

_SHUTDOWN_TIMEOUT_S = 1.0


async def get_events(request: web.Request) -> web.Response:
    """GET /events?slug=: an array with the event, or an empty one."""
    venue = request.app[VENUE]
    market = venue.by_slug.get(request.query.get("slug", ""))
    lag_ms = venue.faults.gamma_lag_ms
    return answer([] if market is None else [event_json(market, venue.now_ms(), lag_ms)])


async def get_gamma_markets(request: web.Request) -> web.Response:
    """GET /markets?slug=: an array; empty once a short market has ended, unlike `/events`."""
    venue = request.app[VENUE]
    market, now_ms = venue.by_slug.get(request.query.get("slug", "")), venue.now_ms()
    if market is None or now_ms >= market.end_ms:
        return answer([])
    return answer([market_json(market, now_ms, venue.faults.gamma_lag_ms)])


async def get_gamma_markets_keyset(request: web.Request) -> web.Response:
    """GET /markets/keyset?condition_ids=&closed=: what the client looks up before it redeems.

    Other filters are not modelled, and everything is on one page.
    """
    venue, wanted = request.app[VENUE], request.query
    now_ms, lag_ms = venue.now_ms(), venue.faults.gamma_lag_ms
    ids = wanted.getall("condition_ids", [])
    shown = [market_json(venue.markets[i], now_ms, lag_ms) for i in ids if i in venue.markets]
    if "closed" in wanted:
        shown = [market for market in shown if market["closed"] == (wanted["closed"] == "true")]
    return answer({"markets": shown, "next_cursor": None})


async def get_journal(request: web.Request) -> web.Response:
    """GET /sandbox/journal: every POST /order and what came of it; money and shares in 1e-6.

    `pending` counts the entries that may still change their verdict, `unsettled` the trades whose
    status is not final: with both at 0 nothing moves any more by itself.
    """
    venue = request.app[VENUE]
    return answer(
        {
            "entries": venue.journal.entries,
            "trades": list(venue.journal.trades.values()),
            "redemptions": venue.journal.redemptions,
            "pending": len(venue.journal.pending()),
            "unsettled": len(venue.journal.unsettled()),
            "injected": venue.chance.injected,
            "balances_e6": {a: account.balance_e6 for a, account in venue.accounts.items()},
            "market_connections": len(venue.market_feed.connections),
            "market_connections_cut": venue.market_feed.overflows,
        }
    )


async def get_markets(request: web.Request) -> web.Response:
    """GET /sandbox/markets: every market listed so far; `winner` is null until it is resolved."""
    venue = request.app[VENUE]
    now_ms = venue.now_ms()
    return answer(
        [
            {
                "slug": market.slug,
                "condition_id": market.condition_id,
                "tokens": {
                    outcome: book.token_id
                    for outcome, book in zip(market.outcomes, market.books, strict=True)
                },
                "start_ms": market.start_ms,
                "end_ms": market.end_ms,
                "resolved": market.resolved_at(now_ms),
                "winner": market.winner_at(now_ms),
                "payouts": (
                    {
                        outcome: str(paid)
                        for outcome, paid in zip(market.outcomes, market.payouts, strict=True)
                    }
                    if market.payouts is not None and market.resolved_at(now_ms)
                    else None
                ),
                "recording": market.recording,
            }
            for market in venue.markets.values()
        ]
    )


async def get_injections(request: web.Request) -> web.Response:
    """GET /sandbox/injections: what was done to the market channel and GET /book, oldest first.

    [kind, connection's number or -1, condition id or "", nanoseconds by the machine's monotonic
    clock], at most INJECTIONS_MAX of them.
    """
    return answer(list(request.app[VENUE].injections.log))


async def get_version(request: web.Request) -> web.Response:
    """GET /sandbox/version?token_id=&hash=: the book that had this hash, {"bids", "asks"}.

    Levels are [price_e4, size_e6], best first. 404 when it is not known (any more).
    """
    venue, token_id = request.app[VENUE], request.query.get("token_id", "")
    known = token_id in venue.by_token
    levels = venue.version(token_id, request.query.get("hash", "")) if known else None
    if levels is None:
        return error("no such version", 404)
    return answer({"bids": levels[0], "asks": levels[1]})


async def get_faults(request: web.Request) -> web.Response:
    """GET /sandbox/faults: what goes wrong now, and the seed it is drawn from."""
    venue = request.app[VENUE]
    return answer({"seed": venue.chance.seed, **msgspec.structs.asdict(venue.faults)})


async def set_faults(request: web.Request) -> web.Response:
    """POST /sandbox/faults: exactly these from now on; 400 names what is unknown or impossible.

    Windows that are open close; a `seed` begins every draw again.
    """
    venue = request.app[VENUE]
    try:
        faults, seed = parse_faults(await request.read())
    except InvalidFaultsError as wrong:
        return error(str(wrong))
    venue.faults = faults
    venue.chance.close_windows()
    if seed is not None:
        venue.chance.restart(seed)
    return await get_faults(request)


def application(venue: Venue) -> web.Application:
    """All routes."""
    app = web.Application(client_max_size=1 << 20)
    app[VENUE] = venue
    get, post = web.get, web.post
    app.add_routes(
        [
            get("/events", get_events),
            get("/time", clob.get_time),
            get("/book", clob.get_book),
            get("/markets-by-token/{token_id}", clob.get_market_by_token),
            get("/clob-markets/{condition_id}", clob.get_clob_market),
            get("/markets", get_gamma_markets),
            get("/markets/keyset", get_gamma_markets_keyset),
            get("/markets/{condition_id}", clob.get_market),
            get("/tick-size", clob.get_tick_size),
            get("/neg-risk", clob.get_neg_risk),
            post("/auth/api-key", clob.create_api_key),
            get("/auth/derive-api-key", clob.derive_api_key),
            get("/auth/api-keys", clob.get_api_keys),
            get("/auth/ban-status/closed-only", clob.get_closed_only),
            get("/balance-allowance", clob.get_balance_allowance),
            get("/balance-allowance/update", clob.update_balance_allowance),
            get("/data/order/{order_id}", clob.get_order),
            get("/data/orders", clob.get_open_orders),
            get("/data/trades", clob.get_trades),
            post("/order", post_order),
            web.delete("/order", clob.cancel_order),
            get("/deployed", relayer.get_deployed),
            get("/v1/account/transactions/params", relayer.get_parameters),
            get("/v1/account/transactions/{transaction_id}", relayer.get_transaction),
            post("/submit", relayer.submit),
            get("/ws/market", sockets.market_channel),
            get("/ws/user", sockets.user_channel),
            post("/rpc", post_rpc),
            post("/rpc/", post_rpc),
            get("/sandbox/journal", get_journal),
            get("/sandbox/faults", get_faults),
            post("/sandbox/faults", set_faults),
            get("/sandbox/markets", get_markets),
            get("/sandbox/injections", get_injections),
            get("/sandbox/version", get_version),
        ]
    )
    app.on_startup.append(_begin)
    app.on_shutdown.append(_close_venue)
    return app


async def _begin(app: web.Application) -> None:
    venue = app[VENUE]
    venue.spawn(every_second(lambda: venue.market_feed.connections))
    venue.spawn(redeem_by_itself(venue))


async def _close_venue(app: web.Application) -> None:
    await app[VENUE].close()


@asynccontextmanager
async def serve(venue: Venue, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve while the context lasts; yields `http://host:port` (port 0 picks a free one).

    The websockets are at the same address under `/ws/market` and `/ws/user`. Raises OSError when
    the port is taken.
    """
    runner = web.AppRunner(
        application(venue), access_log=None, shutdown_timeout=_SHUTDOWN_TIMEOUT_S
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
