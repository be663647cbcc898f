"""What a group's item holds against what its accounts' claims say."""

from __future__ import annotations

import msgspec
import pytest
from structlog.testing import capture_logs

from functions.core.account import ClaimRefusal
from functions.core.collective import CollectiveState
from functions.handlers.compare_group import LOOKS_MAX, compare_group, recount_group
from functions.handlers.reconcile import ReconcileReport, reconcile
from functions.ports import StoreError
from tests.support.collective_contract import (
    COLLECTIVE,
    GROUP,
    NAMES,
    WIDE,
    counted,
    opened,
    refusal,
)
from tests.support.fake_ports import MemoryStore, ScriptedRecords
from tests.support.memory_groups import MemoryGroup
from tests.support.store_entries_contract import DAY, DAY_MS, NOW_MS, SPEND_E6, other


@pytest.fixture
async def accounts() -> list[MemoryStore]:
    stores = [MemoryStore() for _ in NAMES]
    for store in stores:
        store.groups = stores[0].groups
    stores[0].group(GROUP).members |= dict(zip(NAMES, stores, strict=True))
    await opened([*stores])
    return stores


@pytest.fixture
def group(accounts: list[MemoryStore]) -> MemoryGroup:
    return accounts[0].group(GROUP)


async def test_a_group_that_nobody_has_opened_is_not_compared() -> None:
    assert await compare_group(MemoryGroup(GROUP), NOW_MS) is None
    assert await recount_group(MemoryGroup(GROUP)) is None


async def test_what_adds_up_is_no_difference(accounts, group) -> None:
    for number in range(2):
        assert await refusal(accounts[number], counted(other(number))) is None
    await accounts[3].claim(other(9), WIDE, NOW_MS)  # not counted
    report = await compare_group(group, NOW_MS)
    assert report is not None
    assert (report.exposure_e6, report.difference_e6, report.compared) == (2 * SPEND_E6, 0, True)


async def test_a_difference_is_told_and_not_adopted_until_a_person_recounts(
    accounts, group
) -> None:
    assert await refusal(accounts[0], counted(other(1))) is None
    # An older version moved it, and dropped what it does not know.
    accounts[0].item.claims["0xc1"] = other(1, version=2)
    before = group.item
    with capture_logs() as logs:
        report = await compare_group(group, NOW_MS)
    assert report.difference_e6 == SPEND_E6
    assert [each["event"] for each in logs] == ["group_differs"]
    assert group.item == before
    recounted = await recount_group(group)
    assert recounted.difference_e6 == SPEND_E6
    assert group.item.exposure_e6 == 0
    assert (await compare_group(group, NOW_MS)).difference_e6 == 0


async def test_what_is_counted_while_it_looks_is_not_taken_for_a_difference(
    accounts, group, monkeypatch
) -> None:
    looks = 0

    async def moving() -> dict[str, object]:
        nonlocal looks
        looks += 1
        known = {"one": await accounts[0].account()}
        claim = counted(other(looks, spend_e6=1))
        assert await refusal(accounts[0], claim) is None
        return known

    monkeypatch.setattr(group, "accounts", moving)
    report = await compare_group(group, NOW_MS)
    assert (report.compared, report.difference_e6, looks) == (False, 0, LOOKS_MAX)
    recounted = await recount_group(group)
    assert not recounted.compared
    assert group.item.exposure_e6 == 2 * LOOKS_MAX


async def test_past_days_are_pruned_with_it(group) -> None:
    group.item = msgspec.structs.replace(group.item, pnl_e6={DAY: -1})
    await compare_group(group, NOW_MS + 9 * DAY_MS)
    assert group.item.pnl_e6 == {}


async def test_reconciliation_reports_it(accounts, group) -> None:
    records = ScriptedRecords()
    records.clock = lambda: NOW_MS
    group.item = msgspec.structs.replace(group.item, exposure_e6=5, pnl_e6={DAY: -7})
    report = await reconcile(accounts[0], records, group)
    assert (report.group_exposure_e6, report.group_difference_e6) == (5, 5)
    assert report.group_pnl_today_e6 == -7
    assert not report.incomplete
    without = await reconcile(accounts[0], records, MemoryGroup("other"))
    assert (without.group_exposure_e6, without.group_difference_e6) == (None, None)


async def test_a_group_that_does_not_answer_holds_nothing_up(accounts, group, monkeypatch) -> None:
    async def silent() -> CollectiveState | None:
        raise StoreError("group: no answer")

    monkeypatch.setattr(group, "state", silent)
    report: ReconcileReport = await reconcile(accounts[0], ScriptedRecords(), group)
    assert (report.failures, report.group_difference_e6, report.incomplete) == (1, None, False)


async def test_the_limit_holds_for_an_exposure_that_differs(accounts, group) -> None:
    group.item = msgspec.structs.replace(group.item, exposure_e6=COLLECTIVE.exposure_max_e6)
    assert await refusal(accounts[0], counted(other(1))) is ClaimRefusal.COLLECTIVE_EXPOSURE
