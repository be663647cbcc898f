"""The venue: reachable, its clock and ours, whether it trades with this address and this account.

No finding shows a key: what is said of credentials is only whether they work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial
from typing import Final

from polymarket import AsyncSecureClient

from executor.doctor.finding import Finding, fail, ok, warn
from functions.settings import AccountSettings
from protocol.units import to_usd_e6, usd_decimal
from venue import checks
from venue.auth import Credentials
from venue.checks import GEOBLOCK_URL
from venue.credentials import prove_credentials
from venue.errors import AccountRefusedError, VenueError
from venue.trading import account_checks
from venue.trading.login import TraderLogin, api_credentials, secure_client
from venue.trading.official_client import STANDARD_EXCHANGE, bounded_call
from venue.wallet import STRANGER, is_wallet_of, maker_warning, signature_type

CLOCK_WARN_MS: Final = 500
CLOCK_FAIL_MS: Final = 2_000
"""A book may be one second old when it is acted on: with a clock that wrong none, or any, is."""
LOG_IN_TIMEOUT_S: Final = 20.0
REAL_CLOB_URL: Final = AccountSettings.model_fields["clob_url"].default
REACH: Final = "see that this machine reaches it, and whether the venue has announced a pause"


async def check(settings: AccountSettings) -> list[Finding]:
    """What needs no account."""
    return list(
        await asyncio.gather(_clock(settings), _gamma(settings.gamma_url), _geoblock(settings))
    )


async def check_account(
    account: TraderLogin, user_channel: Callable[[Credentials], Awaitable[Finding]]
) -> list[Finding]:
    """Credentials, user channel, mode, balance and allowances of the account that trades."""
    what = "log-in"
    try:
        client = await bounded_call("logging in", secure_client(account), LOG_IN_TIMEOUT_S)
    except AccountRefusedError as refused:
        return [fail(what, str(refused), "set PRIVATE_KEY and WALLET of one and the same account")]
    except VenueError as error:
        return [fail(what, str(error), REACH)]
    try:
        return [
            ok(what, f"wallet {account.wallet}"),
            _kind_of_wallet(signature_type(client.signer, account.wallet)),
            await _asked("credentials", partial(_credentials, account.clob_url), client),
            await user_channel(api_credentials(client)),
            await _asked("closed-only mode", _mode, client),
            *await _funds(client, account.order_usd),
        ]
    finally:
        await client.close()


async def check_credentials(settings: AccountSettings, credentials: Credentials) -> Finding:
    """Whether they are the signer's, and the wallet is."""
    what = "API credentials"
    do = "set API_KEY and its companions as the venue gave them to the wallet's signer"
    try:
        if settings.wallet is None or not is_wallet_of(credentials.address, settings.wallet):
            return fail(what, f"API_ADDRESS: {STRANGER}", do)
        await prove_credentials(settings.clob_url, credentials)
    except AccountRefusedError as refused:
        return fail(what, str(refused), do)
    except VenueError as error:
        return fail(what, str(error), REACH)
    return ok(what, f"of signer {credentials.address}, whose wallet this is")


def _kind_of_wallet(kind: int) -> Finding:
    warning = maker_warning(kind)
    if warning is None:
        return ok("wallet", "a deposit wallet")
    text, _, do = warning.partition("; ")
    return warn("wallet", text, do)


async def _clock(settings: AccountSettings) -> Finding:
    what = "CLOB and clock"
    try:
        offset_ms = await checks.clock_offset_ms(settings.clob_url)
    except VenueError as error:
        return fail(what, str(error), REACH)
    if offset_ms == 0:
        return ok(what, f"{settings.clob_url} answers, and its clock agrees with ours")
    text = f"our clock is {abs(offset_ms)} ms {'behind' if offset_ms > 0 else 'ahead'}, or more"
    do = "synchronise this machine's clock (NTP)"
    if abs(offset_ms) > CLOCK_FAIL_MS:
        return fail(what, text, do)
    return warn(what, text, do) if abs(offset_ms) > CLOCK_WARN_MS else ok(what, text)


async def _gamma(gamma_url: str) -> Finding:
    what = "Gamma"
    try:
        took_ms = await checks.answer_time_ms(f"{gamma_url}/events?limit=1")
    except VenueError as error:
        return fail(what, str(error), REACH)
    return ok(what, f"{gamma_url} answers in {took_ms} ms")


async def _geoblock(settings: AccountSettings) -> Finding:
    what = "geoblock"
    if settings.clob_url != REAL_CLOB_URL:
        return ok(what, "not asked: CLOB_URL is not the real venue")
    try:
        blocked = await checks.geoblocked(GEOBLOCK_URL)
    except VenueError as error:
        return warn(what, str(error), REACH)
    return geoblock_finding(blocked=blocked, live=settings.live)


def geoblock_finding(*, blocked: bool, live: bool) -> Finding:
    """On paper nothing is sent, so being refused matters later."""
    what = "geoblock"
    if not blocked:
        return ok(what, "the venue trades with this address")
    text, do = "the venue refuses traders at this address", "do not trade from here"
    return fail(what, text, do) if live else warn(what, text, do)


async def _asked(
    what: str,
    ask: Callable[[AsyncSecureClient], Awaitable[Finding]],
    client: AsyncSecureClient,
) -> Finding:
    try:
        return await ask(client)
    except VenueError as error:
        return fail(what, str(error), REACH)


async def _credentials(clob_url: str, client: AsyncSecureClient) -> Finding:
    try:
        await prove_credentials(clob_url, api_credentials(client), "PRIVATE_KEY")
    except AccountRefusedError as refused:
        return fail("credentials", str(refused), "start the processes again")
    return ok("credentials", "the venue knows them")


async def _mode(client: AsyncSecureClient) -> Finding:
    if await account_checks.closed_only(client):
        return fail(
            "closed-only mode",
            "the account may only close positions",
            "contact the venue; halt the account until then",
        )
    return ok("closed-only mode", "off: the account may open positions")


async def _funds(client: AsyncSecureClient, order_usd: Decimal) -> list[Finding]:
    try:
        funds = await account_checks.funds(client)
    except VenueError as error:
        return [fail("balance", str(error), REACH)]
    needed_e6 = to_usd_e6(order_usd)
    text = f"{usd_decimal(funds.balance_e6):f} USD, one order is {order_usd}"
    findings = [
        ok("balance", text)
        if funds.balance_e6 >= needed_e6
        else fail("balance", text, "deposit, or lower SIZE_USD")
    ]
    for contract, allowed_e6 in funds.allowances_e6.items():
        what = f"allowance of {contract}"
        if allowed_e6 >= needed_e6:
            findings.append(ok(what, "enough for one order"))
        elif contract.lower() == STANDARD_EXCHANGE.lower():
            do = "approve trading once on the venue's website"
            findings.append(fail(what, "less than one order: not approved", do))
        else:
            do = "nothing, while up/down markets are traded on the standard exchange"
            findings.append(warn(what, "less than one order: not approved", do))
    return findings
