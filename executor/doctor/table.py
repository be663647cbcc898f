"""The state table: readable, of the right shape, protected, with the account item in it."""

from __future__ import annotations

from typing import Any, Final

from executor.doctor.finding import Finding, fail, ok, warn
from functions.adapters.dynamodb_items import account_key, account_of
from functions.adapters.dynamodb_table import Table, open_client
from functions.core.account import TRADING_ENABLED
from functions.ports import StoreError
from functions.settings import AccountSettings

_KEYS: Final = {"HASH": "pk", "RANGE": "sk"}
_TTL_ATTRIBUTE: Final = "expires_at"
_DEPLOY: Final = "deploy infra/state.yml again"


async def check(settings: AccountSettings) -> list[Finding]:
    """The account item first: what the workers need. The rest is told as far as it may be asked."""
    try:
        async with open_client(
            region=settings.aws_region, endpoint_url=settings.aws_endpoint_url_dynamodb
        ) as client:
            table = Table(client, settings.state_table)
            key = account_key(settings.account)
            item = await table.get("account", Key=key, ConsistentRead=True)
            return [
                ok("table", f"{settings.state_table} answers"),
                _account(settings.account, item),
                await _shape(table),
                await _time_to_live(table),
                await _recovery(table),
            ]
    except StoreError as error:
        return [
            fail(
                "table",
                str(error),
                "see that STATE_TABLE, AWS_REGION, AWS_ENDPOINT_URL_DYNAMODB and the credentials "
                "are right and the table is deployed",
            )
        ]


def _account(name: str, item: dict[str, Any] | None) -> Finding:
    what = "account item"
    if item is None:
        return warn(what, f"there is no account {name} yet", "nothing: the first worker creates it")
    try:
        account = account_of(item)
    except StoreError as error:
        return fail(what, str(error), "somebody has edited it by hand: put the attribute right")
    if account.trading != TRADING_ENABLED:
        return warn(what, f"{name} is halted: {account.halt_reason}", "executor resume")
    return ok(what, f"{name} is readable, trading is enabled")


async def _shape(table: Table) -> Finding:
    what = "table's keys"
    try:
        told = (await table.describe("describe_table"))["Table"]
    except StoreError as error:
        return _untold(what, error)
    keys = {each["KeyType"]: each["AttributeName"] for each in told["KeySchema"]}
    if keys != _KEYS:
        return fail(what, f"{keys} instead of {_KEYS}", "set STATE_TABLE to the state table")
    return ok(what, "pk, sk")


async def _time_to_live(table: Table) -> Finding:
    what = "table's TTL"
    try:
        told = (await table.describe("describe_time_to_live"))["TimeToLiveDescription"]
    except StoreError as error:
        return _untold(what, error)
    if told.get("TimeToLiveStatus") not in ("ENABLED", "ENABLING"):
        return warn(what, "off: decisions are kept, and paid, for ever", _DEPLOY)
    if told.get("AttributeName") != _TTL_ATTRIBUTE:
        text = f"on {told.get('AttributeName')}, not on {_TTL_ATTRIBUTE}"
        return warn(what, text, _DEPLOY)
    return ok(what, f"on {_TTL_ATTRIBUTE}")


async def _recovery(table: Table) -> Finding:
    what = "table's point-in-time recovery"
    try:
        told = (await table.describe("describe_continuous_backups"))["ContinuousBackupsDescription"]
    except StoreError as error:
        return _untold(what, error)
    recovery = told.get("PointInTimeRecoveryDescription", {})
    if recovery.get("PointInTimeRecoveryStatus") != "ENABLED":
        return warn(what, "off: a lost ledger would stay lost", _DEPLOY)
    return ok(what, "enabled")


def _untold(what: str, error: StoreError) -> Finding:
    return warn(what, f"not told: {error}", "nothing, unless you expect to be allowed to ask")
