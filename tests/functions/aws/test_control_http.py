"""The control function: HTTP events in, answers out, and who may ask."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from functions.adapters.dynamodb.store import DynamoStore
from functions.aws import entry_points
from functions.aws.control_http import answer
from functions.aws.environment import SPARE_S, Function
from functions.core.account import Account, Limits
from functions.ports import StoreError
from tests.support.dynamodb_engines import dynamodb_server, one_sdk_session, state_table, store_on
from tests.support.fake_ports import MemoryStore
from tests.support.lambda_runtime import environment

__all__ = ["dynamodb_server", "one_sdk_session", "state_table"]

PAPER = "book_imbalance_crypto-paper"
ARN = "arn:aws:sts::123456789012:assumed-role/operator/somebody"
LIMITS = Limits(
    max_positions=3, cooldown_ms=0, daily_loss_limit_e6=20_000_000, daily_spend_cap_e6=10**9
)


def event(method: str, path: str, body: object = None, *, arn: str | None = ARN) -> dict[str, Any]:
    """A function URL's event (format 2.0), as far as it is read."""
    authorizer = {} if arn is None else {"authorizer": {"iam": {"userArn": arn}}}
    return {
        "version": "2.0",
        "rawPath": path,
        "requestContext": {"http": {"method": method, "path": path}, **authorizer},
        "body": body if isinstance(body, str) or body is None else json.dumps(body),
        "isBase64Encoded": False,
    }


@pytest.fixture
async def store(dynamodb_server: str, state_table: str) -> AsyncIterator[DynamoStore]:
    async with store_on(dynamodb_server, state_table, PAPER) as opened:
        yield opened


async def asked(store: DynamoStore, request: Any) -> tuple[int, Any]:
    told = await answer({PAPER: store}, LIMITS, request)
    assert told["headers"]["content-type"] == "application/json"
    return told["statusCode"], json.loads(told["body"])


async def test_halting_looking_and_resuming_through_the_function(
    deployed: pytest.MonkeyPatch, store: DynamoStore
) -> None:
    async with environment(
        Function("control", entry_points.open_control, entry_points.work_control)
    ) as env:

        async def ask(*request: Any) -> tuple[int, Any]:
            told = await env.invoke(event(*request))
            return told["statusCode"], json.loads(told["body"])

        status, told = await ask("GET", "/status")  # nobody has created the account yet
        assert (status, told["error"][:9]) == (503, "NOT KNOWN")
        halted = {"trading": False, "halt_reason": "a drill", "claims_before": 0}
        with capture_logs() as logs:
            assert await ask("POST", "/halt", {"reason": " a\n drill "}) == (200, halted)
        [line] = [line for line in logs if line["event"] == "control"]
        assert (line["who"], line["method"], line["path"]) == (ARN, "POST", "/halt")
        status, told = await ask("GET", "/status")
        assert (status, told["trading"], told["halt_reason"]) == (200, False, "a drill")
        assert (told["account"], told["slots"]) == (PAPER, 3)
        assert (await store.account()).trading == "halted"
        assert await ask("POST", "/resume") == (200, {"trading": True, "lifted": "a drill"})
        assert await ask("POST", "/resume") == (200, {"trading": True, "lifted": None})
    assert (await store.account()).trading == "enabled"


@pytest.mark.parametrize("path", ["/status", "/halt", "/resume", "/"])
@pytest.mark.parametrize(
    "authorizer", [None, {}, {"iam": None}, {"iam": {"userArn": ""}}, {"jwt": {"claims": {}}}]
)
async def test_without_an_iam_identity_nothing_is_done(
    store: DynamoStore, path: str, authorizer: object
) -> None:
    await store.halt("before")
    request = event("GET" if path == "/status" else "POST", path, {"reason": "x"}, arn=None)
    if authorizer is not None:
        request["requestContext"]["authorizer"] = authorizer
    status, told = await asked(store, request)
    assert (status, list(told)) == (403, ["error"])
    assert (await store.account()).halt_reason == "before"


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/", 404, "no such path"),
        ("POST", "/status/", 404, "/status, /halt, /resume"),
        ("POST", "/status", 405, "GET"),
        ("GET", "/halt", 405, "POST"),
        ("DELETE", "/resume", 405, "POST"),
    ],
)
async def test_other_paths_and_methods(
    store: DynamoStore, method: str, path: str, status: int, words: str
) -> None:
    told, body = await asked(store, event(method, path, {"reason": "x"}))
    assert told == status
    assert words in body["error"]


@pytest.mark.parametrize(
    "body",
    [
        None,
        "",
        "reason",
        "[" * 5_000,
        '{"reason": "\ud800"}',
        {},
        [],
        {"reason": None},
        {"reason": 7},
        {"reason": "x", "force": True},
        {"reason": " \n"},
        {"reason": "x" * 301},
        {"reason": "bell \x07"},
        {"reason": "x" * 20_000},
    ],
)
async def test_a_halt_that_cannot_be_understood_halts_nothing(
    store: DynamoStore, body: object
) -> None:
    await store.open_account()
    status, told = await asked(store, event("POST", "/halt", body))
    assert status == 400
    assert told["error"]
    assert "\n" not in told["error"]
    assert (await store.account()).trading == "enabled"


@pytest.mark.parametrize("nonsense", [None, [], "x", {}, {"requestContext": []}])
async def test_what_is_no_http_event_is_refused(store: DynamoStore, nonsense: object) -> None:
    assert (await asked(store, nonsense))[0] == 403


