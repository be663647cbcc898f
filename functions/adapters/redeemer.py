"""The account's records with the signing key: logging in for them, and redeeming winnings.

To be imported only where the key is used: with it comes the official client.
"""

from __future__ import annotations

from typing import Final

import structlog
from polymarket import AsyncSecureClient

from functions.adapters.venue_records import LiveRecords, raising_records_error
from functions.core.claim import trader_of
from venue.rest import VenueReads
from venue.trading.login import TraderLogin, api_credentials, secure_client
from venue.trading.official_client import bounded_call

REDEEM_TIMEOUT_S: Final = 20.0
"""Six requests one after the other, to three servers."""
_log = structlog.get_logger()


class ClientRedeemer:
    """`functions.adapters.venue_records.Redeemer` with the official client."""

    def __init__(self, client: AsyncSecureClient) -> None:
        self._client = client

    async def redeem(self, condition_id: str) -> None:
        """Submit, and wait for no confirmation. Raises RecordsError, also when it is not known
        whether the request arrived.

        Twice is harmless, but a plain wallet pays gas for each. Wallets of other kinds go through
        the venue's relayer, which wants an API key of its own.
        """
        with raising_records_error():
            handle = await bounded_call(
                f"redeeming {condition_id}",
                self._client.redeem_positions(condition_id=condition_id),
                REDEEM_TIMEOUT_S,
            )
        _log.info("redeem_sent", condition_id=condition_id, transaction=handle.transaction_hash)

    async def close(self) -> None:
        """Close the client's connections."""
        await self._client.close()


async def records_of(login: TraderLogin, *, redeem: bool) -> LiveRecords:
    """The account's records, with API credentials that the venue gives the key for; the key stays
    in use only to `redeem`.

    Raises as `venue.trading.login.secure_client`.
    """
    client = await secure_client(login)
    if not redeem:
        await client.close()
    return LiveRecords(
        VenueReads(login.clob_url, login.gamma_url, api_credentials(client)),
        trader_of(client.signer, login.wallet),
        redeemer=ClientRedeemer(client) if redeem else None,
    )
