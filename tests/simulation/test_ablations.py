"""Every safeguard is needed: the simulation notices when one is missing, and is silent when not."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.simulation.ablations import ABLATIONS, IN_THE_SUITE
from tests.simulation.ablations.ablation import Ablation, caught_by, pristine

SEEDS_MAX = 40


@pytest.fixture(autouse=True)
def nothing_is_printed() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def test_those_of_the_suite_are_there() -> None:
    assert {each.name for each in ABLATIONS} >= IN_THE_SUITE


@pytest.mark.parametrize(
    "ablation",
    [each for each in ABLATIONS if each.name in IN_THE_SUITE],
    ids=lambda each: each.name,
)
def test_a_missing_safeguard_is_noticed(ablation: Ablation) -> None:
    caught = caught_by(ablation, SEEDS_MAX)
    assert caught is not None, f"{ablation.name}: useless, or untested"
    seed, _ = caught
    assert pristine(ablation, seed) == [], f"seed {seed} fails with the safeguard in its place, too"
