"""Logging in, and what refuses a live start."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import SecretStr

from sandbox.simulator import Venue, serve
from tests.support.canned_venue import KEY, account
from venue.trading.login import TraderLogin, log_in


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
