"""The doctor says which configuration is in force, and what would keep a worker from starting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from executor.doctor import in_force
from executor.doctor.finding import Finding, Level
from functions.adapters.dynamodb.store import DynamoStore
from functions.settings import LimitSettings, WorkerSettings
from protocol.book import PUBLISHED_BIDS_MIN, PUBLISHED_LEVELS_MAX
from runtime.settings import load_settings
from strategies.book_imbalance import BookImbalance
from strategies.interface import Strategy
from tests.support.configuration_builders import a_row


async def found() -> Finding:
    [finding] = await in_force.check(load_settings(LimitSettings), load_settings(WorkerSettings))
    return finding


async def test_before_the_first_worker_it_says_who_makes_it(store: DynamoStore) -> None:
    await store.open_account()
    finding = await found()
    assert (finding.level, finding.text) == (Level.WARN, "none yet")


async def test_the_version_in_force_and_what_contradicts_it(
    store: DynamoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.open_account()
    row = a_row(parameters=BookImbalance.Parameters(), max_positions=2, size_usd=Decimal(7))
    assert await store.set_configuration(row, 0)
    assert (await found()).level is Level.OK
    assert await in_force.order_usd(load_settings(LimitSettings)) == 7
    monkeypatch.setenv("MAX_POSITIONS", "5")
    finding = await found()
    assert finding.level is Level.FAIL
    assert "MAX_POSITIONS=5 (stored: 2)" in finding.text


async def test_feeders_publish_as_many_bids_as_a_strategy_looks_at_under_what_is_stored(
    store: DynamoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wanted() -> int:
        return await in_force.bids_wanted_most(load_settings(LimitSettings))

    await store.open_account()
    assert await wanted() == PUBLISHED_BIDS_MIN  # by its defaults it looks at five
    assert await store.set_configuration(a_row(parameters=BookImbalance.Parameters(levels=17)), 0)
    assert await wanted() == 17
    monkeypatch.setattr(BookImbalance, "bids_seen", Strategy.bids_seen)  # says nothing
    assert await wanted() == PUBLISHED_LEVELS_MAX


def for_ever(_: Any) -> int:
    while True:
        pass


def ending_everything(_: Any) -> int:
    raise SystemExit


@pytest.mark.parametrize(
    "answer", [for_ever, ending_everything, lambda _: 12.5], ids=["endless", "ends", "half"]
)
def test_feeders_publish_all_bids_where_a_strategy_cannot_say(
    answer: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STATE", f"sqlite:///{tmp_path}/none")
    monkeypatch.setattr(in_force, "TRIAL_MAX_S", 0.05)
    monkeypatch.setattr(BookImbalance, "bids_seen", staticmethod(answer))
    wanted = asyncio.run(in_force.bids_wanted_most(load_settings(LimitSettings)))
    assert wanted == PUBLISHED_LEVELS_MAX


async def test_one_that_cannot_be_followed_fails(store: DynamoStore) -> None:
    await store.open_account()
    assert await store.set_configuration(a_row(strategy="another"), 0)
    finding = await found()
    assert finding.level is Level.FAIL
    assert "the strategy another's" in finding.text


async def test_a_table_that_does_not_answer_is_a_warning() -> None:
    assert (await found()).level is Level.WARN
