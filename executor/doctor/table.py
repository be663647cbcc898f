"""The two tables: there, of the right shape, protected, with the account item in the first."""

from __future__ import annotations

from typing import Any, Final

from executor.doctor.finding import Finding, fail, ok, warn
from functions.adapters.dynamodb.items import account_key, account_of
from functions.adapters.dynamodb.table import Table, open_client
from functions.core.account import TRADING_ENABLED
from functions.ports import StoreError
from functions.settings import AccountSettings

_KEYS: Final = {"HASH": "pk", "RANGE": "sk"}
_TTL_ATTRIBUTE: Final = "expires_at"
_DEPLOY: Final = "deploy infra/state.yml again"
_STATE: Final = "state table"
_LOG: Final = "decision table"


async def check(settings: AccountSettings) -> list[Finding]:
    """The account items first: what workers need. The rest is reported as far as it may be read.

    What is wrong with the decision table is a warning: trading does not need it.
    """
    try:
        async with open_client(
            region=settings.aws_region, endpoint_url=settings.aws_endpoint_url_dynamodb
        ) as client:
            state = Table(client, settings.state_table, "STATE_TABLE")
            log = Table(client, settings.decision_table, "DECISION_TABLE")
            names = [entry.account for entry in settings.entries]
            items = [
                await state.get("account", Key=account_key(name), ConsistentRead=True)
                for name in names
            ]
            return [
                ok(_STATE, f"{state.name} answers"),
                *map(_account, names, items),
                *await _description(_STATE, state, settings),
                await _state_time_to_live(state),
                await _recovery(_STATE, state),
                *await _log_table(log, settings),
            ]
    except StoreError as error:
        return [
            fail(
                _STATE,
                str(error),
                "see that STATE_TABLE, AWS_REGION, AWS_ENDPOINT_URL_DYNAMODB and the credentials "
                "are right and the table is deployed",
            )
        ]


async def _log_table(log: Table, settings: AccountSettings) -> list[Finding]:
    found = await _description(_LOG, log, settings)
    if len(found) == 1:  # it is not there, or may not be asked: nor may the rest
        return found
    return [*found, await _log_time_to_live(log), await _recovery(_LOG, log)]


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


async def _description(what: str, table: Table, settings: AccountSettings) -> list[Finding]:
    """Keys and deletion protection; one finding alone when the table cannot be described."""
    try:
        described = (await table.describe("describe_table"))["Table"]
    except StoreError as error:
        if "there is no table" in str(error):
            return [warn(what, str(error), "deploy infra/state.yml, or set DECISION_TABLE")]
        return [_not_known(what, error)]
    return [
        _shape(what, described),
        _protection(what, described, live=settings.live),
    ]


def _shape(what: str, described: dict[str, Any]) -> Finding:
    keys = {each["KeyType"]: each["AttributeName"] for each in described["KeySchema"]}
    if keys != _KEYS:
        variable = "STATE_TABLE" if what == _STATE else "DECISION_TABLE"
        return fail(f"{what}'s keys", f"{keys} instead of {_KEYS}", f"set {variable} to the {what}")
    return ok(f"{what}'s keys", "pk, sk")


def _protection(what: str, described: dict[str, Any], *, live: bool) -> Finding:
    what = f"{what}'s deletion protection"
    if described.get("DeletionProtectionEnabled"):
        return ok(what, "on")
    if not live:
        return ok(what, "off, as is right where only paper is traded")
    return warn(what, "off: one call deletes it", "deploy with `protect: true` (infra/stages)")


async def _log_time_to_live(log: Table) -> Finding:
    what = f"{_LOG}'s TTL"
    try:
        attribute = await _time_to_live(log)
    except StoreError as error:
        return _not_known(what, error)
    if attribute is None:
        return warn(what, "off: decisions are kept, and paid, for ever", _DEPLOY)
    if attribute != _TTL_ATTRIBUTE:
        return warn(what, f"on {attribute}, not on {_TTL_ATTRIBUTE}", _DEPLOY)
    return ok(what, f"on {_TTL_ATTRIBUTE}")


async def _state_time_to_live(state: Table) -> Finding:
    """Off: nothing in this table may ever expire."""
    what = f"{_STATE}'s TTL"
    try:
        attribute = await _time_to_live(state)
    except StoreError as error:
        return _not_known(what, error)
    if attribute == _TTL_ATTRIBUTE:
        return fail(
            what,
            f"on {attribute}, as decisions have it: is this the {_LOG}?",
            "set STATE_TABLE to the table of claims; if it is, turn its TTL off",
        )
    if attribute is not None:
        return warn(what, f"on {attribute}: claims and ledger must never expire", "turn it off")
    return ok(what, "no claim and no ledger row expires")


async def _time_to_live(table: Table) -> str | None:
    """The attribute it is on."""
    described = (await table.describe("describe_time_to_live"))["TimeToLiveDescription"]
    on = described.get("TimeToLiveStatus") in ("ENABLED", "ENABLING")
    return str(described.get("AttributeName")) if on else None


async def _recovery(what: str, table: Table) -> Finding:
    what = f"{what}'s point-in-time recovery"
    try:
        described = await table.describe("describe_continuous_backups")
    except StoreError as error:
        return _not_known(what, error)
    backups = described["ContinuousBackupsDescription"]
    recovery = backups.get("PointInTimeRecoveryDescription", {})
    if recovery.get("PointInTimeRecoveryStatus") != "ENABLED":
        return warn(what, "off: what is lost would stay lost", _DEPLOY)
    return ok(what, "enabled")


def _not_known(what: str, error: StoreError) -> Finding:
    return warn(what, f"not known: {error}", "nothing, unless you expect to be allowed to ask")
