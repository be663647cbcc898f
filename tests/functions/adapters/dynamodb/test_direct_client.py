"""What skips the SDK's client is held against it: same requests, answers, tries and errors."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from botocore.credentials import ReadOnlyCredentials
from botocore.retries.standard import ExponentialBackoff

from functions.adapters.dynamodb.claim_requests import claim_request
from functions.adapters.dynamodb.direct_client import DirectClient
from functions.adapters.dynamodb.items import account_key
from functions.adapters.dynamodb.table import open_client
from sandbox.dynamodb import CREDENTIALS_ENV
from tests.support.dynamodb_proxy import MARKS
from tests.support.store_builders import LIMITS, NOW_MS, make_claim

SECRET = CREDENTIALS_ENV["AWS_SECRET_ACCESS_KEY"]
ITEM = {"pk": {"S": "a"}, "n": {"N": "1"}, "m": {"M": {"l": {"L": [{"BOOL": True}]}}}}
USED = {"Error", "Attributes", "Item", "Message", "CancellationReasons", "UnprocessedItems"}
CLOSED = (0, b"")
"""The connection ends without an answer."""


def refused(code: str, status: int = 400, **more: Any) -> tuple[int, bytes]:
    return status, json.dumps(
        {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", **more}
    ).encode()


ANSWERS: dict[str, tuple[int, bytes]] = {
    "nothing more": (200, b"{}"),
    "an item": (200, json.dumps({"Attributes": ITEM, "Other": 5}).encode()),
    "no item": (200, b'{"Attributes": 5}'),
    "two types at once": (200, b'{"Attributes": {"a": {"S": "x", "N": "1"}}}'),
    "closed": CLOSED,
    "a page": (200, b"<html>Please log in</html>"),
    "a page with 503": (503, b"<html>Service Unavailable</html>"),
    "nothing with 500": (500, b""),
    "no code": (400, b"{}"),
    "a code that is none": (400, b'{"__type": 5}'),
    "condition": refused("ConditionalCheckFailedException", message="no", Item=ITEM),
    "condition, no item": refused("ConditionalCheckFailedException", message="no"),
    "cancelled": refused(
        "TransactionCanceledException",
        Message="cancelled",
        CancellationReasons=[{"Code": "ConditionalCheckFailed", "Item": ITEM}, {"Code": "None"}],
    ),
    "cancelled, odd": refused("TransactionCanceledException", CancellationReasons={"Code": "x"}),
    **{
        f"{code} {status}": refused(code, status, message="why")
        for code, status in (
            ("InternalServerError", 500),
            ("ServiceUnavailable", 503),
            ("ProvisionedThroughputExceededException", 400),
            ("ThrottlingException", 400),
            ("RequestLimitExceeded", 400),
            ("RequestTimeout", 400),
            ("TransactionInProgressException", 400),
            ("TransactionConflictException", 400),
            ("ReplicatedWriteConflictException", 400),
            ("ResourceNotFoundException", 400),
            ("ValidationException", 400),
            ("AccessDeniedException", 400),
            ("ExpiredTokenException", 400),
            ("RequestTimeTooSkewed", 403),
        )
    },
}


class Server:
    """Says the next of `answers` to each request; without one, that all is well."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = []
        self.asked: list[tuple[web.Request, bytes]] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request, await request.read()))
        status, body = self.answers.pop(0) if self.answers else (200, b"{}")
        if status == 0:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=status or 200, body=body, headers=MARKS)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    said = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", said.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    said.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield said
    await runner.cleanup()


@asynccontextmanager
async def both_at(url: str | None, region: str = "eu-west-1") -> AsyncIterator[tuple[Any, Any]]:
    """The direct client, and the SDK's own that it skips."""
    async with open_client(region=region, endpoint_url=url) as direct:
        assert isinstance(direct, DirectClient)
        yield direct, direct._sdk


def claiming() -> dict[str, Any]:
    request = claim_request(make_claim(text="größer €"), LIMITS, NOW_MS)
    return {"TableName": "t", "Key": account_key("a"), **request}


TRANSACTION = {"TransactItems": [{"Update": claiming()}]}
ROW = {"TableName": "t", "Item": {**account_key("a"), "numbers": {"M": {"größer €": {"N": "0.5"}}}}}
BATCH = {"RequestItems": {"t": [{"PutRequest": {"Item": ROW["Item"]}}]}}


def truly_signed(request: web.Request, body: bytes, secret: str = SECRET) -> dict[str, str]:
    """The signed headers and the scope, once the signature is found to be of what has come: after
    AWS's description of it (Signature Version 4), without a library."""
    kind, _, said = request.headers["Authorization"].partition(" ")
    parts = dict(part.split("=", 1) for part in said.split(", "))
    headers = {name: request.headers[name] for name in parts["SignedHeaders"].split(";")}
    lines = [f"{name}:{value}" for name, value in headers.items()]
    asked = [request.method, request.path, request.query_string, *lines, "", ";".join(headers)]
    digest = hashlib.sha256("\n".join([*asked, hashlib.sha256(body).hexdigest()]).encode())
    _, *scope = parts["Credential"].split("/")
    key = f"AWS4{secret}".encode()
    for each in scope:
        key = hmac.digest(key, each.encode(), "sha256")
    text = "\n".join([kind, headers["x-amz-date"], "/".join(scope), digest.hexdigest()])
    assert hmac.digest(key, text.encode(), "sha256").hex() == parts["Signature"]
    return {**headers, "x-amz-date": "", "credential": parts["Credential"]}


