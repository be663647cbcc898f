"""Logging in, and what refuses a live start."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web
from hexbytes import HexBytes
from polymarket._internal import wallet as official
from polymarket._internal.environment import PRODUCTION_CONFIG
from pydantic import SecretStr
from structlog.testing import capture_logs

from sandbox.simulator import Venue, serve
from tests.support.canned_venue import KEY, account, canned_venue
from venue.errors import AccountRefusedError, VenueError, VenueUnreachableError
from venue.trading.login import TraderLogin, log_in, secure_client


@pytest.mark.parametrize(
    ("balance_e6", "allowance_e6", "action"),
    [(1_000_000, None, "deposit"), (10_000_000, 0, "approve")],
)
async def test_a_wallet_that_cannot_pay_is_refused_with_what_to_do(
    capsys: pytest.CaptureFixture[str], balance_e6: int, allowance_e6: int | None, action: str
) -> None:
    venue = Venue(balance_e6=balance_e6)
    wallet = venue.account(KEY.address)
    if allowance_e6 is not None:
        wallet.allowances = dict.fromkeys(wallet.allowances, allowance_e6)
    async with serve(venue) as url:
        with pytest.raises(SystemExit) as ended:
            await log_in(account(url))
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("cannot start: WALLET")
    assert action in said
    assert said.count("\n") == 1


async def test_a_key_that_is_none_is_refused_without_showing_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with serve(Venue()) as url:
        given = account(url)
        wrong = TraderLogin(
            private_key=SecretStr("0xnot-a-key-but-secret"),
            wallet=given.wallet,
            clob_url=url,
            gamma_url=url,
            order_usd=Decimal(1),
        )
        with pytest.raises(SystemExit):
            await log_in(wrong)
    said = capsys.readouterr().err
    assert "PRIVATE_KEY" in said
    assert "secret" not in said


@pytest.mark.parametrize("wallet", ["0x" + "ab" * 20, "0x12", ""])
async def test_a_wallet_that_is_not_the_key_s_is_refused_before_anybody_is_asked(
    wallet: str,
) -> None:
    async with canned_venue() as venue:
        login = dataclasses.replace(account(venue.url), wallet=wallet)
        with pytest.raises(AccountRefusedError, match="WALLET"):
            await secure_client(login)
        assert venue.requests == []


async def test_a_key_with_a_digit_less_is_another_signer_and_refused() -> None:
    async with canned_venue() as venue:
        digits = HexBytes(KEY.key).hex().removeprefix("0x")
        login = dataclasses.replace(account(venue.url), private_key=SecretStr(digits[1:]))
        with pytest.raises(AccountRefusedError, match="PRIVATE_KEY: not a signing key"):
            await secure_client(login)
        assert venue.requests == []


async def test_a_firewall_at_log_in_is_no_refusal_of_the_key() -> None:
    async with canned_venue() as venue:
        for path in ("/auth/api-key", "/auth/derive-api-key"):
            venue.says_text(path, "<html>", 403, "text/html")
        with pytest.raises(VenueError, match="HTTP 403"):
            await log_in(account(venue.url))


@pytest.mark.parametrize(
    ("derived", "warned"),
    [
        (None, "a plain wallet"),
        (official.derive_safe_wallet_address, "a Safe"),
        (official.derive_proxy_wallet_address, "a Magic wallet"),
        (official.derive_beacon_deposit_wallet_address, None),
        (official.derive_uups_deposit_wallet_address, None),
    ],
)
async def test_a_wallet_whose_orders_may_be_refused_is_warned_of(
    derived: Callable[[str, Any], str] | None, warned: str | None
) -> None:
    config = PRODUCTION_CONFIG.wallet_derivation
    wallet = KEY.address if derived is None else derived(KEY.address, config)
    async with canned_venue() as venue:
        venue.says("/deployed", {"deployed": True})
        allowed = {PRODUCTION_CONFIG.standard_exchange: str(10**12)}
        venue.says("/balance-allowance", {"balance": "10000000", "allowances": allowed})
        with capture_logs() as logs:
            client = await log_in(dataclasses.replace(account(venue.url), wallet=wallet))
        await client.close()
    hints = [line["hint"] for line in logs if line["event"] == "wallet_may_be_refused"]
    assert len(hints) == (warned is not None)
    assert warned is None or f"WALLET is {warned}" in hints[0]


async def test_a_wallet_that_is_not_deployed_is_refused_with_what_to_do() -> None:
    config = PRODUCTION_CONFIG.wallet_derivation
    for derive in (
        official.derive_beacon_deposit_wallet_address,
        official.derive_uups_deposit_wallet_address,
        official.derive_safe_wallet_address,
    ):
        wallet = derive(KEY.address, config)
        async with canned_venue() as venue:
            venue.says("/deployed", {"deployed": False})
            with pytest.raises(AccountRefusedError, match=r"WALLET: .*not deployed yet; make"):
                await secure_client(dataclasses.replace(account(venue.url), wallet=wallet))


@pytest.mark.parametrize("path", ["/deployed", "/balance-allowance"])
async def test_an_answer_that_trickles_in_does_not_hold_up_a_start_for_ever(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def trickle(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await answer.write(b" ")
                await asyncio.sleep(0.05)
        return answer

    monkeypatch.setattr("venue.trading.login.LOG_IN_TIMEOUT_S", 0.5)
    monkeypatch.setattr("venue.rest.ANSWER_TIMEOUT_S", 0.5)
    wallet = official.derive_beacon_deposit_wallet_address(
        KEY.address, PRODUCTION_CONFIG.wallet_derivation
    )
    async with canned_venue() as venue:
        venue.says("/deployed", {"deployed": True})
        venue.answers[path] = trickle  # type: ignore[assignment]  # a stream is an answer, too
        async with asyncio.timeout(30):
            with pytest.raises(VenueUnreachableError, match=r"no answer within 0\.5 s"):
                await log_in(dataclasses.replace(account(venue.url), wallet=wallet))
