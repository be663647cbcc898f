"""The cloud's functions: reconciliation, settlement, and a person's hand on the accounts.

    reconcile   each minute, and within it every RECONCILE_EVERY_S: the cloud's scheduler knows no
                seconds. API credentials, never the signing key.
    settle      each minute, once. The signing key only with REDEEM=true.
    control     HTTP with IAM: GET /status, POST /halt, POST /resume. No secret.

All of them serve all accounts of STRATEGIES; one that fails leaves the others to be served.

How often a redemption is repeated is bounded by its durable note (`functions.handlers.settle`), not
by which environment handles it. What each may know is in `functions.aws.settings`; how one process
serves many invocations, in `functions.aws.environment`.

Nothing that signs, serves or measures is imported here: `settle` imports the official client when
it first redeems.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import structlog
from pydantic import SecretStr, ValidationError

# The store's modules, which nothing here names: a cold start loads them before the first event.
import functions.adapters.dynamodb.store  # noqa: F401 - see above
from functions import bootstrap
from functions.adapters.secrets import SecretError, secret_text
from functions.adapters.venue_records import raising_records_error
from functions.aws import control_http
from functions.aws.environment import Context, Done, Function
from functions.aws.settings import FunctionSettings, ReconcileSettings, SettleSettings
from functions.core.account import Account, Limits
from functions.handlers.compare_group import compare_group
from functions.handlers.limits_in_force import limits_in_force
from functions.handlers.reconcile import ReconcileReport
from functions.handlers.reconcile import reconcile as reconcile_once
from functions.handlers.redeem import WEI
from functions.handlers.settle import SettleReport
from functions.handlers.settle import settle as settle_once
from functions.ports import RecordsError, Store, StoreError, VenueRecords
from runtime.emf import document
from runtime.output import STDOUT
from runtime.settings import mistakes_in
from venue.api_settings import ApiCredentials

INVOKED_EVERY_S: Final = 60.0
"""No more is done in one invocation than until the next one begins."""
RUN_S: Final = 5.0
"""No run begins with less time than one unanswered question takes."""
REPORT_S: Final = 0.5
"""The last run must be over before the invocation is: its metrics are still to be written."""
LIMITS_TIMEOUT_S: Final = 2.0
LOG_IN_TIMEOUT_S: Final = 20.0
"""A few requests one after the other, and a second to import the official client."""
_Settings = TypeVar("_Settings", bound=FunctionSettings)
_log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a function works with, for as long as its environment lives."""

    settings: FunctionSettings
    stores: Mapping[str, Store]
    """By account; of scheduled functions those that could be opened."""


@dataclass(frozen=True, kw_only=True)
class ScheduledResources(Resources):
    """And what the venue has on record."""

    records: Mapping[str, VenueRecords]
    """By account; those that trade with one wallet have the same."""


def reconcile(event: Any, context: Context) -> dict[str, Any] | None:
    """EventBridge, `rate(1 minute)`: move the account to the venue's evidence, again and again.

    Fails when no run succeeded. Answers `{"runs", "failed"}`.
    """
    return _RECONCILE.invoke(event, context)


def settle(event: Any, context: Context) -> dict[str, Any] | None:
    """EventBridge, `rate(1 minute)`: book what ended, and redeem when configured to.

    Answers `{"settled", "failures"}`.
    """
    return _SETTLE.invoke(event, context)


def control(event: Any, context: Context) -> dict[str, Any] | None:
    """A function URL with AuthType AWS_IAM; see `functions.aws.control_http`."""
    return _CONTROL.invoke(event, context)


# -- opening ---------------------------------------------------------------------------------------


async def open_control(stack: AsyncExitStack) -> Resources:
    """Of `control`: the table alone, and no call to it."""
    settings = FunctionSettings()
    stores = await stack.enter_async_context(bootstrap.unopened_stores(settings))
    return Resources(settings=settings, stores=stores)


async def open_reconcile(stack: AsyncExitStack) -> ScheduledResources:
    """Of `reconcile`: the accounts, created where there are none, and their records."""
    settings = ReconcileSettings()

    async def records(one: ReconcileSettings) -> VenueRecords:
        return await _live_records(one) if one.live else bootstrap.public_records(one)

    return await _scheduled(settings, records, stack)


async def open_settle(stack: AsyncExitStack) -> ScheduledResources:
    """Of `settle`: without redemption only resolutions are asked for, which anybody may read."""
    settings = SettleSettings()

    async def records(one: SettleSettings) -> VenueRecords:
        return await _redeeming_records(one) if one.redeems else bootstrap.public_records(one)

    return await _scheduled(settings, records, stack)


