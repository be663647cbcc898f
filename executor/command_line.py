"""The commands, their options and exit codes; `executor --help` lists them."""

from __future__ import annotations

import asyncio
import errno
import io
import logging
import os
import shutil
import sys
from collections.abc import Coroutine
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, TypeVar

import msgspec
import structlog
import typer
from rich.console import Console, RenderableType
from rich.text import Text
from typer.core import TyperCommand

from executor import rendering
from executor.commands import account as account_commands
from executor.commands import record as record_commands
from executor.commands import strategy as strategy_commands
from executor.doctor.finding import Level
from executor.rendering import account_line, plain
from feeder.recording.errors import RecordingError, UnusableDirectoryError
from functions.bootstrap import exiting_when_misconfigured
from functions.core.account import TRADING_ENABLED
from functions.handlers.control import NotDoneError, halt_reason
from functions.ports import RecordsError, StoreError
from functions.settings import AccountSettings, LimitSettings, ScheduleSettings
from protocol.text import encoded
from runtime.log import configure_logging
from runtime.output import complain, write_answer
from runtime.proxies import ignore_proxies
from runtime.settings import EXIT_BAD_CONFIGURATION, load_settings

EXIT_FAILED: Final = 1
WIDTH_PIPED: Final = 240
"""Where there is no terminal: a row stays on one line."""
WIDTH_MIN: Final = 40
WIDTH_MAX: Final = 1_000
_log = structlog.get_logger()
_T = TypeVar("_T")
_unwritten: Final[list[OSError | None]] = []
"""What became of each part of the answer."""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Look at a strategy account, stop it, start it again. EXECUTION (paper or live), STRATEGY "
    "and STATE_TABLE in the environment say which account that is. Record the venue's market "
    "channel, and look at recordings. Begin a strategy, and prove it.",
    # A traceback with its variables would show keys.
    pretty_exceptions_enable=False,
)


class _Command(TyperCommand):
    """What no command reports itself: this machine can open no file or socket any more."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except OSError as error:
            complain(f"failed: {type(error).__name__}: {error.strerror or error}")
            raise typer.Exit(EXIT_FAILED) from None


Json = Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")]


@app.command()
def status(json: Json = False) -> None:
    """Trading or halted, claims, limits and what waits."""
    settings = load_settings(LimitSettings)
    report = _done(account_commands.status(settings))
    _show(settings, report, rendering.status_view(report), json=json)


@app.command()
def positions(
    ended: Annotated[
        int, typer.Option(min=0, max=10_000, metavar="N", help="Also the last N that ended.")
    ] = 0,
    json: Json = False,
) -> None:
    """A row for each live claim."""
    settings = load_settings(AccountSettings)
    report = _done(account_commands.positions(settings, ended))
    _show(settings, report, rendering.positions_view(report, ended=bool(ended)), json=json)


@app.command()
def decisions(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 20,
    day: Annotated[str | None, typer.Option(metavar="YYYY-MM-DD", help="UTC; today.")] = None,
    json: Json = False,
) -> None:
    """The newest decisions of a day, newest first."""
    settings = load_settings(AccountSettings)
    report = _done(account_commands.decisions(settings, _checked_day(day), limit))
    _show(settings, report, rendering.decisions_view(report), json=json)


@app.command()
def halt(
    reason: Annotated[str, typer.Option(help="Why; everybody who looks at the account sees it.")],
) -> None:
    """Stop every worker from claiming. Once this returns, no new order is made."""
    try:
        reason = halt_reason(reason)
    except ValueError as error:
        _refuse(f"--reason: {error}")
    settings = load_settings(AccountSettings)
    account = _done(account_commands.halt(settings, reason))  # before a word that might not get out
    _say(account_line(settings.account, settings.execution))
    _say(plain(f"HALTED: {account.halt_reason}", "bold red"))
    live = sum(not claim.ended for claim in account.claims.values())
    if live:
        _say(
            plain(
                f"{live} claims were made before: their orders may still be posted or filled; "
                "see `executor positions`"
            )
        )


@app.command()
def resume() -> None:
    """Let workers claim again; shows the reason of the halt that it lifts."""
    settings = load_settings(AccountSettings)
    _say(account_line(settings.account, settings.execution))
    before, _ = _done(account_commands.resume(settings))
    if before.trading == TRADING_ENABLED:
        _say(plain("trading was not halted; it is enabled"))
    else:
        _say(plain(f"lifted: {before.halt_reason or 'halted without a reason'}"))
        _say(plain("trading is enabled", "green"))


@app.command()
def reconcile(
    redeem_again: Annotated[
        bool, typer.Option(help="Ask for all winnings now, however often they were asked for.")
    ] = False,
) -> None:
    """Ask the venue about unresolved claims and settle what has ended, once, now."""
    settings = load_settings(ScheduleSettings)
    if redeem_again and not settings.redeems:
        _refuse("--redeem-again needs REDEEM=true and EXECUTION=live")
    _say(account_line(settings.account, settings.execution))
    report, settled = _done(account_commands.reconcile_once(settings, redeem_again=redeem_again))
    _say(rendering.reconciled_view(report, settled))
    alarms = report.overdue or report.mismatches or report.strangers
    stuck = settled.unsettled or settled.stuck or settled.strangers or settled.not_noted
    if alarms or stuck or report.failures or settled.failures:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def doctor() -> None:
    """Check everything that trading depends on, and say what to do about what is wrong."""
    # Here, because they import the venue's client, which takes a second; `halt` shall not wait.
    from executor.doctor import checks, configuration  # noqa: PLC0415 - see above

    config = configuration.read()
    if config.first_wrong("execution", "strategy"):
        _say(plain("account unknown: EXECUTION or STRATEGY is wrong"))
    else:
        _say(account_line(config.limits.account, config.limits.execution))
    findings = _done(checks.examine(config))
    _say(rendering.findings_view(findings))
    if any(finding.level is Level.FAIL for finding in findings):
        raise typer.Exit(EXIT_FAILED)


@app.command()
def record(
    out: Annotated[Path, typer.Option(metavar="DIR", help="A directory of its own.")],
    series: Annotated[
        str | None, typer.Option(metavar="NAMES", help="E.g. btc-15m,eth-15m; else SERIES.")
    ] = None,
    duration: Annotated[
        float | None, typer.Option(min=1, metavar="S", help="Seconds; else until stopped.")
    ] = None,
) -> None:
    """Write down every frame of the venue's market channel. Needs no account and no key."""
    try:
        settings = record_commands.settings_with(series)
        done = record_commands.record(settings, out, duration)
    except (record_commands.BadSettingsError, UnusableDirectoryError) as error:
        _refuse(str(error))
    except RecordingError as error:
        complain(f"failed: {error}")
        raise typer.Exit(EXIT_FAILED) from None
    _say(record_commands.recorded_line(done, out))
    if done.lost or not done.frames:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="A recording's directory, or one of its files.")],
    json: Json = False,
) -> None:
    """Sum up a recording: frames, silences, losses, and how many books are proven."""
    try:
        report = record_commands.inspect(path)
    except RecordingError as error:
        _refuse(str(error))
    if json:
        _answer_json(report)
    else:
        _say(record_commands.recording_view(report))


