"""Everything there is to compare after a run: the venue's truth, the account, the ledger."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final

import aiohttp
import msgspec

from functions.adapters.dynamodb.store import DynamoStore, open_store
from functions.core.account import Account
from functions.core.claim import Claim
from functions.core.group import AccountEntry
from functions.ports import Store
from sandbox.dynamodb import CREDENTIALS_ENV, REGION, decision_table_of
from sandbox.simulator.journal import Entry

STRATEGY: Final = "book_imbalance_crypto"
LEDGER_BACK_MS: Final = 86_400_000
_USD_E6: Final = 1_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resolved:
    """A market that has paid out."""

    end_ms: int
    payouts_e6: dict[str, int]
    """Token id -> USD a share in 1e-6."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AuditInput:
    """Three parties' accounts of one run, read at about `at_ms`."""

    entries: list[Entry]
    resolved: dict[str, Resolved]
    """By condition id."""
    account: Account
    ledger: list[Claim]
    at_ms: int


@asynccontextmanager
async def reading_store(dynamodb_url: str, table: str, account: str) -> AsyncIterator[DynamoStore]:
    """The production store, on the sandbox's server itself."""
    # The local server takes any; an SDK without any would ask the cloud's metadata address.
    os.environ.update(CREDENTIALS_ENV)
    async with open_store(
        table=table,
        decision_table=decision_table_of(table),
        account_name=account,
        region=REGION,
        endpoint_url=dynamodb_url,
    ) as store:
        yield store


async def gather(
    venue_url: str, dynamodb_url: str, table: str, account: str = STRATEGY
) -> AuditInput:
    """Ask the venue for its journal and markets, the table for the account and all of the ledger.

    Raises aiohttp.ClientError, StoreError.
    """
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        entries = msgspec.convert(
            (await _read(session, f"{venue_url}/sandbox/journal"))["entries"], list[Entry]
        )
        resolved = await resolved_markets(session, venue_url)
    async with reading_store(dynamodb_url, table, account) as store:
        return await audit_input_of(store, entries, resolved)


async def gather_each(
    venue_url: str, dynamodb_url: str, table: str, accounts: Sequence[AccountEntry]
) -> dict[str, AuditInput]:
    """The same for each account of a run, by name; the journal is shared out between them.

    An order is whoever's records know it. What nobody knows is the first live account's, or the
    first one's where all are on paper: its audit says so.
    """
    venue = await gather(venue_url, dynamodb_url, table, accounts[0].account)
    each: dict[str, AuditInput] = {}
    for entry in accounts:
        async with reading_store(dynamodb_url, table, entry.account) as store:
            each[entry.account] = await audit_input_of(store, [], venue.resolved)
    whose = {
        claim.order_id: name
        for name, one in each.items()
        for claim in (*one.ledger, *one.account.claims.values())
    }
    stranger = next((entry for entry in accounts if entry.live), accounts[0]).account
    for posted in venue.entries:
        each[whose.get(posted.order_id, stranger)].entries.append(posted)
    return each


async def audit_input_of(
    store: Store, entries: list[Entry], resolved: dict[str, Resolved]
) -> AuditInput:
    """The state's part, read now."""
    now_ms = time.time_ns() // 1_000_000
    return AuditInput(
        entries=entries,
        resolved=resolved,
        account=await store.account(),
        ledger=await store.ledger(now_ms - LEDGER_BACK_MS, now_ms + LEDGER_BACK_MS),
        at_ms=now_ms,
    )


async def resolved_markets(session: aiohttp.ClientSession, venue_url: str) -> dict[str, Resolved]:
    """What has paid out so far."""
    return {
        market["condition_id"]: Resolved(
            end_ms=market["end_ms"],
            payouts_e6={
                market["tokens"][outcome]: int(Decimal(paid) * _USD_E6)
                for outcome, paid in market["payouts"].items()
            },
        )
        for market in await _read(session, f"{venue_url}/sandbox/markets")
        if market["payouts"] is not None
    }


async def _read(session: aiohttp.ClientSession, url: str) -> Any:
    async with session.get(url) as response:
        response.raise_for_status()
        return msgspec.json.decode(await response.read())