async def _scheduled(
    settings: _Settings,
    records: Callable[[_Settings], Awaitable[VenueRecords]],
    stack: AsyncExitStack,
) -> ScheduledResources:
    of_kind: dict[bool, VenueRecords] = {}
    for one in settings.each():
        if one.live not in of_kind:
            of_kind[one.live] = await records(one)
            stack.push_async_callback(of_kind[one.live].close)
    stores = await stack.enter_async_context(bootstrap.unopened_stores(settings))
    opened: dict[str, Account] = {}

    async def open_one(one: _Settings) -> Account:
        return await bootstrap.open_account(stores[one.account], one)

    await bootstrap.opened_accounts(settings.each(), opened, open_one)
    return ScheduledResources(
        settings=settings,
        stores={name: stores[name] for name in opened},
        records={one.account: of_kind[one.live] for one in settings.each()},
    )


async def _live_records(settings: ReconcileSettings) -> VenueRecords:
    variable = "API_CREDENTIALS_SECRET"
    text = await secret_text(
        settings.api_credentials_secret or "", region=settings.aws_region, variable=variable
    )
    try:
        credentials = ApiCredentials.model_validate_json(text).credentials()
    except ValidationError as error:
        raise SecretError(f"{variable}: {mistakes_in(error)}") from None
    with raising_records_error():
        return await bootstrap.records_with_credentials(settings, credentials, variable)


async def _redeeming_records(settings: SettleSettings) -> VenueRecords:
    # Here, because it costs what all the rest costs together, and most accounts never redeem.
    from venue.trading.official_client import bounded_call  # noqa: PLC0415 - see above

    variable = "PRIVATE_KEY_SECRET"
    key = await secret_text(
        settings.private_key_secret or "", region=settings.aws_region, variable=variable
    )
    logging_in = bootstrap.records_with_key(
        settings, SecretStr(key), redeem=True, variable=variable
    )
    with raising_records_error():
        return await bounded_call(
            f"logging in at {settings.clob_url}", logging_in, LOG_IN_TIMEOUT_S
        )


# -- working ---------------------------------------------------------------------------------------


async def work_reconcile(opened: ScheduledResources, _: Any, until_s: float) -> Done:
    """Runs of each account until the time is used. Raises the last run's error when none of any
    account succeeded."""
    settings = opened.settings
    assert isinstance(settings, ReconcileSettings)  # noqa: S101 - as `open_reconcile` made it
    read = await asyncio.gather(*(_limits(each, settings) for each in opened.stores.values()))
    limits = dict(zip(opened.stores, read, strict=True))
    now_s = asyncio.get_running_loop().time()

    async def of_account(name: str) -> tuple[list[ReconcileReport], list[Exception]]:
        structlog.contextvars.bind_contextvars(account=name)
        return await repeated(
            lambda: reconcile_once(opened.stores[name], opened.records[name]),
            every_s=settings.reconcile_every_s,
            until_s=min(until_s - REPORT_S, now_s + INVOKED_EVERY_S),
        )

    difference_usd, done = await asyncio.gather(
        groups_difference_usd(opened, settings.group_items, until_s - REPORT_S),
        asyncio.gather(*map(of_account, opened.stores)),
    )
    reports = [report for of_one, _ in done for report in of_one]
    errors = [error for _, of_one in done for error in of_one]
    # A run in which the venue refused every question is none: its silence is the alarm. So is that
    # of one account among several.
    complete = [sum(not each.incomplete for each in of_one) for of_one, _ in done]
    missing = len(settings.entries) - len(opened.stores)
    values: dict[str, float] = {
        "ReconcileRuns": 0 if missing else min(complete),
        "GroupDifferenceUsd": difference_usd,
    }
    if reports:
        each = zip(opened.stores, done, strict=True)
        last = [(name, of_one[-1]) for name, (of_one, _) in each if of_one]
        values |= summed(
            [account_metrics(report, limits[name].daily_loss_limit_e6) for name, report in last]
        )
    _write_metrics("reconcile", settings, values)
    if errors and not reports:
        raise errors[-1]
    return Done(
        result={"runs": len(reports), "failed": len(errors)},
        healthy=not (errors or missing or any(report.failures for report in reports)),
    )


