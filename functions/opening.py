"""Opening what a function needs, from its settings: the store, and the account at the venue."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal

import structlog

from functions.adapters.dynamodb import DynamoStore, open_store
from functions.adapters.venue_login import Account
from functions.core.account import TRADING_ENABLED
from functions.ports import StoreError
from functions.settings import AccountSettings
from runtime.retry import until_reachable
from runtime.settings import refuse_to_start

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


def venue_account(settings: AccountSettings, order_usd: Decimal = Decimal(0)) -> Account | None:
    """Who trades, None on paper. `order_usd` is what it must be able to pay."""
    if settings.execution == "paper" or settings.private_key is None or settings.wallet is None:
        return None
    return Account(
        private_key=settings.private_key,
        wallet=settings.wallet,
        clob_url=settings.clob_url,
        gamma_url=settings.gamma_url,
        order_usd=order_usd,
    )
