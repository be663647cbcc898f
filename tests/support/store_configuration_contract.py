"""What every store promises of configurations: one is in force, and no claim is under another."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from functions.core.account import ClaimRefusal
from functions.ports import Claimed, ClaimRefused, Store
from tests.support.configuration_builders import a_row
from tests.support.store_entries_contract import LIMITS, NOW_MS, other
from tests.support.trading_builders import a_claim


async def claimed_under(store: Store, version: int, number: int = 1) -> ClaimRefusal | None:
    limits = msgspec.structs.replace(LIMITS, config_version=version)
    result = await store.claim(other(number, config_version=version), limits, NOW_MS)
    return result.reason if isinstance(result, ClaimRefused) else None


class ConfigurationContract:
    """A part of `StoreContract`."""

    async def test_an_account_begins_without_a_configuration(self, store: Store) -> None:
        assert await store.configuration() is None
        assert (await store.open_account()).config_version == 0
        assert await store.configuration() is None
        assert await store.configurations(10) == []

    async def test_without_an_account_there_is_nothing_to_configure(self, store: Store) -> None:
        assert not await store.set_configuration(a_row(1), 0)
        assert await store.configuration() is None

    async def test_a_configuration_is_in_force_until_the_next(self, store: Store) -> None:
        await store.open_account()
        first, second = a_row(1), a_row(2, who="somebody@else", max_positions=1)
        assert await store.set_configuration(first, 0)
        assert await store.configuration() == first
        assert await store.set_configuration(second, 1)
        assert await store.configuration() == second
        assert (await store.account()).config_version == 2
        assert await store.configurations(10) == [second, first]
        assert await store.configurations(1) == [second]

    async def test_the_same_change_again_is_the_same_change(self, store: Store) -> None:
        await store.open_account()
        assert await store.set_configuration(a_row(1), 0)
        assert await store.set_configuration(a_row(1), 0)
        assert await store.set_configuration(a_row(2), 1)
        assert await store.set_configuration(a_row(1), 0)  # it was, and a later one is in force
        assert await store.configuration() == a_row(2)

    @pytest.mark.parametrize("seen_version", [0, 2, 3])
    async def test_what_is_not_as_seen_is_not_changed(
        self, store: Store, seen_version: int
    ) -> None:
        await store.open_account()
        assert await store.set_configuration(a_row(1), 0)
        late = a_row(seen_version + 1, why="late")
        assert not await store.set_configuration(late, seen_version)
        assert await store.configuration() == a_row(1)
        assert await store.configurations(9) == [a_row(1)]

    async def test_no_version_is_skipped(self, store: Store) -> None:
        await store.open_account()
        with pytest.raises(ValueError, match="no version 3"):
            await store.set_configuration(a_row(3), 1)

    async def test_of_many_changes_one_wins(self, store: Store) -> None:
        await store.open_account()
        rows = [a_row(1, why=f"number {number}") for number in range(5)]
        won = await asyncio.gather(*(store.set_configuration(each, 0) for each in rows))
        assert sum(won) == 1
        assert await store.configuration() == rows[won.index(True)]

    async def test_a_claim_is_taken_under_the_configuration_in_force_alone(
        self, store: Store
    ) -> None:
        await store.open_account()
        assert await claimed_under(store, 1) is ClaimRefusal.CONFIG_CHANGED
        assert await store.set_configuration(a_row(1), 0)
        for other_version in (0, 2):
            assert await claimed_under(store, other_version) is ClaimRefusal.CONFIG_CHANGED
        assert await claimed_under(store, 1) is None
        assert await store.set_configuration(a_row(2), 1)
        assert await claimed_under(store, 1, number=2) is ClaimRefusal.CONFIG_CHANGED
        assert await claimed_under(store, 2, number=2) is None
        claims = (await store.account()).claims
        assert [each.config_version for each in claims.values()] == [1, 2]

    async def test_a_refused_claim_shows_the_version_in_force(self, store: Store) -> None:
        await store.open_account()
        assert await store.set_configuration(a_row(1), 0)
        refused = await store.claim(a_claim(), LIMITS, NOW_MS)
        assert isinstance(refused, ClaimRefused)
        assert refused.account is not None
        assert refused.account.config_version == 1

    async def test_a_claim_that_was_ours_before_the_change_is_ours_after_it(
        self, store: Store
    ) -> None:
        await store.open_account()
        assert await store.claim(a_claim(), LIMITS, NOW_MS) == Claimed()
        assert await store.set_configuration(a_row(1), 0)
        assert await store.claim(a_claim(), LIMITS, NOW_MS) == Claimed()

    async def test_changes_and_claims_at_once_and_no_claim_is_over_a_limit_that_has_been_lowered(
        self, store: Store
    ) -> None:
        await store.open_account()
        assert await store.set_configuration(a_row(1, max_positions=9), 0)
        limits = msgspec.structs.replace(LIMITS, max_positions=9, config_version=1)
        before: int | None = None

        async def lower() -> None:
            nonlocal before
            assert await store.set_configuration(a_row(2, max_positions=1), 1)
            before = len((await store.account()).claims)

        claims = [other(number, config_version=1) for number in range(6)]
        first, *rest = (store.claim(each, limits, NOW_MS) for each in claims)
        await first
        results = await asyncio.gather(lower(), *rest)
        refused = [each for each in results if isinstance(each, ClaimRefused)]
        assert {each.reason for each in refused} <= {ClaimRefusal.CONFIG_CHANGED}
        assert len((await store.account()).claims) == before == 6 - len(refused)
