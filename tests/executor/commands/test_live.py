"""What `executor live` asks before anything is started."""

from __future__ import annotations

import errno
import io
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from executor.commands.live import api_variables, confirm
from executor.commands.paper import RefusedError
from functions.settings import ScheduleSettings
from sandbox.simulator import Venue
from sandbox.simulator.wallets import deposit_wallet_of
from tests.executor.conftest import KEY, SECRET, Command
from venue.errors import AccountRefusedError, VenueError

WALLET = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"


@pytest.mark.parametrize("typed", [WALLET, WALLET.lower(), f"  {WALLET}  "])
def test_the_wallets_address_is_a_yes(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{typed}\n"))
    confirm(WALLET)


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("", "no address was typed: nothing was started"),
        ("\n", "no address was typed"),
        ("yes\n", "this is not the address in WALLET: nothing was started"),
        (f"{WALLET[:-1]}\n", "this is not the address"),
    ],
)
def test_anything_else_is_a_no(monkeypatch: pytest.MonkeyPatch, typed: str, says: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    with pytest.raises(RefusedError, match=says):
        confirm(WALLET)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.EIO, "gone"), "no address was typed"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"), "this is not the address"),
    ],
)
def test_a_terminal_that_is_gone_or_of_another_encoding_is_a_no(
    monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    terminal = Mock(spec=io.StringIO)
    terminal.readline.side_effect = error
    monkeypatch.setattr(sys, "stdin", terminal)
    with pytest.raises(RefusedError, match=says):
        confirm(WALLET)


@pytest.mark.parametrize("closed", [False, True])
async def test_it_wants_a_terminal_and_asks_nobody_before(
    run: Command, live: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, closed: bool
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_DYNAMODB")
    if closed:
        monkeypatch.setattr("executor.commands.live.sys", Mock(stdin=None))
    result = await run("live", "--data", str(tmp_path / "data"), "--console-port", "0")
    assert result.exit_code == 2
    assert result.output.splitlines()[-1] == (
        "cannot start: executor live asks for the wallet's address first: start it on a terminal"
    )


async def test_the_venue_gives_api_credentials_for_the_key(
    live: None, venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WALLET", deposit_wallet_of(KEY.address))
    given = await api_variables(ScheduleSettings())
    assert given["API_ADDRESS"] == KEY.address
    assert all(given.values())
    assert SECRET not in given.values()
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CLOB_URL", "http://127.0.0.1:1")  # nobody is asked again
    assert await api_variables(ScheduleSettings()) == given


async def test_a_wallet_of_another_key_and_a_venue_that_is_away_are_said(
    live: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(VenueError, match=r"logging in at http://127\.0\.0\.1:1: "):
        await api_variables(ScheduleSettings())
    monkeypatch.setenv("WALLET", WALLET)
    with pytest.raises(AccountRefusedError, match=r"^PRIVATE_KEY: "):
        await api_variables(ScheduleSettings())
