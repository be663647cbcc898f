"""The report as it stands on a terminal, taken apart for a page: the words are written once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from backtest.pictures.markup import PageSection, PageTable

_BEFORE_SAYS: Final = "  "
"""Between a heading and what it says of its section."""


def sections_of(view: RenderableType) -> list[PageSection]:
    """A section a group; its first line is its heading.

    Raises TypeError for what a page cannot show, because nothing may be missing from it.
    """
    if not isinstance(view, Group):
        raise TypeError(f"no report: {type(view).__name__}")
    return [_section(part) for part in view.renderables if not _is_empty(part)]


def _is_empty(part: RenderableType) -> bool:
    return isinstance(part, Group) and not part.renderables


def _section(part: RenderableType) -> PageSection:
    first, *parts = _flat(part)
    if not isinstance(first, Text):
        return PageSection(parts=[_shown(each) for each in (first, *parts)])
    title, _, says = first.plain.partition(_BEFORE_SAYS)
    return PageSection(
        title=title.strip(), says=says.strip(), parts=[_shown(each) for each in parts]
    )


def _flat(part: RenderableType) -> Iterator[Text | Table]:
    """Without what only makes room."""
    if isinstance(part, Group):
        for each in part.renderables:
            yield from _flat(each)
    elif isinstance(part, Padding):
        yield from _flat(part.renderable)
    elif isinstance(part, str):
        if part:
            yield Text(part)
    elif isinstance(part, Text | Table):
        yield part
    else:
        raise TypeError(f"a page cannot show this: {type(part).__name__}")


def _shown(part: Text | Table) -> str | PageTable:
    if isinstance(part, Text):
        return part.plain.strip()
    columns = [[_cell(cell) for cell in column.cells] for column in part.columns]
    return PageTable(
        head=[_cell(column.header) for column in part.columns] if part.show_header else [],
        rows=list(zip(*columns, strict=True)),
        numeric=[column.justify == "right" for column in part.columns],
        whole=[column.no_wrap for column in part.columns],
    )


def _cell(cell: RenderableType) -> str:
    if isinstance(cell, str | Text):
        # Spaces in front say that a row belongs to the one above.
        return str(cell).rstrip()
    raise TypeError(f"a page cannot show this in a table: {type(cell).__name__}")
