"""All checks, each whatever the others find."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from executor.doctor import configuration, nats, table, venue
from executor.doctor.configuration import Configuration
from executor.doctor.finding import Finding, fail, ok, warn
from functions.bootstrap import trader_login
from functions.settings import ApiSettings

_NATS: Final = ("nats_password", "nats_user", "stream_replicas", "nats_url")


async def examine(config: Configuration) -> list[Finding]:
    """Every finding, in a fixed order. Raises nothing; each look-up is bounded in time.

    One group after the other: logging in signs and loads for a good part of a second without
    awaiting, in which the others' answers would seem late.
    """
    findings = configuration.check()
    findings += await _group(config, "NATS", partial(nats.check, config.nats), *_NATS)
    findings += await _group(
        config,
        "table",
        partial(table.check, config.limits),
        *("state_table", "aws_region", "aws_endpoint_url_dynamodb", "strategy", "execution"),
    )
    findings += await _group(
        config, "venue", partial(venue.check, config.limits), "clob_url", "gamma_url"
    )
    findings += await _group(
        config,
        "account at the venue",
        partial(_account, config),
        *("execution", "private_key", "wallet", "clob_url", "gamma_url", "size_usd"),
    )
    findings += await _group(
        config,
        "API credentials",
        partial(_api_credentials, config),
        *("execution", "wallet", "clob_url", *ApiSettings.model_fields),
    )
    return findings


async def _account(config: Configuration) -> list[Finding]:
    what = "account at the venue"
    if config.limits.execution == "paper":
        return [ok(what, "none is needed: EXECUTION is paper")]
    account = trader_login(config.limits, config.limits.size_usd)
    if account is None:
        return [warn(what, "not checked", "set PRIVATE_KEY and WALLET")]
    return await venue.check_account(account)


async def _api_credentials(config: Configuration) -> list[Finding]:
    """Of the processes that only read; None where the signing key brings its own."""
    credentials = config.api.credentials()
    if config.limits.execution == "paper" or credentials is None:
        return []
    return [await venue.check_credentials(config.limits, credentials)]


async def _group(
    config: Configuration,
    what: str,
    check: Callable[[], Coroutine[Any, Any, list[Finding]]],
    *needs: str,
) -> list[Finding]:
    wrong = config.first_wrong(*needs)
    if wrong is not None:
        return [warn(what, f"not checked: {wrong} is wrong", f"mend {wrong} first")]
    try:
        return await check()
    except Exception as error:  # noqa: BLE001 - a defect of one check must not hide the others
        # Without its text, which may be anything.
        return [fail(what, f"the check itself failed: {type(error).__name__}", "report this")]
