"""Logging in to the venue, and the checks without which a live start is refused.

What a person must mend (key, wallet, balance, allowance) ends the process with exit code 2 and one
line that says what to do; what may pass (the venue is not reachable) is raised, to be retried.
"""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Final

import structlog
from polymarket import AsyncSecureClient
from polymarket.errors import PolymarketError, RequestRejectedError, UserInputError
from pydantic import SecretStr

from functions.adapters.venue_records import LiveRecords
from protocol.units import to_usd_e6, usd_decimal
from runtime.settings import refuse_to_start
from venue.auth import Credentials
from venue.rest import VenueReads
from venue.trading.official_client import (
    STANDARD_EXCHANGE,
    client_answered,
    environment,
    prepare_for_orders,
)
from venue.wallet import signature_type

REDEEM_TIMEOUT_S: Final = 20.0
"""Six requests one after the other, to three servers."""
_log = structlog.get_logger()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Account:
    """Who trades, where, and how much one order costs."""

    private_key: SecretStr
    wallet: str
    clob_url: str
    gamma_url: str
    order_usd: Decimal = Decimal(0)


class LoginRefusedError(Exception):
    """What only a person can mend; the text is one line that says what to do."""


async def secure_client(account: Account) -> AsyncSecureClient:
    """An authenticated client of any account, an empty one too.

    Raises polymarket.errors.PolymarketError when the venue does not answer, LoginRefusedError when
    it refuses the account.
    """
    try:
        return await AsyncSecureClient.create(
            private_key=account.private_key.get_secret_value(),
            # Always named: without it the client would derive one. (The signer's own deposit
            # wallet, if it does not exist yet, is created on chain by the client even so.)
            wallet=account.wallet,
            environment=environment(account.clob_url, account.gamma_url),
        )
    except UserInputError:
        # The client's own text is not repeated: it may quote what it was given.
        raise LoginRefusedError(
            "PRIVATE_KEY or WALLET: not accepted by the venue's client"
        ) from None
    except RequestRejectedError as error:
        if error.status in (400, 401, 403):
            raise LoginRefusedError(f"PRIVATE_KEY: the venue refuses to log in: {error}") from error
        raise


async def records_of(account: Account, *, redeem: bool) -> LiveRecords:
    """The account's records, with API credentials that the venue gives the key for; the key stays
    in use only to `redeem`.

    Raises as `secure_client`.
    """
    client = await secure_client(account)
    if not redeem:
        await client.close()
    given = client.credentials
    credentials = Credentials(
        address=client.signer,
        key=given.key,
        secret=given.secret,
        passphrase=given.passphrase,
    )
    return LiveRecords(
        VenueReads(account.clob_url, account.gamma_url, credentials),
        signature_type=signature_type(client.signer, account.wallet),
        redeemer=ClientRedeemer(client) if redeem else None,
    )


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
        handle = await client_answered(
            f"redeeming {condition_id}",
            self._client.redeem_positions(condition_id=condition_id),
            REDEEM_TIMEOUT_S,
        )
        _log.info("redeem_sent", condition_id=condition_id, transaction=handle.transaction_hash)

    async def close(self) -> None:
        """Close the client's connections."""
        await self._client.close()


async def log_in(account: Account) -> AsyncSecureClient:
    """An authenticated client of an account that can pay for one order.

    Raises polymarket.errors.PolymarketError when the venue does not answer; exits 2 when it
    refuses the account or the account cannot pay.
    """
    try:
        client = await secure_client(account)
    except LoginRefusedError as refused:
        refuse_to_start(str(refused))
    try:
        await _check_funds(client, account)
    except (PolymarketError, SystemExit):
        await client.close()
        raise
    await prepare_for_orders(client)
    return client


async def _check_funds(client: AsyncSecureClient, account: Account) -> None:
    collateral = await client.get_balance_allowance(asset_type="COLLATERAL")
    needed_e6 = to_usd_e6(account.order_usd)
    if collateral.balance < needed_e6:
        refuse_to_start(
            f"WALLET: {account.wallet} holds {usd_decimal(collateral.balance)} USD, less than one "
            f"order (SIZE_USD={account.order_usd}): deposit first"
        )
    allowances = {spender.lower(): amount for spender, amount in collateral.allowances.items()}
    if allowances.get(STANDARD_EXCHANGE.lower(), 0) < needed_e6:
        refuse_to_start(
            f"WALLET: {account.wallet} has not approved the exchange to spend {account.order_usd} "
            "USD: approve trading once on the venue's website, then start again"
        )
