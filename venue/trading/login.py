"""Logging in to the venue, and the checks without which a live start is refused.

What a person must mend (key, wallet, balance, allowance) ends the process with exit code 2 and one
line that says what to do; what may pass (the venue is not reachable, a firewall is in the way, our
clock is off) is raised, to be retried.
"""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Final

import structlog
from eth_account import Account
from eth_account.signers.local import LocalAccount
from polymarket import AsyncSecureClient
from polymarket.errors import UserInputError
from pydantic import SecretStr

from protocol.units import to_usd_e6, usd_decimal
from runtime.settings import refuse_to_start
from venue.api_settings import signing_key
from venue.auth import Credentials
from venue.errors import AccountRefusedError
from venue.trading.api_key import api_key_of
from venue.trading.official_client import (
    STANDARD_EXCHANGE,
    bounded_call,
    client_of,
    prepare_for_orders,
)
from venue.wallet import STRANGER, is_wallet_of, maker_warning, signature_type

LOG_IN_TIMEOUT_S: Final = 20.0
_log = structlog.get_logger()


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

    Nobody is asked before it is proven that the wallet is the key's. Raises AccountRefusedError
    when it is not, and when the venue is proven to refuse the account; VenueError or
    polymarket.errors.PolymarketError when nothing is proven: to be tried again. Not bounded in
    time.
    """
    signer = _signer(login)
    credentials = await api_key_of(signer, login.clob_url)
    try:
        return await client_of(
            login.private_key.get_secret_value(),
            wallet=login.wallet,
            credentials=credentials,
            clob_url=login.clob_url,
            gamma_url=login.gamma_url,
        )
    except UserInputError:
        # The client's own text is not repeated: it may quote what it was given.
        raise AccountRefusedError("WALLET: not accepted by the venue's client") from None


def _signer(login: TraderLogin) -> LocalAccount:
    """The key's account. Raises AccountRefusedError when the wallet is another's."""
    try:
        key = signing_key(login.private_key)
    except ValueError as error:
        raise AccountRefusedError(f"PRIVATE_KEY: {error}") from None
    signer: LocalAccount = Account.from_key(key.get_secret_value())
    try:
        ours = is_wallet_of(signer.address, login.wallet)
    except ValueError as error:
        raise AccountRefusedError(f"WALLET: {error}") from None
    if not ours:
        raise AccountRefusedError(f"PRIVATE_KEY: {STRANGER}")
    return signer


def api_credentials(client: AsyncSecureClient) -> Credentials:
    """The API credentials that the venue gave for the key, to read the account with."""
    given = client.credentials
    return Credentials(
        address=client.signer, key=given.key, secret=given.secret, passphrase=given.passphrase
    )


async def log_in(login: TraderLogin) -> AsyncSecureClient:
    """An authenticated client of an account that can pay for one order.

    Bounded in time. Raises VenueError, and exits 2 when the account is refused or cannot pay.
    """
    try:
        # An answer that trickles in keeps alive what the client bounds by the pauses in it.
        what = f"logging in at {login.clob_url}"
        client = await bounded_call(what, secure_client(login), LOG_IN_TIMEOUT_S)
    except AccountRefusedError as refused:
        refuse_to_start(str(refused))
    try:
        await _check_funds(client, login)
    except BaseException:
        await client.close()
        raise
    await prepare_for_orders(client)
    warning = maker_warning(signature_type(client.signer, login.wallet))
    if warning is not None:
        _log.warning("wallet_may_be_refused", wallet=login.wallet, hint=warning)
    return client


async def _check_funds(client: AsyncSecureClient, login: TraderLogin) -> None:
    asked = client.get_balance_allowance(asset_type="COLLATERAL")
    collateral = await bounded_call(f"balance at {login.clob_url}", asked)
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
