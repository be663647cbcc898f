"""The pages that say what to do, for tests of what leads to them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
EVENTS: Final = "docs/reference/events.md"


def pages() -> dict[str, str]:
    """The text of each by its path: the guides, and the list of events that they lead to."""
    # Of the events only what a person has written: every other one is in the list that is made.
    paths = [*sorted((ROOT / "docs/how-to").glob("*.md")), ROOT / EVENTS]
    return {str(path.relative_to(ROOT)): _written(path) for path in paths}


def _written(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n## All events\n")[0]


def sections() -> dict[str, str]:
    """The page of each section by its title, which alarms name: so no two are the same.

    Raises AssertionError where two are.
    """
    page_of: dict[str, str] = {}
    for page, text in pages().items():
        for title in re.findall(r"(?m)^## (.+)$", text):
            assert title not in page_of, f"{title}: in {page_of[title]} and in {page}"
            page_of[title] = page
    return page_of
