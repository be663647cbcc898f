"""How a command answers: a view or JSON on stdout, one line on stderr, and its exit code."""

from __future__ import annotations

import asyncio
import io
import shutil
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn, TypeVar

import msgspec
import typer
from rich.console import Console, RenderableType
from rich.text import Text
from typer.core import TyperCommand

from executor.rendering import account_line
from protocol.text import encoded
from runtime.output import complain, write_answer

if TYPE_CHECKING:
    from functions.settings import AccountSettings

EXIT_FAILED: Final = 1
EXIT_REFUSED: Final = 2
WIDTH_PIPED: Final = 240
"""Where there is no terminal: a row stays on one line."""
WIDTH_REPORT: Final = 100
"""Likewise, of what has sentences in it: as much as a file or a mail shows without scrolling."""
WIDTH_MIN: Final = 40
WIDTH_MAX: Final = 1_000
_T = TypeVar("_T")
unwritten: Final[list[OSError | None]] = []
"""What became of each part of the answer."""


_Settings = TypeVar("_Settings", bound="AccountSettings")

Named = Annotated[
    str | None,
    typer.Option("--account", metavar="NAME", help="Which of STRATEGIES; else the only one."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")]


class AnsweringCommand(TyperCommand):
    """A command whose help is its function's docstring, and what no command reports itself: this
    machine can open no file or socket any more."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        # It is shown as wide as the terminal is, so lines must not end where the source's do.
        paragraphs = (self.help or "").split("\n\n")
        self.help = "\n\n".join(" ".join(each.split()) for each in paragraphs)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except OSError as error:
            complain(f"failed: {type(error).__name__}: {error.strerror or error}")
            raise typer.Exit(EXIT_FAILED) from None


def one_account(kind: type[_Settings], account: str | None) -> _Settings:
    """The settings of the account that is named, or of the only one; one line and exit code 2."""
    from runtime.settings import load_settings  # noqa: PLC0415 - a backtest needs none

    try:
        return load_settings(kind).only(account)
    except ValueError as error:
        refuse(f"--account: {error}")


def done(asked: Coroutine[Any, Any, _T]) -> _T:
    """The result, or one line and exit code 1 (failed) or 2 (misconfigured)."""
    # Here, because they bring the store's client, which takes a second: a backtest shall not wait.
    from functions.bootstrap import exiting_when_misconfigured  # noqa: PLC0415 - see above
    from functions.handlers.control import NotDoneError  # noqa: PLC0415 - see above
    from functions.ports import RecordsError, StoreError  # noqa: PLC0415 - see above

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


def say(what: RenderableType, width_piped: int = WIDTH_PIPED) -> None:
    """A part of the answer, for a person."""
    # Of itself rich takes COLUMNS and LINES as they are: with 0 nothing is said at all.
    here, written = Console(width=WIDTH_PIPED, height=1), io.StringIO()
    columns = shutil.get_terminal_size().columns
    console = Console(
        file=written,
        highlight=False,
        force_terminal=here.is_terminal,
        width=min(max(columns, WIDTH_MIN), WIDTH_MAX) if here.is_terminal else width_piped,
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
    raise typer.Exit(EXIT_REFUSED)


def pairs_in(values: Sequence[str], example: str = "cooldown_s=60") -> dict[str, str]:
    """`NAME=VALUE` by name; one line and exit code 2 for what is none, or comes twice."""
    pairs: dict[str, str] = {}
    for each in values:
        name, equals, value = each.partition("=")
        if not equals or not name:
            refuse(f"{each!r}: NAME=VALUE is wanted, e.g. {example}")
        if name in pairs:
            refuse(f"{name}: given twice")
        pairs[name] = value
    return pairs
