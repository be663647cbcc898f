"""What a worker says of itself when one of its accounts is in trouble, or all are."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from functions import worker_health
from functions.worker_health import WorkerHealth
from functions.worker_metrics import WorkerMetrics


def served(name: str, problem: str | None = None) -> Any:
    account = SimpleNamespace(name=name, why=problem)
    account.problem = lambda: account.why
    return account


def test_what_all_need_comes_first() -> None:
    health = WorkerHealth()
    health.of_all = (lambda: "not connected to NATS",)
    health.serve([served("a", "disabled"), served("b", "disabled")])
    assert health.problem() == "not connected to NATS"


def test_the_only_account_in_trouble_makes_the_worker_unwell() -> None:
    health = WorkerHealth()
    health.serve([served("a", "its strategy is disabled")])
    assert health.problem() == "its strategy is disabled"


def test_one_of_several_in_trouble_is_said_and_the_worker_is_well() -> None:
    health = WorkerHealth()
    health.serve([served("a", "its strategy is disabled"), served("b")])
    assert health.problem() is None
    assert health.remark() == "account a: its strategy is disabled"


def test_when_no_account_trades_the_worker_is_unwell() -> None:
    health = WorkerHealth()
    health.unopened = lambda: {"c": "not opened: away"}
    health.serve([served("a", "one"), served("b", "two")])
    assert health.problem() == "account a: one; account b: two; account c: not opened: away"


def test_one_that_could_not_be_opened_is_said_while_others_trade() -> None:
    health = WorkerHealth()
    health.unopened = lambda: {"c": "not opened: away"}
    health.serve([served("a")])
    assert health.problem() is None
    assert health.remark() == "account c: not opened: away"


async def test_trouble_is_said_once_when_it_begins_and_when_it_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account, other = served("a"), served("b")
    metrics, health = WorkerMetrics({"a": (), "b": ()}), WorkerHealth()
    health.serve([account, other])
    looks = iter(["away", "away", None])
    seen: list[float | None] = []

    async def sleep(_: float) -> None:
        value = metrics.registry.get_sample_value
        seen.append(value("worker_account_in_trouble", {"strategy": "a"}))
        try:
            account.why = next(looks)
        except StopIteration:
            raise asyncio.CancelledError from None

    monkeypatch.setattr(worker_health, "asyncio", SimpleNamespace(sleep=sleep))
    with capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        await health.watch(metrics)
    assert [(each["event"], each["account"]) for each in logs] == [
        ("account_in_trouble", "a"),
        ("account_well_again", "a"),
    ]
    assert seen == [0, 1, 1, 0]
