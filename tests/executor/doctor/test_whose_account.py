"""Whose the key and the API credentials are, and what stands in the way of asking."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from eth_account import Account as EthAccount
from hexbytes import HexBytes

from executor.doctor.finding import Level
from sandbox.simulator import Venue
from sandbox.simulator.auth import AuthError
from tests.executor.conftest import KEY
from tests.executor.doctor.test_doctor import examined


async def test_another_key_than_the_wallets_fails(
    venue: Venue, live: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIVATE_KEY", HexBytes(EthAccount.create().key).to_0x_hex())
    found = await examined()
    assert found["log-in"].level is Level.FAIL
    assert found["log-in"].text.startswith("PRIVATE_KEY: WALLET is not a wallet of this signer")
    assert not venue.accounts  # nobody has asked


async def test_a_key_that_is_none_is_said_and_not_shown(
    venue: Venue, live: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIVATE_KEY", "0x" + "zz" * 32)
    found = await examined()
    assert found["configuration of the worker"].level is Level.FAIL
    assert found["account at the venue"].text == "not checked: PRIVATE_KEY is wrong"
    assert "zz" not in str(found)


async def test_a_plain_wallet_is_warned_of_before_its_first_order(venue: Venue, live: None) -> None:
    found = (await examined())["wallet"]
    assert found.level is Level.WARN
    assert "a plain wallet (the signer itself)" in found.text
    assert "maker address not allowed" in found.text
    assert "deposit wallet" in found.do


@pytest.mark.parametrize(
    ("bent", "level", "told"),
    [
        ({}, Level.OK, "of signer 0x"),
        ({"WALLET": "0x" + "11" * 20}, Level.FAIL, "API_ADDRESS: WALLET is not a wallet of this"),
        ({"API_KEY": "another"}, Level.FAIL, "API_KEY: the venue does not take"),
        ({"API_PASSPHRASE": "another"}, Level.FAIL, "API_KEY: the venue does not take"),
        ({"API_ADDRESS": ""}, Level.WARN, "not checked: API_"),
        ({"API_SECRET": "*"}, Level.WARN, "not checked: API_"),
        ({"CLOB_URL": "http://127.0.0.1:1"}, Level.FAIL, "http://127.0.0.1:1/auth/api-keys: "),
    ],
)
async def test_the_api_credentials_of_who_only_reads_are_proven(
    venue: Venue,
    live: None,
    monkeypatch: pytest.MonkeyPatch,
    bent: dict[str, str],
    level: Level,
    told: str,
) -> None:
    key = venue.keys.create(KEY.address.lower(), 7)
    assert key is not None
    given = {
        "API_KEY": key.key,
        "API_SECRET": key.secret,
        "API_PASSPHRASE": key.passphrase,
        "API_ADDRESS": KEY.address,
        **bent,
    }
    monkeypatch.delenv("PRIVATE_KEY")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    found = (await examined())["API credentials"]
    assert (found.level, found.text.startswith(told)) == (level, True), found
    assert not any(secret in str(found) for secret in (key.key, key.secret, key.passphrase))


async def test_a_clock_that_is_off_is_not_the_key_s_fault(
    venue: Venue, live: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> tuple[str, int]:
        raise AuthError("Invalid L1 Request headers")

    monkeypatch.setattr("sandbox.simulator.clob.check_l1", refused)
    found = (await examined())["log-in"]
    assert found.text.startswith("PRIVATE_KEY: the venue refuses to log in: HTTP 401")
    venue_clock = SimpleNamespace(time=lambda: time.time() + 60)
    monkeypatch.setattr("sandbox.simulator.clob.time", venue_clock)
    found = (await examined())["log-in"]
    assert "PRIVATE_KEY" not in found.text
    assert "s behind the venue's" in found.text
