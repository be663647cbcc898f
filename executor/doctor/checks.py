"""All checks, each whatever the others find."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from executor.doctor import (
    configuration,
    in_force,
    market_data,
    nats,
    settlement,
    state_file,
    system,
    table,
    venue,
)
from executor.doctor.configuration import EnvironmentRead
from executor.doctor.finding import Finding, fail, ok, warn
from executor.local_defaults import FOLDER_VARIABLE
from executor.progress import awaited_progress
from functions.bootstrap import trader_login
from functions.settings import ApiSettings, AwsSettings, LimitSettings

_NATS: Final = ("nats_password", "nats_user", "stream_replicas", "nats_url")

_TRUST: Final = ("ssl_cert_file", "ssl_cert_dir")
"""What each connection with TLS needs."""
_STORE: Final = tuple(AwsSettings.model_fields)


@dataclass(frozen=True)
class _Group:
    """Findings about one thing, and the variables without which it cannot be looked at."""

    what: str
    check: Callable[[], Coroutine[Any, Any, list[Finding]]]
    needs: tuple[str, ...] = ()


async def examine(config: EnvironmentRead, *, started: bool = True) -> list[Finding]:
    """Every finding, in a fixed order. Raises nothing; each look-up is bounded in time.

    Without `started`, the system on this machine is to be started yet, and NATS with it.

    One group after the other: logging in signs and loads for a good part of a second without
    awaiting, in which the others' answers would seem late.
    """
    findings = configuration.check()
    groups = _groups(config, started=started)
    async with awaited_progress() as tell:
        for number, each in enumerate(groups):
            tell(number / len(groups), each.what)
            findings += await _findings(config, each)
    return findings


def _groups(config: EnvironmentRead, *, started: bool) -> list[_Group]:
    limits = config.limits
    accounts = ("strategies", "strategy", "execution", *_STORE)
    of_this_machine = [
        _Group("system on this machine", partial(system.check, _folder())),
        _Group("NATS", partial(_nats, config), _NATS),
    ]
    return [
        *(of_this_machine if started else []),
        _Group(
            "table", partial(_store, limits), ("state", "state_table", "decision_table", *accounts)
        ),
        _Group(
            "configuration in force",
            partial(in_force.check, limits, config.worker),
            ("state", "state_table", *accounts),
        ),
        _Group(
            "settlement",
            partial(settlement.check, limits),
            ("state", "state_table", *accounts, "clob_url", "gamma_url"),
        ),
        _Group("venue", partial(venue.check, limits), ("clob_url", "gamma_url", *_TRUST)),
        _Group(
            "market data",
            partial(market_data.check, config),
            ("series", "market_ws_url", "gamma_url", "clob_url", *_TRUST),
        ),
        _Group(
            "account at the venue",
            partial(_account, config),
            (
                *("execution", "private_key", "wallet", "clob_url", "gamma_url"),
                *("size_usd", "user_ws_url", *_TRUST),
            ),
        ),
        _Group(
            "API credentials",
            partial(_api_credentials, config),
            ("execution", "wallet", "clob_url", *ApiSettings.model_fields),
        ),
    ]


def _folder() -> Path | None:
    """Of the system that `executor.local_defaults` has found, or that a person has named."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else None


async def _nats(config: EnvironmentRead) -> list[Finding]:
    if system.stands_still(_folder()):
        text = "not asked: it runs with the system on this machine, which does not"
        return [warn("NATS", text, "see above")]
    return await nats.check(config.nats)


async def _store(limits: LimitSettings) -> list[Finding]:
    if (file := limits.state_file) is not None:
        return await state_file.check(limits, file)
    return await table.check(limits)


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


async def _findings(config: EnvironmentRead, group: _Group) -> list[Finding]:
    wrong = config.first_wrong(*group.needs)
    if wrong is not None:
        return [warn(group.what, f"not checked: {wrong} is wrong", f"mend {wrong} first")]
    try:
        return await group.check()
    except Exception as error:  # noqa: BLE001 - a defect of one check must not hide the others
        # Without its text, which may be anything.
        text = f"the check itself failed: {type(error).__name__}"
        return [fail(group.what, text, "report this")]
