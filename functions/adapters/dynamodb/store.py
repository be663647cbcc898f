"""The state store on DynamoDB: claims and ledger of one strategy account, and its decision log.

1. A claim is ONE conditional UpdateItem; every limit stands in its condition (`CLAIM_CONDITION`).
2. So is every later change of it (`SEEN_CONDITION`). Every write may be sent twice (it is repeated
   when no reply came), so every write is idempotent: a claim recognises itself, and a change that
   is refused makes its caller look again at what is stored.
3. The tables are made by `infra/state.yml`, never here. The decision log has one of its own and
   its own file (`functions.adapters.dynamodb.decisions`): nothing that trades touches either.

The claim as a lock, in time:

    worker A                        account item                      worker B
    claim(m, attempt a) ----------> claims.m = {a, version 1}
          (reply lost)              cooldowns.m = t + cooldown
    the same is sent again -------> condition fails, ALL_OLD shows a
    Claimed: it is ours                                      <------- claim(m, attempt b)
    POST, once                                                        ALL_OLD shows a: refused
    move(unknown) ----------------> claims.m = {a, version 2}         (m stays taken)
    move(open or released) -------> claims.m removed,                 (m is free again, once the
                                    claims.a = {a, version 3};         cooldown is over)
    put_ledger, forget             cooldowns.m stays as it is
      when it has ended ----------> claims.a removed

The lock has no lease: a worker that dies after the claim leaves its market taken, on purpose
(invariant 4: a POST may have been made), until the venue's evidence moves it. The same happens to a
first try that arrives after its caller has given up: it reserves exposure without an order, which
the evidence then releases. Neither can lead to a second order.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

import structlog

from functions.adapters.dynamodb import wallets
from functions.adapters.dynamodb.claim_requests import claim_request, move_request, reopen_request
from functions.adapters.dynamodb.conditions import (
    HALT_IS_AS_SEEN,
    ROW_IS_AS_SEEN,
    SEEN_CONDITION,
)
from functions.adapters.dynamodb.configurations import Configurations
from functions.adapters.dynamodb.decisions import DecisionLog
from functions.adapters.dynamodb.group_requests import claimed_in_group, moved_in_group, state_of
from functions.adapters.dynamodb.groups import DynamoGroup
from functions.adapters.dynamodb.items import (
    Attribute,
    Item,
    account_key,
    account_of,
    missing_account_attributes,
    pause_attribute,
    stored_attempt,
    trade_key,
)
from functions.adapters.dynamodb.ledger import Ledger
from functions.adapters.dynamodb.pruning import prune_request
from functions.adapters.dynamodb.redemptions import note_in, redemptions_request
from functions.adapters.dynamodb.table import (
    ConditionFailedError,
    MissingPathError,
    Table,
    open_client,
)
from functions.adapters.dynamodb.together import CONFLICT_PAUSES_S, Together, tried_again
from functions.core.account import (
    TRADING_ENABLED,
    TRADING_HALTED,
    Account,
    ClaimRefusal,
    Limits,
    Pause,
    Redemption,
    refusal_of,
    utc_day,
)
from functions.core.claim import Claim, ClaimState
from functions.core.collective import CollectiveLimits, collective_refusal_of, fits
from functions.core.configuration import ConfigurationRow
from functions.ports import AccountReads, Claimed, ClaimRefused, ClaimResult, StoreError
from protocol.decision import Decision
from protocol.text import whole
from runtime.last_answer import LastAnswer

# -- how long and how often ----------------------------------------------------------------------

# aiobotocore's pool drops a connection that was idle for 12 s; the next claim would pay for a new
# TCP and TLS handshake.
KEEP_WARM_S: Final = 5
BUSY_PAUSE_S: Final = 0.02  # before the second try of a claim; a book lives about a second
NOTE_TRIES: Final = 5  # of a settlement whose winnings are joined to a note that others change

_log = structlog.get_logger()


@asynccontextmanager
async def open_store(
    *,
    table: str,
    decision_table: str,
    account_name: str,
    region: str,
    endpoint_url: str | None = None,
) -> AsyncIterator[DynamoStore]:
    """A store on `table` for the account `account_name`. Makes no call: `open_account` does.

    `decision_table` need not exist for anything but the decision log.

    Raises StoreError when no client can be built (no such region, not a URL).
    """
    names = (account_name,)
    async with open_stores(
        names, table=table, decision_table=decision_table, region=region, endpoint_url=endpoint_url
    ) as stores:
        yield stores[account_name]


@asynccontextmanager
async def open_stores(
    account_names: Sequence[str],
    *,
    table: str,
    decision_table: str,
    region: str,
    endpoint_url: str | None = None,
) -> AsyncIterator[dict[str, DynamoStore]]:
    """As `open_store`, by name for several accounts: they share the connections."""
    async with open_client(region=region, endpoint_url=endpoint_url) as client:
        yield {
            name: DynamoStore(client, table=table, decision_table=decision_table, account_name=name)
            for name in account_names
        }


class DynamoStore:
    """`functions.ports.Store` on DynamoDB's low-level client."""

    def __init__(self, client: Any, *, table: str, decision_table: str, account_name: str) -> None:
        self._table = Table(client, table, "STATE_TABLE")
        self._decisions = DecisionLog(Table(client, decision_table, "DECISION_TABLE"), account_name)
        self._ledger = Ledger(self._table, account_name)
        self.account_name = account_name
        self._account_key = account_key(account_name)
        self._configurations = Configurations(self._table, self._account_key)
        self._together = Together(self._table, self._account_key, self.open_account)
        self._last_answer = LastAnswer(f"table {table} has not answered")

    async def open_account(self) -> Account:
        """See `Store.open_account`. Also warms the connection that the first claim will use."""
        return await self._with_missing_attributes("open_account", [], {})

    async def account(self) -> Account:
        """See `AccountReads.account`."""
        return await wallets.read_account(self._table, self.account_name)

    async def claim(
        self, claim: Claim, limits: Limits, now_ms: int, collective: CollectiveLimits | None = None
    ) -> ClaimResult:
        """See `Store.claim` and the module's text."""
        if claim.state is not ClaimState.CLAIMED or claim.version != 1 or not claim.counted:
            raise ValueError(f"a claim begins as claimed, and counted, not as {claim.state}")
        if claim.collective != ("" if collective is None else collective.name):
            raise ValueError("a claim names the group that counts it, and no other")
        if claim.spend_e6 > limits.daily_spend_cap_e6:
            return ClaimRefused(reason=ClaimRefusal.DAILY_SPEND, account=None)
        if collective is not None and not fits(claim, collective):
            return ClaimRefused(reason=ClaimRefusal.COLLECTIVE_EXPOSURE, account=None)
        today, request = utc_day(now_ms), claim_request(claim, limits, now_ms)
        try:
            if collective is None:
                await tried_again(lambda: self._update("claim", **request), (BUSY_PAUSE_S,))
            else:
                half = claimed_in_group(claim, collective, today)
                await self._together.write("claim", collective.name, request, half)
        except ConditionFailedError as failed:
            refused = failed
        else:
            return Claimed()
        item = refused.item
        if not refused.refused[0]:  # the group's half was: that may be our own success as well
            item = await self._table.get("account", Key=self._account_key, ConsistentRead=True)
        if item is None:
            return ClaimRefused(reason=ClaimRefusal.NO_ACCOUNT, account=None)
        slots = (claim.condition_id, claim.intent_id)  # the second if it has been moved since
        if any(stored_attempt(item, slot) == claim.attempt_id for slot in slots):
            return Claimed()  # our own success, whose reply was lost
        account, group = account_of(item), None
        reason = refusal_of(account, claim, limits, now_ms, today)
        if collective is not None and not refused.refused[0]:
            group = None if refused.items[1] is None else state_of(refused.items[1])
            reason = collective_refusal_of(group, claim, collective, today)
        return ClaimRefused(
            reason=reason or ClaimRefusal.UNEXPLAINED, account=account, collective=group
        )

    async def move(self, claim: Claim, seen: Claim, *, redeem: bool = False) -> bool:
        """See `Store.move`."""
        noted: Attribute | None = None
        for _ in range(NOTE_TRIES):
            try:
                await self._moved(claim, seen, move_request(claim, seen, redeem, noted))
            except ConditionFailedError as refused:
                there = note_in(refused.item, claim) if redeem else None
                if there == noted:
                    return False  # perhaps our own success, whose reply was lost: look again
                noted = there
            else:
                return True
        return False

    async def _moved(self, claim: Claim, seen: Claim, request: dict[str, Any]) -> None:
        half = moved_in_group(claim, seen)
        if half is None:
            await self._update("move", **request)
        else:
            await self._together.write("move", seen.collective, request, half)

    async def reopen(self, claim: Claim, seen: Claim) -> bool:
        """See `Store.reopen`."""
        request, half = reopen_request(claim, seen), moved_in_group(claim, seen)
        row_as_seen = {
            "ConditionCheck": {
                "Key": trade_key(self.account_name, seen),
                "ConditionExpression": ROW_IS_AS_SEEN,
                "ExpressionAttributeValues": {":seen_version": {"N": str(seen.version)}},
            }
        }
        try:
            if half is not None:
                await self._together.write("reopen", seen.collective, request, half, row_as_seen)
                return True
            into_account = {"Update": {"Key": self._account_key, **request}}
            try:
                await self._table.transact("reopen", into_account, row_as_seen)
            except MissingPathError:
                await self.open_account()
                await self._table.transact("reopen", into_account, row_as_seen)
        except ConditionFailedError:
            return False
        return True

    async def put_ledger(self, claim: Claim) -> None:
        """See `Store.put_ledger`."""
        await self._ledger.put(claim)

    async def forget(self, claim: Claim) -> None:
        """See `Store.forget`."""
        with suppress(ConditionFailedError):  # forgotten already, or brought back to life
            await self._table.update(
                "forget",
                Key=self._account_key,
                UpdateExpression="REMOVE claims.#slot",
                ConditionExpression=SEEN_CONDITION,
                ExpressionAttributeNames={"#slot": claim.slot},
                ExpressionAttributeValues={
                    ":attempt": {"S": claim.attempt_id},
                    ":seen_version": {"N": str(claim.version)},
                },
            )

    async def ledger(self, since_ms: int, until_ms: int) -> list[Claim]:
        """See `AccountReads.ledger`."""
        return await self._ledger.between(since_ms, until_ms)

    async def ledger_row(self, claim: Claim) -> Claim | None:
        """See `Store.ledger_row`."""
        return await self._ledger.row(claim)

    async def join_wallet(self, wallet: str) -> None:
        """See `Store.join_wallet`."""
        await wallets.join(self._table, wallet, self.account_name)

    async def accounts_of_wallet(self, wallet: str) -> list[str]:
        """See `Store.accounts_of_wallet`."""
        return await wallets.accounts_of(self._table, wallet)

    def account_named(self, account_name: str) -> AccountReads:
        """See `Store.account_named`."""
        return wallets.OtherAccount(self._table, account_name)

    async def halt(self, reason: str) -> None:
        """See `Store.halt`. Unconditional: a halt that comes late errs on the safe side."""
        await self._with_missing_attributes(
            "halt",
            ["trading = :trading", "halt_reason = :reason", "halt_id = :id"],
            {
                ":trading": {"S": TRADING_HALTED},
                ":reason": {"S": whole(reason)},
                ":id": {"S": uuid.uuid4().hex},
            },
        )

    async def resume(self, seen: Account) -> bool:
        """See `Store.resume`."""
        try:
            await self._table.update(
                "resume",
                Key=self._account_key,
                UpdateExpression="SET trading = :trading, halt_reason = :none",
                ConditionExpression=HALT_IS_AS_SEEN,
                ExpressionAttributeValues={
                    ":trading": {"S": TRADING_ENABLED},
                    ":none": {"S": ""},
                    ":seen": {"S": seen.halt_id},
                },
            )
        except ConditionFailedError:
            return False
        return True

    async def set_pause(self, pause: Pause, seen: Pause) -> bool:
        """See `Store.set_pause`."""
        try:
            await self._table.update(
                "set_pause",
                Key=self._account_key,
                UpdateExpression="SET pause = :pause",
                ConditionExpression="pause = :seen",
                ExpressionAttributeValues={
                    ":pause": pause_attribute(pause),
                    ":seen": pause_attribute(seen),
                },
            )
        except ConditionFailedError:
            return False
        return True

    async def prune(self, account: Account, now_ms: int) -> None:
        """See `Store.prune`. At most PRUNED_AT_ONCE_MAX entries; the next run takes the rest."""
        request = prune_request(account, now_ms)
        if request is None:
            return
        with suppress(ConditionFailedError):
            await self._table.update("prune", Key=self._account_key, **request)

    async def set_redemptions(
        self, changes: Mapping[str, Redemption | None], seen: Mapping[str, Redemption]
    ) -> bool:
        """See `Store.set_redemptions`."""
        request = redemptions_request(changes, seen)
        try:
            await self._table.update("set_redemptions", Key=self._account_key, **request)
        except ConditionFailedError:
            return False
        return True

    def group(self, name: str) -> DynamoGroup:
        """See `Store.group`."""
        return DynamoGroup(self._table, name)

    async def configuration(self) -> ConfigurationRow | None:
        """See `Store.configuration`."""
        return await self._configurations.in_force()

    async def configurations(self, limit: int) -> list[ConfigurationRow]:
        """See `Store.configurations`."""
        return await self._configurations.newest(limit)

    async def set_configuration(self, row: ConfigurationRow, seen_version: int) -> bool:
        """See `Store.set_configuration`."""
        return await self._configurations.set(row, seen_version)

    async def put_decisions(self, decisions: Sequence[Decision]) -> None:
        """See `Store.put_decisions`."""
        await self._decisions.put(decisions)

    async def decisions(self, day: str, limit: int) -> list[Decision]:
        """See `Store.decisions`."""
        return await self._decisions.newest(day, limit)

    async def upkeep(self) -> None:
        """See `Store.upkeep`: a small read often enough that the pool keeps its connection."""
        self._last_answer.came()  # whoever begins has opened the account, and perhaps waited since
        while True:
            await asyncio.sleep(KEEP_WARM_S)
            try:
                await self._table.get("upkeep", Key=self._account_key, ProjectionExpression="pk")
                self._last_answer.came()
            except StoreError as error:
                self._last_answer.failed(str(error))
                _log.warning("keep_warm_failed", error=str(error))

    def problem(self) -> str | None:
        """See `Store.problem`."""
        return self._last_answer.problem()

    async def close(self) -> None:
        """Release connections."""
        await self._table.close()

    async def _update(self, what: str, **request: Any) -> None:
        """Change the account item, of which an older version may not have written all."""
        try:
            await self._table.update(what, Key=self._account_key, **request)
        except MissingPathError:
            await self.open_account()
            await self._table.update(what, Key=self._account_key, **request)

    async def _with_missing_attributes(self, what: str, sets: list[str], values: Item) -> Account:
        """Change what is asked for and add what an account must have; returns all of it."""
        missing = missing_account_attributes(set(sets))
        names = {f"#{name}": name for name in missing}
        update = partial(
            self._table.update,
            what,
            Key=self._account_key,
            UpdateExpression="SET "
            + ", ".join([*sets, *(f"#{n} = if_not_exists(#{n}, :{n})" for n in missing)]),
            ExpressionAttributeNames=names,
            ExpressionAttributeValues={**values, **{f":{n}": v for n, v in missing.items()}},
            ReturnValues="ALL_NEW",
        )
        # A claim's transaction may hold the item: a halt gets through beside it.
        return account_of((await tried_again(update, CONFLICT_PAUSES_S)).get("Attributes", {}))
