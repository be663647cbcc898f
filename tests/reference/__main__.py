"""Writes what docs/reference says of variables, commands, events and metrics.

    python -m tests.reference [--check]

Each page has one part that is made here, between two comments; what stands around it is written by
hand. With `--check` nothing is written, and exit code 1 names the pages that are not current.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.reference import commands, configuration, events, metrics

FOLDER: Final = Path(__file__).parents[2] / "docs/reference"
PAGES: Final[dict[str, Callable[[], str]]] = {
    "configuration.md": configuration.part,
    "commands.md": commands.part,
    "events.md": events.part,
    "metrics.md": metrics.part,
}
BEGIN: Final = "<!-- Made by `python -m tests.reference`: change the code instead. -->\n"
END: Final = "<!-- Until here. -->\n"


def current(page: str, text: str) -> str:
    """The text of a page with its made part as the code has it now."""
    pattern = f"(?s){re.escape(BEGIN)}.*?{re.escape(END)}"
    made, parts = re.subn(pattern, lambda _: f"{BEGIN}\n{PAGES[page]()}\n{END}", text)
    if parts != 1:
        raise ValueError(f"{page}: {parts} parts to be made, one is wanted")
    return made


def main() -> int:
    """The exit code."""
    check = sys.argv[1:] == ["--check"]
    old = []
    for page in PAGES:
        path = FOLDER / page
        text = path.read_text(encoding="utf-8")
        if (made := current(page, text)) != text:
            old.append(page)
            if not check:
                path.write_text(made, encoding="utf-8")
    if check and old:
        sys.stdout.write(f"not current: {', '.join(old)}; run `python -m tests.reference`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
