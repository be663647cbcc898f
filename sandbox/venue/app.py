"""One port with everything on it: Gamma, CLOB, both websockets, and the sandbox's own endpoints.

`/sandbox/*` does not exist at the real venue: it is how the sandbox and the tests see what the
venue saw.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from sandbox.venue import clob, sockets
from sandbox.venue.clob import VENUE, answer
from sandbox.venue.gamma import event_json
from sandbox.venue.posting import post_order
from sandbox.venue.venue import Venue

_SHUTDOWN_TIMEOUT_S = 1.0


async def get_events(request: web.Request) -> web.Response:
    """GET /events?slug=: an array with the event, or an empty one."""
    venue = request.app[VENUE]
    market = venue.by_slug.get(request.query.get("slug", ""))
    return answer([] if market is None else [event_json(market, venue.now_ms())])


async def get_journal(request: web.Request) -> web.Response:
    """GET /sandbox/journal: every POST /order and what came of it; money and shares in 1e-6."""
    venue = request.app[VENUE]
    return answer(
        {
            "entries": venue.journal.entries,
            "trades": list(venue.journal.trades.values()),
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
            get("/ws/market", sockets.market_channel),
            get("/ws/user", sockets.user_channel),
            get("/sandbox/journal", get_journal),
            get("/sandbox/markets", get_markets),
        ]
    )
    app.on_shutdown.append(_close_venue)
    return app


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
