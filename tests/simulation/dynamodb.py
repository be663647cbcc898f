"""A simulated DynamoDB with one table, and clients of aiobotocore's shape that reach it badly.

`SimDynamo.client()` is what `aioboto3.Session().client("dynamodb")` yields, as far as it is used
here: `DynamoStore(client, table, strategy)` runs on it unchanged. Calls travel for virtual time and
are evaluated in the server's process, one at a time, so what a client had sent still lands after it
was killed. Conditions and updates are really evaluated (`expressions`). Errors are botocore's own.

`history` holds every applied write as (epoch ns, operation, key, item before, item after): checks
can look at every state the table was ever in.

Not modelled: indexes, transactions, TTL deletions, streams, consumed capacity, item sizes, and the
SDK's retries other than those that `DynamoFaults` names. Keys are strings.
"""

from __future__ import annotations

import bisect
import marshal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, fields
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from tests.simulation.expressions import (
    Context,
    InvalidError,
    Item,
    parse_condition,
    parse_projection,
    parse_update,
    projected,
)
from tests.simulation.loop import Simulation

ENDPOINT: Final = "http://dynamodb.simulated:8000"
KEYS: Final = ("pk", "sk")
VERSIONS_KEPT: Final = 50
"""Of each item, for stale reads."""
_MISSING: Final[Item] = {}


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
    unprocessed: float = 0.0
    """Per row of a batch: handed back unwritten."""
    page_max: int = 1_000
    """Rows a page of a query has at most (the real limit is 1 MB)."""

    def off(self) -> None:
        """Only latency (and the page size) stays."""
        for each in fields(self):
            if each.type == "float" and each.name != "stale_s":
                setattr(self, each.name, 0.0)


_STRIKES: Final = (
    "throttled",
    "conflict",
    "refused",
    "lost_request",
    "lost_reply",
    "retried",
    "straggler",
    "late",
    "slow",
)


class Change(NamedTuple):
    """One applied write."""

    at_ns: int
    operation: str
    key: tuple[str, str]
    before: Item | None
    after: Item | None


