"""`executor replay` and `executor explain`: options and exit codes. What they do is imported when
it is asked for: `halt` shall not wait."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from executor.answers import EXIT_FAILED, Json, answer_json, refuse, say
from feeder.recording.errors import RecordingError
from functions.core.strategy_rules import StrategyNotUsableError
from runtime.output import complain


def replay(
    recording: Annotated[
        Path, typer.Argument(help="A directory of `executor record --books`, or one of its files.")
    ],
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE[:CLASS]",
            help="Takes the place of the strategy of its name, e.g. ./my_strategy.py; may be "
            "repeated.",
        ),
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Make every logged decision again with the code at hand: all equal, or what differs (exit code
    1). All books are decided again, too; `answers_digest` of --json tells two versions apart."""
    from backtest.replay.told import verdict_line  # noqa: PLC0415 - see above
    from executor.commands import replay as command  # noqa: PLC0415 - see above

    try:
        report = command.replayed(recording, strategy or ())
    except StrategyNotUsableError as error:
        refuse(f"--strategy: {error}")
    except RecordingError as error:
        refuse(str(error))
    if json:
        answer_json(report)
    elif report.decisions:
        say(command.replay_view(report))
    if report.ok:
        return
    if not report.again and not report.missing:
        refuse(verdict_line(report))
    if json:
        complain(verdict_line(report))
    raise typer.Exit(EXIT_FAILED)
