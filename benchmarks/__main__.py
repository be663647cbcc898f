"""`make bench`: every figure, on the terminal and in `benchmarks/out/latest.json`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import book_updates, checksum, claim_latency, pipeline
from benchmarks.stats import Figures

OUT = Path(__file__).parent / "out" / "latest.json"


def main() -> int:
    """Run all benchmarks; `--seconds` sets how long each pipeline run lasts."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=30.0)
    seconds = arguments.parse_args().seconds
    console = Console()

    console.print("book updates ...")
    updates = book_updates.run()
    console.print("checksums ...")
    checksums = checksum.run()
    console.print("claims on each store ...")
    claims = claim_latency.run()
    for title, flat in (
        ("book updates", updates),
        ("checksums", checksums),
        *((f"claims, {name}", figures) for name, figures in claims.items()),
    ):
        table = Table(title=title, title_justify="left")
        table.add_column("figure")
        table.add_column("value", justify="right")
        for name, value in flat.items():
            table.add_row(name, f"{value:.3f}")
        console.print(table)

    console.print(f"pipeline, 3 runs of about {seconds:g} s ...")
    runs = {**pipeline.run(seconds), **pipeline.run_overload(seconds / 2)}
    for name, figures in runs.items():
        console.print(_stages(name, figures))

    results: dict[str, Any] = {
        "machine": {"python": platform.python_version(), "system": platform.platform()},
        "book_updates": updates,
        "checksums": checksums,
        "claim_latency_ms": claims,
        **{name: dataclasses.asdict(figures) for name, figures in runs.items()},
    }
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    console.print(f"written to {OUT.relative_to(Path.cwd())}")
    return 0


def _stages(name: str, figures: Figures) -> Table:
    sent = f", {figures.signals} signals" if figures.signals else ""
    table = Table(title=f"{name}, ms ({figures.count} samples{sent})", title_justify="left")
    for column in ("stage", "p50", "p99", "max"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for stage, measured in figures.stages.items():
        table.add_row(stage, f"{measured.p50:.3f}", f"{measured.p99:.3f}", f"{measured.max:.3f}")
    return table


if __name__ == "__main__":
    sys.exit(main())