async def groups_difference_usd(opened: Resources, items: Sequence[str], until_s: float) -> float:
    """USD by which groups count another exposure than their accounts' claims add up to, either way,
    all of them together. NaN where one could not be read or compared, and none is seen to differ.

    Once an invocation, and not with each run of an account: of which group an account is, the
    functions, which serve all of them, are not told. `until_s` is the loop's time.
    """
    apart_usd, unknown = 0.0, False
    store = next(iter(opened.stores.values()))
    for item in items:
        try:
            async with asyncio.timeout_at(until_s):
                seen = await compare_group(store.group(item), time.time_ns() // 1_000_000)
        except (StoreError, TimeoutError) as error:
            unknown = True
            _log.warning("group_not_compared", group=item, error=f"{type(error).__name__}: {error}")
            continue
        if seen is not None:
            unknown |= not seen.compared
            apart_usd += abs(seen.difference_e6) / 1e6
    return math.nan if unknown and not apart_usd else apart_usd


async def _limits(store: Store, settings: ReconcileSettings) -> Limits:
    """Those in force, for the metrics alone: where they cannot be read, the environment's."""
    limits = settings.limits()
    try:
        async with asyncio.timeout(LIMITS_TIMEOUT_S):
            return await limits_in_force(store, limits)
    except (StoreError, TimeoutError) as error:
        _log.warning("configuration_not_read", error=f"{type(error).__name__}: {error}")
        return limits


async def repeated(
    run: Callable[[], Awaitable[ReconcileReport]], *, every_s: float, until_s: float
) -> tuple[list[ReconcileReport], list[Exception]]:
    """The reports of the runs that succeeded and the errors of those that did not, in order.

    `until_s` is the loop's time; a run that is not done by then counts as failed, and does no harm.
    """
    loop = asyncio.get_running_loop()
    reports: list[ReconcileReport] = []
    errors: list[Exception] = []
    while True:
        began_s = loop.time()
        try:
            async with asyncio.timeout_at(until_s):
                reports.append(await run())
        except (StoreError, RecordsError, TimeoutError) as error:
            text = str(error) or "not done in the time that was left"
            errors.append(RecordsError(text) if isinstance(error, TimeoutError) else error)
            _log.error("run_failed", error=f"{type(error).__name__}: {text}")
        next_s = max(began_s + every_s, loop.time())
        if next_s + RUN_S > until_s:
            return reports, errors
        await asyncio.sleep(next_s - loop.time())


def account_metrics(report: ReconcileReport, daily_loss_limit_e6: int) -> dict[str, float]:
    """How the account stood when the run ended, as metrics."""
    return {
        "ClaimsUnresolved30s": report.unresolved,
        "ClaimsOverdue": len(report.overdue),
        "PositionMismatches": math.nan if report.incomplete else len(report.mismatches),
        "Halted": report.halted,
        "DailyLossReached": report.pnl_today_e6 <= -daily_loss_limit_e6,
    }


def summed(of_accounts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of all accounts together; what is known of none is not known."""
    values: dict[str, float] = {}
    for name in of_accounts[0]:
        known = [each[name] for each in of_accounts if not math.isnan(each[name])]
        values[name] = sum(known) if known else math.nan
    return values


async def work_settle(opened: ScheduledResources, _: Any, __: float) -> Done:
    """One run of each account. Raises the last one's error when none succeeded."""
    settings = opened.settings

    async def of_account(one: FunctionSettings) -> SettleReport:
        structlog.contextvars.bind_contextvars(account=one.account)
        redeem = isinstance(one, SettleSettings) and one.redeems
        store, records = opened.stores[one.account], opened.records[one.account]
        return await settle_once(store, records, redeem=redeem)

    wanted = (one for one in settings.each() if one.account in opened.stores)
    done = await asyncio.gather(*map(of_account, wanted), return_exceptions=True)
    reports = [each for each in done if isinstance(each, SettleReport)]
    errors = [each for each in done if isinstance(each, BaseException)]
    for error in errors:
        if not isinstance(error, StoreError | RecordsError) or not reports:
            raise error
        _log.error("run_failed", error=f"{type(error).__name__}: {error}")
    missing = len(settings.entries) - len(reports)
    values = {
        "SettleRuns": 0 if missing else 1,
        "Settled": sum(report.settled for report in reports),
        "SettleFailures": sum(report.failures for report in reports),
        "ClaimsUnsettled": sum(len(report.unsettled) for report in reports),
        # Both are for a person to redeem.
        "RedemptionsStuck": sum(len(report.stuck) + report.not_noted for report in reports),
        "RedeemGasPol": sum(report.gas_wei for report in reports) / WEI,
    }
    _write_metrics("settle", settings, values)
    failures = sum(report.failures for report in reports)
    return Done(
        result={"settled": sum(report.settled for report in reports), "failures": failures},
        healthy=not failures and not missing,
    )


async def work_control(opened: Resources, event: Any, until_s: float) -> Done:
    """One request. Whether the store is well, the next one finds out anew."""
    asked = control_http.answer(opened.stores, opened.settings.limits(), event)
    try:
        async with asyncio.timeout_at(until_s - REPORT_S):
            answer = await asked
    except TimeoutError:
        answer = control_http.too_late(event)
    return Done(result=answer, healthy=answer["statusCode"] < 500)


def _write_metrics(service: str, settings: FunctionSettings, values: Mapping[str, float]) -> None:
    """A line on stdout, which the cloud makes metrics of."""
    if settings.cloudwatch_stage is None:
        return
    now_ms = time.time_ns() // 1_000_000
    reason = STDOUT.write(document(settings.cloudwatch_stage, service, values, now_ms))
    if reason is not None:
        _log.error("metrics_not_written", error=reason)


_RECONCILE: Final = Function("reconcile", open_reconcile, work_reconcile)
_SETTLE: Final = Function("settle", open_settle, work_settle)
_CONTROL: Final = Function("control", open_control, work_control)
