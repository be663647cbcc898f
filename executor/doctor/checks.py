"""All checks, each whatever the others find."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from executor.doctor import configuration, in_force, market_data, nats, settlement, table, venue
from executor.doctor.configuration import EnvironmentRead
from executor.doctor.finding import Finding, fail, ok, warn
from functions.bootstrap import trader_login
from functions.settings import ApiSettings, AwsSettings

_NATS: Final = ("nats_password", "nats_user", "stream_replicas", "nats_url")

_TRUST: Final = ("ssl_cert_file", "ssl_cert_dir")
"""What each connection with TLS needs."""


async def examine(config: EnvironmentRead) -> list[Finding]:
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
        *("state_table", "decision_table", "strategies", "strategy", "execution"),
        *AwsSettings.model_fields,
    )
    findings += await _group(
        config,
        "configuration in force",
        partial(in_force.check, config.limits, config.worker),
        *("state_table", "strategies", "strategy", "execution"),
        *AwsSettings.model_fields,
    )
    findings += await _group(
        config,
        "settlement",
        partial(settlement.check, config.limits),
        *("state_table", "strategies", "strategy", "execution", "clob_url", "gamma_url"),
        *AwsSettings.model_fields,
    )
    findings += await _group(
        config, "venue", partial(venue.check, config.limits), "clob_url", "gamma_url", *_TRUST
    )
    findings += await _group(
        config,
        "market data",
        partial(market_data.check, config),
        *("series", "market_ws_url", "gamma_url", "clob_url"),
        *_TRUST,
    )
    findings += await _group(
        config,
        "account at the venue",
        partial(_account, config),
        *("execution", "private_key", "wallet", "clob_url", "gamma_url", "size_usd", "user_ws_url"),
        *_TRUST,
    )
    findings += await _group(
        config,
        "API credentials",
        partial(_api_credentials, config),
        *("execution", "wallet", "clob_url", *ApiSettings.model_fields),
    )
    return findings


async def _account(config: EnvironmentRead) -> list[Finding]:
    what = "account at the venue"
    if not config.limits.live:
        found = [ok(what, "none is needed: EXECUTION is paper")]
        return found + await _user_channel(config)
    account = trader_login(config.limits, await in_force.order_usd(config.limits))
    if account is None:
        found = [warn(what, "not checked", "set PRIVATE_KEY and WALLET")]
        return found + await _user_channel(config)
    return await venue.check_account(account, partial(market_data.user_channel, config))


async def _user_channel(config: EnvironmentRead) -> list[Finding]:
    """With the user feeder's own credentials, where they are all that is there."""
    credentials = config.api.credentials()
    return [] if credentials is None else [await market_data.user_channel(config, credentials)]


async def _api_credentials(config: EnvironmentRead) -> list[Finding]:
    """Of the processes that only read; None where the signing key brings its own."""
    credentials = config.api.credentials()
    if not config.limits.live or credentials is None:
        return []
    return [await venue.check_credentials(config.limits, credentials)]


async def _group(
    config: EnvironmentRead,
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
