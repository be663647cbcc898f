"""The state store on DynamoDB: claims, ledger and decision log of one strategy account.

1. A claim is ONE conditional UpdateItem; every limit stands in its condition (`CLAIM_CONDITION`).
2. Every write may be sent twice (the SDK retries when no reply came), so every write is idempotent
   or recognises itself: a refused condition that shows our own attempt id was our own success.
3. Every call ends within `CALL_TIMEOUT_S`, with a result or with one StoreError of one line.
   After a StoreError nobody knows whether the write happened.
4. The table is made by `infra/state.yml`, never here.

The claim as a lock, in time:

    worker A                        account item                      worker B
    claim(m, attempt a) ----------> claims.m = {a, claimed}
          (reply lost)              cooldowns.m = t + cooldown
    SDK sends the same again -----> condition fails, ALL_OLD shows a
    Claimed: it is ours                                      <------- claim(m, attempt b)
    POST, once                                                        ALL_OLD shows a: refused
    resolve(open)  ---------------> claims.m.state = open             (m stays taken)
      or (released) --------------> claims.m removed; cooldowns.m     (m is free again only when
                                    stays as it is                     the cooldown is over)

The lock has no lease: a worker that dies after the claim leaves its market taken, on purpose
(invariant 4: a POST may have been made), until the venue's evidence resolves it. The same happens
to a first try that arrives after its caller has given up: it reserves exposure without an order,
which the evidence then releases. Neither can lead to a second order.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final
from urllib.parse import urlsplit

import aioboto3
import aiohttp
import structlog
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from functions.adapters.dynamodb_items import (
    TRADING_ENABLED,
    Item,
    account_key,
    account_of,
    claim_attribute,
    decision_item,
    new_account_item,
    stored_claim,
    trade_item,
    utc_day,
)
from functions.core.intent import (
    TRANSITIONS,
    Account,
    Claim,
    ClaimRefusal,
    ClaimState,
    Limits,
    refusal_of,
)
from functions.ports import Claimed, ClaimRefused, ClaimResult, StoreError
from protocol.decision import Decision, Timeline

# -- what a claim is conditional on --------------------------------------------------------------
# `#day` and the like: DAY, STATE and TEXT are reserved words.

# A person or the reconciler has not stopped this account. Also false when there is no item.
TRADING_IS_ENABLED: Final = "trading = :enabled"
# At most one live claim a market; a claim that is not resolved still counts.
MARKET_IS_FREE: Final = "attribute_not_exists(claims.#market)"
# At most so many markets at once, counted where it is decided and nowhere else.
POSITION_IS_LEFT: Final = "size(claims) < :max_positions"
# Whatever became of the market's last claim, its cooldown is over.
COOLDOWN_IS_OVER: Final = "(attribute_not_exists(cooldowns.#market) OR cooldowns.#market <= :now)"
# Today's loss has not reached the limit; a P&L of an earlier day says nothing about today. Whatever
# else stands there (no day, a number, a date to come) matches neither side: no entry.
LOSS_IS_WITHIN_LIMIT: Final = "(#day < :today OR (#day = :today AND pnl_today_e6 > :loss_floor))"

CLAIM_CONDITION: Final = " AND ".join(
    (TRADING_IS_ENABLED, MARKET_IS_FREE, POSITION_IS_LEFT, COOLDOWN_IS_OVER, LOSS_IS_WITHIN_LIMIT)
)
CLAIM_UPDATE: Final = "SET claims.#market = :claim, cooldowns.#market = :cooldown_until"

# -- what a resolution is conditional on ---------------------------------------------------------

# Nobody else's claim: the market may have been released and claimed again by another worker.
CLAIM_IS_MINE: Final = "claims.#market.attempt_id = :attempt"
# Nobody, the reconciler included, has moved it on since we looked.
STATE_IS_AS_SEEN: Final = "claims.#market.#state = :seen"

RESOLVE_CONDITION: Final = f"{CLAIM_IS_MINE} AND {STATE_IS_AS_SEEN}"
RELEASE_UPDATE: Final = "REMOVE claims.#market"
RESOLVE_UPDATE: Final = (
    "SET claims.#market.#state = :state, claims.#market.filled_spend_e6 = :spend,"
    " claims.#market.filled_size_e6 = :size, claims.#market.fee_e6 = :fee,"
    " claims.#market.resolved_at_ms = :at, claims.#market.#text = :text"
)

# -- how long and how often ----------------------------------------------------------------------

CONNECT_TIMEOUT_S: Final = 1
READ_TIMEOUT_S: Final = 2  # AWS answers in milliseconds; after this a book is too old anyway
ATTEMPTS_MAX: Final = 2  # one retry: enough for a connection that the server closed while idle
# Two tries and the SDK's pause of up to a second between them, plus what the two timeouts do not
# cover: name resolution, waiting for a free connection, fetching credentials.
CALL_TIMEOUT_S: Final = 8
CONNECTIONS_MAX: Final = 16
# aiobotocore's pool drops a connection that was idle for 12 s; the next claim would pay for a new
# TCP and TLS handshake.
KEEP_WARM_S: Final = 5
BATCH_MAX: Final = 25  # BatchWriteItem's own limit
BATCH_TRIES_MAX: Final = 5
BATCH_PAUSE_S: Final = 0.05  # doubled with each try, with jitter

_CONFIG: Final = AioConfig(
    connect_timeout=CONNECT_TIMEOUT_S,
    read_timeout=READ_TIMEOUT_S,
    retries={"mode": "standard", "total_max_attempts": ATTEMPTS_MAX},
    max_pool_connections=CONNECTIONS_MAX,
    # These two take a fifth off a claim's client CPU (measured 2026-11): each call is one of the
    # few below, tested against a server, and needs no second validation and no self-description.
    parameter_validation=False,
    user_agent="streaming-executor",
)
_FAILURES: Final = (
    BotoCoreError,
    ClientError,
    ResponseParserError,
    aiohttp.ClientError,
    OSError,  # TimeoutError is one
)


_log = structlog.get_logger()


@asynccontextmanager
async def open_store(
    *, table: str, strategy: str, region: str, endpoint_url: str | None = None
) -> AsyncIterator[DynamoStore]:
    """A store on `table` for `strategy`'s account; connections are released with the context.

    Credentials come from the environment, as the SDK finds them. Makes no call: `open_account`
    does. Raises StoreError when no client can be built (no such region, not a URL).
    """
    async with AsyncExitStack() as stack:
        try:
            opening = aioboto3.Session().client(
                "dynamodb", region_name=region, endpoint_url=endpoint_url, config=_CONFIG
            )
            client = await stack.enter_async_context(opening)
        except (BotoCoreError, ValueError) as error:
            raise StoreError(f"no client for region {region!r}: {_one_line(error)}") from error
        yield DynamoStore(client, table, strategy)


class DynamoStore:
    """`functions.ports.Store` on DynamoDB's low-level client."""

    def __init__(self, client: Any, table: str, strategy: str) -> None:
        self._client = client
        self._table = table
        self._strategy = strategy
        self._account_key = account_key(strategy)

    async def open_account(self) -> Account:
        """See `Store.open_account`. Also warms the connection that the first claim will use."""
        with suppress(_ConditionFailedError):  # it is there already, and stays as it is
            await self._call(
                "open_account",
                self._client.put_item(
                    TableName=self._table,
                    Item=new_account_item(self._strategy),
                    ConditionExpression="attribute_not_exists(pk)",
                ),
            )
        reply = await self._call(
            "open_account",
            self._client.get_item(
                TableName=self._table, Key=self._account_key, ConsistentRead=True
            ),
        )
        if "Item" not in reply:
            raise StoreError(f"open_account: the account of {self._strategy} was deleted meanwhile")
        return account_of(reply["Item"])

    async def claim(self, claim: Claim, limits: Limits, now_ms: int) -> ClaimResult:
        """See `Store.claim` and the module's text."""
        if claim.state is not ClaimState.CLAIMED:
            raise ValueError(f"a claim begins as claimed, not as {claim.state}")
        market, today = claim.condition_id, utc_day(now_ms)
        try:
            await self._call(
                "claim",
                self._client.update_item(
                    TableName=self._table,
                    Key=self._account_key,
                    UpdateExpression=CLAIM_UPDATE,
                    ConditionExpression=CLAIM_CONDITION,
                    ExpressionAttributeNames={"#market": market, "#day": "day"},
                    ExpressionAttributeValues={
                        ":enabled": {"S": TRADING_ENABLED},
                        ":max_positions": {"N": str(limits.max_positions)},
                        ":now": {"N": str(now_ms)},
                        ":today": {"S": today},
                        ":loss_floor": {"N": str(-limits.daily_loss_limit_e6)},
                        ":claim": claim_attribute(claim),
                        ":cooldown_until": {"N": str(now_ms + limits.cooldown_ms)},
                    },
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                ),
            )
        except _ConditionFailedError as refused:
            item = refused.item
        else:
            return Claimed()
        if item is None:
            return ClaimRefused(reason=ClaimRefusal.NO_ACCOUNT, account=None)
        holder = stored_claim(item, market)
        if holder is not None and holder[0] == claim.attempt_id:
            return Claimed()  # our own success, whose reply was lost
        account = account_of(item)
        reason = refusal_of(account, market, limits, now_ms, today)
        return ClaimRefused(reason=reason or ClaimRefusal.UNEXPLAINED, account=account)

    async def resolve(self, claim: Claim, seen: ClaimState) -> bool:
        """See `Store.resolve`. Raises ValueError for a transition that is not in the table."""
        if claim.state not in TRANSITIONS[seen]:
            raise ValueError(f"no transition from {seen} to {claim.state}")
        released = claim.state is ClaimState.RELEASED
        names = {"#market": claim.condition_id, "#state": "state"}
        values = {":attempt": {"S": claim.attempt_id}, ":seen": {"S": seen.value}}
        if not released:
            names["#text"] = "text"
            values |= {
                ":state": {"S": claim.state.value},
                ":spend": {"N": str(claim.filled_spend_e6)},
                ":size": {"N": str(claim.filled_size_e6)},
                ":fee": {"N": str(claim.fee_e6)},
                ":at": {"N": str(claim.resolved_at_ms)},
                ":text": {"S": claim.text},
            }
        try:
            await self._call(
                "resolve",
                self._client.update_item(
                    TableName=self._table,
                    Key=self._account_key,
                    UpdateExpression=RELEASE_UPDATE if released else RESOLVE_UPDATE,
                    ConditionExpression=RESOLVE_CONDITION,
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues=values,
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                ),
            )
        except _ConditionFailedError as refused:
            item = refused.item
        else:
            return True
        if item is None:
            return False  # a vanished account proves nothing
        holder = stored_claim(item, claim.condition_id)
        if released:
            return holder is None or holder[0] != claim.attempt_id
        return holder == (claim.attempt_id, claim.state.value)

    async def put_ledger(self, claim: Claim, timeline: Timeline) -> None:
        """See `Store.put_ledger`."""
        item = trade_item(self._strategy, claim, timeline)
        await self._call("put_ledger", self._client.put_item(TableName=self._table, Item=item))

    async def put_decisions(self, decisions: Sequence[Decision]) -> None:
        """See `Store.put_decisions`. A decision given twice is written once (the last one)."""
        rows: dict[tuple[str, str], Item] = {}
        for item in map(decision_item, decisions):
            rows[item["pk"]["S"], item["sk"]["S"]] = item
        items = list(rows.values())
        for start in range(0, len(items), BATCH_MAX):
            await self._put_batch(items[start : start + BATCH_MAX])

    async def upkeep(self) -> None:
        """See `Store.upkeep`: a small read often enough that the pool keeps its connection."""
        while True:
            await asyncio.sleep(KEEP_WARM_S)
            try:
                await self._call(
                    "upkeep",
                    self._client.get_item(
                        TableName=self._table, Key=self._account_key, ProjectionExpression="pk"
                    ),
                )
            except StoreError as error:
                _log.warning("keep_warm_failed", error=str(error))

    async def close(self) -> None:
        """Release connections."""
        await self._client.close()

    async def _put_batch(self, items: list[Item]) -> None:
        requests: list[Any] = [{"PutRequest": {"Item": item}} for item in items]
        for tried in range(BATCH_TRIES_MAX):
            if tried:  # throttled: what was not taken is handed back and must be asked again
                await asyncio.sleep(BATCH_PAUSE_S * 2**tried * random.uniform(0.5, 1))  # noqa: S311 - jitter
            reply = await self._call(
                "put_decisions",
                self._client.batch_write_item(RequestItems={self._table: requests}),
            )
            requests = reply.get("UnprocessedItems", {}).get(self._table, [])
            if not requests:
                return
        raise StoreError(
            f"put_decisions: table {self._table} left {len(requests)} of {len(items)} rows"
            f" unwritten after {BATCH_TRIES_MAX} tries"
        )

    async def _call(self, what: str, call: Awaitable[Any]) -> Any:
        """Await one SDK call. Raises _ConditionFailedError, or StoreError for everything else."""
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                return await call
        except ClientError as error:
            response: Any = error.response
            code = response.get("Error", {}).get("Code", "")
            if code == "ConditionalCheckFailedException":
                raise _ConditionFailedError(response.get("Item")) from None
            if code == "ResourceNotFoundException":
                raise StoreError(
                    f"STATE_TABLE: there is no table {self._table} at {self._where()}; it is"
                    " created by deploying infra/state.yml, never by this process"
                ) from error
            raise StoreError(self._failed(what, error)) from error
        except _FAILURES as error:
            raise StoreError(self._failed(what, error)) from error

    def _failed(self, what: str, error: Exception) -> str:
        return f"{what}: table {self._table} at {self._where()}: {_one_line(error)}"

    def _where(self) -> str:
        """Host and port only: a URL may carry a password."""
        endpoint_url: str = self._client.meta.endpoint_url
        return urlsplit(endpoint_url).netloc.rpartition("@")[2]


class _ConditionFailedError(Exception):
    """The write's condition did not hold; `item` is what refused it (None: there is no item)."""

    def __init__(self, item: Item | None) -> None:
        super().__init__("the condition did not hold")
        self.item = item


def _one_line(error: Exception) -> str:
    """Kind and text of a failure, on one bounded line, without the URL that botocore prints."""
    cause = getattr(error, "kwargs", {}).get("error", error)
    text = " ".join(str(cause).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
