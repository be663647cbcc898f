"""`functions.ports.ClobMarkets`: asked without credentials, so live and on paper alike."""

from __future__ import annotations

from functions.adapters.venue_records import raising_records_error
from venue.rest import VenueReads
from venue.wire import endpoints
from venue.wire.clob_market import ClobMarket, read_clob_market


class VenueClobMarkets:
    """At the CLOB of these URLs. To be made inside the loop that uses it."""

    def __init__(self, clob_url: str, gamma_url: str) -> None:
        self._reads = VenueReads(clob_url, gamma_url)

    async def market(self, condition_id: str) -> ClobMarket:
        """`GET /clob-markets/{condition_id}`. Raises RecordsError."""
        with raising_records_error(f"clob-market {condition_id}"):
            body = await self._reads.public(endpoints.clob_market(condition_id), {})
        with raising_records_error():
            return read_clob_market(body, condition_id)

    async def close(self) -> None:
        """Close the connections."""
        await self._reads.close()
