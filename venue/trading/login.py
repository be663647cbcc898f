"""Logging in to the venue, and the checks without which a live start is refused.

What a person must mend (key, wallet, balance, allowance) ends the process with exit code 2 and one
line that says what to do; what may pass (the venue is not reachable) is raised, to be retried.
"""

from __future__ import annotations

import dataclasses
from decimal import Decimal

from polymarket import AsyncSecureClient
from polymarket.errors import PolymarketError, RequestRejectedError, UserInputError
from pydantic import SecretStr

from protocol.units import to_usd_e6, usd_decimal
from runtime.settings import refuse_to_start
from venue.auth import Credentials
from venue.errors import AccountRefusedError
from venue.trading.official_client import (
    STANDARD_EXCHANGE,
    environment,
    prepare_for_orders,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TraderLogin:
    """Who trades, where, and how much one order costs."""

    private_key: SecretStr
    wallet: str
    clob_url: str
    gamma_url: str
    order_usd: Decimal = Decimal(0)


async def secure_client(login: TraderLogin) -> AsyncSecureClient:
    """An authenticated client of any account, an empty one too.

    Raises polymarket.errors.PolymarketError when the venue does not answer, AccountRefusedError
    when it refuses the account.
    """
    try:
        return await AsyncSecureClient.create(
            private_key=login.private_key.get_secret_value(),
            # Always named: without it the client would derive one. (The signer's own deposit
            # wallet, if it does not exist yet, is created on chain by the client even so.)
            wallet=login.wallet,
            environment=environment(login.clob_url, login.gamma_url),
        )
    except UserInputError:
        # The client's own text is not repeated: it may quote what it was given.
        raise AccountRefusedError(
            "PRIVATE_KEY or WALLET: not accepted by the venue's client"
        ) from None
    except RequestRejectedError as error:
        if error.status in (400, 401, 403):
            raise AccountRefusedError(
                f"PRIVATE_KEY: the venue refuses to log in: {error}"
            ) from error
        raise


def api_credentials(client: AsyncSecureClient) -> Credentials:
    """The API credentials that the venue gave for the key, to read the account with."""
    given = client.credentials
    return Credentials(
        address=client.signer, key=given.key, secret=given.secret, passphrase=given.passphrase
    )


async def log_in(login: TraderLogin) -> AsyncSecureClient:
    """An authenticated client of an account that can pay for one order.

    Raises polymarket.errors.PolymarketError when the venue does not answer; exits 2 when it
    refuses the account or the account cannot pay.
    """
    try:
        client = await secure_client(login)
    except AccountRefusedError as refused:
        refuse_to_start(str(refused))
    try:
        await _check_funds(client, login)
    except (PolymarketError, SystemExit):
        await client.close()
        raise
    await prepare_for_orders(client)
    return client


async def _check_funds(client: AsyncSecureClient, login: TraderLogin) -> None:
    collateral = await client.get_balance_allowance(asset_type="COLLATERAL")
    needed_e6 = to_usd_e6(login.order_usd)
    if collateral.balance < needed_e6:
        refuse_to_start(
            f"WALLET: {login.wallet} holds {usd_decimal(collateral.balance)} USD, less than one "
            f"order (SIZE_USD={login.order_usd}): deposit first"
        )
    allowances = {spender.lower(): amount for spender, amount in collateral.allowances.items()}
    if allowances.get(STANDARD_EXCHANGE.lower(), 0) < needed_e6:
        refuse_to_start(
            f"WALLET: {login.wallet} has not approved the exchange to spend {login.order_usd} "
            "USD: approve trading once on the venue's website, then start again"
        )
