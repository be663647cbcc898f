"""`executor strategy new|check`: options, exit codes, and what is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from executor.answers import EXIT_FAILED, Json, answer_json, refuse, say
from executor.commands import strategy

app = typer.Typer(
    no_args_is_help=True, help="A strategy of one's own: begin one, and prove it before it runs."
)


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="E.g. my_strategy.")],
    file: Annotated[
        Path | None, typer.Option(metavar="F", help="Where to write it; else NAME.py.")
    ] = None,
) -> None:
    """Write a small strategy with comments, and its test. Nothing is ever overwritten."""
    try:
        path, test = strategy.new(name, file)
    except strategy.NotWrittenError as error:
        refuse(str(error))
    say(strategy.written_view(path, test))


@app.command()
def check(
    file: Annotated[
        str, typer.Argument(metavar="FILE[:CLASS]", help="E.g. ./my_strategy.py:MyStrategy.")
    ],
    json: Json = False,
) -> None:
    """Prove a strategy before it may run: a line for each check, exit code 1 if one fails.

    What it imports, that it answers thousands of made-up and recorded books the same in any order
    and any process, and what it costs. It is run in a process of its own, for a minute of CPU time
    at most. Needs no account.
    """
    # Here, because only this command needs it; `halt` shall not wait.
    from executor.strategy_check.run import prove  # noqa: PLC0415 - see above

    report = prove(file)
    if json:
        answer_json(report)
    else:
        say(strategy.report_view(report))
    if not report.ok:
        raise typer.Exit(EXIT_FAILED)
