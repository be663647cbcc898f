"""Orders beside the worker's loop: when they begin, and what becomes of them when it stops."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from functions import worker_loop
from functions.adapters.book_pull import Delivery
from functions.worker_loop import ORDERS_IN_FLIGHT_MAX
from tests.functions.test_worker import Desk
from tests.support.trading_builders import market, snapshot


async def test_an_order_is_signed_before_the_books_that_wait_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk()
    desk.exchange.warm_now.set()
    for number in range(3):  # markets that are warm by now
        desk.books.give(snapshot([("0.49", 1)], [("0.50", 1)], of=market(f"0x{number}")))
    await desk.handle_all()
    calls, handle = desk.exchange.calls, desk.worker._handle

    def looking(delivery: Delivery) -> None:
        calls.append("book")
        handle(delivery)

    monkeypatch.setattr(desk.worker, "_handle", looking)
    for number in range(3):
        desk.books.give(snapshot(of=market(f"0x{number}")))
    await desk.handle_all()
    assert calls[:2] == ["book", "prepare"]
    assert calls.count("book") == 3


async def test_orders_that_only_waited_for_their_turn_are_not_told_of_as_abandoned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk()
    desk.exchange.warm_now.set()
    desk.exchange.during_post = asyncio.Event().wait  # type: ignore[assignment]
    for number in range(ORDERS_IN_FLIGHT_MAX + 3):
        desk.books.give(snapshot(of=market(f"0x{number}")))
    await desk.handle_all()
    assert len(desk.worker._executing) == ORDERS_IN_FLIGHT_MAX + 3
    monkeypatch.setattr(worker_loop, "FINISH_S", 0.0)
    with capture_logs() as lines:
        await desk.worker.finish()
    assert [each for each in lines if each["event"] == "orders_abandoned"] == [
        {"event": "orders_abandoned", "log_level": "error", "count": ORDERS_IN_FLIGHT_MAX}
    ]
    assert len(desk.store.claims) == ORDERS_IN_FLIGHT_MAX
    assert not desk.worker._executing


async def test_where_no_order_had_its_turn_nothing_is_abandoned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk()
    desk.exchange.warm_now.set()
    slots = desk.worker._slots[desk.account.name]
    for _ in range(ORDERS_IN_FLIGHT_MAX):
        await slots.acquire()
    desk.books.give(snapshot(of=market()))
    await desk.handle_all()
    assert len(desk.worker._executing) == 1
    monkeypatch.setattr(worker_loop, "FINISH_S", 0.0)
    with capture_logs() as lines:
        await desk.worker.finish()
    assert (lines, desk.exchange.calls) == ([], [])
