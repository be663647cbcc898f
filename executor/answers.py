"""How a command answers: a view or JSON on stdout, one line on stderr, and its exit code."""

from __future__ import annotations

import asyncio
import io
import shutil
from collections.abc import Coroutine
from typing import Annotated, Any, Final, NoReturn, TypeVar

import msgspec
import typer
from rich.console import Console, RenderableType
from rich.text import Text
from typer.core import TyperCommand

from executor.rendering import account_line
from functions.bootstrap import exiting_when_misconfigured
from functions.handlers.control import NotDoneError
from functions.ports import RecordsError, StoreError
from functions.settings import AccountSettings
from protocol.text import encoded
from runtime.output import complain, write_answer
from runtime.settings import EXIT_BAD_CONFIGURATION

EXIT_FAILED: Final = 1
WIDTH_PIPED: Final = 240
"""Where there is no terminal: a row stays on one line."""
WIDTH_MIN: Final = 40
WIDTH_MAX: Final = 1_000
_T = TypeVar("_T")
unwritten: Final[list[OSError | None]] = []
"""What became of each part of the answer."""


Json = Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")]


class AnsweringCommand(TyperCommand):
    """What no command reports itself: this machine can open no file or socket any more."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except OSError as error:
            complain(f"failed: {type(error).__name__}: {error.strerror or error}")
            raise typer.Exit(EXIT_FAILED) from None


def done(asked: Coroutine[Any, Any, _T]) -> _T:
    """The result, or one line and exit code 1 (failed) or 2 (misconfigured)."""
    try:
        with exiting_when_misconfigured():
            return asyncio.run(asked)
    except (StoreError, RecordsError, NotDoneError) as error:
        complain(f"failed: {error}")
        raise typer.Exit(EXIT_FAILED) from None


def show(
    settings: AccountSettings, report: msgspec.Struct, view: RenderableType, *, json: bool
) -> None:
    """The answer of a command that looks at an account."""
    if json:
        answer_json(report)
        return
    say(account_line(settings.account, settings.execution))
    say(view)


def say(what: RenderableType) -> None:
    """A part of the answer, for a person."""
    # Of itself rich takes COLUMNS and LINES as they are: with 0 nothing is said at all.
    here, written = Console(width=WIDTH_PIPED, height=1), io.StringIO()
    columns = shutil.get_terminal_size().columns
    console = Console(
        file=written,
        highlight=False,
        force_terminal=here.is_terminal,
        width=min(max(columns, WIDTH_MIN), WIDTH_MAX) if here.is_terminal else WIDTH_PIPED,
        height=1,
    )
    console.print(what, soft_wrap=isinstance(what, Text))
    _answer(written.getvalue())


def answer_json(report: msgspec.Struct) -> None:
    """The answer, for a script."""
    _answer(encoded(msgspec.json.encode, report) + b"\n")


def _answer(answer: str | bytes) -> None:
    """Whether anybody reads the answer changes nothing of what the command does."""
    unwritten.append(write_answer(answer))


def refuse(reason: str) -> NoReturn:
    """One line and exit code 2."""
    complain(reason)
    raise typer.Exit(EXIT_BAD_CONFIGURATION)
