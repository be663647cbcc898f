"""A simulated DynamoDB with two tables, and clients of aiobotocore's shape that reach it badly.

`SimDynamo.client()` is what opening the SDK's client yields, as far as it is used
here: `DynamoStore` runs on it unchanged. Calls travel for virtual time and
are evaluated in the server's process, one at a time, so what a client had sent still lands after it
was killed. Conditions and updates are really evaluated (`expressions`). Errors are botocore's own.

`history` holds every applied write as (epoch ns, operation, key, item before, item after, table):
checks can look at every state a table was ever in.

Not modelled: indexes, idempotency tokens of transactions, TTL deletions, streams, consumed
capacity, item sizes, and the SDK's retries other than those that `DynamoFaults` names. Keys are
strings.
"""

from __future__ import annotations

import bisect
import marshal
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from botocore.exceptions import ClientError

from tests.simulation.dynamodb_client import STRIKES, DynamoFaults, SimDynamoClient, client_error
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

__all__ = ["Change", "DynamoFaults", "SimDynamo", "SimDynamoClient"]

KEYS: Final = ("pk", "sk")
STATE: Final = "state"
DECISIONS: Final = "decisions"
VERSIONS_KEPT: Final = 50
"""Of each item, for stale reads."""
_MISSING: Final[Item] = {}


class Change(NamedTuple):
    """One applied write."""

    at_ns: int
    operation: str
    key: tuple[str, str]
    before: Item | None
    after: Item | None
    table: str


