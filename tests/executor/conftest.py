"""The command line in this process, against a real (serialised) DynamoDB and a simulated venue."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import pytest
from botocore.retries.standard import ExponentialBackoff
from click.testing import Result
from eth_account import Account as EthAccount
from hexbytes import HexBytes
from typer.testing import CliRunner

from executor.command_line import app
from functions.adapters.dynamodb.store import DynamoStore
from functions.settings import ScheduleSettings, WorkerSettings
from sandbox.dynamodb import CREDENTIALS_ENV, REGION, decision_table_of
from sandbox.simulator import Venue, serve
from tests.support.account_builders import ACCOUNT, LIVE_ACCOUNT
from tests.support.dynamodb_engines import dynamodb_server, one_sdk_session, state_table, store_on

__all__ = ["dynamodb_server", "one_sdk_session", "state_table"]

KEY = EthAccount.create()
SECRET = HexBytes(KEY.key).to_0x_hex()
Command: TypeAlias = Callable[..., Awaitable[Result]]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, one_sdk_session: None) -> None:
    """No variable of the developer's; nothing that could reach the real venue."""
    for name in WorkerSettings.model_fields.keys() | ScheduleSettings.model_fields.keys():
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in CREDENTIALS_ENV.items():
        monkeypatch.setenv(name, value)
    for name in ("CLOB_URL", "GAMMA_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("SERIES", "MARKET_WS_URL", "USER_WS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("NATS_URL", "nats://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")
    # Nobody listens there, and between two tries the SDK waits up to a second, nats-py a quarter.
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda self, context: 0)
    monkeypatch.setattr("runtime.nats.RECONNECT_WAIT_S", 0.01)


@pytest.fixture
def run() -> Command:
    """`await run("halt", "--reason", "x")`: in a thread, so that this loop can serve the venue."""

    async def command(*argv: str) -> Result:
        before = dict(os.environ)
        result = await asyncio.to_thread(CliRunner().invoke, app, argv)
        assert dict(os.environ) == before
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        assert "Traceback" not in result.output
        return result

    return command


@pytest.fixture
async def store(
    dynamodb_server: str, state_table: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[DynamoStore]:
    """The store of the paper account, in a table that the commands use, too."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_server)
    monkeypatch.setenv("STATE_TABLE", state_table)
    monkeypatch.setenv("DECISION_TABLE", decision_table_of(state_table))
    async with store_on(dynamodb_server, state_table, ACCOUNT) as opened:
        yield opened


@pytest.fixture
async def live_store(
    store: DynamoStore, dynamodb_server: str, state_table: str
) -> AsyncIterator[DynamoStore]:
    """The live account's store in the same table."""
    async with store_on(dynamodb_server, state_table, LIVE_ACCOUNT) as opened:
        yield opened


@pytest.fixture
async def venue(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Venue]:
    """A simulated venue that the commands are pointed at."""
    simulated = Venue(balance_e6=100_000_000)
    async with serve(simulated) as url:
        monkeypatch.setenv("CLOB_URL", url)
        monkeypatch.setenv("GAMMA_URL", url)
        socket_url = url.replace("http", "ws", 1)
        monkeypatch.setenv("MARKET_WS_URL", f"{socket_url}/ws/market")
        monkeypatch.setenv("USER_WS_URL", f"{socket_url}/ws/user")
        yield simulated


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> None:
    """EXECUTION=live with a throw-away key."""
    monkeypatch.setenv("EXECUTION", "live")
    monkeypatch.setenv("PRIVATE_KEY", SECRET)
    monkeypatch.setenv("WALLET", KEY.address)
