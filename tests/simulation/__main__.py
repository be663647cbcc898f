"""Any number of seeds, side by side, or one of them again.

python -m tests.simulation --seeds 10000            # from 0 on; prints each seed that fails, and
                                                    # every ten seconds how far it is
python -m tests.simulation --seed 4711              # one seed, with what was going on at the end
python -m tests.simulation --ablations              # which seed notices each missing safeguard
python -m tests.simulation --ablations others       # of those that `make test` leaves out
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import sys
import time
from collections import Counter

from tests.simulation.ablations import ABLATIONS, IN_THE_SUITE
from tests.simulation.ablations.ablation import caught_by, pristine
from tests.simulation.checks import violations
from tests.simulation.dynamodb import DECISIONS
from tests.simulation.faults import draw_faults
from tests.simulation.scenario import run
from tests.support.arguments import count

REPLAY = "python -m tests.simulation --seed {}"
PROGRESS_EVERY_S = 10.0


def run_seed(seed: int) -> tuple[int, list[str], Counter[str]]:
    """(seed, violations, what happened in it)."""
    logging.disable()  # nats-py complains about every broken connection
    with run(seed) as world:
        happened = Counter(world.venue.injected)
        happened.update({f"dynamodb {name}": n for name, n in world.dynamodb.struck.items()})
        happened["log lines lost"] += world.sim.log_disk.lost
        happened["strategies raised"] += world.strategies.raised
        happened["strategies disabled"] += world.strategies.disabled
        happened["limits changed"] += sum(map(len, world.tuned.values()))
        happened["paper orders filled"] += len(world.paper.bought_e6)
        for change in world.dynamodb.history:
            told = change.after if change.table == DECISIONS else None
            if told is not None and told["result"]["S"] == "refused":
                happened[f"refused {told['reason']['S']}"] += 1
        happened.update(kills=world.kills, orders=len(world.venue.arrivals))
        return seed, violations(world), happened


def search(name: str) -> tuple[str, tuple[int, str] | None]:
    """(name of the ablation, what notices it, and is silent with the safeguard in its place)."""
    logging.disable()
    ablation = next(each for each in ABLATIONS if each.name == name)
    caught = caught_by(ablation, 200)
    if caught is not None and pristine(ablation, caught[0]):
        return name, None
    return name, caught


def replay(seed: int) -> int:
    """Run one seed and tell its story."""
    logging.disable()
    with run(seed) as world:
        found = violations(world)
        print(f"faults: {draw_faults(world.sim.random('faults'))}")
        for at_ms, process, level, fields in world.sim.logs:
            if level != "info":
                print(at_ms, process, level, fields)
        print(*(found or ["no violation"]), sep="\n")
    return bool(found)


class Progress:
    """A line every ten seconds on stderr: how many seeds are done, how many failed, time left."""

    def __init__(self, seeds: int) -> None:
        self.done = self.failed = 0
        self._seeds = seeds
        self._started_s = self._said_s = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._started_s

    def count(self, *, failed: bool) -> None:
        """One more seed is done."""
        self.done += 1
        self.failed += failed
        if time.monotonic() - self._said_s < PROGRESS_EVERY_S:
            return
        self._said_s = time.monotonic()
        left_s = self.elapsed_s / self.done * (self._seeds - self.done)
        print(
            f"{self.done} of {self._seeds} seeds, {self.failed} with violations,"
            f" {self.elapsed_s:.0f} s, about {left_s:.0f} s left",
            file=sys.stderr,
            flush=True,
        )


def main() -> int:
    """Exit code 1 when anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=count, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--jobs", type=count, default=os.cpu_count())
    parser.add_argument("--ablations", nargs="?", const="all", choices=("all", "others"))
    options = parser.parse_args()
    if options.seed is not None:
        return replay(options.seed)
    progress, happened = Progress(options.seeds), Counter[str]()
    with multiprocessing.Pool(options.jobs, maxtasksperchild=200) as pool:
        if options.ablations:
            missed, left_out = 0, IN_THE_SUITE if options.ablations == "others" else frozenset()
            names = [each.name for each in ABLATIONS if each.name not in left_out]
            for name, caught in pool.imap(search, names):
                missed += caught is None
                print(f"{name:40} {caught or 'NOT CAUGHT'}", flush=True)
            return bool(missed)
        seeds = range(options.first, options.first + options.seeds)
        for seed, found, counted in pool.imap_unordered(run_seed, seeds, chunksize=4):
            happened += counted
            progress.count(failed=bool(found))
            if found:
                print(f"seed {seed}: {found[0]}\n  {REPLAY.format(seed)}", flush=True)
    print(
        f"{progress.done} seeds, {progress.failed} with violations, {progress.elapsed_s:.0f} s",
    )
    print(", ".join(f"{name} {count}" for name, count in sorted(happened.items())))
    return bool(progress.failed)


if __name__ == "__main__":
    sys.exit(main())