class _Table:
    """Items by key."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], Item] = {}
        self.sorted: dict[str, list[str]] = {}
        """Sort keys of each partition, also of deleted items."""
        self.versions: dict[tuple[str, str], list[tuple[int, Item | None]]] = {}


class SimDynamo:
    """The server with its tables."""

    def __init__(self, sim: Simulation, faults: DynamoFaults | None = None) -> None:
        self.sim = sim
        self.faults = faults or DynamoFaults()
        self.rng = sim.random("dynamodb")
        self.process = sim.process("dynamodb")
        self.history: list[Change] = []
        self.calls: dict[str, int] = {}
        """Calls by operation, as the callers made them."""
        self.struck: dict[str, int] = {}
        """Faults by name."""
        self.missing: set[str] = set()
        """Tables that are not there; their items come back with them."""
        self._tables = {STATE: _Table(), DECISIONS: _Table()}

    def client(self) -> SimDynamoClient:
        """A client for one process; any number of them."""
        return SimDynamoClient(self)

    # -- what tests look at and set up -----------------------------------------------------------

    def item(self, pk: str, sk: str) -> Item | None:
        """The state table's item as it is now."""
        return self._tables[STATE].items.get((pk, sk))

    def partition(self, pk: str, table: str = STATE) -> list[Item]:
        """The partition's items in sort order, as they are now."""
        items = self._tables[table].items
        keys = ((pk, sk) for sk in self._tables[table].sorted.get(pk, ()))
        return [items[key] for key in keys if key in items]

    def put(self, item: Item) -> None:
        """Write to the state table at once and without a fault, as a person would."""
        self._write("put", STATE, _key(item), _copy(item))

    # -- the tables ------------------------------------------------------------------------------

    def _write(self, operation: str, name: str, key: tuple[str, str], after: Item | None) -> None:
        table = self._tables[name]
        before = table.items.get(key)
        now_ns = self.sim.time_ns()
        if after is None:
            table.items.pop(key, None)
        else:
            table.items[key] = after
        versions = table.versions.get(key)
        if versions is None:
            bisect.insort(table.sorted.setdefault(key[0], []), key[1])
            versions = table.versions[key] = []
        versions.append((now_ns, after))
        del versions[:-VERSIONS_KEPT]
        self.history.append(Change(now_ns, operation, key, before, after, name))
        self.sim.record("dynamodb-write", operation, *key)

    def _read(self, table: _Table, key: tuple[str, str], as_of_ns: int | None) -> Item | None:
        if as_of_ns is None:
            return table.items.get(key)
        for at_ns, item in reversed(table.versions.get(key, ())):
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
        tables = _tables(request)
        if not self._tables.keys() - self.missing >= set(tables):
            raise client_error(operation, "ResourceNotFoundException", f"no table {tables}")
        try:
            answer: dict[str, Any] = getattr(self, f"_{operation}")(request)
        except InvalidError as error:
            raise client_error(operation, "ValidationException", str(error)) from None
        self.sim.record("dynamodb-answer", operation)
        return answer

    def _put_item(self, request: dict[str, Any]) -> dict[str, Any]:
        key = _key(request["Item"])
        before = self._checked(request, key, "put_item")
        self._write("put_item", request["TableName"], key, _copy(request["Item"]))
        return _returned(request, before, None)

    def _delete_item(self, request: dict[str, Any]) -> dict[str, Any]:
        key = _key(request["Key"])
        before = self._checked(request, key, "delete_item")
        if before is not None:
            self._write("delete_item", request["TableName"], key, None)
        return _returned(request, before, None)

    def _update_item(self, request: dict[str, Any]) -> dict[str, Any]:
        key = _key(request["Key"])
        update, used = parse_update(request["UpdateExpression"])
        before = self._checked(request, key, "update_item", used)
        base = before if before is not None else _copy(request["Key"])
        after = update.apply(_context(request, base), KEYS)
        self._write("update_item", request["TableName"], key, _copy(after))
        return _returned(request, before, after)

    def _transact_write_items(self, request: dict[str, Any]) -> dict[str, Any]:
        """All conditions first, then all writes: nothing comes in between."""
        reasons: list[dict[str, Any]] = []
        for write in request["TransactItems"]:
            [(kind, part)] = write.items()
            used = frozenset[str]()
            if kind == "Update":
                used = parse_update(part["UpdateExpression"])[1]
            elif kind not in ("ConditionCheck", "Put"):
                raise NotImplementedError(f"transact_write_items: {kind}")
            key = _key(part["Item"] if kind == "Put" else part["Key"])
            try:
                self._checked(part, key, "transact_write_items", used)
                reasons.append({"Code": "None"})
            except ClientError as error:
                old = {"Item": error.response["Item"]} if "Item" in error.response else {}
                reasons.append({"Code": "ConditionalCheckFailed", **old})
        codes = [reason["Code"] for reason in reasons]
        if set(codes) != {"None"}:
            raise client_error(
                "transact_write_items",
                "TransactionCanceledException",
                f"Transaction cancelled [{', '.join(codes)}]",
                CancellationReasons=reasons,
            )
        for write in request["TransactItems"]:
            if "Update" in write:
                self._update_item(write["Update"])
            elif "Put" in write:
                self._put_item(write["Put"])
        return {}

    def _checked(
        self,
        request: dict[str, Any],
        key: tuple[str, str],
        operation: str,
        used: frozenset[str] = frozenset(),
    ) -> Item | None:
        """The item as it is, if the request's condition holds on it. Raises ClientError."""
        before = self._tables[request["TableName"]].items.get(key)
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
        raise client_error(
            operation,
            "ConditionalCheckFailedException",
            "The conditional request failed",
            **({"Item": _copy(before)} if wanted and before is not None else {}),
        )

    def _get_item(self, request: dict[str, Any]) -> dict[str, Any]:
        text = request.get("ProjectionExpression")
        paths, used = parse_projection(text) if text else ((), frozenset[str]())
        _check_placeholders(request, used)
        table = self._tables[request["TableName"]]
        as_of_ns = self._as_of(request.get("ConsistentRead", False))
        item = self._read(table, _key(request["Key"]), as_of_ns)
        if item is None:
            return {}
        return {"Item": _copy(projected(_context(request, item), paths) if text else item)}

    def _query(self, request: dict[str, Any]) -> dict[str, Any]:
        table = self._tables[request["TableName"]]
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
        for key in _keys_of(table, request, forward):
            if start is not None and (key <= start if forward else key >= start):
                continue
            item = self._read(table, key, as_of_ns)
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

    def _batch_write_item(self, request: dict[str, Any]) -> dict[str, Any]:
        [(name, rows)] = request["RequestItems"].items()
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
                self._write("batch_write_item", name, key, None if item is None else _copy(item))
        return {"UnprocessedItems": {name: left} if left else {}}

    # -- how calls get there and back ------------------------------------------------------------

    def strike(self, write: bool) -> str | None:
        """Which fault this call meets."""
        chance = self.rng.random()
        for fault in STRIKES:
            chance -= getattr(self.faults, fault)
            if chance < 0:
                if fault == "conflict" and not write:
                    return None
                self._struck(fault)
                return fault
        return None


def _tables(request: dict[str, Any]) -> list[str]:
    if "TransactItems" in request:
        parts = [part for write in request["TransactItems"] for part in write.values()]
        return sorted({part["TableName"] for part in parts})
    return [request["TableName"]] if "TableName" in request else list(request["RequestItems"])


def _keys_of(table: _Table, request: dict[str, Any], forward: bool) -> list[tuple[str, str]]:
    """Keys of the partition that the key condition names, in the order wanted."""
    named = {each["S"] for each in request["ExpressionAttributeValues"].values() if "S" in each}
    keys = [(pk, sk) for pk in sorted(named) for sk in table.sorted.get(pk, ())]
    return keys if forward else keys[::-1]


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
