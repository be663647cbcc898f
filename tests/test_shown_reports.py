"""How the documents' blocks are compared; the comparison itself runs commands, so CI makes it."""

from __future__ import annotations

import pytest

from tests.shown_reports import not_printed, shown_in

PRINTED = ["VERDICT", "  a", "  b", "", "WORTH", "  a", "  c"]


@pytest.mark.parametrize(
    ("shown", "missing"),
    [
        (["VERDICT", "  a"], None),
        (["WORTH", "  a", "  c"], None),
        (["VERDICT", "...", "  c"], None),
        (["VERDICT", "  b"], "  b"),
        (["WORTH", "  a", "  b"], "  b"),
        (["WORTH", "...", "  b"], "  b"),
    ],
)
def test_a_line_that_does_not_come_in_its_place_is_told(
    shown: list[str], missing: str | None
) -> None:
    assert not_printed(shown, PRINTED) == missing


def test_blocks_are_those_of_commands() -> None:
    text = "```\n$ executor backtest --no-poll\nVERDICT\n...\n```\n\n```\nvenue\n```\n"
    (block,) = shown_in("README.md", text)
    assert (block.command, block.lines) == ("backtest --no-poll", ["VERDICT", "..."])
