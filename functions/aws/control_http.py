"""`control` as the cloud's function URL calls it: an HTTP event (payload format 2.0) in, an answer
out. Shape: docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html

    GET  /status                      200 as `executor status --json`
    POST /halt   {"reason": "..."}    200 {"trading", "halt_reason", "claims_before"}
    POST /resume                      200 {"trading", "lifted"}

With `?account=NAME` that account of STRATEGIES is meant; without it the only one. Of several
/status shows all ({"accounts": [...]}), /halt and /resume want a name or `?all=true`, and answer
{"accounts": {name: ...}}. One that fails does not keep the others from being halted: the answer is
then that of the failure, and names those that are done.

Everything else is {"error": "..."}: 400 bad input, 403 no IAM identity, 404, 405, 409 somebody else
was faster, 503 NOT KNOWN: the store did not answer.

Who it was stands in the log (event `control`), not in the halt's reason: the account item is read
and paid for with every claim, and a reason reads the same wherever it was given.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
import structlog

from functions.core.account import TRADING_ENABLED, Limits
from functions.handlers import control
from functions.handlers.control import NotDoneError, NotKnownError
from functions.ports import Store, StoreError
from protocol.text import encoded

_BODY_BYTES_MAX: Final = 10_000
_WANTED: Final = 'the body must be JSON with one text: {"reason": "..."}'
_WHO: Final = ("requestContext", "authorizer", "iam", "userArn")
_METHODS: Final = {"/status": "GET", "/halt": "POST", "/resume": "POST"}
_log = structlog.get_logger()


class _Halt(msgspec.Struct, forbid_unknown_fields=True):
    reason: str


class _RefusedError(Exception):
    """An HTTP status of the 400s and one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


async def answer(stores: Mapping[str, Store], limits: Limits, event: Any) -> dict[str, Any]:
    """The answer to one HTTP event about these accounts, by name. Raises nothing of the store's."""
    status: int
    body: Any
    try:
        status, body = 200, await _done(stores, limits, event)
    except _RefusedError as error:
        status, body = error.status, _error(str(error))
    except NotKnownError as error:
        status, body = 503, _error(str(error))
    except NotDoneError as error:
        status, body = 409, _error(str(error))
    except StoreError as error:
        status, body = 503, _error(f"NOT KNOWN: {error}")
    return _answered(event, status, body)


def too_late(event: Any) -> dict[str, Any]:
    """The answer when there is no time left to wait for the store: it may have heard, or not."""
    return _answered(event, 503, _error("NOT KNOWN: the store did not answer in time; ask again"))


def _answered(event: Any, status: int, body: Any) -> dict[str, Any]:
    method, path = _at(event, "requestContext", "http", "method"), _at(event, "rawPath")
    who = _at(event, *_WHO)
    _log.warning("control", method=method, path=path, who=who, status=status, answer=_short(body))
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json", "cache-control": "no-store"},
        "body": encoded(msgspec.json.encode, body).decode(),
    }


async def _done(stores: Mapping[str, Store], limits: Limits, event: Any) -> Any:
    """What is answered with 200. Raises _RefusedError, NotDoneError, StoreError."""
    # The URL asks IAM before it calls; should somebody ever open it to the public, this still asks.
    if not _at(event, *_WHO):
        raise _RefusedError(403, "no IAM identity: sign the request (AWS_IAM)")
    method, path = _at(event, "requestContext", "http", "method"), _at(event, "rawPath")
    if path not in _METHODS:
        raise _RefusedError(404, f"no such path; there is: {', '.join(_METHODS)}")
    if method != _METHODS[path]:
        raise _RefusedError(405, f"{path} wants {_METHODS[path]}")
    wanted = _wanted(stores, event, all_meant=path == "/status")
    if path == "/status":
        return await _statuses(wanted, limits)
    if path == "/halt":
        reason = _reason(event)
        return await _each(wanted, lambda store: _halted(store, reason))
    return await _each(wanted, _resumed)


def _wanted(stores: Mapping[str, Store], event: Any, *, all_meant: bool) -> Mapping[str, Store]:
    """The accounts that are meant. Raises _RefusedError."""
    name, names = _at(event, "queryStringParameters", "account"), ", ".join(stores)
    if name:
        if name not in stores:
            raise _RefusedError(400, f"account: there is none of this name; there is: {names}")
        return {name: stores[name]}
    all_meant = all_meant or _at(event, "queryStringParameters", "all") == "true"
    if len(stores) > 1 and not all_meant:
        raise _RefusedError(400, f"say ?account=NAME, or ?all=true; there is: {names}")
    return stores


async def _statuses(stores: Mapping[str, Store], limits: Limits) -> Any:
    """Of all of them; one that cannot be read does not hide the others. Raises StoreError."""
    asked = (control.status(store, name, limits) for name, store in stores.items())
    told = await asyncio.gather(*asked, return_exceptions=True)
    unreadable: dict[str, str] = {}
    for name, each in zip(stores, told, strict=True):
        if isinstance(each, BaseException):
            if len(stores) == 1 or not isinstance(each, StoreError):
                raise each
            unreadable[name] = str(each)
    known = [each for each in told if not isinstance(each, BaseException)]
    if len(stores) == 1:
        return known[0]
    return {"accounts": known} | ({"unreadable": unreadable} if unreadable else {})


async def _each(
    stores: Mapping[str, Store], change: Callable[[Store], Awaitable[dict[str, Any]]]
) -> dict[str, Any]:
    """Change them all, whatever one of them meets; then raises as its `change`."""
    told = await asyncio.gather(*map(change, stores.values()), return_exceptions=True)
    by_name = dict(zip(stores, told, strict=True))
    done = {name: each for name, each in by_name.items() if isinstance(each, dict)}
    for name, each in by_name.items():
        if not isinstance(each, BaseException):
            continue
        if len(stores) == 1 or not isinstance(each, StoreError | NotDoneError):
            raise each
        text = f"{name}: {each}; done: {', '.join(done) or 'none'}"
        raise (NotDoneError if type(each) is NotDoneError else NotKnownError)(text)
    return done[next(iter(done))] if len(stores) == 1 else {"accounts": done}


async def _halted(store: Store, reason: str) -> dict[str, Any]:
    account = await control.halt(store, reason)
    return {
        "trading": False,
        "halt_reason": account.halt_reason,
        # Their orders may still be posted or filled.
        "claims_before": sum(not claim.ended for claim in account.claims.values()),
    }


async def _resumed(store: Store) -> dict[str, Any]:
    before, _ = await control.resume(store)
    halted = before.trading != TRADING_ENABLED
    return {"trading": True, "lifted": before.halt_reason if halted else None}


def _reason(event: Any) -> str:
    body = event.get("body")
    raw = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else b""
    if len(raw) > _BODY_BYTES_MAX:
        raise _RefusedError(400, f"the body is longer than {_BODY_BYTES_MAX} bytes")
    try:
        if event.get("isBase64Encoded"):
            raw = base64.b64decode(raw, validate=True)
        reason = msgspec.json.decode(raw, type=_Halt).reason
    except (msgspec.MsgspecError, binascii.Error, UnicodeDecodeError, RecursionError):
        raise _RefusedError(400, _WANTED) from None
    try:
        return control.halt_reason(reason)
    except ValueError as error:
        raise _RefusedError(400, f"reason: {error}") from None


def _at(event: Any, *names: str) -> str:
    """The text under `names`, empty where there is none."""
    value = event
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


def _error(text: str) -> dict[str, str]:
    return {"error": text}


def _short(body: Any) -> Any:
    """A status is long, and in the table: the log needs no copy."""
    return body if isinstance(body, dict) else None
