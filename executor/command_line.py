"""The commands, their options and exit codes; `executor --help` lists them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from executor import rendering
from executor.answers import (
    EXIT_FAILED,
    AnsweringCommand,
    Json,
    Named,
    answer_json,
    done,
    one_account,
    refuse,
    say,
    show,
)
from executor.commands import account as account_commands
from executor.commands import record as record_commands
from executor.commands.alert_line import app as alert_app
from executor.commands.backtest_line import backtest
from executor.commands.backup_line import backup
from executor.commands.configuration import ConfigurationSettings
from executor.commands.configuration_line import app as configuration_app
from executor.commands.console_line import console
from executor.commands.paper_line import live, paper
from executor.commands.recorded_decisions import recorded_decisions
from executor.commands.recorded_history import RecordedHistory
from executor.commands.replay_line import explain, replay
from executor.commands.strategy_line import app as strategy_app
from executor.doctor.finding import Level
from executor.rendering import account_line, plain
from feeder.recording.errors import RecordingError, UnusableDirectoryError
from functions.core.account import TRADING_ENABLED
from functions.handlers.control import halt_reason, still_there
from functions.settings import AccountSettings, LimitSettings, ScheduleSettings
from runtime.output import complain
from runtime.settings import load_settings

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Look at strategy accounts, stop them, start them again. STRATEGIES, EXECUTION (paper or "
    "live) and STATE_TABLE in the environment say which accounts there are. Record the venue's "
    "market channel, look at recordings, and make their decisions again. Begin a strategy, prove "
    "it, and see on recorded books what it is worth.",
    # A traceback with its variables would show keys.
    pretty_exceptions_enable=False,
)


All = Annotated[bool, typer.Option("--all", help="Every account of STRATEGIES.")]


def status(account: Named = None, json: Json = False) -> None:
    """Trading or halted, claims, limits and what waits; of several accounts a line each.

    Of one account: until when it pauses and why, the day's P&L and spending against their limits,
    winnings that wait, the oldest claim that is not resolved, and what should have ended long ago.
    The limits are those in force.
    """
    settings = load_settings(LimitSettings)
    if account is None and len(settings.entries) > 1:
        _all_statuses(settings, json=json)
        return
    one = one_account(LimitSettings, account)
    report = done(account_commands.status(one))
    show(one, report, rendering.status_view(report), json=json)


def _all_statuses(settings: LimitSettings, *, json: bool) -> None:
    report = done(account_commands.statuses(settings))
    if json:
        answer_json(report)
    else:
        say(rendering.statuses_view(report))
        say(plain("executor status --account NAME shows one in full"))
    for name, why in report.unreadable.items():
        complain(f"failed: {name}: {why}")
    if report.unreadable:
        raise typer.Exit(EXIT_FAILED)


def positions(
    ended: Annotated[
        int, typer.Option(min=0, max=10_000, metavar="N", help="Also the last N that ended.")
    ] = 0,
    account: Named = None,
    json: Json = False,
) -> None:
    """A row for each live claim.

    With --ended also the last of the ledger, with their P&L after fees.
    """
    settings = one_account(AccountSettings, account)
    report = done(account_commands.positions(settings, ended))
    show(settings, report, rendering.positions_view(report, ended=bool(ended)), json=json)


def decisions(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 20,
    day: Annotated[str | None, typer.Option(metavar="YYYY-MM-DD", help="UTC; today.")] = None,
    account: Named = None,
    recording: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Those of a recording (`executor record --books`): of all its days and accounts, "
            "unless --day and --account say which.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """The newest decisions of a day, newest first; `executor explain` shows one by its id.

    Each with its reason, the version of the configuration that it was made under, and the latency
    of each stage. They are kept for seven days.
    """
    day = _checked_day(day)
    if recording is not None:
        _recorded_decisions(recording, account, day, limit, json=json)
        return
    settings = one_account(AccountSettings, account)
    report = done(account_commands.decisions(settings, day, limit))
    show(settings, report, rendering.decisions_view(report), json=json)


def _recorded_decisions(
    recording: Path, account: str | None, day: str | None, limit: int, *, json: bool
) -> None:
    try:
        report = recorded_decisions(recording, account, day, limit)
    except RecordingError as error:
        refuse(str(error))
    if json:
        answer_json(report)
    else:
        of = f"of {report.account}" if report.account else "without decisions"
        say(plain(f"{recording}, {of}"))
        say(rendering.decisions_view(report))


def halt(
    reason: Annotated[str, typer.Option(help="Why; everybody who looks at the account sees it.")],
    account: Named = None,
    every: All = False,
) -> None:
    """Stop every worker from claiming, of every account or of the named one. Once this returns, no
    new order is made.

    The halt is written where each claim's own condition looks, so it binds every worker, also one
    that starts later. Orders that were claimed before may still be posted or filled.
    """
    try:
        reason = halt_reason(reason)
    except ValueError as error:
        refuse(f"--reason: {error}")
    # Nobody who wants everything to stop shall have to think of a name first.
    wanted = _wanted(account, every=every or account is None)
    # Before a word that might not get out.
    told = done(account_commands.of_each(wanted, partial(account_commands.halt, reason=reason)))
    for settings, halted in told:
        if isinstance(halted, Exception):
            continue
        say(account_line(settings.account, settings.execution))
        say(plain(f"HALTED: {halted.halt_reason}", "bold red"))
        if left := still_there(halted):
            say(plain(f"{left} See `executor positions`."))
    _end_with_failures(told)


def resume(account: Named = None, every: All = False) -> None:
    """Let workers claim again; shows the reason of the halt that it lifts.

    It lifts the halt that it has seen, and none that came after.
    """
    told = done(account_commands.of_each(_wanted(account, every=every), account_commands.resume))
    for settings, accounts in told:
        say(account_line(settings.account, settings.execution))
        if isinstance(accounts, Exception):
            continue
        before, _ = accounts
        if before.trading == TRADING_ENABLED:
            say(plain("trading was not halted; it is enabled"))
        else:
            say(plain(f"lifted: {before.halt_reason or 'halted without a reason'}"))
            say(plain("trading is enabled", "green"))
    _end_with_failures(told)


def _wanted(account: str | None, *, every: bool) -> tuple[AccountSettings, ...]:
    """Whose accounts are to be changed; one line and exit code 2 where that is not said."""
    if every and account is not None:
        refuse("--all and --account: one of them is wanted")
    return load_settings(AccountSettings).each() if every else (_named_or_all(account),)


def _named_or_all(account: str | None) -> AccountSettings:
    try:
        return load_settings(AccountSettings).only(account)
    except ValueError as error:
        refuse(f"--account, or --all: {error}")


def _end_with_failures(told: Sequence[tuple[AccountSettings, object]]) -> None:
    failed = [(one, each) for one, each in told if isinstance(each, Exception)]
    for settings, error in failed:
        complain(f"failed: {error}" if len(told) == 1 else f"failed: {settings.account}: {error}")
    if failed:
        raise typer.Exit(EXIT_FAILED)


def reconcile(
    redeem_again: Annotated[
        bool, typer.Option(help="Ask for all winnings now, however often they were asked for.")
    ] = False,
    account: Named = None,
) -> None:
    """Ask the venue about unresolved claims and settle what has ended, once, now.

    Safe beside the scheduled runs. Exit code 1: a claim is overdue, a position is not what the
    claims say, one is unsettled an hour after its market's end (with the reason), winnings were
    asked for in vain or found no room, or a question got no answer. A live account needs its key
    or its API credentials.
    """
    settings = one_account(ScheduleSettings, account)
    if redeem_again and not settings.redeems:
        refuse("--redeem-again needs REDEEM=true and EXECUTION=live")
    say(account_line(settings.account, settings.execution))
    report, settled = done(account_commands.reconcile_once(settings, redeem_again=redeem_again))
    say(rendering.reconciled_view(report, settled))
    alarms = report.overdue or report.mismatches or report.strangers
    stuck = settled.unsettled or settled.stuck or settled.strangers or settled.not_noted
    if alarms or stuck or report.failures or settled.failures:
        raise typer.Exit(EXIT_FAILED)


def doctor() -> None:
    """Check everything that trading depends on, and say what to do about what is wrong.

    Configuration, clock, NATS and its streams, the store, the venue, the series, the websockets,
    what should have ended long ago; of a live account also credentials, balance and allowances.
    Changes nothing.
    """
    # Here, because they import the venue's client, which takes a second; `halt` shall not wait.
    from executor.doctor import checks, configuration  # noqa: PLC0415 - see above

    config = configuration.read()
    if wrong := config.first_wrong("execution", "strategies", "strategy"):
        say(plain(f"accounts unknown: {wrong} is wrong"))
    else:
        for entry in config.limits.entries:
            say(account_line(entry.account, entry.execution))
    findings = done(checks.examine(config))
    say(rendering.findings_view(findings))
    if any(finding.level is Level.FAIL for finding in findings):
        raise typer.Exit(EXIT_FAILED)


def record(
    out: Annotated[Path, typer.Option(metavar="DIR", help="A directory of its own.")],
    series: Annotated[
        str | None, typer.Option(metavar="NAMES", help="E.g. btc-15m,eth-15m; else SERIES.")
    ] = None,
    duration: Annotated[
        float | None, typer.Option(min=1, metavar="S", help="Seconds; else until stopped.")
    ] = None,
    *,
    max_gb: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=1_000_000,
            metavar="N",
            help="How large the directory may become: the oldest files are deleted.",
        ),
    ] = None,
    books: Annotated[
        bool | None,
        typer.Option(
            "--books/--no-books",
            help="Also what workers saw (books, from NATS), decided, and by which configurations. "
            "By default where NATS_URL is set and names this machine.",
        ),
    ] = None,
) -> None:
    """Write down every frame of the venue's market channel. Needs no account and no key; with
    --books, the accounts of STRATEGIES and NATS_URL.

    The files are compressed, and can be read while they grow; a crash costs a second at most.
    """
    here = record_commands.is_on_this_machine(os.environ.get("NATS_URL", ""))
    beside = None
    if here if books is None else books:
        beside = RecordedHistory(load_settings(ConfigurationSettings))
    try:
        settings = record_commands.settings_with(series)
        recorded = record_commands.record(settings, out, duration, beside, max_gb)
    except (record_commands.BadSettingsError, UnusableDirectoryError) as error:
        refuse(str(error))
    except RecordingError as error:
        complain(f"failed: {error}")
        raise typer.Exit(EXIT_FAILED) from None
    say(record_commands.recorded_line(recorded, out))
    if beside is not None:
        say(record_commands.history_line(recorded))
    if recorded.lost or not recorded.frames or (books and not recorded.books):
        raise typer.Exit(EXIT_FAILED)


def inspect(
    path: Annotated[Path, typer.Argument(help="A recording's directory, or one of its files.")],
    json: Json = False,
) -> None:
    """Sum up a recording: frames, rates, silences, losses, and how many books the venue's hash
    proves."""
    try:
        report = record_commands.inspect(path)
    except RecordingError as error:
        refuse(str(error))
    if json:
        answer_json(report)
    else:
        say(record_commands.recording_view(report))


def _checked_day(day: str | None) -> str | None:
    try:
        return None if day is None else date.fromisoformat(day).isoformat()
    except ValueError:
        refuse(f"--day: not a date of the form YYYY-MM-DD: {day!r}")


_GROUPS: Final[dict[str, tuple[Callable[..., None] | typer.Typer, ...]]] = {
    "Trade": (paper, live, halt, resume, configuration_app),
    "Look": (status, positions, decisions, explain, console),
    "Learn": (record, inspect, backtest, replay, strategy_app),
    "Care": (doctor, reconcile, backup, alert_app),
}
"""As `executor --help` shows them."""
_NAMES: Final = {configuration_app: "config", strategy_app: "strategy", alert_app: "alert"}


def _register() -> None:
    for panel, commands in _GROUPS.items():
        for each in commands:
            if isinstance(each, typer.Typer):
                app.add_typer(each, name=_NAMES[each], rich_help_panel=panel)
            else:
                app.command(rich_help_panel=panel)(each)
    for group in (app, *_NAMES):
        for registered in group.registered_commands:
            registered.cls = AnsweringCommand


_register()