async def test_a_request_is_the_sdks_own_and_truly_signed(server: Server) -> None:
    server.url += "/some/path"
    async with both_at(server.url) as clients:
        for client in clients:
            await client.update_item(**claiming())
            await client.transact_write_items(**TRANSACTION)
            await client.put_item(**ROW)
            await client.batch_write_item(**BATCH)
    for direct, sdk in zip(server.asked[:4], server.asked[4:], strict=True):
        assert truly_signed(*direct) == truly_signed(*sdk)
        assert direct[0].path == sdk[0].path
        sent, expected = json.loads(direct[1]), json.loads(sdk[1])
        tokens = [each.pop("ClientRequestToken", "") for each in (sent, expected)]
        assert len(tokens[0]) == len(tokens[1])
        assert sent == expected


async def outcome_of(call: Awaitable[Any]) -> tuple[str, str, Any]:
    """Kind and text of the error, and the answer, without what nobody looks at here."""
    try:
        kind, text, said = "", "", await call
    except Exception as error:  # noqa: BLE001 - it is compared
        kind, text, said = type(error).__name__, str(error), getattr(error, "response", None)
    return kind, text, {name: each for name, each in (said or {}).items() if name in USED}


OF_ROWS = {
    "all taken": (200, b'{"UnprocessedItems": {}}'),
    "some left": (200, json.dumps({"UnprocessedItems": BATCH["RequestItems"]}).encode()),
    **{
        kind: ANSWERS[kind]
        for kind in ("nothing more", "closed", "condition", "ThrottlingException 400", "a page")
    },
}


@pytest.mark.parametrize(
    ("operation", "request_", "answers"),
    [
        ("update_item", claiming(), ANSWERS),
        ("transact_write_items", TRANSACTION, ANSWERS),
        ("put_item", ROW, OF_ROWS),
        ("batch_write_item", BATCH, OF_ROWS),
    ],
    ids=["update_item", "transact_write_items", "put_item", "batch_write_item"],
)
async def test_the_same_answers_mean_the_same(
    server: Server, operation: str, request_: Any, answers: dict[str, tuple[int, bytes]]
) -> None:
    """Value or error, and how often it was asked."""
    async with both_at(server.url) as clients:
        for kind, answer in answers.items():
            outcomes = []
            for client in clients:
                server.answers, server.asked = [answer] * 5, []
                outcome = await outcome_of(getattr(client, operation)(**request_))
                outcomes.append((outcome, len(server.asked)))
            assert outcomes[0] == outcomes[1], kind


async def test_each_try_is_signed_with_the_credentials_of_its_time(server: Server) -> None:
    class Renewed:
        times = 0

        async def get_frozen_credentials(self) -> ReadOnlyCredentials:
            self.times += 1
            return ReadOnlyCredentials(f"key{self.times}", f"secret{self.times}", "session token")

    async with both_at(server.url) as (direct, _):
        direct._credentials = Renewed()
        server.answers = [CLOSED]
        for _ in range(2):
            await direct.update_item(**claiming())
    assert len(server.asked) == 3
    assert server.asked[0][1] == server.asked[1][1]  # the second try is the same attempt
    for number, request in enumerate(server.asked, start=1):
        signed = truly_signed(*request, f"secret{number}")
        assert signed["credential"].startswith(f"key{number}/")
        assert signed["x-amz-security-token"] == "session token"


async def test_a_second_try_waits_and_when_hardly_anything_is_answered_there_is_none(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's pause; and its quota: 500, of which a second try takes 5, and a success gives them
    back."""
    waited, sleep = [], asyncio.sleep

    async def keep(delay_s: float) -> None:
        waited.append(delay_s)
        await sleep(0)

    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda self, tries: 0.25)
    monkeypatch.setattr(asyncio, "sleep", keep)
    asked = []
    async with both_at(server.url) as (direct, _):
        direct._quota._quota.acquire(495)
        for answers in ([CLOSED], [CLOSED, CLOSED], [CLOSED]):
            server.answers, server.asked = list(answers), []
            kind, _, _ = await outcome_of(direct.update_item(**claiming()))
            asked.append((len(server.asked), kind))
    closed = "ConnectionClosedError"
    assert asked == [(2, ""), (2, closed), (1, closed)]
    assert waited == [0.25, 0.25]


@pytest.mark.parametrize(
    ("region", "environment", "account_id"),
    [
        ("eu-west-1", {}, None),
        ("eu-west-1", {}, "123456789012"),
        ("us-east-1", {"AWS_USE_FIPS_ENDPOINT": "true"}, None),
        ("cn-north-1", {}, None),
        ("local", {}, None),
        ("local", {"AWS_ACCESS_KEY_ID": "any/key"}, None),
    ],
    ids=["region", "account", "FIPS", "China", "local", "slash"],
)
async def test_it_asks_where_the_sdk_asks(
    region: str,
    environment: dict[str, str],
    account_id: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    async with both_at(None, region) as (direct, sdk):
        monkeypatch.setattr(direct._credentials, "account_id", account_id)
        asked = []

        def keep(request: Any, **_: object) -> None:
            asked.append(request)
            raise ConnectionRefusedError

        async def send(request: Any) -> None:
            keep(request)

        sdk.meta.events.register("before-send.dynamodb", keep)
        monkeypatch.setattr(direct._http, "send", send)
        for client in (direct, sdk):
            with pytest.raises(ConnectionRefusedError):
                await client.update_item(**claiming())
    ours, theirs = (
        (each.url, str(each.headers["Authorization"]).partition("Credential=")[2].partition(",")[0])
        for each in asked
    )
    assert ours == theirs
