"""What `executor live` asks before anything is started: doctor; the person; and the venue, for API
credentials, which the user feeder needs and cannot make itself.

Raises RefusedError for what a person can mend, NotReadyError for what is wrong elsewhere.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Final

from executor.answers import say
from executor.commands.paper import RefusedError, check, only, with_variables
from executor.doctor import checks, configuration
from executor.doctor.finding import Level
from executor.rendering import findings_view
from functions.settings import ScheduleSettings
from local.plan import SystemPlan
from local.services import services_of
from runtime.output import STDERR
from venue.errors import AccountRefusedError, VenueError
from venue.trading.login import LOG_IN_TIMEOUT_S, TraderLogin, api_credentials, secure_client
from venue.trading.official_client import bounded_call

_UNUSED_NATS: Final = "nats://127.0.0.1:4222"


class NotReadyError(Exception):
    """Something is wrong that no variable mends; one line."""


def ready(plan: SystemPlan) -> SystemPlan:
    """The plan with API credentials, once all is well and the person has said yes."""
    if sys.stdin is None or not sys.stdin.isatty():  # None: it was closed
        raise RefusedError(
            "executor live asks for the wallet's address first: start it on a terminal"
        )
    environment = _environment(plan)
    with only(environment):
        settings = ScheduleSettings()
        findings = asyncio.run(checks.examine(configuration.read(), started=False))
    say(findings_view(findings))
    if any(each.level is Level.FAIL for each in findings):
        raise NotReadyError("nothing was started: mend what FAILs")
    confirm(settings.wallet or "")
    try:
        plan = with_variables(plan, asyncio.run(api_variables(settings)))
    except AccountRefusedError as error:
        raise RefusedError(str(error)) from None
    except VenueError as error:
        raise NotReadyError(str(error)) from None
    check(plan)
    return plan


def confirm(wallet: str) -> None:
    """Let the person type the wallet's address. Raises RefusedError."""
    STDERR.write("This trades with REAL MONEY. Type the address of the wallet (WALLET) to go on:")
    try:
        typed = sys.stdin.readline().strip()
    except UnicodeDecodeError:  # a keyboard that is set to another encoding
        typed = "?"
    except OSError:  # the terminal is gone
        typed = ""
    if not typed:
        raise RefusedError("no address was typed: nothing was started")
    if typed.lower() != wallet.lower():
        raise RefusedError("this is not the address in WALLET: nothing was started")


async def api_variables(settings: ScheduleSettings) -> Mapping[str, str]:
    """API credentials as variables: those that are set, or else the venue's for the signing key.

    Raises AccountRefusedError, VenueError; bounded in time.
    """
    credentials = settings.credentials()
    if credentials is None:
        if settings.private_key is None:  # the settings want one or the other
            raise RefusedError("PRIVATE_KEY: live needs it")
        login = TraderLogin(
            private_key=settings.private_key,
            wallet=settings.wallet or "",
            clob_url=settings.clob_url,
            gamma_url=settings.gamma_url,
        )
        what = f"logging in at {settings.clob_url}"
        client = await bounded_call(what, secure_client(login), LOG_IN_TIMEOUT_S)
        try:
            credentials = api_credentials(client)
        finally:
            await client.close()
    return {
        "API_KEY": credentials.key,
        "API_SECRET": credentials.secret,
        "API_PASSPHRASE": credentials.passphrase,
        "API_ADDRESS": credentials.address,
    }


def _environment(plan: SystemPlan) -> dict[str, str]:
    """Of all its processes, as if they were one."""
    found: dict[str, str] = {}
    for service in services_of(plan, _UNUSED_NATS):
        found |= service.env
    return found
