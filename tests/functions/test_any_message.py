"""Whatever anybody puts on NATS is refused, or it decodes and no consumer raises."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from feeder.core.leases import LeaseHolder, LeaseTableError, decode_table, encode_table
from functions.adapters.book_pull import BookPull, Delivery
from functions.adapters.dynamodb.items import decision_item, decision_of
from functions.core.gate import GateConfig
from functions.handlers.on_fill import on_fill
from functions.worker_clock import WorkerClock
from functions.worker_loop import Worker
from protocol.decision import decode_decision, encode_decision
from protocol.fill import decode_fill, encode_fill
from protocol.snapshot import ProtocolError, decode_snapshot, encode_snapshot
from runtime.instant import Instant
from tests.support.fake_ports import MemoryStore
from tests.support.message_builders import decision
from tests.support.metrics_builders import account_metrics
from tests.support.trading_builders import a_claim, a_fill, snapshot
from tests.support.trading_desk import Desk

Message = TypeVar("Message")
Path = tuple[str | int, ...]

ABSURD = [
    *("1" + "0" * n for n in (10, 13, 15, 18, 19, 22, 40, 400, 4_000)),
    *("-1", "-" + "9" * 19, "-" + "9" * 400, "0", "1", "0.5", "9007199254740993", str(2**63)),
    *("1e308", "-1e308", "5e-324", "NaN", "null", "true", "[]", "{}"),
    *('""', '"\\u0000\\u001b[31m\\n"', '"\\u202e"', f'"{"x" * 5_000}"', f'"{"9" * 5_000}"'),
    *('"1e400"', '"1e999999"', '"1e-999999"', '"NaN"', '"sNaN"', '"-0"', '"-1"', '"2"', '"1e-40"'),
]


def leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in inner:
        if isinstance(each, dict | list) and each:
            yield from leaves(each, (*path, key))
        else:
            yield (*path, key)


def bent(payload: bytes, changes: dict[Path, str]) -> bytes:
    """The message with raw JSON in the place of some of its leaves."""
    message = copy.deepcopy(json.loads(payload))
    marks = {}
    for number, (path, raw) in enumerate(changes.items()):
        target = message
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = mark = f"@{number}@"
        marks[json.dumps(mark)] = raw
    text = json.dumps(message)
    for mark, raw in marks.items():
        text = text.replace(mark, raw)
    return text.encode()


def bendings(payload: bytes) -> st.SearchStrategy[dict[Path, str]]:
    paths = st.sampled_from(sorted(leaves(json.loads(payload)), key=str))
    return st.dictionaries(paths, st.sampled_from(ABSURD), min_size=1, max_size=3)


def one_by_one(payload: bytes) -> Iterator[bytes]:
    for path in leaves(json.loads(payload)):
        for raw in ABSURD:
            yield bent(payload, {path: raw})


def usable(decode: Callable[[bytes], Message], payload: bytes) -> Message | None:
    try:
        return decode(payload)
    except ProtocolError:
        return None


class Books(BookPull):
    def __init__(self) -> None:
        pass


class Bench:
    """A worker that is given one book after another, each as if it were its first."""

    def __init__(self) -> None:
        self.desk = Desk(book_age_max_ms=GateConfig().book_age_max_ms)
        desk = self.desk
        self.clock = WorkerClock(1_000, desk.metrics)
        verifier = desk.account.evaluator._verifier
        self.worker = Worker(
            Books(),
            [desk.account],
            verifier=verifier,
            clock=self.clock,
            metrics=desk.metrics,
            fence=desk.fence,
        )

    async def handle(self, payload: bytes) -> None:
        reply = "$JS.ACK.BOOKS.x.1.1.1.1700000000000000000.0"
        self.worker._handle(Delivery(payload, reply, Instant()))
        while tasks := [*self.worker._warming.values(), *self.worker._executing.values()]:
            await asyncio.gather(*tasks)  # an exception in one is a defect, and raised here
        self.clock.look()
        self.clock.problem()


BOOK = encode_snapshot(snapshot())
FILL = encode_fill(a_fill())
DECISION = encode_decision(decision())


async def handled_alone(payload: bytes) -> int:
    bench = Bench()
    await bench.handle(payload)
    return len(bench.desk.told)


async def test_a_sound_book_is_traded_on_here() -> None:
    assert await handled_alone(encode_snapshot(snapshot())) == 1


async def test_no_single_field_of_a_book_ends_a_worker() -> None:
    for payload in one_by_one(encode_snapshot(snapshot())):
        await handled_alone(payload)


@given(bendings(BOOK))
def test_no_combination_of_fields_of_a_book_ends_a_worker(changes: dict[Path, str]) -> None:
    asyncio.run(handled_alone(bent(encode_snapshot(snapshot()), changes)))


async def settled(payload: bytes) -> None:
    fill = usable(decode_fill, payload)
    if fill is None:
        return
    for ended in (False, True):
        store = MemoryStore()
        if ended:
            await store.put_ledger(a_claim(state="released", version=3))
        else:
            store._change(claims={a_claim().slot: a_claim()})
        await on_fill(store, account_metrics(), [fill, fill])


async def test_no_single_field_of_a_fill_ends_a_worker() -> None:
    for payload in one_by_one(FILL):
        await settled(payload)


@given(bendings(FILL))
def test_no_combination_of_fields_of_a_fill_ends_a_worker(changes: dict[Path, str]) -> None:
    asyncio.run(settled(bent(FILL, changes)))


@example({("decided_at_ms",): "1000000000000000000"})
@given(bendings(DECISION))
def test_every_decision_that_decodes_makes_a_row_that_a_table_takes(
    changes: dict[Path, str],
) -> None:
    told = usable(decode_decision, bent(DECISION, changes))
    if told is not None:
        item = decision_item(told)
        kept = msgspec.structs.replace(told, memory_versions="", market=None)
        assert decision_of(item) == kept
        assert len(item["pk"]["S"].encode()) <= 2_048
        assert len(item["sk"]["S"].encode()) <= 1_024
        assert len(json.dumps(item)) < 400_000


@pytest.mark.parametrize("epoch", [2**53, 2**53 - 1, 2**53 + 1, 10**400, -1])
def test_no_epoch_in_the_lease_table_keeps_feeders_from_their_series(epoch: int) -> None:
    table = {
        "table_id": "x",
        "members": {},
        "series": {"btc-15m": {"owner": "", "epoch": epoch}},
        "epoch_max": epoch,
    }
    payload = json.dumps(table).encode()
    holders = [LeaseHolder(name, ["btc-15m"], 1.0, 0.1) for name in ("a", "b")]
    now_s, replaced = 100.0, 0
    for _ in range(60):
        for holder in holders:
            now_s += 0.1
            holder.begin(now_s)
            try:
                read = decode_table(payload)
            except LeaseTableError:
                read = decode_table(b'{"table_id":"new"}')  # as the keeper does
                replaced += 1
            proposed = holder.propose(read, now_s, 1_700_000_000_000, fit=True)
            payload = encode_table(proposed)
            holder.written(now_s)
    assert replaced <= 1
    assert sum("btc-15m" in holder.held for holder in holders) == 1


@pytest.mark.parametrize("stamp", ["\u00b2", "9" * 5_000, "x", ""])
def test_what_only_looks_like_a_time_of_nats_is_none(stamp: str) -> None:
    reply = f"$JS.ACK.BOOKS.x.1.1.1.{stamp}.0"
    assert Delivery(b"", reply, Instant(1)).stored_at_ns() is None
    assert decode_snapshot(BOOK).books
