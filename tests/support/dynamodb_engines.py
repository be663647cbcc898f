"""Two DynamoDBs for tests: the serialised moto of `sandbox/dynamodb.py`, and ministack.

Most tests take the first: fixtures to import into a `conftest.py` or module that wants them.

    from tests.support.dynamodb_engines import dynamodb_server, state_table

    __all__ = ["dynamodb_server", "state_table"]

The store's own tests take both, since two independent engines rarely share a mistake: see
`tests/functions/adapters/dynamodb/conftest.py`.

One server process of each engine a test session (under xdist: one a worker), whoever asks for it, a
fresh table a test, and (with `one_sdk_session`) one session of the SDK: each reads the service's
description anew, which takes a good part of a second.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from functools import cache
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiobotocore.session
import pytest

from functions.adapters.dynamodb.store import DynamoStore, open_store
from sandbox.dynamodb import CREDENTIALS_ENV, REGION, create_tables, decision_table_of
from tests.support.session import UNTIL_THE_SESSION_ENDS

READY_TIMEOUT_S = 45
STOP_TIMEOUT_S = 5
ROOT = Path(__file__).parents[2]
MINISTACK_VENV = ROOT / ".venv-ministack"


def stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def server_process(table: str = "unused") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`python -m sandbox.dynamodb` as a process: yields it and its URL, and stops it."""
    process = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "sandbox.dynamodb", "--table", table],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], READY_TIMEOUT_S)
        line = process.stdout.readline() if ready else ""
        if not line:
            pytest.fail(f"sandbox.dynamodb did not become ready (exit code {process.poll()})")
        yield process, json.loads(line)["url"]
    finally:
        stop(process)
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def credentials() -> Iterator[None]:
    """The environment holds credentials that both engines take, and nothing that redirects."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS_ENV.items():
            patch.setenv(name, value)
        # A developer's own profile must not redirect or break the tests.
        for name in [name for name in os.environ if name.startswith("AWS_ENDPOINT_URL")]:
            patch.delenv(name)
        patch.delenv("AWS_PROFILE", raising=False)
        yield


@contextmanager
def moto() -> Iterator[str]:
    """URL of the sandbox's server."""
    with credentials():
        yield _moto_url()


# A fixture that several modules import is one for each of them: what they share is here.
@cache
def _moto_url() -> str:
    _, url = UNTIL_THE_SESSION_ENDS.enter_context(server_process())
    return url


@contextmanager
def ministack() -> Iterator[str]:
    """URL of a ministack that serves DynamoDB alone, on the loopback, from memory.

    It executes one request after the other too (handlers without an await, on one event loop), but
    with expressions, validation and HTTP server of its own. It deletes expired rows each minute;
    PITR and encryption are taken and described, and do nothing.
    """
    with credentials():
        yield _ministack_url()


@cache
def _ministack_url() -> str:
    return UNTIL_THE_SESSION_ENDS.enter_context(_ministack_process())


@contextmanager
def _ministack_process() -> Iterator[str]:
    if not (MINISTACK_VENV / ".installed").exists():  # the make target's last step
        pytest.fail(
            "The tests' second DynamoDB is not installed: run `make ministack`.", pytrace=False
        )
    with TemporaryDirectory(prefix="ministack-") as home:
        log = Path(home) / "log"
        # Its own command takes a port number, which somebody else may bind meanwhile. This is how
        # it starts itself in the background, but with a socket that is already ours. Without
        # workers it is one process, so that there is nothing to leave behind.
        with socket.create_server(("127.0.0.1", 0)) as listening, log.open("w") as output:
            port = listening.getsockname()[1]
            process = subprocess.Popen(  # noqa: S603 - our own virtual environment
                [
                    *(MINISTACK_VENV / "bin" / "python", "-m", "hypercorn", "ministack.app:app"),
                    *("--bind", f"fd://{listening.fileno()}", "--workers", "0"),
                    *("--keep-alive", "75"),  # longer than the SDK's, as its own command has it
                ],
                cwd=home,
                env={
                    "SERVICES": "dynamodb",
                    "GATEWAY_PORT": str(port),
                    "IOT_MTLS_ENABLED": "0",  # otherwise it listens on 8883 as well
                    "SFTP_ENABLED": "0",
                    # At its start and end it removes containers that bear its label.
                    "DOCKER_HOST": f"unix://{home}/no-docker-here",
                    "HOME": home,
                    "TMPDIR": home,
                },
                pass_fds=[listening.fileno()],
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )
        try:
            try:
                # Waits in the socket's queue until somebody serves it, or is cut off at its end.
                with closing(HTTPConnection("127.0.0.1", port, timeout=READY_TIMEOUT_S)) as first:
                    first.request("GET", "/_ministack/health")
                    first.getresponse()
            except OSError as error:
                pytest.fail(
                    f"ministack did not become ready ({error!r}):\n{log.read_text()}", pytrace=False
                )
            yield f"http://127.0.0.1:{port}"
        finally:
            stop(process)


def new_state_table(url: str) -> str:
    """Name of a new, empty state table on the server at `url`, with a decision table beside it."""
    table = f"state-{uuid.uuid4().hex[:12]}"
    create_tables(url, table)
    return table


@asynccontextmanager
async def store_on(url: str, table: str, account_name: str) -> AsyncIterator[DynamoStore]:
    """A store on the two tables that `new_state_table` makes."""
    async with open_store(
        table=table,
        decision_table=decision_table_of(table),
        account_name=account_name,
        region=REGION,
        endpoint_url=url,
    ) as store:
        yield store


@pytest.fixture(scope="session")
def dynamodb_server() -> Iterator[str]:
    """URL of a running server; the environment holds credentials that it takes."""
    with moto() as url:
        yield url


@pytest.fixture
def state_table(dynamodb_server: str) -> str:
    """Name of a new, empty state table on `dynamodb_server`."""
    return new_state_table(dynamodb_server)


@cache
def sdk_session() -> Any:
    """The one of this process."""
    return _Session()


_Session = aiobotocore.session.AioSession


@pytest.fixture
def one_sdk_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes a session of the SDK gets the same one."""
    monkeypatch.setattr(aiobotocore.session, "AioSession", sdk_session)
