"""`GET /data/trades`: this account's trades since a moment, page by page.

Read only, authenticated with API credentials. Redirects are not followed: the headers are for the
venue alone.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import Final

import aiohttp

from feeder.fills.metrics import UserMetrics
from venue.auth import Credentials, l2_headers
from venue.wire.user_channel import PageError, TradesPage, UserEvent, decode_trades_page

REQUEST_TIMEOUT_S: Final = 10
ANSWER_BYTES_MAX: Final = 16 << 20
# A page has a hundred trades or more: a day of this system is a handful.
PAGES_MAX: Final = 500
_PATH: Final = "/data/trades"


class FetchError(ConnectionError):
    """The venue did not answer with trades; the text says what it did."""


class FetchRefusedError(FetchError):
    """The venue does not accept our credentials."""


class TradeHistory:
    """`async with TradeHistory(...) as history`, then `pages`."""

    def __init__(self, clob_url: str, credentials: Credentials, metrics: UserMetrics) -> None:
        self.url = f"{clob_url}{_PATH}"
        self._credentials = credentials
        self._metrics = metrics

    async def __aenter__(self) -> TradeHistory:
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        self._client = aiohttp.ClientSession(timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def pages(self, after_s: int) -> AsyncGenerator[list[UserEvent], None]:
        """Trades matched since `after_s` (epoch seconds), in the venue's order.

        Raises FetchError, which every failure is; nothing can be said then about the rest.
        """
        cursor: str | None = None
        for _ in range(PAGES_MAX):
            page = await self._page(after_s, cursor)
            yield page.events
            if page.next_cursor is None:
                return
            if page.next_cursor == cursor:
                self._metrics.fetch_failures["bad_answer"].inc()
                raise FetchError("the venue's cursor does not move on")
            cursor = page.next_cursor
        self._metrics.fetch_failures["bad_answer"].inc()
        raise FetchError(f"more than {PAGES_MAX} pages")

    async def _page(self, after_s: int, cursor: str | None) -> TradesPage:
        query = {"after": str(after_s)} | ({} if cursor is None else {"next_cursor": cursor})
        headers = l2_headers(self._credentials, "GET", _PATH, int(time.time()))
        try:
            async with self._client.get(
                self.url, params=query, headers=headers, allow_redirects=False
            ) as response:
                status = response.status
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > ANSWER_BYTES_MAX:
                        break
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._metrics.fetch_failures["unreachable"].inc()
            raise FetchError(f"{type(error).__name__}: {error}") from error
        if status in (401, 403):
            self._metrics.fetch_failures["refused"].inc()
            raise FetchRefusedError(
                f"answered {status}: check API_KEY, API_SECRET, API_PASSPHRASE, API_ADDRESS and "
                "this machine's clock"
            )
        if status != 200 or len(body) > ANSWER_BYTES_MAX:
            self._metrics.fetch_failures["bad_answer"].inc()
            raise FetchError(f"answered {status} with {len(body)} bytes")
        try:
            return decode_trades_page(bytes(body))
        except PageError as error:
            self._metrics.fetch_failures["bad_answer"].inc()
            raise FetchError(str(error)) from error
