"""What the tests of the cloud's functions share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from functions.aws import environment
from functions.aws.settings import ReconcileSettings, SettleSettings
from sandbox.dynamodb import CREDENTIALS_ENV, REGION, decision_table_of
from tests.support.lambda_runtime import Secrets, secrets_manager


@pytest.fixture
async def secrets() -> AsyncIterator[Secrets]:
    async with secrets_manager() as opened:
        yield opened


@pytest.fixture
def deployed(
    monkeypatch: pytest.MonkeyPatch,
    dynamodb_server: str,
    state_table: str,
    secrets: Secrets,
    one_sdk_session: None,
) -> pytest.MonkeyPatch:
    """The environment of a function on the test's table, on paper; nothing reaches a real venue."""
    for name in ReconcileSettings.model_fields.keys() | SettleSettings.model_fields.keys():
        monkeypatch.delenv(name.upper(), raising=False)
    # Logging is the process's, not a test's.
    monkeypatch.setattr(environment, "configure_logging", lambda **_: None)
    for name, value in {
        **CREDENTIALS_ENV,
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": secrets.url,
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_server,
        "STATE_TABLE": state_table,
        "DECISION_TABLE": decision_table_of(state_table),
        "CLOB_URL": "http://127.0.0.1:1",
        "GAMMA_URL": "http://127.0.0.1:1",
        "CLOUDWATCH_STAGE": "test",
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch
