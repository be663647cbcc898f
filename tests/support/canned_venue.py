"""An HTTP server that says what the test tells it to: for answers that no venue should give.

It lets the official client log in, and knows nothing else: no state, no authentication.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TypeAlias

import msgspec
from aiohttp import web
from eth_account import Account as EthAccount
from hexbytes import HexBytes
from pydantic import SecretStr

from functions.core.claim import Claim, ClaimState, trader_of
from functions.core.evidence import OrderLookup
from venue.trading.login import TraderLogin

KEY = EthAccount.create()
Answer: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]
ORDER_ID = "0x" + "ab" * 32
CONDITION_ID = "0x" + "c1" * 32
UP, DOWN = str(int("11" * 32, 16)), str(int("22" * 32, 16))


def account(url: str) -> TraderLogin:
    """Nobody's account at `url`."""
    return TraderLogin(
        private_key=SecretStr(HexBytes(KEY.key).to_0x_hex()),
        wallet=KEY.address,
        clob_url=url,
        gamma_url=url,
        order_usd=Decimal("1.1"),
    )


def nothing_seen(address: str = "") -> OrderLookup:
    """What a lookup shows to the trader whose signer and wallet is `address`, or to nobody."""
    return OrderLookup(seen_by=trader_of(address, address), order=None, trades=())


def undated(look: OrderLookup) -> OrderLookup:
    """The lookup without its time, which it must have."""
    assert look.asked_at_ms is not None
    return msgspec.structs.replace(look, asked_at_ms=None)


def claim(**changes: object) -> Claim:
    """A claim on Up of the canned market."""
    fields: dict[str, object] = {
        "intent_id": "i1",
        "attempt_id": "a1",
        "order_id": ORDER_ID,
        "condition_id": CONDITION_ID,
        "slug": "btc-updown-15m-1800000000",
        "token_id": UP,
        "outcome": "Up",
        "state": ClaimState.UNKNOWN,
        "max_price_e4": 5_200,
        "spend_e6": 1_100_000,
        "salt": "1",
        "order_timestamp_ms": 1_800_000_000_000,
        "claimed_at_ms": 1_800_000_000_000,
        "market_end_ms": 1_800_000_900_000,
    }
    return Claim(**{**fields, **changes})  # type: ignore[arg-type]


def order(**changes: object) -> dict[str, object]:
    """`GET /data/order/{id}` of an order that matched."""
    return {"id": ORDER_ID, "status": "MATCHED", "size_matched": "2.2", **changes}


def trade(**changes: object) -> dict[str, object]:
    """An item of `GET /data/trades`."""
    return {
        "id": "t1",
        "taker_order_id": ORDER_ID,
        "market": CONDITION_ID,
        "asset_id": UP,
        "side": "BUY",
        "size": "2.2",
        "price": "0.5",
        "status": "TRADE_STATUS_MATCHED",
        "match_time": "1800000001",
        "trader_side": "TAKER",
        **changes,
    }


def page(*items: object, cursor: str | None = "LTE=") -> dict[str, object]:
    """One page of a list."""
    return {"data": list(items), "next_cursor": cursor, "limit": 100, "count": len(items)}


def market(*, closed: bool = True, winner: str | None = UP) -> dict[str, object]:
    """CLOB `GET /markets/{condition_id}`."""
    return {
        "condition_id": CONDITION_ID,
        "closed": closed,
        "tokens": [
            {"token_id": each, "outcome": name, "winner": each == winner}
            for each, name in ((UP, "Up"), (DOWN, "Down"))
        ],
    }


def listing(
    prices: object = '["1", "0"]', *, tokens: object = f'["{UP}", "{DOWN}"]', **changes: object
) -> list[object]:
    """Gamma `GET /events?slug=`."""
    listed = {
        "conditionId": CONDITION_ID,
        "closed": True,
        "clobTokenIds": tokens,
        "outcomePrices": prices,
        "umaResolutionStatus": "resolved",
        **changes,
    }
    return [{"slug": "btc-updown-15m-1800000000", "markets": [listed]}]


class CannedVenue:
    """Set `answers[path]`; every request is kept in `requests` as (path, query)."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.answers: dict[str, Answer] = {}
        creds = {"apiKey": "canned-key", "secret": "c2VjcmV0", "passphrase": "canned-phrase"}
        self.says("/auth/api-key", creds)
        self.says("/auth/api-keys", {"apiKeys": ["canned-key"]})

    def says(self, path: str, body: object, status: int = 200) -> None:
        """Answer JSON."""
        self.says_text(path, json.dumps(body), status, "application/json")

    def says_text(
        self, path: str, text: str, status: int = 200, content_type: str = "text/plain"
    ) -> None:
        """Answer text as it is."""

        async def answer(_: web.Request) -> web.Response:
            return web.Response(text=text, status=status, content_type=content_type)

        self.answers[path] = answer

    def falls_silent(self, path: str) -> asyncio.Event:
        """Answer nothing; the returned event is set when the caller has gone."""
        gone = asyncio.Event()

        async def answer(_: web.Request) -> web.Response:
            try:
                await asyncio.Event().wait()
            finally:
                gone.set()
            raise AssertionError("unreachable")

        self.answers[path] = answer
        return gone

    async def handle(self, request: web.Request) -> web.Response:
        """Every path, every method."""
        self.requests.append((request.path, dict(request.query)))
        answer = self.answers.get(request.path)
        if answer is None:
            return web.Response(text="404: Not Found", status=404)
        return await answer(request)


@asynccontextmanager
async def canned_venue() -> AsyncIterator[CannedVenue]:
    """Serve while the context lasts."""
    venue = CannedVenue()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", venue.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        venue.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield venue
    finally:
        await runner.cleanup()
