"""A DynamoDB for tests: fixtures to import into a `conftest.py` next to the tests that want them.

    from tests.dynamodb import dynamodb_server, state_table

    __all__ = ["dynamodb_server", "state_table"]

One server process a test session (under xdist: one a worker), a fresh table a test.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.dynamodb import CREDENTIALS_ENV, create_state_table

READY_TIMEOUT_S = 30
STOP_TIMEOUT_S = 5
ROOT = Path(__file__).parent.parent


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
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture(scope="session")
def dynamodb_server() -> Iterator[str]:
    """URL of a running server; the environment holds credentials that it takes."""
    with pytest.MonkeyPatch.context() as patch, server_process() as (_, url):
        for name, value in CREDENTIALS_ENV.items():
            patch.setenv(name, value)
        # A developer's own profile must not redirect or break the tests.
        for name in [name for name in os.environ if name.startswith("AWS_ENDPOINT_URL")]:
            patch.delenv(name)
        patch.delenv("AWS_PROFILE", raising=False)
        yield url


@pytest.fixture
def state_table(dynamodb_server: str) -> str:
    """Name of a new, empty state table on `dynamodb_server`."""
    table = f"state-{uuid.uuid4().hex[:12]}"
    create_state_table(dynamodb_server, table)
    return table
