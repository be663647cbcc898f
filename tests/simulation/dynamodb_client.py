"""Clients of the simulated DynamoDB, and how their calls go wrong on the way.

Part of `tests.simulation.dynamodb`, which says what is modelled.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, fields
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from functions.adapters import aws_answers

if TYPE_CHECKING:
    from tests.simulation.dynamodb import SimDynamo

ENDPOINT: Final = "http://dynamodb.simulated:8000"


@dataclass
class DynamoFaults:
    """Chances are per call. The first that strikes is the call's fault."""

    latency_s: tuple[float, float] = (0.002, 0.02)
    slow: float = 0.0
    slow_s: tuple[float, float] = (0.1, 1.5)
    throttled: float = 0.0
    """ProvisionedThroughputExceededException; not written."""
    conflict: float = 0.0
    """TransactionConflictException on a write; not written."""
    refused: float = 0.0
    """EndpointConnectionError; not written."""
    lost_request: float = 0.0
    """ReadTimeoutError; not written."""
    lost_reply: float = 0.0
    """Written, then ReadTimeoutError or ConnectionClosedError."""
    retried: float = 0.0
    """Written; the SDK, which got no reply, sends it again and returns the second answer."""
    straggler: float = 0.0
    """The SDK's first try got stuck: the second is answered, and the first is evaluated later."""
    late: float = 0.0
    """ReadTimeoutError, and evaluated later."""
    timeout_s: tuple[float, float] = (2.0, 5.0)
    retry_s: tuple[float, float] = (0.05, 3.0)
    late_s: tuple[float, float] = (0.1, 30.0)
    """After the caller has its answer."""
    stale: float = 0.0
    """A read that need not be consistent sees the table as it was."""
    stale_s: float = 2.0
    foreign: float = 0.0
    """Somebody else answers, with success: written in a third of the cases."""
    unprocessed: float = 0.0
    """Per row of a batch: handed back unwritten."""
    page_max: int = 1_000
    """Rows a page of a query has at most (the real limit is 1 MB)."""

    def off(self) -> None:
        """Only latency (and the page size) stays."""
        for each in fields(self):
            if each.type == "float" and each.name != "stale_s":
                setattr(self, each.name, 0.0)


STRIKES: Final = (
    "throttled",
    "conflict",
    "refused",
    "lost_request",
    "lost_reply",
    "retried",
    "straggler",
    "late",
    "slow",
    "foreign",
)
FOREIGN: Final[tuple[tuple[dict[str, str], bytes], ...]] = (
    ({"content-type": "text/html"}, b"<html>Please log in</html>"),
    ({}, b""),
    ({"content-type": "application/json"}, b"{}"),
    ({"content-type": "application/x-amz-json-1.0", "x-amzn-requestid": "R"}, b'{"Attrib'),
)
"""What a portal, a proxy or a broken line puts in the place of an answer."""


class SimDynamoClient:
    """The low-level client. Every call is one await of one future that the server resolves."""

    def __init__(self, server: SimDynamo) -> None:
        self.meta = SimpleNamespace(endpoint_url=ENDPOINT)
        self._server = server

    async def put_item(self, **request: Any) -> dict[str, Any]:
        return await self._call("put_item", request)

    async def delete_item(self, **request: Any) -> dict[str, Any]:
        return await self._call("delete_item", request)

    async def update_item(self, **request: Any) -> dict[str, Any]:
        return await self._call("update_item", request)

    async def get_item(self, **request: Any) -> dict[str, Any]:
        return await self._call("get_item", request)

    async def query(self, **request: Any) -> dict[str, Any]:
        return await self._call("query", request)

    async def batch_write_item(self, **request: Any) -> dict[str, Any]:
        return await self._call("batch_write_item", request)

    async def transact_write_items(self, **request: Any) -> dict[str, Any]:
        return await self._call("transact_write_items", request)

    def get_paginator(self, operation: str) -> _Paginator:
        """Of "query" only."""
        if operation != "query":
            raise NotImplementedError(f"paginator of {operation}")
        return _Paginator(self)

    async def close(self) -> None:
        """Nothing to release."""

    async def __aenter__(self) -> SimDynamoClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        unknown = request.keys() - _PARAMETERS[operation]
        if unknown:
            raise NotImplementedError(f"{operation}: {', '.join(sorted(unknown))}")
        server = self._server
        server.calls[operation] = server.calls.get(operation, 0) + 1
        return await _Call(server, operation, request).answered


_CONDITIONAL: Final = {
    "TableName",
    "ConditionExpression",
    "ExpressionAttributeNames",
    "ExpressionAttributeValues",
    "ReturnValues",
    "ReturnValuesOnConditionCheckFailure",
}
_READ: Final = {"TableName", "ConsistentRead", "ProjectionExpression", "ExpressionAttributeNames"}
_PARAMETERS: Final[dict[str, set[str]]] = {
    "put_item": _CONDITIONAL | {"Item"},
    "delete_item": _CONDITIONAL | {"Key"},
    "update_item": _CONDITIONAL | {"Key", "UpdateExpression"},
    "get_item": _READ | {"Key"},
    "query": _READ
    | {
        "KeyConditionExpression",
        "FilterExpression",
        "ExpressionAttributeValues",
        "ScanIndexForward",
        "Limit",
        "ExclusiveStartKey",
    },
    "batch_write_item": {"RequestItems"},
    "transact_write_items": {"TransactItems"},
}


