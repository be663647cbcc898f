"""The simulated DynamoDB: it keeps what it is told, and each of its faults is what it says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import fields
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from functions.adapters.aws_answers import ForeignAnswerError
from tests.simulation.dynamodb import DynamoFaults, SimDynamo
from tests.simulation.loop import Simulation, simulated

KEY = {"pk": {"S": "p"}, "sk": {"S": "s"}}
ITEM = {**KEY, "amount": {"N": "1"}, "tags": {"M": {"a": {"S": "x"}}}}


class Setting:
    """A simulation with a table that holds `ITEM`, and a client to it."""

    def __init__(self, sim: Simulation, faults: DynamoFaults) -> None:
        self.sim = sim
        self.server = SimDynamo(sim, faults=faults)
        self.client = self.server.client()
        self.server.put(ITEM)

    def count(self, **more: Any) -> Coroutine[Any, Any, dict[str, Any]]:
        """Add one, if nobody has yet."""
        return self.client.update_item(
            TableName="state",
            Key=KEY,
            UpdateExpression="SET amount = amount + :one",
            ConditionExpression="amount = :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
            **more,
        )

    @property
    def amount(self) -> str:
        item = self.server.item("p", "s")
        assert item is not None
        return str(item["amount"]["N"])


def run(scenario: Callable[[Setting], Coroutine[Any, Any, None]], **faults: float) -> Setting:
    with simulated(1) as sim:
        setting = Setting(sim, DynamoFaults(**faults))  # type: ignore[arg-type]
        sim.run(scenario(setting))
    assert not sim.errors
    return setting


# -- what is asked for is done -------------------------------------------------------------------


def test_a_refused_condition_brings_the_item_and_changes_nothing() -> None:
    async def scenario(it: Setting) -> None:
        assert await it.count(ReturnValues="ALL_NEW") == {
            "Attributes": {**ITEM, "amount": {"N": "2"}}
        }
        with pytest.raises(ClientError) as refused:
            await it.count()
        response: Any = refused.value.response
        assert response["Error"]["Code"] == "ConditionalCheckFailedException"
        assert response["Item"] == {**ITEM, "amount": {"N": "2"}}

    it = run(scenario)
    assert [(each.operation, each.key) for each in it.server.history] == [
        ("put", ("p", "s")),
        ("update_item", ("p", "s")),
    ]
    last = it.server.history[-1]
    assert (last.before, last.after) == (ITEM, {**ITEM, "amount": {"N": "2"}})
    assert it.server.calls == {"update_item": 2}


def test_without_an_item_an_update_makes_one_and_a_condition_sees_nothing() -> None:
    async def scenario(it: Setting) -> None:
        key = {"pk": {"S": "p"}, "sk": {"S": "new"}}
        request = {
            "TableName": "state",
            "Key": key,
            "UpdateExpression": "SET amount = if_not_exists(amount, :one) + :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }
        with pytest.raises(ClientError, match="ConditionalCheckFailed") as refused:
            await it.client.update_item(**request, ConditionExpression="attribute_exists(pk)")
        assert "Item" not in refused.value.response
        await it.client.update_item(**request)
        found = await it.client.get_item(TableName="state", Key=key, ConsistentRead=True)
        assert found == {"Item": {**key, "amount": {"N": "2"}}}
        await it.client.delete_item(TableName="state", Key=key)
        assert await it.client.get_item(TableName="state", Key=key) == {}

    run(scenario)


def test_callers_and_the_table_share_no_objects() -> None:
    async def scenario(it: Setting) -> None:
        item: Any = {**KEY, "tags": {"M": {"a": {"S": "mine"}}}}
        await it.client.put_item(TableName="state", Item=item)
        item["tags"]["M"]["a"]["S"] = "changed"
        found: Any = await it.client.get_item(TableName="state", Key=KEY, ConsistentRead=True)
        assert found["Item"]["tags"]["M"]["a"]["S"] == "mine"
        found["Item"]["tags"]["M"]["a"]["S"] = "changed"
        again: Any = await it.client.get_item(TableName="state", Key=KEY, ConsistentRead=True)
        assert again["Item"]["tags"]["M"]["a"]["S"] == "mine"

    run(scenario)


def test_a_query_pages_through_a_partition_in_order() -> None:
    async def scenario(it: Setting) -> None:
        for number in (3, 1, 2, 5, 4):
            row = {"pk": {"S": "q"}, "sk": {"S": f"T#{number}"}, "n": {"N": str(number)}}
            it.server.put(row)
        it.server.put({"pk": {"S": "q"}, "sk": {"S": "U"}})
        it.server.faults.page_max = 2
        request: dict[str, Any] = {
            "TableName": "state",
            "KeyConditionExpression": "pk = :pk AND begins_with(sk, :t)",
            "ExpressionAttributeValues": {":pk": {"S": "q"}, ":t": {"S": "T#"}},
            "ConsistentRead": True,
        }
        pages = [page async for page in it.client.get_paginator("query").paginate(**request)]
        assert [[row["n"]["N"] for row in page["Items"]] for page in pages] == [
            ["1", "2"],
            ["3", "4"],
            ["5"],
        ]
        last = await it.client.query(**request, ScanIndexForward=False, Limit=1)
        assert [row["n"]["N"] for row in last["Items"]] == ["5"]
        request["KeyConditionExpression"] = "pk = :pk AND sk BETWEEN :t AND :u"
        request["ExpressionAttributeValues"] |= {":t": {"S": "T#2"}, ":u": {"S": "T#3"}}
        request["ProjectionExpression"] = "n"
        assert (await it.client.query(**request))["Items"] == [{"n": {"N": "2"}}, {"n": {"N": "3"}}]

    run(scenario)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"TableName": "other"}, "ResourceNotFoundException"),
        ({"Key": {"pk": {"S": "p"}}}, "ValidationException"),
        ({"ConditionExpression": "amount = :two"}, "ValidationException"),
        ({"ExpressionAttributeNames": {"#unused": "x"}}, "ValidationException"),
        ({"UpdateExpression": "SET amount.a = :one"}, "ValidationException"),
        ({"UpdateExpression": "SET total = :one"}, "ValidationException"),
    ],
)
def test_invalid_requests_are_refused_as_by_the_real_one(change: Any, code: str) -> None:
    async def scenario(it: Setting) -> None:
        with pytest.raises(ClientError) as refused:
            await it.client.update_item(
                **{
                    "TableName": "state",
                    "Key": KEY,
                    "UpdateExpression": "SET amount = :one",
                    "ConditionExpression": "amount = :one",
                    "ExpressionAttributeValues": {":one": {"N": "1"}},
                    **change,
                }
            )
        assert refused.value.response["Error"]["Code"] == code

    assert len(run(scenario).server.history) == 1


def test_what_is_not_modelled_is_loud() -> None:
    async def scenario(it: Setting) -> None:
        with pytest.raises(NotImplementedError):
            await it.client.get_item(TableName="state", Key=KEY, AttributesToGet=["pk"])
        with pytest.raises(NotImplementedError):
            await it.count(ReturnValues="UPDATED_NEW")
        with pytest.raises(NotImplementedError):
            it.client.get_paginator("scan")

    run(scenario)


# -- faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        ("throttled", ClientError, "ProvisionedThroughputExceededException"),
        ("conflict", ClientError, "TransactionConflictException"),
        ("refused", EndpointConnectionError, None),
        ("lost_request", ReadTimeoutError, None),
    ],
)
def test_faults_that_never_write(fault: str, error: type[Exception], code: str | None) -> None:
    async def scenario(it: Setting) -> None:
        with pytest.raises(error) as raised:
            await it.count()
        if code is not None:
            assert raised.value.response["Error"]["Code"] == code  # type: ignore[attr-defined]
        await asyncio.sleep(300)

    it = run(scenario, **{fault: 1.0})
    assert it.amount == "1"
    assert it.server.struck == {fault: 1}


def test_a_lost_reply_has_written() -> None:
    kinds = set()

    async def scenario(it: Setting) -> None:
        for _ in range(10):
            it.server.put(ITEM)
            with pytest.raises((ReadTimeoutError, ConnectionClosedError)) as raised:
                await it.count()
            kinds.add(raised.type)
            assert it.amount == "2"

    run(scenario, lost_reply=1.0)
    assert kinds == {ReadTimeoutError, ConnectionClosedError}


def test_a_foreign_answer_says_nothing_of_what_was_written() -> None:
    amounts = set()

    async def scenario(it: Setting) -> None:
        for _ in range(20):
            it.server.put(ITEM)
            with pytest.raises(ForeignAnswerError):
                await it.count()
            amounts.add(it.amount)

    run(scenario, foreign=1.0)
    assert amounts == {"1", "2"}


def test_a_retry_after_a_lost_reply_meets_its_own_success() -> None:
    async def scenario(it: Setting) -> None:
        with pytest.raises(ClientError) as refused:
            await it.count()
        response: Any = refused.value.response
        assert response["Error"]["Code"] == "ConditionalCheckFailedException"
        assert response["Item"]["amount"] == {"N": "2"}

    assert run(scenario, retried=1.0).amount == "2"


def test_a_straggler_is_evaluated_after_its_caller_was_answered() -> None:
    async def scenario(it: Setting) -> None:
        await it.count()
        assert it.amount == "2"
        it.server.put(ITEM)  # somebody else takes it back
        await asyncio.sleep(40)
        assert it.amount == "2", "the first try has landed"

    run(scenario, straggler=1.0)


def test_a_late_write_lands_after_its_caller_gave_up_or_died() -> None:
    async def scenario(it: Setting) -> None:
        with pytest.raises(ReadTimeoutError):
            await it.count()
        assert it.amount == "1"
        await asyncio.sleep(40)
        assert it.amount == "2"
        it.server.put(ITEM)

        async def gives_up() -> None:
            async with asyncio.timeout(1):
                await it.count()

        with pytest.raises(TimeoutError):
            await gives_up()
        dying = it.sim.process("dying")
        dying.start(it.count())
        await asyncio.sleep(1)
        dying.kill()
        assert it.amount == "1"
        await asyncio.sleep(40)
        assert it.amount == "2"

    run(scenario, late=1.0)


def test_what_a_killed_client_had_sent_lands() -> None:
    amounts = []
    for step in range(1, 5):

        async def scenario(it: Setting, step: int = step) -> None:
            dying = it.sim.process("dying")
            dying.kill_at_step(step)
            dying.start(it.count())
            await asyncio.sleep(1)

        amounts.append(run(scenario).amount)
    assert amounts == ["1", "2", "2", "2"]


def test_a_slow_call_takes_longer_and_nothing_else() -> None:
    async def scenario(it: Setting) -> None:
        started = asyncio.get_running_loop().time()
        await it.count()
        assert 0.1 < asyncio.get_running_loop().time() - started < 2

    assert run(scenario, slow=1.0).amount == "2"


def test_a_read_may_be_stale_unless_it_asks_for_consistency() -> None:
    seen = set()

    async def scenario(it: Setting) -> None:
        await asyncio.sleep(5)
        await it.count()
        for _ in range(30):
            found: Any = await it.client.get_item(TableName="state", Key=KEY)
            seen.add(found["Item"]["amount"]["N"])
            sure: Any = await it.client.get_item(TableName="state", Key=KEY, ConsistentRead=True)
            assert sure["Item"]["amount"]["N"] == "2"
        await asyncio.sleep(5)
        found = await it.client.get_item(TableName="state", Key=KEY)
        assert found["Item"]["amount"]["N"] == "2", "no staler than stale_s"

    run(scenario, stale=1.0)
    assert seen == {"1", "2"}


def test_a_batch_hands_back_what_it_did_not_take() -> None:
    async def scenario(it: Setting) -> None:
        left = [
            {"PutRequest": {"Item": {"pk": {"S": "b"}, "sk": {"S": str(number)}}}}
            for number in range(20)
        ]
        rounds = 0
        while left:
            reply = await it.client.batch_write_item(RequestItems={"state": left})
            left = reply["UnprocessedItems"].get("state", [])
            rounds += 1
        assert rounds > 2
        assert len(it.server.partition("b")) == 20

    run(scenario, unprocessed=0.5)


def test_off_leaves_no_fault_on() -> None:
    faults = DynamoFaults()
    rates = [each.name for each in fields(faults) if each.type == "float" and each.default == 0]
    assert len(rates) == 12
    for name in rates:
        setattr(faults, name, 0.05)
    faults.off()
    assert [getattr(faults, name) for name in rates] == [0.0] * len(rates)
    assert faults.stale_s > 0
