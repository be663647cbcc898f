"""What grows with markets and with strategy accounts: the figures of docs/explanation/scaling.md.

    python -m benchmarks.growth            all of it, some minutes
    python -m benchmarks.growth --quick    without 100,000 markets

Also written to `benchmarks/out/growth.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks import growth_cores, growth_streams

OUT = Path(__file__).parent / "out" / "growth.json"


def main() -> int:
    """Print every figure by name; its unit is part of the name."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="at most 10,000 markets")
    quick = arguments.parse_args().quick
    figures = growth_cores.run()
    subjects = growth_streams.SUBJECTS[:-1] if quick else growth_streams.SUBJECTS
    figures |= growth_streams.run(int(figures["book_bytes"]), subjects)
    width = max(map(len, figures))
    for name, value in figures.items():
        print(f"{name:<{width}}  {value:14,.3f}")
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