class _Paginator:
    def __init__(self, client: SimDynamoClient) -> None:
        self._client = client

    async def paginate(self, **request: Any) -> AsyncIterator[dict[str, Any]]:
        while True:
            page = await self._client.query(**request)
            yield page
            if "LastEvaluatedKey" not in page:
                return
            request = {**request, "ExclusiveStartKey": page["LastEvaluatedKey"]}


class _Call:
    """One call on its way: what is evaluated when, and what its caller is told."""

    def __init__(self, server: SimDynamo, operation: str, request: dict[str, Any]) -> None:
        self._server = server
        self._operation = operation
        self._request = request
        self.answered = server.sim.loop.create_future()
        faults, rng = server.faults, server.rng
        latency_s = rng.uniform(*faults.latency_s)
        fault = server.strike(operation not in ("get_item", "query"))
        if fault == "slow":
            latency_s += rng.uniform(*faults.slow_s)
        timeout_s = latency_s + rng.uniform(*faults.timeout_s)
        way_s = latency_s / 2
        if fault is None or fault == "slow":
            self._later(way_s, self._evaluate, way_s)
        elif fault in ("throttled", "conflict", "refused"):
            self._later(latency_s, self._tell, None, self._refusal(fault))
        elif fault == "lost_request":
            self._later(timeout_s, self._tell, None, _timeout())
        elif fault == "lost_reply":
            self._later(way_s, self._evaluate, None)
            if rng.random() < 0.5:
                closed = ConnectionClosedError(endpoint_url=ENDPOINT)
                self._later(latency_s, self._tell, None, closed)
            else:
                self._later(timeout_s, self._tell, None, _timeout())
        elif fault == "retried":
            self._later(way_s, self._evaluate, None)
            self._later(latency_s + rng.uniform(*faults.retry_s), self._evaluate, way_s)
        elif fault == "straggler":
            retry_s = latency_s + rng.uniform(*faults.retry_s)
            self._later(retry_s, self._evaluate, way_s)
            self._later(retry_s + rng.uniform(*faults.late_s), self._evaluate, None)
        elif fault == "late":
            self._later(timeout_s, self._tell, None, _timeout())
            self._later(timeout_s + rng.uniform(*faults.late_s), self._evaluate, None)
        elif fault == "foreign":
            if rng.random() < 1 / 3:
                self._later(way_s, self._evaluate, None)
            self._later(latency_s, self._tell_foreign, *rng.choice(FOREIGN))

    def _later(self, delay_s: float, callback: Callable[..., None], *args: Any) -> None:
        self._server.process.call_later(delay_s, callback, *args)

    def _evaluate(self, way_back_s: float | None) -> None:
        """Evaluate now; the answer travels back, or is lost (None)."""
        answer: dict[str, Any] | None = None
        error: Exception | None = None
        try:
            answer = self._server.evaluate(self._operation, self._request)
        except (ClientError, NotImplementedError) as refused:
            error = refused
        if way_back_s is not None:
            self._later(way_back_s, self._tell, answer, error)

    def _tell(self, answer: dict[str, Any] | None, error: Exception | None) -> None:
        if self.answered.done():  # the caller gave up
            return
        if error is not None:
            self.answered.set_exception(error)
        else:
            self.answered.set_result(answer)

    def _tell_foreign(self, headers: dict[str, str], body: bytes) -> None:
        """As the SDK does: what its HTTP lets through, it reads as an empty reply."""
        try:
            aws_answers.check_answer(200, headers, body)
        except aws_answers.ForeignAnswerError as error:
            self._tell(None, error)
        else:
            self._tell({}, None)

    def _refusal(self, fault: str) -> Exception:
        if fault == "refused":
            return EndpointConnectionError(endpoint_url=ENDPOINT)
        code = {
            "throttled": "ProvisionedThroughputExceededException",
            "conflict": "TransactionConflictException",
        }[fault]
        return client_error(self._operation, code, f"simulated: {fault}")


def _timeout() -> ReadTimeoutError:
    return ReadTimeoutError(endpoint_url=ENDPOINT)


def client_error(operation: str, code: str, text: str, **more: Any) -> ClientError:
    """The error that botocore makes of an answer with this code."""
    name = "".join(part.capitalize() for part in operation.split("_"))
    response = {
        "Error": {"Code": code, "Message": text},
        "ResponseMetadata": {"HTTPStatusCode": 400, "RetryAttempts": 0},
        **more,
    }
    return ClientError(response, name)  # type: ignore[arg-type]
