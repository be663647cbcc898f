"""The commands that work on recordings alone, without what only accounts need: `backtest` begins to
work in a third of the time. `executor.command_line` has them, too, and shows them in its help.
"""

from __future__ import annotations

from collections.abc import Sequence

import typer

from executor.answers import AnsweringCommand
from executor.commands.backtest_line import backtest

# As the whole command line is made.
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(backtest)


@app.callback()
def _lab() -> None:
    """With it, one command alone still has its name."""


for _registered in app.registered_commands:
    _registered.cls = AnsweringCommand
_NAMES = [each.name or getattr(each.callback, "__name__", "") for each in app.registered_commands]


def is_asked(arguments: Sequence[str]) -> bool:
    """Whether the first argument is one of these commands."""
    return arguments[:1] in [[name] for name in _NAMES]
