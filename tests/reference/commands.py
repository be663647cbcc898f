"""Every command with its options, from the command line itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from executor.command_line import app
from tests.reference.tables import table

_TYPES: Final = {
    "<str>": "",
    "<path>": "",
    "<list[str]>": "",
    "<list[Path]>": "",
    "<int range>": " N",
}


def part() -> str:
    """A section for each panel of `executor --help`, with its commands."""
    panels: dict[str, list[str]] = {}
    for typed, command, panel in _commands():
        panels.setdefault(panel, []).append(_section(typed, command))
    return "\n".join(f"## {panel}\n\n" + "\n".join(each) for panel, each in panels.items())


def names() -> set[str]:
    """As they are typed, without `executor`."""
    return {typed.removeprefix("executor ") for typed, *_ in _commands()}


def _commands() -> Iterator[tuple[str, TyperCommand, str]]:
    """Each with how it is typed and the title of its panel; those of a group stand in its panel."""
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    for name, command in root.commands.items():
        assert isinstance(command, (TyperCommand, TyperGroup))
        panel = str(command.rich_help_panel)
        if isinstance(command, TyperGroup):
            for sub_name, each in command.commands.items():
                assert isinstance(each, TyperCommand)
                yield f"executor {name} {sub_name}", each, panel
        else:
            yield f"executor {name}", command, panel


def _plain(names: str) -> str:
    """Types as a person says them."""
    for theirs, ours in _TYPES.items():
        names = names.replace(f" {theirs}", ours)
    return names


def _section(typed: str, command: TyperCommand) -> str:
    context: Any = typer.Context(command, info_name=typed)
    words = inspect.cleandoc(command.help or "")
    usage = " ".join([typed, *command.collect_usage_pieces(context)])
    rows = [
        (f"`{_plain(names)}`", text)
        for each in command.params
        if "--help" not in each.opts and (record := each.get_help_record(context)) is not None
        for names, text in [record]
    ]
    parts = [f"### `{typed}`\n", f"{words}\n", f"    {usage}\n"]
    if rows:
        parts.append(table(("option", "what it does"), rows))
    return "\n".join(parts)