class SimDynamo:
    """The server with its one table."""

    def __init__(
        self, sim: Simulation, table: str = "state", faults: DynamoFaults | None = None
    ) -> None:
        self.sim = sim
        self.table = table
        self.faults = faults or DynamoFaults()
        self.rng = sim.random("dynamodb")
        self.process = sim.process("dynamodb")
        self.history: list[Change] = []
        self.calls: dict[str, int] = {}
        """Calls by operation, as the callers made them."""
        self.struck: dict[str, int] = {}
        """Faults by name."""
        self._items: dict[tuple[str, str], Item] = {}
        self._sorted: dict[str, list[str]] = {}
        """Sort keys of each partition, also of deleted items."""
        self._versions: dict[tuple[str, str], list[tuple[int, Item | None]]] = {}

    def client(self) -> SimDynamoClient:
        """A client for one process; any number of them."""
        return SimDynamoClient(self)

    # -- what tests look at and set up -----------------------------------------------------------

    def item(self, pk: str, sk: str) -> Item | None:
        """The item as it is now."""
        return self._items.get((pk, sk))

    def partition(self, pk: str) -> list[Item]:
        """The partition's items in sort order, as they are now."""
        keys = ((pk, sk) for sk in self._sorted.get(pk, ()))
        return [self._items[key] for key in keys if key in self._items]

    def put(self, item: Item) -> None:
        """Write at once and without a fault, as a person with the console would."""
        self._write("put", _key(item), _copy(item))

    # -- the table -------------------------------------------------------------------------------

    def _write(self, operation: str, key: tuple[str, str], after: Item | None) -> None:
        before = self._items.get(key)
        now_ns = self.sim.time_ns()
        if after is None:
            self._items.pop(key, None)
        else:
            self._items[key] = after
        versions = self._versions.get(key)
        if versions is None:
            bisect.insort(self._sorted.setdefault(key[0], []), key[1])
            versions = self._versions[key] = []
        versions.append((now_ns, after))
        del versions[:-VERSIONS_KEPT]
        self.history.append(Change(now_ns, operation, key, before, after))
        self.sim.record("dynamodb-write", operation, *key)

    def _read(self, key: tuple[str, str], as_of_ns: int | None) -> Item | None:
        if as_of_ns is None:
            return self._items.get(key)
        for at_ns, item in reversed(self._versions.get(key, ())):
            if at_ns <= as_of_ns:
                return item
        return None

    def _as_of(self, consistent: bool) -> int | None:
        if consistent or self.rng.random() >= self.faults.stale:
            return None
        self._struck("stale")
        return self.sim.time_ns() - int(self.rng.random() * self.faults.stale_s * 1e9)

    def _struck(self, fault: str) -> None:
        self.struck[fault] = self.struck.get(fault, 0) + 1
        self.sim.record("dynamodb-fault", fault)

    # -- operations, evaluated in the server's process -------------------------------------------

    def evaluate(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request. Raises ClientError."""
        tables = [request["TableName"]] if "TableName" in request else list(request["RequestItems"])
        if tables != [self.table]:
            raise _client_error(operation, "ResourceNotFoundException", f"no table {tables}")
        try:
            answer: dict[str, Any] = getattr(self, f"_{operation}")(request)
        except InvalidError as error:
            raise _client_error(operation, "ValidationException", str(error)) from None
        self.sim.record("dynamodb-answer", operation)
        return answer

    def _put_item(self, request: dict[str, Any]) -> dict[str, Any]:
        key = _key(request["Item"])
        before = self._checked(request, key, "put_item")
        self._write("put_item", key, _copy(request["Item"]))
        return _returned(request, before, None)

    def _delete_item(self, request: dict[str, Any]) -> dict[str, Any]:
        key = _key(request["Key"])
        before = self._checked(request, key, "delete_item")
        if before is not None:
            self._write("delete_item", key, None)
        return _returned(request, before, None)

    def _update_item(self, request: dict[str, Any]) -> dict[str, Any]:
        key = _key(request["Key"])
        update, used = parse_update(request["UpdateExpression"])
        before = self._checked(request, key, "update_item", used)
        base = before if before is not None else _copy(request["Key"])
        after = update.apply(_context(request, base), KEYS)
        self._write("update_item", key, _copy(after))
        return _returned(request, before, after)

    def _checked(
        self,
        request: dict[str, Any],
        key: tuple[str, str],
        operation: str,
        used: frozenset[str] = frozenset(),
    ) -> Item | None:
        """The item as it is, if the request's condition holds on it. Raises ClientError."""
        before = self._items.get(key)
        text = request.get("ConditionExpression")
        if text is None:
            _check_placeholders(request, used)
            return before
        condition, also_used = parse_condition(text)
        _check_placeholders(request, used | also_used)
        if condition(_context(request, _MISSING if before is None else before)):
            return before
        self.sim.record("dynamodb-refused", operation, *key)
        wanted = request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
        raise _client_error(
            operation,
            "ConditionalCheckFailedException",
            "The conditional request failed",
            **({"Item": _copy(before)} if wanted and before is not None else {}),
        )

    def _get_item(self, request: dict[str, Any]) -> dict[str, Any]:
        text = request.get("ProjectionExpression")
        paths, used = parse_projection(text) if text else ((), frozenset[str]())
        _check_placeholders(request, used)
        item = self._read(_key(request["Key"]), self._as_of(request.get("ConsistentRead", False)))
        if item is None:
            return {}
        return {"Item": _copy(projected(_context(request, item), paths) if text else item)}

    def _query(self, request: dict[str, Any]) -> dict[str, Any]:
        condition, used = parse_condition(request["KeyConditionExpression"])
        kept: Callable[[Context], bool] | None = None
        if "FilterExpression" in request:
            kept, also_used = parse_condition(request["FilterExpression"])
            used |= also_used
        text = request.get("ProjectionExpression")
        paths, also_used = parse_projection(text) if text else ((), frozenset[str]())
        _check_placeholders(request, used | also_used)
        as_of_ns = self._as_of(request.get("ConsistentRead", False))
        forward = request.get("ScanIndexForward", True)
        limit = min(request.get("Limit", self.faults.page_max), self.faults.page_max)
        start = _key(request["ExclusiveStartKey"]) if "ExclusiveStartKey" in request else None
        items: list[Item] = []
        looked_at = 0
        last: tuple[str, str] | None = None
        for key in self._keys_of(condition, request, forward):
            if start is not None and (key <= start if forward else key >= start):
                continue
            item = self._read(key, as_of_ns)
            if item is None or not condition(_context(request, item)):
                continue
            if looked_at == limit:
                assert last is not None
                last_key = {"pk": {"S": last[0]}, "sk": {"S": last[1]}}
                return {"Items": items, "Count": len(items), "LastEvaluatedKey": last_key}
            looked_at, last = looked_at + 1, key
            context = _context(request, item)
            if kept is None or kept(context):
                items.append(_copy(projected(context, paths) if text else item))
        return {"Items": items, "Count": len(items)}

    def _keys_of(
        self, condition: Callable[[Context], bool], request: dict[str, Any], forward: bool
    ) -> list[tuple[str, str]]:
        """Keys of the partition that the key condition names, in the order wanted."""
        named = {each["S"] for each in request["ExpressionAttributeValues"].values() if "S" in each}
        keys = [(pk, sk) for pk in sorted(named) for sk in self._sorted.get(pk, ())]
        return keys if forward else keys[::-1]

    def _batch_write_item(self, request: dict[str, Any]) -> dict[str, Any]:
        rows = request["RequestItems"][self.table]
        if not 0 < len(rows) <= 25:
            raise InvalidError("a batch has 1 to 25 rows")
        keys = [
            _key(row["PutRequest"]["Item"] if "PutRequest" in row else row["DeleteRequest"]["Key"])
            for row in rows
        ]
        if len(set(keys)) != len(keys):
            raise InvalidError("Provided list of item keys contains duplicates")
        left = []
        for key, row in zip(keys, rows, strict=True):
            if self.rng.random() < self.faults.unprocessed:
                self._struck("unprocessed")
                left.append(row)
            else:
                item = row["PutRequest"]["Item"] if "PutRequest" in row else None
                self._write("batch_write_item", key, None if item is None else _copy(item))
        return {"UnprocessedItems": {self.table: left} if left else {}}

    # -- how calls get there and back ------------------------------------------------------------

    def strike(self, write: bool) -> str | None:
        """Which fault this call meets."""
        chance = self.rng.random()
        for fault in _STRIKES:
            chance -= getattr(self.faults, fault)
            if chance < 0:
                if fault == "conflict" and not write:
                    return None
                self._struck(fault)
                return fault
        return None


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
        elif fault in ("throttled", "conflict"):
            self._later(latency_s, self._tell, None, self._refusal(fault))
        elif fault == "refused":
            error = EndpointConnectionError(endpoint_url=ENDPOINT)
            self._later(latency_s, self._tell, None, error)
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

    def _refusal(self, fault: str) -> ClientError:
        code = {
            "throttled": "ProvisionedThroughputExceededException",
            "conflict": "TransactionConflictException",
        }[fault]
        return _client_error(self._operation, code, f"simulated: {fault}")


def _timeout() -> ReadTimeoutError:
    return ReadTimeoutError(endpoint_url=ENDPOINT)


def _client_error(operation: str, code: str, text: str, **more: Any) -> ClientError:
    name = "".join(part.capitalize() for part in operation.split("_"))
    response = {
        "Error": {"Code": code, "Message": text},
        "ResponseMetadata": {"HTTPStatusCode": 400, "RetryAttempts": 0},
        **more,
    }
    return ClientError(response, name)  # type: ignore[arg-type]


def _key(item: Item) -> tuple[str, str]:
    try:
        key = item["pk"]["S"], item["sk"]["S"]
    except KeyError:
        raise InvalidError("The provided key element does not match the schema") from None
    if not all(key):
        raise InvalidError("a key may not be empty")
    return key


def _context(request: dict[str, Any], item: Item) -> Context:
    return Context(
        item,
        request.get("ExpressionAttributeNames", {}),
        request.get("ExpressionAttributeValues", {}),
    )


def _check_placeholders(request: dict[str, Any], used: frozenset[str]) -> None:
    given = {
        *request.get("ExpressionAttributeNames", ()),
        *request.get("ExpressionAttributeValues", ()),
    }
    if given != used:
        wrong = ", ".join(sorted(given ^ used))
        raise InvalidError(f"placeholders not defined, or not used: {wrong}")


def _returned(request: dict[str, Any], before: Item | None, after: Item | None) -> dict[str, Any]:
    wanted = request.get("ReturnValues", "NONE")
    if wanted == "NONE":
        return {}
    found = {"ALL_OLD": before, "ALL_NEW": after}
    if wanted not in found:
        raise NotImplementedError(f"ReturnValues={wanted}")
    item = found[wanted]
    return {} if item is None else {"Attributes": _copy(item)}


def _copy(item: Item) -> Item:
    """A deep copy: what callers and the table hold must not change each other."""
    copied: Item = marshal.loads(marshal.dumps(item))  # noqa: S302 - our own plain dicts
    return copied
