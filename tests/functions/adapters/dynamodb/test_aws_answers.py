"""What stands between us and AWS answers in its place: nothing of that is taken for AWS's word."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from deploy import check as deploy_check
from executor.doctor import table as doctor_table
from executor.doctor.finding import Level
from functions.adapters import aws_answers
from functions.adapters.dynamodb.store import DynamoStore
from functions.adapters.secrets import SecretError, secret_text
from functions.core.account import NO_PAUSE, Redemption
from functions.core.claim import ClaimState
from functions.ports import StoreBusyError, StoreError
from functions.settings import AccountSettings
from tests.support.account_builders import make_decision
from tests.support.dynamodb_engines import store_on
from tests.support.store_builders import LIMITS, NOW_MS, STRATEGY, TODAY, make_account, make_claim

MARKS = {"Content-Type": "application/x-amz-json-1.0", "x-amzn-RequestId": "R" * 52}
PORTAL = b"<html><body>Please log in to the guest network</body></html>"
MINE = make_claim()


def with_checksum(body: bytes, of: bytes | None = None) -> dict[str, str]:
    return MARKS | {"x-amz-crc32": str(zlib.crc32(body if of is None else of))}


def refusal(code: str, **more: object) -> bytes:
    return json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", **more}).encode()


# As it would be if the claim that is being made were there already: our own success.
OURS = refusal(
    "ConditionalCheckFailedException",
    Item={"claims": {"M": {MINE.slot: {"M": {"attempt_id": {"S": MINE.attempt_id}}}}}},
)
FOREIGN: dict[str, tuple[int, dict[str, str], bytes]] = {
    "a portal's page": (200, {"Content-Type": "text/html"}, PORTAL),
    "nothing at all": (200, {}, b""),
    "nothing, with the type": (200, {"Content-Type": MARKS["Content-Type"]}, b""),
    "nothing, with both marks": (200, MARKS, b""),
    "a page with both marks": (200, MARKS, PORTAL),
    "JSON of somebody": (200, {"Content-Type": "application/json"}, b"{}"),
    "JSON with an id": (200, MARKS | {"Content-Type": "application/json"}, b"{}"),
    "the type without an id": (200, {"Content-Type": MARKS["Content-Type"]}, b"{}"),
    "an empty id": (200, MARKS | {"x-amzn-RequestId": ""}, b"{}"),
    "cut short": (200, with_checksum(b'{"Item":', of=b'{"Item": {}}'), b'{"Item":'),
    "cut short, no checksum": (200, MARKS, b'{"Item":'),
    "another's checksum": (200, with_checksum(b"{}", of=b"[]"), b"{}"),
    "a checksum that is none": (200, MARKS | {"x-amz-crc32": "twelve"}, b"{}"),
    "a list": (200, MARKS, b"[]"),
    "null": (200, MARKS, b"null"),
    "text that is not UTF-8": (200, MARKS, b'{"Item": "\xff"}'),
    "no content": (204, MARKS, b""),
    "accepted": (202, MARKS, b"{}"),
    "a part": (206, MARKS, b"{}"),
    "a cached answer": (203, MARKS, b"{}"),
    "many choices": (300, MARKS, b"{}"),
    "not modified": (304, MARKS, b""),
    "a refused condition": (400, {"Content-Type": "application/json"}, OURS),
    "a refused condition with an id": (400, MARKS | {"Content-Type": "text/plain"}, OURS),
    "a refused condition, cut": (400, with_checksum(OURS[:-1], of=OURS), OURS[:-1]),
    "throttling": (400, {}, refusal("ThrottlingException")),
    "no table": (400, {"Content-Type": "text/html"}, refusal("ResourceNotFoundException")),
    "a proxy that wants a login": (407, {"Content-Type": "text/html"}, PORTAL),
    "forbidden": (403, {"Content-Type": "text/html"}, PORTAL),
    "bad gateway": (502, {"Content-Type": "text/html"}, PORTAL),
    "no server, with a refusal": (503, {}, OURS),
}


@asynccontextmanager
async def answering(
    status: int, headers: dict[str, str], body: bytes
) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that says the same to everybody; yields its URL and the paths that were asked."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(f"{request.method} {request.path}")
        return web.Response(status=status, headers=headers, body=body)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


OPENED = make_claim(state=ClaimState.OPEN, version=2, filled_spend_e6=5, filled_size_e6=10)
RELEASED = make_claim(state=ClaimState.RELEASED, version=2)
WAITING = Redemption(token_id="1", since_ms=1)
CALLS: dict[str, Callable[[DynamoStore], Awaitable[Any]]] = {
    "open_account": lambda store: store.open_account(),
    "account": lambda store: store.account(),
    "claim": lambda store: store.claim(MINE, LIMITS, NOW_MS),
    "move": lambda store: store.move(OPENED, MINE),
    "reopen": lambda store: store.reopen(OPENED, RELEASED),
    "put_ledger": lambda store: store.put_ledger(RELEASED),
    "forget": lambda store: store.forget(RELEASED),
    "ledger": lambda store: store.ledger(0, 1),
    "ledger_row": lambda store: store.ledger_row(RELEASED),
    "halt": lambda store: store.halt("odd"),
    "resume": lambda store: store.resume(make_account()),
    "set_pause": lambda store: store.set_pause(NO_PAUSE, NO_PAUSE),
    "prune": lambda store: store.prune(make_account(cooldowns={"0xm1": 0}), NOW_MS),
    "set_redemptions": lambda store: store.set_redemptions({"0xm1": None}, {"0xm1": WAITING}),
    "join_wallet": lambda store: store.join_wallet("0xA"),
    "accounts_of_wallet": lambda store: store.accounts_of_wallet("0xA"),
    "account_named": lambda store: store.account_named("other").account(),
    "put_decisions": lambda store: store.put_decisions([make_decision(1)]),
    "decisions": lambda store: store.decisions(TODAY, 1),
}


@pytest.mark.parametrize("kind", FOREIGN)
async def test_a_claim_is_ours_only_by_dynamodbs_own_word(kind: str) -> None:
    async with answering(*FOREIGN[kind]) as (url, _), store_on(url, "state", STRATEGY) as store:
        with pytest.raises(StoreError) as failed:
            await store.claim(MINE, LIMITS, NOW_MS)
    text = str(failed.value)
    assert "is not AWS's" in text
    assert not isinstance(failed.value, StoreBusyError)
    assert "guest network" not in text  # whatever it is, it is not ours to repeat
    assert "\n" not in text


@pytest.mark.parametrize("call", CALLS)
async def test_no_call_of_the_store_takes_a_portals_page_for_an_answer(call: str) -> None:
    async with (
        answering(*FOREIGN["a portal's page"]) as (url, _),
        store_on(url, "state", STRATEGY) as store,
    ):
        with pytest.raises(StoreError, match="is not AWS's"):
            await CALLS[call](store)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_never_followed(status: int) -> None:
    async with answering(200, with_checksum(b"{}"), b"{}") as (portal, asked):
        moved = {"Location": f"{portal}/login"}
        async with (
            answering(status, moved, b"") as (url, _),
            store_on(url, "state", STRATEGY) as store,
        ):
            with pytest.raises(StoreError, match="is not AWS's"):
                await store.claim(MINE, LIMITS, NOW_MS)
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", url)
                with pytest.raises(SecretError, match="KEY_SECRET"):
                    await secret_text("s", region="eu-west-1", variable="KEY_SECRET")
    assert asked == []


async def test_dynamodbs_own_answers_are_taken() -> None:
    for status, body in ((200, b"{}"), (200, b'{"Attributes": {}}')):
        async with (
            answering(status, with_checksum(body), body) as (url, _),
            store_on(url, "state", STRATEGY) as store,
        ):
            assert await store.move(OPENED, MINE)
    refused = refusal("ConditionalCheckFailedException")
    kind = {"Content-Type": "Application/X-Amz-Json-1.0; charset=utf-8"}
    async with (
        answering(400, with_checksum(refused) | kind, refused) as (url, _),
        store_on(url, "state", STRATEGY) as store,
    ):
        assert not await store.move(OPENED, MINE)


async def test_an_answer_that_lacks_its_part_is_an_error_too() -> None:
    """With all marks: nobody but a broken emulator says so, and it is one line even then."""
    for body in (b"{}", b'{"Attributes": 5}', b'{"Items": 5, "Item": [], "Attributes": []}'):
        async with (
            answering(200, with_checksum(body), body) as (url, _),
            store_on(url, "state", STRATEGY) as store,
        ):
            for call in ("open_account", "account", "ledger", "decisions", "accounts_of_wallet"):
                with pytest.raises(StoreError):
                    await CALLS[call](store)


async def test_a_cancelled_transaction_may_name_any_reasons() -> None:
    for reasons in (None, 5, [None, {"Code": 5}], [{"Code": ["x"]}], {"Code": "x"}):
        body = refusal("TransactionCanceledException", CancellationReasons=reasons)
        async with (
            answering(400, with_checksum(body), body) as (url, _),
            store_on(url, "state", STRATEGY) as store,
        ):
            with pytest.raises(StoreError):
                await store.move(RELEASED, MINE)


async def test_an_answer_without_end_is_not_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(aws_answers, "ANSWER_BYTES_MAX", 1 << 16)
    body = b" " * (1 << 17) + b"{}"
    async with (
        answering(200, with_checksum(body), body) as (url, _),
        store_on(url, "state", STRATEGY) as store,
    ):
        with pytest.raises(StoreError, match="is not AWS's answer: it is larger"):
            await store.account()


async def test_the_doctor_takes_no_portals_page_for_a_table() -> None:
    async with answering(*FOREIGN["a portal's page"]) as (url, _):
        settings = AccountSettings(aws_endpoint_url_dynamodb=url)
        [found] = await doctor_table.check(settings)
    assert found.level is Level.FAIL
    assert "is not AWS's" in found.text


@pytest.mark.parametrize("kind", ["a portal's page", "JSON of somebody", "JSON with an id", "null"])
async def test_a_secret_is_only_what_secrets_manager_tells(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, headers, body = FOREIGN[kind]
    if body == b"{}":
        body = json.dumps({"SecretString": "somebody else's"}).encode()
    async with answering(status, headers, body) as (url, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", url)
        with pytest.raises(SecretError, match=r"KEY_SECRET: .*is not AWS's"):
            await secret_text("s", region="eu-west-1", variable="KEY_SECRET")


@pytest.mark.parametrize("kind", ["a portal's page", "nothing at all", "JSON of somebody", "null"])
async def test_before_a_deployment_only_aws_is_believed(
    kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with answering(*FOREIGN[kind]) as (url, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("STAGE", "dev")
        assert await asyncio.to_thread(deploy_check.main, ["--stage", "dev"]) == 2
    refused = capsys.readouterr().err
    assert "Traceback" not in refused
    assert "is not AWS's" in refused
