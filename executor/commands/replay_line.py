"""`executor replay` and `executor explain`: options and exit codes. What they do is imported when
it is asked for: `halt` shall not wait."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from executor.answers import EXIT_FAILED, Json, answer_json, done, refuse, say
from feeder.recording.errors import RecordingError
from functions.core.strategy_rules import StrategyNotUsableError
from functions.settings import AccountSettings
from runtime.output import complain
from runtime.settings import load_settings


def replay(
    recording: Annotated[
        Path, typer.Argument(help="A directory of `executor record --books`, or one of its files.")
    ],
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE[:CLASS]",
            help="Takes the place of the strategy of its name, e.g. ./my_strategy.py, which must "
            "be no built-in's; may be repeated.",
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
    except (StrategyNotUsableError, RecordingError) as error:
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


def explain(
    decision_id: Annotated[
        str,
        typer.Argument(
            metavar="DECISION_ID",
            help="Or how it begins, 6 characters at least: `executor decisions` shows them.",
        ),
    ],
    recording: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A directory of `executor record --books`; else the decision table of the "
            "environment's accounts, which keeps no books.",
        ),
    ] = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE[:CLASS]", help="As for `executor replay`."),
    ] = None,
    *,
    json: Json = False,
) -> None:
    """One decision: the book, the gate's numbers, the strategy's, the order, what became of it, and
    what a share was worth later. Exit code 1: there is no such decision."""
    from backtest.replay.explained import (  # noqa: PLC0415 - see above
        ID_LENGTH_MIN,
        AmbiguousIdError,
        NoSuchDecisionError,
    )
    from executor.commands import explain as command  # noqa: PLC0415 - see above
    from executor.commands.replay import strategies_of  # noqa: PLC0415 - see above

    if len(decision_id) < ID_LENGTH_MIN:
        refuse(f"DECISION_ID: {ID_LENGTH_MIN} characters of it at least")
    try:
        if recording is None:
            found = done(command.from_table(load_settings(AccountSettings), decision_id))
        else:
            found = command.from_recording(recording, decision_id, strategies_of(strategy or ()))
            if command.state_is_named():
                found = done(command.with_evidence(found, load_settings(AccountSettings)))
    except (StrategyNotUsableError, RecordingError, AmbiguousIdError) as error:
        refuse(str(error))
    except NoSuchDecisionError as error:
        complain(f"failed: {error}")
        raise typer.Exit(EXIT_FAILED) from None
    if json:
        answer_json(found)
    else:
        say(command.explained_view(found))
