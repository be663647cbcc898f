"""Small questions to the venue, asked before money depends on the answers (`executor doctor`).

Each answers a plain value within `ANSWER_TIMEOUT_S` or raises RecordsError with one line; none
changes anything. Those that take a URL need no account.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, Final

import httpx
import msgspec
from polymarket import AsyncSecureClient
from polymarket.errors import RequestRejectedError

from functions.ports import RecordsError
from venue.rest import ANSWER_TIMEOUT_S
from venue.trading.official_client import EXCHANGES, client_answered

GEOBLOCK_URL: Final = "https://polymarket.com/api/geoblock"
_HTTP_ERRORS_FROM: Final = 400


class Funds(msgspec.Struct, frozen=True, kw_only=True):
    """What the wallet has and may spend, in 1e-6 USD."""

    balance_e6: int
    allowances_e6: dict[str, int]
    """By the address of each exchange contract that our orders may be for; 0 is "not approved"."""


async def answers_in_ms(url: str) -> int:
    """How long `url` took to answer, connection included. Raises RecordsError, also for a status
    of 400 and above."""
    return _elapsed_ms(await _get(url))


async def clock_offset_ms(clob_url: str) -> int:
    """How far the venue's clock is ahead of ours (negative: behind), in ms.

    The smallest offset that explains `GET /time`, which tells whole seconds: 0 means less than a
    second and a round trip.
    """
    # Both by the clock that is judged, and around all of it: a busy process may come to take the
    # second time long after the answer, which must not look like an offset.
    asked_ms = time.time_ns() // 1_000_000
    answer = await _get(f"{clob_url}/time")
    answered_ms = time.time_ns() // 1_000_000
    told = _json(answer)
    if isinstance(told, bool) or not isinstance(told, int):
        raise RecordsError(f"{clob_url}/time: not a number of seconds")
    ahead_at_least = told * 1000 - answered_ms
    ahead_at_most = told * 1000 + 999 - asked_ms
    return max(ahead_at_least, min(0, ahead_at_most))


async def geoblocked(url: str = GEOBLOCK_URL) -> bool:
    """Whether the venue's website refuses traders at this address. The exchange itself refuses
    orders with HTTP 403, by a list of its own."""
    told = _json(await _get(url))
    blocked = told.get("blocked") if isinstance(told, dict) else None
    if not isinstance(blocked, bool):
        raise RecordsError(f"{url}: does not say whether it is blocked")
    return blocked


async def credentials_valid(client: AsyncSecureClient) -> bool:
    """Whether the venue still knows the API credentials that the client uses."""
    try:
        keys = await client_answered("API keys", client.fetch_api_keys())
    except RecordsError as error:
        cause = error.__cause__
        if isinstance(cause, RequestRejectedError) and cause.status == httpx.codes.UNAUTHORIZED:
            return False
        raise
    return client.credentials.key in keys


async def closed_only(client: AsyncSecureClient) -> bool:
    """Whether the account may only close positions, not open any."""
    return await client_answered("closed-only mode", client.get_closed_only_mode())


async def funds(client: AsyncSecureClient) -> Funds:
    """Balance and allowances of the wallet, as the venue knows them."""
    collateral = await client_answered(
        "balance", client.get_balance_allowance(asset_type="COLLATERAL")
    )
    allowed = {spender.lower(): amount for spender, amount in collateral.allowances.items()}
    return Funds(
        balance_e6=collateral.balance,
        allowances_e6={each: allowed.get(each.lower(), 0) for each in EXCHANGES},
    )


async def _get(url: str) -> httpx.Response:
    try:
        async with httpx.AsyncClient() as http, asyncio.timeout(ANSWER_TIMEOUT_S):
            response = await http.get(url)
    except TimeoutError as error:
        raise RecordsError(f"{url}: no answer within {ANSWER_TIMEOUT_S:g} s") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise RecordsError(f"{url}: {type(error).__name__}: {error}") from error
    if response.status_code >= _HTTP_ERRORS_FROM:
        raise RecordsError(f"{url}: HTTP {response.status_code}")
    return response


def _json(response: httpx.Response) -> Any:
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError) as error:
        raise RecordsError(f"{response.url}: the answer is not JSON") from error


def _elapsed_ms(response: httpx.Response) -> int:
    return round(response.elapsed.total_seconds() * 1000)
