"""Every safeguard is needed: the simulation notices when one is missing, and is silent when not."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.simulation.ablations import ABLATIONS
from tests.simulation.ablations.ablation import Ablation, caught_by, pristine

SEEDS_MAX = 40
LONG = frozenset(
    {
        "late evidence reopens",
        "only the winner's own wallet shows the winnings",
        "looks only from an age",
        "reopened once",
        "looks are as old as the venue says",
        "the version of the collective limits",
        "crashes completed",
        "looks apart from each other",
        "a later status stays",
        "a note of all its shares",
        "ledger before forgetting",
        "several looks before release",
        "a time is over when the venue says so",
        "shares may go after the end",
        "only DynamoDB's own answer is a claim",
        "only the order's own trader may miss it",
    }
)
"""Noticed only by late or long seeds, seconds each: `python -m tests.simulation --ablations`, which
CI runs, has these, too."""


@pytest.fixture(autouse=True)
def nothing_is_printed() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def test_what_is_left_to_ci_is_there() -> None:
    assert {each.name for each in ABLATIONS} >= LONG


@pytest.mark.parametrize(
    "ablation", [each for each in ABLATIONS if each.name not in LONG], ids=lambda each: each.name
)
def test_a_missing_safeguard_is_noticed(ablation: Ablation) -> None:
    caught = caught_by(ablation, SEEDS_MAX)
    assert caught is not None, f"{ablation.name}: useless, or untested"
    seed, _ = caught
    assert pristine(ablation, seed) == [], f"seed {seed} fails with the safeguard in its place, too"
