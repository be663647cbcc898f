"""Opening what a function needs, from its settings: the store, and the account at the venue.

Whatever needs the official client imports it only when it is needed: that costs as much time and
memory as all the rest together, and on paper, or with API credentials alone, nobody needs it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING

import structlog

from functions.adapters.dynamodb.store import DynamoStore, open_store
from functions.adapters.venue_records import LiveRecords, PublicRecords
from functions.core.account import TRADING_ENABLED
from functions.ports import StoreError, VenueRecords
from functions.settings import AccountSettings, ScheduleSettings
from runtime.retry import until_reachable
from runtime.settings import refuse_to_start
from venue.rest import VenueReads
from venue.wallet import STRANGER, belongs, signature_type

if TYPE_CHECKING:
    from venue.trading.login import TraderLogin

_log = structlog.get_logger()


@asynccontextmanager
async def unopened_store(settings: AccountSettings) -> AsyncIterator[DynamoStore]:
    """A store that has not made a call yet. Exits 2 when no client can be built."""
    async with AsyncExitStack() as stack:
        try:
            store = await stack.enter_async_context(
                open_store(
                    table=settings.state_table,
                    decision_table=settings.decision_table,
                    strategy=settings.account,
                    region=settings.aws_region,
                    endpoint_url=settings.aws_endpoint_url_dynamodb,
                )
            )
        except StoreError as error:
            refuse_to_start(f"AWS_REGION or AWS_ENDPOINT_URL_DYNAMODB: {error}")
        yield store


@asynccontextmanager
async def opened_store(settings: AccountSettings) -> AsyncIterator[DynamoStore]:
    """A store whose account exists; waits for the table."""
    async with unopened_store(settings) as store:
        where = settings.aws_endpoint_url_dynamodb or f"DynamoDB in {settings.aws_region}"
        account = await until_reachable(
            f"table {settings.state_table} at {where}", store.open_account
        )
        if account.trading != TRADING_ENABLED:
            _log.warning("trading_halted", reason=account.halt_reason)
        yield store


def venue_account(settings: AccountSettings, order_usd: Decimal = Decimal(0)) -> TraderLogin | None:
    """Who trades, None on paper. `order_usd` is what it must be able to pay."""
    if settings.execution == "paper" or settings.private_key is None or settings.wallet is None:
        return None
    from venue.trading.login import TraderLogin  # noqa: PLC0415 - see the module's docstring

    return TraderLogin(
        private_key=settings.private_key,
        wallet=settings.wallet,
        clob_url=settings.clob_url,
        gamma_url=settings.gamma_url,
        order_usd=order_usd,
    )


def keyless_records(settings: ScheduleSettings) -> VenueRecords | None:
    """The venue's records of the account; on paper only what anybody may read.

    None when the signing key is needed for it (`key_records`): to redeem, or because there are no
    API credentials.
    """
    if settings.execution == "paper":
        return PublicRecords(clob_url=settings.clob_url, gamma_url=settings.gamma_url)
    credentials = settings.credentials()
    if credentials is None or settings.wallet is None or settings.redeem:
        return None
    if not belongs(credentials.address, settings.wallet):
        refuse_to_start(f"API_ADDRESS: {STRANGER}")
    return LiveRecords(
        VenueReads(settings.clob_url, settings.gamma_url, credentials),
        signature_type=signature_type(credentials.address, settings.wallet),
    )


async def key_records(settings: ScheduleSettings) -> VenueRecords:
    """The same, logged in with the signing key.

    Raises polymarket.errors.PolymarketError when the venue does not answer; exits 2 when it
    refuses the account.
    """
    account = venue_account(settings)
    if account is None:
        refuse_to_start("EXECUTION=live needs PRIVATE_KEY and WALLET")
    from functions.adapters.redeemer import records_of  # noqa: PLC0415 - see the module's docstring
    from venue.trading.login import AccountRefusedError  # noqa: PLC0415 - see the module's docstring

    try:
        return await records_of(account, redeem=settings.redeem)
    except AccountRefusedError as refused:
        refuse_to_start(str(refused))
