"""`make bench`: what it costs, what it costs under load, and what that is beside others.

Prints tables and writes `benchmarks/out/latest.json`. Parts, each for itself with --only:

  books      a change decoded, applied and checked, in a loop; other libraries likewise (--site)
  latency    from frame to order, stage by stage, idle and loaded, beside a script on the
             official SDK alone
  stores     the same with a store: the embedded one with and without a disk, and moto
  capacity   one feeder under rising load: until when it handles all, and publishes each change
  overload   how old the book is that a worker acts on when each costs it 3 ms

What is compared runs in turn, in the same run: the machine's other work then falls on all of it.
Quote medians and quartiles; single runs differ by a third and more.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks import capacity, claim_latency, overload, peers, pipeline
from benchmarks import report as tables
from benchmarks.other_tree import NoSuchCommitError, tree_of
from benchmarks.pipeline import LOADS, MOTO, OURS, SCRIPT, STORES, Run, Variant
from benchmarks.system import TODAY, Tree
from local.child import ChildError
from tests.support.arguments import count, duration_s, folder

OUT: Final = Path(__file__).parent / "out" / "latest.json"
_FEW: Final = 2
"""Repeats of what takes longer than the rest, and differs less."""
WIDTH_MIN: Final = 130
"""Columns of text: a file, or a pipe, has no width of its own."""
_BOOKS: Final = """
import json
from benchmarks import book_updates, checksum
print(json.dumps({**book_updates.run(), **checksum.run()}))
"""


class Bench:
    """What the parts have in common, and what they found."""

    def __init__(self, seconds: float, repeats: int, other: Tree | None) -> None:
        self.seconds = seconds
        self.repeats = repeats
        self.other = other
        self.console = Console(width=max(Console().width, WIDTH_MIN))
        self.results: dict[str, Any] = {
            "machine": {"python": platform.python_version(), "system": platform.platform()}
        }

    @property
    def trees(self) -> list[Tree]:
        """Today's, and the one that is compared."""
        return [TODAY, *([self.other] if self.other else [])]

    def say(self, what: str) -> None:
        """What is measured now."""
        self.console.print(f"{what} ...", style="dim")

    def books(self) -> None:
        """Loops over frames, each tree's in a process of its own."""
        found: dict[str, list[dict[str, float]]] = {tree.name: [] for tree in self.trees}
        for repeat in range(self.repeats):
            for tree in self.trees:
                self.say(f"books, {tree.name}, {repeat + 1} of {self.repeats}")
                found[tree.name].append(tree.answer(_BOOKS))
        self.console.print(tables.figures_table("a book's change and a snapshot", found))
        self.say("books, beside other libraries")
        contenders = peers.run()
        self.console.print(peers.table(contenders))
        self.results |= {"books": found, "peers_changes_a_second": contenders}

    def latency(self) -> None:
        """Frame to order, beside what it is compared with."""
        others = [SCRIPT]
        if self.other:
            others.append(dataclasses.replace(OURS, name=self.other.name, tree=self.other))
        runs = self._pipeline([OURS, *others], self.repeats)
        self.results["pipeline_without_store"] = pipeline.summary(runs[OURS.name], "loaded")
        against = {variant.name: runs[variant.name] for variant in others}
        self.console.print(
            tables.ratios_table("how many times as long as ours", runs[OURS.name], against)
        )
        if self.other:
            self.console.print(
                tables.compared_table(self.other.name, runs[OURS.name], runs[self.other.name])
            )

    def stores(self) -> None:
        """What a claim adds."""
        earlier = {
            each: dataclasses.replace(each, name=f"{other.name}, {each.name}", tree=other)
            for each in STORES
            for other in self.trees[1:]
        }
        runs = self._pipeline([*STORES, *earlier.values()], min(self.repeats, _FEW))
        self.results["pipeline_with_store"] = pipeline.summary(runs[MOTO.name], "loaded")
        for each, then in earlier.items():
            self.console.print(tables.compared_table(then.name, runs[each.name], runs[then.name]))
        self.say("claims alone")
        claims = claim_latency.run()
        for name, figures in claims.items():
            self.console.print(tables.flat_table(f"claims alone, {name}", figures))
        self.results["claim_latency_ms"] = claims

    def capacity(self) -> None:
        """A feeder under rising load."""
        repeats = min(self.repeats, _FEW)
        found = capacity.run(self.trees, repeats=repeats, progress=self.say)
        for name, of_tree in found.items():
            self.console.print(tables.capacity_table(name, of_tree))
        self.results["capacity"] = {
            name: [[dataclasses.asdict(step) for step in steps] for steps in of_tree]
            for name, of_tree in found.items()
        }

    def overload(self) -> None:
        """A worker that is too slow."""
        found = overload.run(self.trees, repeats=min(self.repeats, _FEW), progress=self.say)
        self.console.print(overload.table(found))
        self.results["overload_age_ms"] = found

    def _pipeline(self, variants: Sequence[Variant], repeats: int) -> dict[str, list[Run]]:
        runs = pipeline.run(variants, seconds=self.seconds, repeats=repeats, progress=self.say)
        for name, of_variant in runs.items():
            self.console.print(tables.stages_table(name, of_variant))
            self.console.print(tables.processes_table(name, of_variant))
            for load in LOADS:
                self.results[f"{name}, {load}"] = pipeline.summary(of_variant, load)
        return runs


PARTS: Final[dict[str, Callable[[Bench], None]]] = {
    "books": Bench.books,
    "latency": Bench.latency,
    "stores": Bench.stores,
    "capacity": Bench.capacity,
    "overload": Bench.overload,
}


def main() -> int:
    """Run the parts that are asked for. Raises NoSuchCommitError, ChildError."""
    arguments = _arguments()
    sys.path.extend(arguments.site)
    with ExitStack() as stack:
        other = stack.enter_context(tree_of(arguments.compare)) if arguments.compare else None
        bench = Bench(arguments.seconds, arguments.repeats, other)
        for part in arguments.only or PARTS:
            PARTS[part](bench)
    # What other parts found is kept: a part alone replaces its own figures.
    before = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() else {}
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(before | bench.results, indent=2) + "\n", encoding="utf-8")
    bench.console.print(f"written to {OUT}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may be repeated")
    parser.add_argument(
        "--seconds",
        type=duration_s,
        default=8.0,
        help="of each load of a run (default: %(default)g)",
    )
    parser.add_argument(
        "--repeats", type=count, default=3, help="of what runs in turn (default: %(default)s)"
    )
    parser.add_argument(
        "--compare", metavar="REF", help="a commit whose feeder, worker and nats-server run in turn"
    )
    parser.add_argument(
        "--site",
        type=folder,
        action="append",
        default=[],
        metavar="DIR",
        help="where peers are installed",
    )
    return parser.parse_args()


if __name__ == "__main__":
    # Told to stop or interrupted: what was begun is ended, the other commit's tree removed.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        sys.exit(main())
    except NoSuchCommitError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except ChildError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
