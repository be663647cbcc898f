"""`GET /data/trades`: this account's trades since a moment, page by page.

Read only, authenticated with API credentials.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from feeder.fills.metrics import UserMetrics
from venue.auth import Credentials
from venue.errors import VenueRefusedError, VenueUnreachableError, one_line
from venue.rest import get_bytes, open_session
from venue.wire import endpoints
from venue.wire.errors import WireError
from venue.wire.trades import Rejection, TradesPage, VenueTrade, read_trades_page

REQUEST_TIMEOUT_S: Final = 10
ANSWER_BYTES_MAX: Final = 16 << 20
# A page has a hundred trades or more: a day of this system is a handful.
PAGES_MAX: Final = 500


class FetchError(ConnectionError):
    """The venue did not answer with trades; the text says what it did."""


class FetchRefusedError(FetchError):
    """The venue does not accept our credentials."""


class TradeHistory:
    """`async with TradeHistory(...) as history`, then `pages`."""

    def __init__(self, clob_url: str, credentials: Credentials, metrics: UserMetrics) -> None:
        self.url = f"{clob_url}{endpoints.TRADES}"
        self._clob_url = clob_url
        self._credentials = credentials
        self._metrics = metrics

    async def __aenter__(self) -> TradeHistory:
        self._http = open_session()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def pages(self, after_s: int) -> AsyncGenerator[list[VenueTrade | Rejection], None]:
        """Trades matched since `after_s` (epoch seconds), in the venue's order.

        Raises FetchError, which every failure is; nothing can be said then about the rest.
        """
        cursor: str | None = None
        for _ in range(PAGES_MAX):
            page = await self._page(after_s, cursor)
            yield page.trades
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
        try:
            body = await get_bytes(
                self._http,
                self._clob_url,
                endpoints.TRADES,
                query,
                credentials=self._credentials,
                timeout_s=REQUEST_TIMEOUT_S,
                bytes_max=ANSWER_BYTES_MAX,
            )
            return read_trades_page(self._credentials.without_bytes(body))  # it quotes some
        except VenueUnreachableError as error:
            self._metrics.fetch_failures["unreachable"].inc()
            raise FetchError(str(error)) from error
        except VenueRefusedError as error:
            if error.own_word and error.status in (401, 403):  # not a firewall's page
                self._metrics.fetch_failures["refused"].inc()
                raise FetchRefusedError(
                    f"answered {error.status}: check API_KEY, API_SECRET, API_PASSPHRASE, "
                    "API_ADDRESS and this machine's clock"
                ) from error
            self._metrics.fetch_failures["bad_answer"].inc()
            raise FetchError(f"answered {error.status} with {one_line(error.reason)}") from error
        except WireError as error:
            self._metrics.fetch_failures["bad_answer"].inc()
            raise FetchError(str(error)) from error