strategy = typer.Typer(
    no_args_is_help=True, help="A strategy of one's own: begin one, and prove it before it runs."
)
app.add_typer(strategy, name="strategy")


@strategy.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="E.g. my_strategy.")],
    file: Annotated[
        Path | None, typer.Option(metavar="F", help="Where to write it; else NAME.py.")
    ] = None,
) -> None:
    """Write a small strategy with comments, and its test. Nothing is ever overwritten."""
    try:
        path, test = strategy_commands.new(name, file)
    except strategy_commands.NotWrittenError as error:
        _refuse(str(error))
    _say(strategy_commands.written_view(path, test))


@strategy.command()
def check(
    file: Annotated[
        str, typer.Argument(metavar="FILE[:CLASS]", help="E.g. ./my_strategy.py:MyStrategy.")
    ],
    json: Json = False,
) -> None:
    """Prove a strategy before it may run: a line for each check, exit code 1 if one fails.

    It is run in a process of its own, for a minute at most. Needs no account, no network.
    """
    # Here, because only this command needs it; `halt` shall not wait.
    from executor.strategy_check.run import prove  # noqa: PLC0415 - see above

    report = prove(file)
    if json:
        _answer_json(report)
    else:
        _say(strategy_commands.report_view(report))
    if not report.ok:
        raise typer.Exit(EXIT_FAILED)


for _registered in (*app.registered_commands, *strategy.registered_commands):
    _registered.cls = _Command


def _done(asked: Coroutine[Any, Any, _T]) -> _T:
    """The result, or one line and exit code 1 (failed) or 2 (misconfigured)."""
    try:
        with exiting_when_misconfigured():
            return asyncio.run(asked)
    except (StoreError, RecordsError, NotDoneError) as error:
        complain(f"failed: {error}")
        raise typer.Exit(EXIT_FAILED) from None


def _show(
    settings: AccountSettings, report: msgspec.Struct, view: RenderableType, *, json: bool
) -> None:
    if json:
        _answer_json(report)
        return
    _say(account_line(settings.account, settings.execution))
    _say(view)


def _say(what: RenderableType) -> None:
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


def _answer_json(report: msgspec.Struct) -> None:
    _answer(encoded(msgspec.json.encode, report) + b"\n")


def _answer(answer: str | bytes) -> None:
    """Whether anybody reads the answer changes nothing of what the command does."""
    _unwritten.append(write_answer(answer))


def _checked_day(day: str | None) -> str | None:
    try:
        return None if day is None else date.fromisoformat(day).isoformat()
    except ValueError:
        _refuse(f"--day: not a date of the form YYYY-MM-DD: {day!r}")


def _refuse(reason: str) -> NoReturn:
    complain(reason)
    raise typer.Exit(EXIT_BAD_CONFIGURATION)


def run() -> None:
    """Run the command that the arguments name. Raises SystemExit."""
    # A library that warns of what then fails: the command says so itself, in one line.
    configure_logging(service="executor", libraries_from=logging.ERROR)
    ignore_proxies()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a character of a reason gets its number, not a traceback.
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="executor")
    except SystemExit as end:
        # A reader that has gone (`| head -1`) has read what it wanted.
        failed = [e for e in _unwritten if e and e.errno != errno.EPIPE]
        if not failed:
            raise
        complain(f"cannot write the answer: {failed[0].strerror}")
        raise SystemExit(end.code or EXIT_FAILED) from None
    except OSError as error:  # `_Command` has those of the commands: this is `--help`
        complain(f"cannot write the answer: {error.strerror or error}")
        os._exit(EXIT_FAILED)  # the rest of the answer is still in Python's buffer
    except Exception as error:  # noqa: BLE001 - typer takes `sys.excepthook` for itself
        _log.critical("defect", exc_info=error)
        raise SystemExit(EXIT_FAILED) from None
