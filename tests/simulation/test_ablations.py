"""Every safeguard is needed: the simulation notices when one is missing, and is silent when not."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.simulation.ablations import ABLATIONS
from tests.simulation.ablations.ablation import Ablation, caught_by, pristine

SEEDS_MAX = 40


@pytest.fixture(autouse=True)
def nothing_is_printed() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda each: each.name)
def test_a_missing_safeguard_is_noticed(ablation: Ablation) -> None:
    caught = caught_by(ablation, SEEDS_MAX)
    assert caught is not None, f"{ablation.name}: useless, or untested"
    seed, _ = caught
    assert pristine(ablation, seed) == [], f"seed {seed} fails with the safeguard in its place, too"
