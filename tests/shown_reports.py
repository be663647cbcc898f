"""What the documents show of commands' output, against what the commands print today.

    python -m tests.shown_reports [--draw]

A block that begins with `$ executor ...` shows some of the lines that this command prints on the
bundled recordings; `...` stands for lines that are left out. The README's picture is one of those
that `executor backtest --html` draws: `--draw` makes it anew. Exit code 1 names what is not so.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
from typer.testing import CliRunner

from backtest.pictures.canvas import drawing, file_svg
from backtest.pictures.edge import draw_edge
from backtest.report.build import report_of
from backtest.streaming_or_polling import seen_by_default
from executor.lab_line import app
from runtime.output import write_answer

ROOT: Final = Path(__file__).parent.parent
PICTURE: Final = ROOT / "docs/pictures/backtest.svg"
LEFT_OUT: Final = "..."
_BLOCK: Final = re.compile(r"^```\n\$ executor (.*)\n((?:.*\n)*?)```$", re.MULTILINE)


class Shown(msgspec.Struct, frozen=True):
    """One block of a document."""

    document: str
    command: str
    """Without `executor`."""
    lines: list[str]


def documents() -> list[Path]:
    """All that may show something."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def shown_in(document: str, text: str) -> Iterator[Shown]:
    """The blocks of a document."""
    for command, lines in _BLOCK.findall(text):
        yield Shown(document, command, lines.splitlines())


def not_printed(shown: Sequence[str], printed: Sequence[str]) -> str | None:
    """The first line of `shown` that does not come when it should; None: all do."""
    place, anywhere = 0, True
    for line in shown:
        if line == LEFT_OUT:
            anywhere = True
            continue
        until = len(printed) if anywhere else place + 1
        if line not in printed[place:until]:
            return line
        place, anywhere = printed.index(line, place) + 1, False
    return None


@cache
def _printed_by(command: str) -> list[str]:
    result = CliRunner().invoke(app, shlex.split(command))
    return [line.rstrip() for line in result.output.splitlines()]


def drawn() -> str:
    """What `executor backtest --html` shows first, as a file of its own."""
    with drawing():
        return (
            file_svg(draw_edge(report_of(seen_by_default()).worth), "The edge and its decay") + "\n"
        )


def main() -> int:
    """The exit code."""
    blocks = [
        block
        for path in documents()
        for block in shown_in(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
    ]
    wrong = [
        f"{block.document}: `executor {block.command}` does not print, or not there: {line}"
        for block in blocks
        if (line := not_printed(block.lines, _printed_by(block.command))) is not None
    ]
    picture = drawn()
    if sys.argv[1:] == ["--draw"]:
        PICTURE.write_text(picture, encoding="utf-8")
    elif PICTURE.read_text(encoding="utf-8") != picture:
        wrong.append(
            f"{PICTURE.name} is not what is drawn today: python -m tests.shown_reports --draw"
        )
    write_answer("\n".join([*wrong, f"{len(blocks)} blocks, {len(wrong)} wrong"]) + "\n")
    return 1 if wrong or not blocks else 0


if __name__ == "__main__":
    sys.exit(main())
