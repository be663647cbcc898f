"""The final check: what the venue saw, what the state holds and what the ledger says must agree.

    orders the venue received  =  rows in the ledger          (by order id)
    orders the venue matched   =  open claims in the state    (by order id, to the micro-share)
    the same                   =  open rows in the ledger     (by order id, to the micro-share)
    no order id twice, no market matched twice

On paper there is no venue: its journal must be empty, and state and ledger must agree.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any, Final

import aioboto3
import aiohttp
import msgspec

from functions.adapters.dynamodb_items import account_key, account_of, strategy_pk, trade_of
from functions.core.answer import RejectReason
from functions.core.intent import Account, Claim, ClaimState
from sandbox.dynamodb import REGION
from sandbox.venue.journal import Entry

Amounts = dict[str, tuple[int, int]]
"""order id -> (USD spent in 1e-6, shares in 1e-6)."""

STRATEGY: Final = "book_imbalance_crypto"


def account_name(execution: str) -> str:
    """The account that the workers of a run use (`WorkerSettings.account`)."""
    return STRATEGY if execution == "live" else f"{STRATEGY}-paper"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything there is to compare."""

    entries: list[Entry]
    account: Account
    ledger: list[Claim]


async def gather(
    venue_url: str, dynamodb_url: str, table: str, account: str = STRATEGY
) -> Evidence:
    """Ask the venue for its journal, and the table for the account and the whole ledger."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
        session.get(f"{venue_url}/sandbox/journal") as response,
    ):
        response.raise_for_status()
        journal = msgspec.json.decode(await response.read())
    client_context: Any = aioboto3.Session().client(
        "dynamodb",
        region_name=REGION,
        endpoint_url=dynamodb_url,
        aws_access_key_id="sandbox",
        aws_secret_access_key="sandbox",  # noqa: S106 - the local server takes any
    )
    async with client_context as client:
        item = await client.get_item(TableName=table, Key=account_key(account), ConsistentRead=True)
        rows: list[Claim] = []
        pages = client.get_paginator("query").paginate(
            TableName=table,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :trade)",
            ExpressionAttributeValues={
                ":pk": {"S": strategy_pk(account)},
                ":trade": {"S": "TRADE#"},
            },
            ConsistentRead=True,
        )
        async for page in pages:
            rows.extend(trade_of(row)[0] for row in page["Items"])
    return Evidence(
        entries=msgspec.convert(journal["entries"], list[Entry]),
        account=account_of(item["Item"]),
        ledger=rows,
    )


def disagreements(evidence: Evidence, *, execution: str) -> list[str]:
    """One sentence for each thing that does not agree; empty when all is well."""
    claims = _amounts(evidence.account.claims.values())
    open_rows = _amounts(row for row in evidence.ledger if row.state is ClaimState.OPEN)
    found = _differences("the state", claims, "the ledger", open_rows)
    unresolved = [
        claim.order_id
        for claim in evidence.account.claims.values()
        if claim.state is not ClaimState.OPEN
    ]
    found += [f"claim of order {order_id} is unresolved" for order_id in unresolved]
    posted = [entry.order_id for entry in evidence.entries]
    if execution == "paper":
        return found + [f"paper order {order_id} reached the venue" for order_id in posted]

    matched = [entry for entry in evidence.entries if entry.verdict == "matched"]
    at_venue = {entry.order_id: (entry.spend_e6, entry.size_e6) for entry in matched}
    found += _differences("the venue", at_venue, "the state", claims)
    sent = {
        row.order_id
        for row in evidence.ledger
        if not (row.state is ClaimState.RELEASED and _never_sent(row))
    }
    found += [f"the venue got order {o}, the ledger has no row" for o in set(posted) - sent]
    found += [f"the ledger has order {o}, the venue never got it" for o in sent - set(posted)]
    found += [f"order {o} was posted {n} times" for o, n in Counter(posted).items() if n > 1]
    rows = Counter(row.order_id for row in evidence.ledger)
    found += [f"order {o} has {n} rows in the ledger" for o, n in rows.items() if n > 1]
    held = {claim.order_id: claim for claim in evidence.account.claims.values()}
    for entry in matched:
        claim = held.get(entry.order_id)
        if claim is not None:
            found += _details(entry, claim)
    markets = Counter(entry.condition_id for entry in matched)
    return found + [f"market {m} was bought {n} times" for m, n in markets.items() if n > 1]


def summary(evidence: Evidence) -> str:
    """The counts that were compared."""
    matched = [entry for entry in evidence.entries if entry.verdict == "matched"]
    refused = len(evidence.entries) - len(matched)
    open_rows = sum(row.state is ClaimState.OPEN for row in evidence.ledger)
    spent = sum(claim.filled_spend_e6 for claim in evidence.account.claims.values()) / 1e6
    return (
        f"venue: {len(matched)} orders matched, {refused} refused; "
        f"state: {len(evidence.account.claims)} claims, {spent:.4f} USD spent; "
        f"ledger: {len(evidence.ledger)} rows, {open_rows} open"
    )


def _amounts(claims: Any) -> Amounts:
    return {claim.order_id: (claim.filled_spend_e6, claim.filled_size_e6) for claim in claims}


def _differences(left: str, a: Amounts, right: str, b: Amounts) -> list[str]:
    return (
        [f"order {o} is in {left}, not in {right}" for o in sorted(a.keys() - b.keys())]
        + [f"order {o} is in {right}, not in {left}" for o in sorted(b.keys() - a.keys())]
        + [
            f"order {o}: {left} says {a[o]}, {right} says {b[o]}"
            for o in sorted(a.keys() & b.keys())
            if a[o] != b[o]
        ]
    )


def _details(entry: Entry, claim: Claim) -> list[str]:
    """What must hold of a matched order beside its amounts."""
    order, facts = entry.order_id, []
    if (entry.condition_id, entry.token_id) != (claim.condition_id, claim.token_id):
        facts.append(f"order {order} bought another token than was claimed")
    if any(fill.price_e4 > claim.max_price_e4 for fill in entry.fills):
        facts.append(f"order {order} paid more than its claim allows")
    if entry.received_at_ns < claim.claimed_at_ms * 1_000_000:
        facts.append(f"order {order} was posted before it was claimed")
    # The answer names no fee, so ours is computed at the average price: close, never exact.
    if abs(entry.fee_e6 - claim.fee_e6) > entry.fee_e6 // 50 + 10:
        facts.append(f"order {order}: the venue took a fee of {entry.fee_e6}, not {claim.fee_e6}")
    return facts


def _never_sent(row: Claim) -> bool:
    return row.text.startswith(RejectReason.NOT_SENT.value)
