"""Sending: nobody waits for anybody else, and what was not taken is tried again."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from executor.alerts.alert import Alert
from executor.alerts.alerts_file import AlertsFile, WaitingAlert
from executor.alerts.sending import HUNG_MAX, AlertDelivery, AlertMetrics, joined
from executor.alerts.telling import decide
from tests.support.http_sink import until


class FakeService:
    """Answers what it is told, in the thread that asks; `None`: it is taken."""

    def __init__(self, label: str, answer: Callable[[], str | None] = lambda: None) -> None:
        self.label = label
        self.answer = answer
        self.messages: list[tuple[str, str, bool]] = []

    def send(self, title: str, text: str, *, alarm: bool) -> str | None:
        self.messages.append((title, text, alarm))
        return self.answer()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[AlertsFile]:
    file = AlertsFile(tmp_path / "alerts.sqlite")
    yield file
    file.close()


def tell(file: AlertsFile, *keys: str, services: tuple[str, ...]) -> None:
    alerts = [Alert(key=key, scope="s", text=f"{key}!\nmore of {key}") for key in keys]
    now_ms = time.time_ns() // 1_000_000
    file.take(decide(file.told, alerts, {"s"}, now_ms), services, now_ms)


@asynccontextmanager
async def running(*deliveries: AlertDelivery) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(each.run()) for each in deliveries]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_service_that_hangs_delays_no_other_one(file: AlertsFile) -> None:
    end = threading.Event()
    slow = FakeService("slow", lambda: "late" if end.wait(20) else None)
    quick, metrics = FakeService("quick"), AlertMetrics()
    tell(file, "a", services=("slow", "quick"))
    hanging = AlertDelivery(slow, file, metrics, spacing_s=0.01)
    try:
        async with running(hanging, AlertDelivery(quick, file, metrics, spacing_s=0.01)):
            await until(lambda: bool(slow.messages) and not file.waiting("quick"))
            tell(file, "b", services=("slow", "quick"))
            await until(lambda: len(quick.messages) == 2)
            assert file.waiting("slow") == 2
    finally:
        end.set()
    assert quick.messages == [("a!", "more of a", True), ("b!", "more of b", True)]


async def test_threads_that_hang_are_bounded(file: AlertsFile) -> None:
    end, metrics = threading.Event(), AlertMetrics()
    slow = FakeService("slow", lambda: "late" if end.wait(20) else None)
    hanging = AlertDelivery(
        slow, file, metrics, spacing_s=0.01, back_off_s=(0.01,), send_max_s=0.01
    )
    try:
        async with running(hanging):
            for number in range(HUNG_MAX + 3):
                tell(file, f"k{number}", services=("slow",))
                await asyncio.sleep(0.05)
            await until(lambda: hanging.failing() == "its last answers have not come to an end")
        assert len(slow.messages) == HUNG_MAX
    finally:
        end.set()


async def test_what_was_refused_is_told_as_failing_and_sent_later(file: AlertsFile) -> None:
    answers = ["HTTP 500", "HTTP 500", None]
    service, metrics = FakeService("one", lambda: answers.pop(0)), AlertMetrics()
    delivery = AlertDelivery(service, file, metrics, spacing_s=0.01, back_off_s=(0.01,))
    async with running(delivery):
        tell(file, "a", services=("one",))
        await until(lambda: len(answers) == 2)
        assert not delivery.failing()
        tell(file, "b", services=("one",))
        await until(lambda: delivery.failing() == "HTTP 500")
        tell(file, "c", services=("one",))
        await until(lambda: not answers and file.waiting("one") == 2)
        assert not delivery.failing()
    assert metrics.failed.labels("one")._value.get() == 2
    assert metrics.sent.labels("one")._value.get() == 1
    # a and b have their minute to wait; c went alone.
    assert [title for title, _, _ in service.messages] == ["a!", "b!", "c!"]


async def test_many_at_once_are_one_message(file: AlertsFile) -> None:
    service = FakeService("one")
    tell(file, "a", "b", "c", services=("one",))
    async with running(AlertDelivery(service, file, AlertMetrics(), spacing_s=0.01)):
        await until(lambda: file.waiting("one") == 0)
    assert service.messages == [
        ("a! (and 2 more)", "a!\nmore of a\n\nb!\nmore of b\n\nc!\nmore of c", True)
    ]


async def test_a_service_that_raises_is_a_failure_without_its_text(file: AlertsFile) -> None:
    def fail() -> str | None:
        raise ValueError("https://host/SECRET")

    delivery = AlertDelivery(FakeService("one", fail), file, AlertMetrics(), back_off_s=(0.01,))
    async with running(delivery):
        for key in ("a", "b"):
            tell(file, key, services=("one",))
            await asyncio.sleep(0.05)
        await until(lambda: delivery.failing() == "ValueError")


def test_a_long_message_is_cut_and_says_so() -> None:
    rows = [
        WaitingAlert(key=f"k{n}", level="alarm", text=f"title {n}\n" + "x" * 500, made_at_ms=1)
        for n in range(20)
    ]
    title, text = joined(rows)
    assert title == "title 0 (and 19 more)"
    assert len(text) <= 3_500
    assert text.endswith("... and 14 more")
    (title, text) = joined([WaitingAlert(key="k", level="alarm", text="y" * 500, made_at_ms=1)])
    assert (len(title), text) == (120, "y" * 500)
