"""What an order calls, and what its claim says, where the account's group has limits."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
from structlog.testing import capture_logs

from functions.core.collective_configuration import CollectiveConfiguration, collective_row
from functions.handlers.follow_group import GroupFollower, open_group
from tests.support.fake_ports import MemoryStore
from tests.support.memory_groups import MemoryGroup
from tests.support.trading_builders import market, snapshot
from tests.support.trading_desk import HOT_PATH, Desk

GROUP = "group-paper"


async def grouped(**limits: Any) -> tuple[Desk, MemoryGroup]:
    """A desk whose group has these limits, or none."""
    group = MemoryGroup(GROUP)
    variables = {name: Decimal(usd) for name, usd in limits.items()}
    follower = GroupFollower(group, await open_group(group, ["s"], variables, "w"), ["s"])
    desk = Desk(group=follower)
    assert isinstance(desk.store, MemoryStore)
    desk.store.groups[GROUP] = group
    return desk, group


async def test_a_group_without_limits_changes_nothing() -> None:
    desk, group = await grouped()
    assert await desk.handle(snapshot())
    [claim] = desk.store.claims.values()
    assert (desk.calls, claim.collective, group.item) == (HOT_PATH, "", None)


async def test_a_claim_names_its_group_and_is_still_one_call() -> None:
    desk, group = await grouped(collective_exposure_max_usd="1.1")
    assert await desk.handle(snapshot())
    assert desk.calls == HOT_PATH
    [claim] = desk.store.claims.values()
    assert claim.collective == GROUP
    assert group.item is not None
    assert group.item.exposure_e6 == claim.filled_spend_e6 == 1_100_000
    # The next one would be too much, and the one after that is not even asked for.
    assert await desk.handle(snapshot(of=market("0xc2")))
    await desk.handle(snapshot(of=market("0xc3")))
    assert [told.reason for told in desk.told[1:]] == ["collective_exposure"] * 2
    assert desk.calls.count("post") == 1
    assert desk.calls.count("claim") == 2


async def test_limits_that_have_changed_are_read_at_once_and_then_claimed_under() -> None:
    desk, group = await grouped(collective_exposure_max_usd="1.1")
    follower = desk.account.opened.group
    assert follower is not None
    raised = collective_row(
        CollectiveConfiguration(), version=2, who="me", why="more", made_at_ms=1
    )
    assert await group.set_configuration(raised, 1)
    await desk.handle(snapshot())
    assert [told.reason for told in desk.told] == ["collective_changed"]
    assert desk.store.claims == {}
    assert await follower.read()  # as the follower does when it is told to look
    await desk.handle(snapshot(of=market("0xc2")))
    assert [claim.collective for claim in desk.store.claims.values()] == [GROUP]


async def test_a_worker_that_has_not_heard_of_the_first_limits_is_refused_and_reads_them() -> None:
    desk, group = await grouped()
    group.members["s"] = desk.store
    desk.store.of_group = GROUP
    follower = desk.account.opened.group
    assert follower is not None
    assert follower.now is None
    await group.open(None)
    first = collective_row(CollectiveConfiguration(), version=1, who="me", why="x", made_at_ms=1)
    assert await group.set_configuration(first, 0)
    await desk.handle(snapshot())
    assert [told.reason for told in desk.told] == ["collective_changed"]
    assert desk.store.claims == {}
    assert await follower.read()
    await desk.handle(snapshot(of=market("0xc2")))
    assert [claim.collective for claim in desk.store.claims.values()] == [GROUP]


async def test_an_account_that_another_group_counts_is_said_once_a_minute_with_its_name() -> None:
    desk, _ = await grouped()
    assert desk.store.item is not None
    desk.store.item = msgspec.structs.replace(desk.store.item, collective="another")
    with capture_logs() as logs:
        for market_id in ("0xc1", "0xc2"):
            await desk.handle(snapshot(of=market(market_id)))
            desk.account.evaluator._refusals.forget_beliefs()  # as after two seconds
    assert [told.reason for told in desk.told] == ["collective_changed"] * 2
    [line] = [each for each in logs if each["event"] == "of_another_group"]
    assert line["group"] == "another"
