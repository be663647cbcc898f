"""What a start refuses, the doctor reports as a failed check, by the same name."""

from __future__ import annotations

from pathlib import Path

import aiobotocore.session
import nats
import pytest

from executor.doctor.finding import Level
from functions.adapters.dynamodb.store import DynamoStore
from tests.executor.doctor.test_doctor import dynamodb, examined
from tests.support.dynamodb_engines import _Session
from tests.support.servers import NatsServer


async def test_a_nats_without_jetstream_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nats.conf").write_text("max_payload: 1MB\n")
    with NatsServer(tmp_path / "unused", tmp_path / "nats.conf") as server:
        monkeypatch.setenv("NATS_URL", server.url)
        found = await examined()
    assert found["stream BOOKS"].level is Level.FAIL
    assert found["stream BOOKS"].text == "NATS_URL: this nats-server runs without JetStream"
    assert found["stream BOOKS"].do == "start it with --jetstream"


async def test_subjects_that_another_stream_holds_fail(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await nats.connect(nats_server.url)
    await client.jetstream().add_stream(name="OTHERS", subjects=["book.>"])
    await client.close()
    monkeypatch.setenv("NATS_URL", nats_server.url)
    found = await examined()
    assert found["stream BOOKS"].level is Level.FAIL
    assert "OTHERS" in found["stream BOOKS"].text
    assert "NATS_URL" in found["stream BOOKS"].text
    assert found["stream FILLS"].level is Level.WARN


async def test_a_nats_that_takes_only_short_messages_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nats.conf").write_text(f"max_payload: 1KB\njetstream {{store_dir: {tmp_path}}}\n")
    with NatsServer(tmp_path / "unused", tmp_path / "nats.conf") as server:
        monkeypatch.setenv("NATS_URL", server.url)
        found = await examined()
    assert found["longest message"].level is Level.FAIL
    assert "1024" in found["longest message"].text
    assert "max_payload" in found["longest message"].do


async def test_a_table_with_other_keys_fails(
    store: DynamoStore, dynamodb_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dynamodb(dynamodb_server).create_table(
        TableName="other",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    monkeypatch.setenv("STATE_TABLE", "other")
    found = (await examined())["state table"]
    assert found.level is Level.FAIL
    assert found.text.startswith("STATE_TABLE: other at ")


async def test_a_decision_table_with_other_keys_fails(
    store: DynamoStore, dynamodb_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dynamodb(dynamodb_server).create_table(
        TableName="other-decisions",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    monkeypatch.setenv("DECISION_TABLE", "other-decisions")
    found = (await examined())["decision table's keys"]
    assert found.level is Level.FAIL
    assert "instead of" in found.text
    assert found.do == "set DECISION_TABLE to the decision table"


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("AWS_PROFILE", "nobody", "state table"),
        ("AWS_CA_BUNDLE", "/no/such/file", "configuration of the worker"),
        ("SSL_CERT_FILE", "/no/such/file", "configuration of the scheduled functions"),
        ("CLOB_URL", "http://a..b", "configuration of the worker"),
        ("METRICS_HOST", "a..b", "configuration of the worker"),
    ],
)
async def test_a_mistake_in_the_environment_fails_by_its_name(
    name: str,
    value: str,
    what: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if name == "AWS_PROFILE":
        monkeypatch.setattr(aiobotocore.session, "AioSession", _Session)
    monkeypatch.setenv(name, value)
    found = (await examined())[what]
    assert found.level is Level.FAIL
    assert found.text.startswith(f"{name}: ")
    assert value not in found.text
