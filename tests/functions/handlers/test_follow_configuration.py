"""A worker follows what is in force: by a nudge, by itself, and when a claim says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from functions.core.configuration import Configuration, configuration_of
from functions.handlers import follow_configuration as module
from functions.handlers.follow_configuration import ConfigurationFollower, ConfigurationInForce
from runtime.instant import Instant
from strategies.book_imbalance import BookImbalance
from tests.support.configuration_builders import a_row
from tests.support.fake_ports import MemoryStore
from tests.support.trading_builders import market, snapshot
from tests.support.trading_desk import Desk

Parameters = BookImbalance.Parameters


def row(version: int, **settings: Any) -> Any:
    return a_row(version, parameters=Parameters(), **settings)


class Followed:
    def __init__(self) -> None:
        self.store = MemoryStore()
        self.heard: list[int] = []
        self.news = asyncio.Event()

    async def begin(self) -> None:
        await self.store.set_configuration(row(1), 0)
        first = configuration_of(row(1), BookImbalance.name, Parameters)
        self.in_force = ConfigurationInForce(first)
        self.in_force.tell(self._hear)
        self.follower = ConfigurationFollower(
            self.store, self.in_force, account_name="a", parameters=Parameters
        )

    def _hear(self, configuration: Configuration) -> None:
        self.heard.append(configuration.version)
        self.news.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.follower.run())
        try:
            async with asyncio.timeout(30):
                yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def until(self, fact: Callable[[], object]) -> None:
        while not fact():
            self.news.clear()
            await self.news.wait()


@pytest.fixture
async def followed() -> Followed:
    followed = Followed()
    await followed.begin()
    return followed


async def test_a_nudge_brings_the_new_version_at_once(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_EVERY_S", 3_600.0)
    async with followed.running():
        with capture_logs() as logs:
            await followed.store.set_configuration(row(2, max_positions=1, why="less"), 1)
            followed.follower.look()
            await followed.until(lambda: followed.heard == [1, 2])
        assert followed.in_force.now.limits.max_positions == 1
        await asyncio.sleep(0)
    [line] = [each for each in logs if each["event"] == "configuration_changed"]
    assert (line["version"], line["why"]) == (2, "less")
    assert line["changes"] == ["max_positions: 3 -> 1"]


async def test_without_a_nudge_it_finds_out_by_itself(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_EVERY_S", 0.01)
    monkeypatch.setattr(module, "PAUSE_S", 0)
    async with followed.running():
        await followed.store.set_configuration(row(2), 1)
        await followed.until(lambda: followed.heard == [1, 2])


def test_a_worker_that_hears_nothing_knows_within_ten_seconds() -> None:
    assert module.READ_EVERY_S + module.AGAIN_S + 2 * module.PAUSE_S < 10


async def test_a_store_that_does_not_answer_is_asked_again_soon(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.01)
    monkeypatch.setattr(module, "PAUSE_S", 0)
    followed.store.failures["configuration"] = 2
    await followed.store.set_configuration(row(2), 1)
    async with followed.running():
        await followed.until(lambda: followed.heard == [1, 2])
    assert followed.follower.problem() is None


async def test_what_cannot_be_read_for_long_is_told_until_it_can_be(followed: Followed) -> None:
    followed.store.failures["configuration"] = module.TELL_AFTER  # as of a row that is broken
    await followed.store.set_configuration(row(2), 1)
    for _ in range(module.TELL_AFTER):
        assert followed.follower.problem() is None
        await followed.follower._read()
    assert "the configuration of a: " in (followed.follower.problem() or "")
    assert await followed.follower._read()
    assert followed.follower.problem() is None


async def test_what_it_cannot_follow_is_said_and_the_last_one_stays(followed: Followed) -> None:
    async with followed.running():
        newer = msgspec.structs.replace(row(2), values='{"not_yet_invented":1}')
        await followed.store.set_configuration(newer, 1)
        followed.follower.look()
        while followed.follower.problem() is None:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.005)
        assert "version 2 of the configuration cannot be followed" in str(
            followed.follower.problem()
        )
        assert followed.in_force.now.version == 1
        await followed.store.set_configuration(row(3), 2)
        followed.follower.look()
        await followed.until(lambda: followed.heard == [1, 3])
        assert followed.follower.problem() is None


# -- as a worker trades ----------------------------------------------------------------------------


async def test_a_claim_under_a_version_that_is_gone_is_refused_and_the_worker_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "READ_EVERY_S", 3_600.0)
    desk = Desk(strategy=BookImbalance)
    assert await desk.store.set_configuration(row(1, cooldown_s=0), 0)
    assert await desk.handle(snapshot(of=market("0xc1")))
    assert [each.reason for each in desk.told] == ["config_changed"]
    assert desk.exchange.posted == []
    task = asyncio.create_task(desk.account.follower.run())
    try:
        async with asyncio.timeout(30):
            while desk.account.configuration.version != 1:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.005)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await desk.handle(snapshot(of=market("0xc2")))  # at once: no belief is left
    assert [each.reason for each in desk.told] == ["config_changed", "matched"]
    [claim] = desk.store.claims.values()
    assert claim.config_version == desk.told[-1].config_version == 1


async def test_a_trade_is_executed_under_the_configuration_that_decided_it() -> None:
    desk = Desk()
    assert await desk.store.set_configuration(row(1), 0)
    first = configuration_of(row(1), BookImbalance.name, Parameters)
    desk.account.opened.in_force.put(first)
    book, delivered = snapshot(), Instant()
    trade = desk.consider(book, delivered)
    assert trade is not None
    second = configuration_of(row(2, max_positions=9), BookImbalance.name, Parameters)
    desk.account.opened.in_force.put(second)  # between the decision and its execution
    await desk.account.executor.execute(book, trade, delivered, first)
    [claim] = desk.store.claims.values()
    assert claim.config_version == trade.config_version == 1
