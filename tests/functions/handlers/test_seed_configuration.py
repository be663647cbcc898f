"""What a worker begins with: what is stored, else its environment, and never two truths."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from functions.core.configuration import AccountConfiguration, Configuration, ConfigurationError
from functions.handlers.seed_configuration import seed_configuration
from functions.ports import StoreError
from tests.support.configuration_builders import TunedParameters, a_row
from tests.support.fake_ports import NEW_ACCOUNT, MemoryStore

NAME = "book_imbalance_crypto"


async def seeded(
    store: MemoryStore, variables: dict[str, Any] | None = None, **seed: Any
) -> Configuration:
    return await seed_configuration(
        store,
        account_name="the-account",
        strategy=NAME,
        parameters=TunedParameters,
        seed=AccountConfiguration(**seed),
        variables=variables or {},
        who="w1",
    )


async def test_the_first_worker_makes_version_1_from_its_environment() -> None:
    store = MemoryStore()
    configuration = await seeded(store, {"max_positions": 7}, max_positions=7)
    assert (configuration.version, configuration.limits.max_positions) == (1, 7)
    assert configuration.parameters == TunedParameters()
    row = await store.configuration()
    assert row is not None
    assert (row.version, row.strategy, row.who) == (1, NAME, "w1")
    assert "environment" in row.why


async def test_of_workers_that_start_at_once_one_seeds_and_all_follow_it() -> None:
    store = MemoryStore()
    found = await asyncio.gather(*(seeded(store, max_positions=number) for number in range(1, 6)))
    assert {each.version for each in found} == {1}
    assert len({each.limits.max_positions for each in found}) == 1


async def test_what_is_stored_counts_where_no_variable_is_set() -> None:
    store = MemoryStore()
    await store.set_configuration(a_row(1, max_positions=2), 0)
    configuration = await seeded(store, max_positions=9)
    assert configuration.limits.max_positions == 2


async def test_a_variable_that_says_something_else_is_refused_on_one_line() -> None:
    store = MemoryStore()
    await store.set_configuration(a_row(1), 0)
    await store.set_configuration(a_row(2, max_positions=2, size_usd=Decimal(5)), 1)
    variables = {"max_positions": 5, "size_usd": Decimal(3), "cooldown_s": 300.0}
    with pytest.raises(ConfigurationError) as refused:
        await seeded(store, variables)
    assert str(refused.value) == (
        "MAX_POSITIONS=5 (stored: 2), SIZE_USD=3 (stored: 5): the environment contradicts version 2"
        " of the configuration of the-account, which counts; unset them, or change what is stored:"
        " executor config set max_positions=5 size_usd=3 --why ..."
    )
    assert await store.configuration() == a_row(2, max_positions=2, size_usd=Decimal(5))


async def test_a_reply_that_was_lost_does_not_seed_twice() -> None:
    store = MemoryStore()
    store.lost["set_configuration"] = 1
    with pytest.raises(StoreError):
        await seeded(store, max_positions=4)
    configuration = await seeded(store, max_positions=4)
    assert (configuration.version, configuration.limits.max_positions) == (1, 4)


async def test_another_strategy_s_account_is_refused() -> None:
    store = MemoryStore()
    await store.set_configuration(a_row(strategy="another"), 0)
    with pytest.raises(ConfigurationError, match="the strategy another's"):
        await seeded(store)


async def test_an_account_whose_item_was_deleted_is_refused_in_one_line() -> None:
    store = MemoryStore()
    await seeded(store)
    store.item = NEW_ACCOUNT  # as the next start has opened it again
    with pytest.raises(ConfigurationError) as refused:
        await seeded(store)
    line = str(refused.value)
    assert "the-account has no configuration in force, although version 1 is stored" in line
    assert "\n" not in line
