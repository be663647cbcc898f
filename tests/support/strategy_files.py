"""Small files of strategies, for tests of what loads and proves them."""

from __future__ import annotations

from pathlib import Path

from executor.commands import strategy as strategy_commands

DECIDE = "        up, reason = view.up, Mine.Reason\n"
"""The first line of `decide`."""


def write_strategy(
    folder: Path, *, top: str = "", before: str = "", changes: tuple[tuple[str, str], ...] = ()
) -> Path:
    """The template, called `mine`, in `mine.py`: `top` comes after its imports, `before` at the
    beginning of `decide`. Raises AssertionError where a change does not fit."""
    path, _ = strategy_commands.new("mine", folder / "mine.py")
    text = path.read_text(encoding="utf-8")
    extra = "".join(f"        {line}\n" for line in before.splitlines())
    for old, new in (
        (DECIDE, DECIDE + extra),
        ("\n\nclass Mine(", f"\n{top}\n\nclass Mine("),
        *changes,
    ):
        assert old in text, old
        text = text.replace(old, new, 1)
    path.write_text(text, encoding="utf-8")
    return path
