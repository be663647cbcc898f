"""The whole system under random failures: nothing is bought twice, nothing is lost.

A failure names its seed; `python -m tests.simulation --seed N` replays it.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.simulation.__main__ import REPLAY, run_seed
from tests.simulation.scenario import run
from tests.support.dynamodb_engines import ROOT

SEEDS = 10
"""At least. More of them in CI, and as many as wanted by `python -m tests.simulation`."""
SEEDS_MAX = 44


@pytest.fixture(autouse=True)
def nothing_is_printed() -> Iterator[None]:
    """nats-py complains about every broken connection."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.timeout(240)  # a second of CPU time each, on busy cores
def test_no_seed_breaks_an_invariant_though_the_failures_really_happen() -> None:
    """Otherwise the silence of the checks would mean nothing. As many seeds as that takes."""
    often = {"lost_answer", "lost_request", "late", "failed", "delayed", "partial", "no_match"}
    often |= {"event_lost", "event_twice", "read_fails", "blind", "misnamed", "log lines lost"}
    dynamodb = ("throttled", "conflict", "lost_reply", "retried", "foreign")
    often |= {f"dynamodb {name}" for name in dynamodb}
    often |= {"strategies raised", "strategies disabled", "limits changed", "paper orders filled"}
    often |= {"refused collective_exposure", "refused config_changed"}
    happened: Counter[str] = Counter()
    for seed in range(SEEDS_MAX):
        _, found, counts = run_seed(seed)
        assert not found, f"seed {seed}: {found[0]}\nreplay: {REPLAY.format(seed)}"
        happened += counts
        if seed < SEEDS - 1:
            continue
        if often <= happened.keys() and min(happened["orders"], happened["kills"]) > 30:
            return
    pytest.fail(f"in {SEEDS_MAX} seeds only {sorted(happened.items())}")


def test_a_seed_is_the_same_run_in_every_process() -> None:
    program = (
        "import logging; logging.disable()\n"
        "from tests.simulation.scenario import run\n"
        "with run(7) as world: print(world.sim.fingerprint)"
    )
    # This one has a hash seed of its own, and a past.
    other = next(each for each in ("1", "4242") if each != os.environ.get("PYTHONHASHSEED"))
    told = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": other},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    with run(7) as world:
        assert told == f"{world.sim.fingerprint}\n"
