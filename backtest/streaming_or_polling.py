"""Makes docs/explanation/streaming-or-polling.md and its pictures from the bundled recordings.

    python -m backtest.streaming_or_polling [--check]

With --check it writes nothing, and fails with the difference where the files are others.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from backtest.engine.assumptions import Assumptions
from backtest.engine.latency import Latency
from backtest.engine.observations import Observations
from backtest.engine.run import run
from backtest.feed.bundled import BundledFeed
from backtest.pictures.against_scanner import made
from functions.core.configuration import AccountConfiguration, configuration_of, configuration_row
from runtime.output import write_answer
from strategies.book_imbalance import BookImbalance

FOLDER: Final = Path(__file__).parent.parent / "docs/explanation"
LATENCY_MS: Final = 250
"""As `executor backtest` has it by default."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 1 where a file is not as it would be made."""
    parser = argparse.ArgumentParser(prog="python -m backtest.streaming_or_polling")
    parser.add_argument("--check", action="store_true", help="compare only")
    check = parser.parse_args(arguments).check
    files = made(seen_by_default())
    if check:
        found = differences(files, FOLDER)
        if found:
            write_answer("\n".join(found))
        return 1 if found else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (FOLDER / name).write_bytes(text.encode())
    return 0


def seen_by_default() -> Observations:
    """A run of the strategy and the account as they are by default, on the bundled recordings."""
    row = configuration_row(
        AccountConfiguration(),
        BookImbalance.Parameters(),
        version=1,
        strategy=BookImbalance.name,
        who="backtest",
        why="as it is by default",
        made_at_ms=0,
    )
    configuration = configuration_of(row, BookImbalance.name, BookImbalance.Parameters)
    assumptions = Assumptions(latency=Latency.constant(LATENCY_MS))
    return run(BundledFeed(), BookImbalance, configuration, assumptions)


def differences(files: Mapping[str, str], folder: Path) -> list[str]:
    """Lines of a diff from what is in the folder to `files`; none where all is the same."""
    lines: list[str] = []
    for name, text in files.items():
        path = folder / name
        there = path.read_bytes().decode(errors="replace") if path.exists() else ""
        lines += difflib.unified_diff(
            there.split("\n"), text.split("\n"), name, f"{name}, made anew", lineterm=""
        )
    return lines


if __name__ == "__main__":
    sys.exit(main())