async def test_a_body_in_base64(store: DynamoStore) -> None:
    request = event("POST", "/halt", base64.b64encode(b'{"reason": "a drill"}').decode())
    request["isBase64Encoded"] = True
    assert (await asked(store, request))[0] == 200
    assert (await store.account()).halt_reason == "a drill"
    request["body"] = "%%%"
    assert (await asked(store, request))[0] == 400


@pytest.mark.parametrize(("path", "call"), [("/halt", "halt"), ("/resume", "resume")])
async def test_a_store_that_does_not_answer_leaves_it_not_known(
    store: DynamoStore, monkeypatch: pytest.MonkeyPatch, path: str, call: str
) -> None:
    await store.halt("before")

    async def silent(self: DynamoStore, *_: object) -> None:
        raise StoreError(f"{call}: no answer")

    monkeypatch.setattr(DynamoStore, call, silent)
    status, told = await asked(store, event("POST", path, {"reason": "x"}))
    assert status == 503
    assert told["error"].startswith("NOT KNOWN whether trading is")
    assert told["error"].endswith(f"{call}: no answer")


async def test_a_store_that_hangs_until_the_time_is_up_leaves_it_not_known(
    deployed: pytest.MonkeyPatch, store: DynamoStore
) -> None:
    async def hangs(self: DynamoStore, reason: str) -> None:
        await asyncio.Event().wait()

    deployed.setattr(DynamoStore, "halt", hangs)
    async with environment(
        Function("control", entry_points.open_control, entry_points.work_control)
    ) as env:
        request = event("POST", "/halt", {"reason": "x"})
        told = await env.invoke(request, remaining_s=SPARE_S + entry_points.REPORT_S + 0.05)
    assert told["statusCode"] == 503
    assert json.loads(told["body"])["error"].startswith("NOT KNOWN")


async def test_resuming_lifts_only_the_halt_that_it_saw(
    store: DynamoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.halt("first")
    lifted = DynamoStore.resume

    async def too_late(self: DynamoStore, seen: Account) -> bool:
        await self.halt("second")
        return await lifted(self, seen)

    monkeypatch.setattr(DynamoStore, "resume", too_late)
    status, told = await asked(store, event("POST", "/resume"))
    assert (status, told["error"]) == (
        409,
        "not resumed: somebody else has set trading to halted: second",
    )
    assert (await store.account()).trading == "halted"


# -- several accounts ----------------------------------------------------------------------------


def about(method: str, path: str, body: object = None, **query: str) -> dict[str, Any]:
    return {**event(method, path, body), "queryStringParameters": query}


@pytest.fixture
def two() -> dict[str, MemoryStore]:
    return {"a": MemoryStore(name="a"), "b-paper": MemoryStore(name="b-paper")}


async def told(stores: dict[str, MemoryStore], request: Any) -> tuple[int, Any]:
    answered = await answer(stores, LIMITS, request)
    return answered["statusCode"], json.loads(answered["body"])


async def test_status_shows_all_or_the_one_that_is_named(two: dict[str, MemoryStore]) -> None:
    status, body = await told(two, about("GET", "/status"))
    assert (status, [each["account"] for each in body["accounts"]]) == (200, ["a", "b-paper"])
    status, body = await told(two, about("GET", "/status", account="b-paper"))
    assert (status, body["account"]) == (200, "b-paper")


async def test_of_several_one_is_named_or_all_are_meant(two: dict[str, MemoryStore]) -> None:
    reason = {"reason": "a drill"}
    status, body = await told(two, about("POST", "/halt", reason))
    assert (status, body["error"]) == (400, "say ?account=NAME, or ?all=true; there is: a, b-paper")
    status, body = await told(two, about("POST", "/halt", reason, account="c"))
    assert (status, "there is: a, b-paper" in body["error"]) == (400, True)
    status, body = await told(two, about("POST", "/halt", reason, account="a"))
    assert (status, body["trading"]) == (200, False)
    assert (await two["b-paper"].account()).trading == "enabled"
    status, body = await told(two, about("POST", "/halt", reason, all="true"))
    assert (status, list(body["accounts"])) == (200, ["a", "b-paper"])
    assert (await two["b-paper"].account()).trading == "halted"
    status, body = await told(two, about("POST", "/resume", all="true"))
    assert {each["lifted"] for each in body["accounts"].values()} == {"a drill"}


async def test_one_that_does_not_answer_keeps_no_other_from_being_halted(
    two: dict[str, MemoryStore],
) -> None:
    two["a"].failures["halt"] = 1
    status, body = await told(two, about("POST", "/halt", {"reason": "a drill"}, all="true"))
    assert status == 503
    assert body["error"].startswith("a: NOT KNOWN")
    assert body["error"].endswith("done: b-paper")
    assert (await two["b-paper"].account()).trading == "halted"


async def test_one_that_cannot_be_read_hides_no_other(two: dict[str, MemoryStore]) -> None:
    two["a"].failures["account"] = 1
    status, body = await told(two, about("GET", "/status"))
    assert (status, [each["account"] for each in body["accounts"]]) == (200, ["b-paper"])
    assert list(body["unreadable"]) == ["a"]
    two["a"].failures["account"] = 1
    status, body = await told(two, about("GET", "/status", account="a"))
    assert (status, body["error"].startswith("NOT KNOWN")) == (503, True)
