"""The sandbox's DynamoDB: the real table definition, one request at a time, kept connections."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import botocore.session
import pytest

from sandbox import dynamodb as sandbox_dynamodb
from sandbox.dynamodb import CREDENTIALS_ENV, REGION, create_tables, tables_properties
from tests.support.dynamodb_engines import ROOT, server_process


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with server_process("made-at-start") as (_, url):
        yield url


def client_of(url: str):
    return botocore.session.Session().create_client(
        "dynamodb",
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id=CREDENTIALS_ENV["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS_ENV["AWS_SECRET_ACCESS_KEY"],
    )


@pytest.mark.parametrize("name", ["made-at-start", "made-at-start-decisions"])
def test_ready_means_that_the_tables_of_the_definition_exist(server, name):
    client = client_of(server)
    table = client.describe_table(TableName=name)["Table"]
    assert table["KeySchema"] == [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert table["SSEDescription"]["Status"] == "ENABLED"
    ttl = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    if name.endswith("-decisions"):
        assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}
    else:  # what claims and ledger stand in never lets anything expire
        assert ttl == {"TimeToLiveStatus": "DISABLED"}
    backups = client.describe_continuous_backups(TableName=name)
    recovery = backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    assert recovery["PointInTimeRecoveryStatus"] == "ENABLED"


def test_a_connection_is_kept_alive(server):
    connection = http.client.HTTPConnection(urlsplit(server).netloc, timeout=20)
    ports = set()
    for _ in range(3):
        connection.request(
            "POST",
            "/",
            body=json.dumps({"TableName": "made-at-start"}),
            headers={
                "X-Amz-Target": "DynamoDB_20120810.DescribeTable",
                "Content-Type": "application/x-amz-json-1.0",
                "Authorization": "AWS4-HMAC-SHA256 "
                f"Credential=sandbox/20260101/{REGION}/dynamodb/aws4_request, "
                "SignedHeaders=host, Signature=0",
            },
        )
        response = connection.getresponse()
        assert (response.status, response.version) == (200, 11)
        response.read()
        assert connection.sock is not None, "the server closed the connection"
        ports.add(connection.sock.getsockname()[1])
    connection.close()
    assert len(ports) == 1


def test_a_refused_condition_brings_back_the_item(server):
    client = client_of(server)
    key = {"pk": {"S": "a"}, "sk": {"S": "b"}}
    client.put_item(TableName="made-at-start", Item=key)
    with pytest.raises(client.exceptions.ConditionalCheckFailedException) as caught:
        client.put_item(
            TableName="made-at-start",
            Item=key,
            ConditionExpression="attribute_not_exists(pk)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    assert caught.value.response["Item"] == key


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_exit_code_0(number):
    with server_process() as (process, _):
        process.send_signal(number)
        assert process.wait(30) == 0


def test_a_request_that_never_ends_does_not_hold_up_a_stop():
    with server_process("some") as (process, url), socket.socket() as client:
        client.connect((urlsplit(url).hostname, urlsplit(url).port))
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        assert client_of(url).list_tables()["TableNames"]  # it has read the other's by now
        process.terminate()
        assert process.wait(30) == 0


def test_a_taken_port_is_one_line_without_a_traceback():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", "sandbox.dynamodb", "--table", "t", "--port", str(port)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert f"127.0.0.1:{port}" in done.stderr


def test_a_definition_that_cannot_be_applied_is_refused(monkeypatch, tmp_path: Path):
    text = sandbox_dynamodb.STATE_DEFINITION.read_text(encoding="utf-8")
    changed = tmp_path / "state.yml"
    monkeypatch.setattr(sandbox_dynamodb, "STATE_DEFINITION", changed)
    changed.write_text(
        text.replace("      KeySchema:", "      TableClass: STANDARD\n      KeySchema:"),
        encoding="utf-8",
    )
    with pytest.raises(ValueError, match="cannot apply TableClass"):
        create_tables("http://127.0.0.1:1", "t")
    for placeholder in ("${self:custom.stateTable}", "${self:custom.decisionTable}"):
        changed.write_text(text.replace(placeholder, "fixed"), encoding="utf-8")
        with pytest.raises(ValueError, match="expected two tables"):
            tables_properties("t")


async def test_the_body_of_a_request_is_never_run_beside_another(server):
    """8 clients add 1 to one counter, 10 times each: moto reads, then writes; no add is lost."""

    def add() -> None:
        client = client_of(server)
        for _ in range(10):
            client.update_item(
                TableName="made-at-start",
                Key={"pk": {"S": "counter"}, "sk": {"S": "counter"}},
                UpdateExpression="ADD n :one",
                ExpressionAttributeValues={":one": {"N": "1"}},
            )

    await asyncio.gather(*(asyncio.to_thread(add) for _ in range(8)))
    item = client_of(server).get_item(
        TableName="made-at-start", Key={"pk": {"S": "counter"}, "sk": {"S": "counter"}}
    )["Item"]
    assert item["n"] == {"N": "80"}
