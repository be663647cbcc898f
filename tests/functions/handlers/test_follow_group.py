"""The limits of a group as a worker begins with them, and follows them."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from functions.core.collective import CollectiveLimits, CollectiveState
from functions.core.collective_configuration import (
    CollectiveConfiguration,
    collective_changed,
    collective_limits_of,
    collective_row,
)
from functions.core.configuration import ConfigurationError, ConfigurationRow
from functions.handlers import follow_group
from functions.handlers.follow_group import GroupFollower, open_group
from functions.ports import StoreDeniedError, StoreError
from tests.support.memory_groups import MemoryGroup

FIRST = {"collective_exposure_max_usd": Decimal(50)}
LIMITS = CollectiveLimits(name="group", config_version=1, exposure_max_e6=50_000_000)


def row(version: int, **settings: Any) -> ConfigurationRow:
    return collective_row(
        CollectiveConfiguration(**settings), version=version, who="me", why="x", made_at_ms=1
    )


async def begin(group: MemoryGroup, **variables: Any) -> CollectiveLimits | None:
    return await open_group(group, ["one"], variables, "worker-1")


async def test_without_limits_anywhere_nothing_is_opened() -> None:
    group = MemoryGroup("group")
    assert await begin(group) is None
    assert group.item is None
    assert set(group.members) == {"one"}  # so that who sets the first limits finds it


async def test_the_first_worker_seeds_and_the_others_follow() -> None:
    group = MemoryGroup("group")
    assert await begin(group, **FIRST) == LIMITS
    assert await open_group(group, ["two", "three"], {}, "worker-2") == LIMITS
    assert set(group.members) == {"one", "two", "three"}
    assert group.item == CollectiveState(config_version=1)


async def test_a_variable_that_contradicts_what_is_stored_is_refused_in_one_line() -> None:
    group = MemoryGroup("group")
    await begin(group, **FIRST)
    assert await begin(group, collective_exposure_max_usd=Decimal("50.00")) == LIMITS
    with pytest.raises(ConfigurationError) as refused:
        await begin(group, collective_exposure_max_usd=Decimal(60))
    line = str(refused.value)
    assert line.startswith("COLLECTIVE_EXPOSURE_MAX_USD=60 (stored: 50)")
    assert "\n" not in line


async def test_a_group_whose_limits_nobody_has_set_counts_and_limits_nothing() -> None:
    group = MemoryGroup("group")
    await group.open("one")
    unlimited = CollectiveLimits(name="group", config_version=0)
    assert await begin(group) == unlimited
    follower = GroupFollower(group, None, ["one"])
    assert await follower.read()
    assert follower.now == unlimited
    assert await begin(group, **FIRST) == LIMITS


async def test_a_change_is_followed_and_told() -> None:
    group = MemoryGroup("group")
    follower = GroupFollower(group, await begin(group, **FIRST), ["one"])
    told: list[CollectiveLimits | None] = []
    follower.tell(lambda: told.append(follower.now))
    assert await follower.read()
    assert told == []
    await group.set_configuration(row(2, collective_daily_loss_limit_usd=5), 1)
    assert await follower.read()
    assert told == [CollectiveLimits(name="group", config_version=2, daily_loss_limit_e6=5_000_000)]
    assert follower.problem() is None


async def test_limits_that_are_set_later_are_joined() -> None:
    group = MemoryGroup("group")
    follower = GroupFollower(group, await begin(group), ["one", "two"])
    assert await follower.read()
    assert follower.now is None
    await group.open("somebody")
    await group.set_configuration(row(1, **FIRST), 0)
    assert await follower.read()
    assert follower.now == LIMITS
    assert set(group.members) == {"somebody", "one", "two"}


async def test_what_cannot_be_followed_is_a_problem_and_the_old_limits_stay() -> None:
    group = MemoryGroup("group")
    follower = GroupFollower(group, await begin(group, **FIRST), ["one"])
    newer = msgspec.structs.replace(row(2), values='{"collective_moon_usd":1}')
    await group.set_configuration(newer, 1)
    assert await follower.read()
    assert follower.now == LIMITS
    assert "version 2" in (follower.problem() or "")
    group.item = None
    assert await follower.read()
    assert "no limits any more" in (follower.problem() or "")
    assert follower.now == LIMITS  # each claim is refused, and so it says why


async def test_limits_that_cannot_be_read_for_long_are_told_until_they_can_be() -> None:
    group = MemoryGroup("group")
    follower = GroupFollower(group, await begin(group, **FIRST), ["one"])

    async def broken() -> None:
        raise StoreError("configuration row: why")

    readable, group.configuration = group.configuration, broken  # type: ignore[assignment]
    for _ in range(follow_group.TELL_AFTER):
        assert follower.problem() is None
        assert not await follower.read()
    assert "configuration row: why" in (follower.problem() or "")
    group.configuration = readable  # type: ignore[method-assign]
    assert await follower.read()
    assert follower.problem() is None


async def test_a_look_that_is_asked_for_comes_at_once(monkeypatch) -> None:
    monkeypatch.setattr(follow_group, "READ_EVERY_S", 3_600.0)
    monkeypatch.setattr(follow_group, "PAUSE_S", 0.0)
    group = MemoryGroup("group")
    follower = GroupFollower(group, await begin(group, **FIRST), ["one"])
    changed = asyncio.Event()
    follower.tell(changed.set)
    running = asyncio.create_task(follower.run())
    await group.set_configuration(row(2), 1)
    follower.look()
    await asyncio.wait_for(changed.wait(), 30)
    running.cancel()


async def test_a_store_that_does_not_answer_is_asked_again(monkeypatch) -> None:
    group = MemoryGroup("group")
    follower = GroupFollower(group, await begin(group, **FIRST), ["one"])

    async def silent() -> ConfigurationRow | None:
        raise StoreError("no answer")

    monkeypatch.setattr(group, "configuration", silent)
    assert not await follower.read()
    assert follower.now == LIMITS


# -- as a person types them ------------------------------------------------------------------------


def test_a_limit_is_changed_and_taken_away() -> None:
    settings = CollectiveConfiguration(**FIRST)
    changed = collective_changed(settings, {"collective_daily_loss_limit_usd": "12.5"})
    assert changed == CollectiveConfiguration(**FIRST, collective_daily_loss_limit_usd="12.5")
    none = collective_changed(changed, {"collective_exposure_max_usd": "none"})
    assert none.collective_exposure_max_usd is None
    limits = collective_limits_of(row(3, **none.model_dump()), "group")
    assert (limits.daily_loss_limit_e6, limits.exposure_max_e6) == (12_500_000, None)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cooldown_s": "1"}, "cooldown_s: no such setting of a group"),
        ({"collective_exposure_max_usd": "0"}, "collective_exposure_max_usd"),
        ({"collective_exposure_max_usd": "-1"}, "collective_exposure_max_usd"),
        ({"collective_exposure_max_usd": "much"}, "collective_exposure_max_usd"),
        ({"collective_daily_loss_limit_usd": "0.0000001"}, "collective_daily_loss_limit_usd"),
    ],
)
def test_a_bad_value_is_one_line_that_names_it(changes: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as refused:
        collective_changed(CollectiveConfiguration(), changes)
    assert "\n" not in str(refused.value)


async def test_an_account_that_a_role_may_not_write_keeps_no_worker_from_starting() -> None:
    group = MemoryGroup("group")
    await group.join("of_before")
    opened = group.open

    async def denied(account_name: str | None) -> CollectiveState:
        state = await opened(account_name)
        if account_name is None:
            raise StoreDeniedError("bind_to_group: AccessDeniedException")
        return state

    group.open = denied  # type: ignore[method-assign]
    with capture_logs() as logs:
        assert await begin(group, **FIRST) == LIMITS
    assert [line["event"] for line in logs] == ["group_not_told_to_all"]
