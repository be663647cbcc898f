"""A worker with 1, 10 and 30 strategies: the figures of docs/explanation/scaling.md.

    python -m benchmarks.strategies            about five minutes
    python -m benchmarks.strategies --quick    one, to see that it works

In a process (`benchmarks.strategies_in_process`) and on a real nats-server beside a consumer each
(`benchmarks.strategies_streams`). All runs of a repeat follow each other, and ratios are taken
within it, so that what else a machine does weighs on both sides of each. Quartiles of the repeats;
also written to `benchmarks/out/strategies.json`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Final

import structlog
import uvloop

from benchmarks import strategies_in_process
from benchmarks.stats import Quartiles, quartiles
from benchmarks.strategies_in_process import ACCOUNTS
from benchmarks.strategies_streams import StreamRun, apart, grouped
from benchmarks.strategy_books import Books

OUT: Final = Path(__file__).parent / "out" / "strategies.json"
_ONE, _, _MOST = ACCOUNTS


def main() -> int:
    """Print every figure by name; its unit is part of the name."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.strategies")
    arguments.add_argument("--quick", action="store_true", help="two short repeats")
    quick = arguments.parse_args().quick
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))  # critical
    figures, became = uvloop.run(strategies_in_process.run(6 if quick else 30))
    for name, text in became.items():
        print(f"{name}: {text}")
    figures |= uvloop.run(_on_nats(2 if quick else 5, 2.0 if quick else 5.0))
    width = max(map(len, figures))
    print(f"{'':<{width}}  {'25%':>10}  {'median':>10}  {'75%':>10}")
    for name, each in figures.items():
        print(f"{name:<{width}}  {each.low:10,.2f}  {each.median:10,.2f}  {each.high:10,.2f}")
    OUT.parent.mkdir(exist_ok=True)
    told = {name: dataclasses.asdict(each) for name, each in figures.items()}
    OUT.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return 0


async def _on_nats(repeats: int, seconds: float) -> dict[str, Quartiles]:
    books = Books()
    rows: list[dict[str, float]] = []
    for number in range(repeats):
        group = {count: await grouped(books, count, seconds) for count in ACCOUNTS}
        each = {count: await apart(books, count, seconds) for count in ACCOUNTS}
        rows.append(_figures(group, each))
        print(f"repeat {number + 1} of {repeats} on NATS", flush=True)
    return {name: quartiles([row[name] for row in rows]) for name in rows[0]}


def _figures(group: dict[int, StreamRun], each: dict[int, StreamRun]) -> dict[str, float]:
    """Of one repeat: `group` are workers with so many accounts, `each` so many consumers."""
    figures: dict[str, float] = {}
    for count in ACCOUNTS:
        one, many = group[count], each[count]
        figures |= {
            f"group_of_{count}_offered_per_s": one.published_per_s,
            f"group_of_{count}_books_per_s": one.handled_per_s,
            f"group_of_{count}_held": one.held,
            f"group_of_{count}_worker_us_a_book": one.client_us,
            f"group_of_{count}_server_us_a_book": one.server_us,
            f"consumers_{count}_offered_per_s": many.published_per_s,
            f"consumers_{count}_deliveries_per_s": many.handled_per_s,
            f"consumers_{count}_server_us_a_book": many.server_us,
            f"consumers_{count}_pulling_us_a_book": many.client_us,
            f"server_ratio_at_{count}": many.server_us / one.server_us,
            # What so many single workers take is reckoned: as much as one of them, each.
            f"all_ratio_at_{count}": (many.server_us + count * group[_ONE].client_us)
            / (one.server_us + one.client_us),
        }
    added_us = group[_MOST].client_us - group[_ONE].client_us
    figures["group_us_added_a_strategy"] = added_us / (_MOST - _ONE)
    return figures


if __name__ == "__main__":
    sys.exit(main())
