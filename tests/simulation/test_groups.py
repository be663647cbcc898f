"""Two accounts under one exposure limit and random failures: it holds, and nothing is lost."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator

import pytest

from tests.simulation.ablations.provocations import grouped
from tests.simulation.checks import violations
from tests.simulation.faults import draw_faults
from tests.simulation.scenario import run

SEEDS = 8


@pytest.fixture(autouse=True)
def nothing_is_printed() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def test_no_seed_takes_two_accounts_above_their_common_limit() -> None:
    orders = refused = 0
    for seed in range(SEEDS):
        faults = draw_faults(random.Random(f"group:{seed}"))
        grouped(faults)
        with run(seed, faults) as world:
            found = violations(world)
            orders += len(world.venue.orders)
            refused += world.dynamodb.calls["transact_write_items"]
        assert not found, f"seed {seed}: {found[0]}"
    assert orders > SEEDS
    assert refused > 3 * orders, "the limit was never in the way"
