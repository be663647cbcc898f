"""The whole system under random failures: nothing is bought twice, nothing is lost.

A failure names its seed; `python -m tests.simulation --seed N` replays it.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy

import pytest

from tests.dynamodb import ROOT
from tests.simulation.__main__ import REPLAY, run_seed
from tests.simulation.faults import draw_faults
from tests.simulation.world import run

SEEDS = 200
CHUNK = 10
STOPPING = ("stale_s", "restart", "locked", "rate_limited", "not_sent", "throttled", "refused")
"""Faults after which the account waits: with many of them nothing else would happen."""


@pytest.fixture(autouse=True)
def nothing_is_printed() -> Iterator[None]:
    """nats-py complains about every broken connection."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_seed_breaks_an_invariant(first: int) -> None:
    for seed in range(first, first + CHUNK):
        _, found, _ = run_seed(seed)
        assert not found, f"seed {seed}: {found[0]}\nreplay: {REPLAY.format(seed)}"


def test_the_failures_really_happen() -> None:
    # Otherwise the silence of the checks would mean nothing.
    happened: set[str] = set()
    faults = draw_faults(random.Random(0))
    for chances in (faults.venue, faults.dynamodb):
        for each in dataclasses.fields(chances):
            if each.type == "float":
                setattr(chances, each.name, 0.05 if each.name in STOPPING else 0.2)
    faults.kill_every_s = 5.0
    for seed in range(5):
        with run(seed, deepcopy(faults)) as world:
            happened |= {*world.venue.injected, *(f"dynamodb {n}" for n in world.dynamodb.struck)}
            assert world.kills
            assert world.venue.arrivals
    wanted = {"lost_answer", "lost_request", "late", "failed", "delayed"}
    wanted |= {"partial", "event_lost", "event_twice", "read_fails", "blind", "restart", "locked"}
    wanted |= {f"dynamodb {name}" for name in ("throttled", "lost_reply", "retried", "late")}
    assert wanted <= happened


def test_a_seed_is_the_same_run_in_every_process() -> None:
    program = (
        "import logging; logging.disable()\n"
        "from tests.simulation.world import run\n"
        "with run(7) as world: print(world.sim.fingerprint)"
    )
    told = {
        subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in (0, 1, 4_242)
    }
    assert len(told) == 1
