"""`executor config show|set|diff|history|rollback`: options, exit codes, and what is shown."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final, TypeVar

import msgspec
import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Group, RenderableType

from executor.answers import (
    Json,
    Named,
    answer_json,
    done,
    one_account,
    pairs_in,
    refuse,
    say,
    show,
)
from executor.commands import configuration, group_configuration
from executor.commands.configuration import HISTORY_MAX, ConfigurationSettings
from executor.commands.group_configuration import GroupConfigurationSettings
from executor.configuration_reports import Changed, Compared, History, Setting, Shown
from executor.rendering import BAD, CARE, GOOD, account_line, columns_table, moment, plain
from functions.core.configuration import ConfigurationError, Difference
from functions.settings import PAPER, GroupName
from runtime.output import complain
from runtime.settings import EXIT_BAD_CONFIGURATION, load_settings

NAMES_MAX: Final = 256
"""Characters of --who."""
_T = TypeVar("_T")

app = typer.Typer(
    no_args_is_help=True,
    help="An account's limits, order and gate settings and its strategy's parameters: stored in "
    "versions, changed while workers run. A changed limit binds every worker's next claim.",
)

Why = Annotated[str, typer.Option(help="Why; it is stored with the version.")]
Who = Annotated[str | None, typer.Option(help="Who does it; else this machine's user.")]
SeenVersion = Annotated[
    int | None,
    typer.Option("--version", min=1, help="Refuse unless this version is still in force."),
]
OfGroup = Annotated[
    str | None,
    typer.Option("--group", metavar="NAME", help="Limits over all accounts of this group instead."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what it would mean.")]


@app.command("show")
def show_(account: Named = None, group: OfGroup = None, json: Json = False) -> None:
    """The version in force: who made it, why, and every value with what it means."""
    if group is not None:
        shown = _checked(group_configuration.show, _of_group(group))
        _show_group(shown.account, shown, _shown_view(shown), json=json)
        return
    settings = one_account(ConfigurationSettings, account)
    report = _checked(configuration.show, settings)
    show(settings, report, _shown_view(report), json=json)


@app.command("set")
def set_(
    values: Annotated[list[str], typer.Argument(metavar="NAME=VALUE...", help="What to change.")],
    why: Why,
    who: Who = None,
    version: SeenVersion = None,
    dry_run: DryRun = False,
    *,
    account: Named = None,
    group: OfGroup = None,
    json: Json = False,
) -> None:
    """Change values, all at once or none. Types and bounds are checked before.

    Each claim's own condition names the version that it was decided under: once this returns, no
    claim is made under the limits before. Workers read the new version within ten seconds. The
    names are the variables' in small letters, and those of the strategy's parameters. Nothing is
    sold, and no cooldown that runs is changed; --dry-run says what it would mean for what is held.
    """
    if group is not None:
        wanted = group_configuration.setting(pairs_in(values))
        how = _how(why, who, version, dry_run=dry_run)
        report = _checked(group_configuration.change, _of_group(group), wanted, **how)
        _answer_change(plain(f"group {report.account}"), report, json=json)
        return
    settings = one_account(ConfigurationSettings, account)
    changes = configuration.setting(pairs_in(values))
    how = _how(why, who, version, dry_run=dry_run)
    head = account_line(settings.account, settings.execution)
    _answer_change(head, _checked(configuration.change, settings, changes, **how), json=json)


@app.command()
def rollback(
    to: Annotated[int, typer.Argument(min=1, metavar="VERSION", help="Whose values.")],
    why: Why,
    who: Who = None,
    version: SeenVersion = None,
    dry_run: DryRun = False,
    *,
    account: Named = None,
    group: OfGroup = None,
    json: Json = False,
) -> None:
    """Put an earlier version's values in force again, as a new version."""
    how = _how(why, who, version, dry_run=dry_run)
    if group is not None:
        report = _checked(group_configuration.rollback, _of_group(group), to, **how)
        _answer_change(plain(f"group {report.account}"), report, json=json)
        return
    settings = one_account(ConfigurationSettings, account)
    head = account_line(settings.account, settings.execution)
    _answer_change(head, _checked(configuration.rollback, settings, to, **how), json=json)


@app.command()
def diff(
    before: Annotated[
        int | None, typer.Argument(min=1, metavar="VERSION", help="From this one.")
    ] = None,
    after: Annotated[
        int | None, typer.Argument(min=1, metavar="VERSION", help="To this one.")
    ] = None,
    account: Named = None,
    group: OfGroup = None,
    json: Json = False,
) -> None:
    """What differs between two versions; by default what the last change changed."""
    if group is not None:
        compared = _checked(group_configuration.compare, _of_group(group), before, after)
        _show_group(compared.account, compared, _compared_view(compared), json=json)
        return
    settings = one_account(ConfigurationSettings, account)
    report = _checked(configuration.compare, settings, before, after)
    show(settings, report, _compared_view(report), json=json)


@app.command()
def history(
    limit: Annotated[int, typer.Option(min=1, max=HISTORY_MAX, help="How many.")] = 20,
    account: Named = None,
    group: OfGroup = None,
    json: Json = False,
) -> None:
    """The newest versions, newest first: when, who, why, and what each changed."""
    if group is not None:
        told = _checked(group_configuration.history, _of_group(group), limit)
        _show_group(told.account, told, _history_view(told), json=json)
        return
    settings = one_account(ConfigurationSettings, account)
    report = _checked(configuration.history, settings, limit)
    show(settings, report, _history_view(report), json=json)


@app.command()
def recount(
    group: Annotated[str, typer.Option("--group", metavar="NAME", help="Which group.")],
    json: Json = False,
) -> None:
    """Let a group count what its accounts' live claims have at stake (see `group_differs`)."""
    report = _checked(group_configuration.recount, _of_group(group))
    change = f"exposure {report.before_e6 / 1e6:g} -> {report.after_e6 / 1e6:g} USD"
    if not report.done:
        refuse(f"nothing is changed: claims kept coming while it was counted; try again ({change})")
    _show_group(report.group, report, plain(change), json=json)


def _of_group(name: str) -> GroupConfigurationSettings:
    settings = load_settings(GroupConfigurationSettings)
    try:
        TypeAdapter(GroupName).validate_python(name.removesuffix(PAPER))
    except ValidationError:
        refuse("--group: at most 32 letters, digits, hyphens and underscores are wanted")
    return settings.model_copy(update={"group": name})


def _show_group(name: str, report: msgspec.Struct, view: RenderableType, *, json: bool) -> None:
    if json:
        answer_json(report)
        return
    say(plain(f"group {name}"))
    say(view)


def _checked(asked: Callable[..., Coroutine[Any, Any, _T]], *arguments: Any, **options: Any) -> _T:
    """The answer; a name or a value that cannot be is one line and exit code 2."""
    try:
        return done(asked(*arguments, **options))
    except ConfigurationError as error:
        refuse(str(error))


def _how(why: str, who: str | None, version: int | None, *, dry_run: bool) -> dict[str, Any]:
    try:
        reason = configuration.reason(why)
    except ValueError as error:
        refuse(f"--why: {error}")
    who = configuration.somebody() if who is None else who
    if not who.strip() or len(who) > NAMES_MAX or not who.isprintable():
        refuse(f"--who: 1 to {NAMES_MAX} printable characters are wanted")
    return {"why": reason, "who": who, "seen_version": version, "dry_run": dry_run}


def _answer_change(head: RenderableType, report: Changed, *, json: bool) -> None:
    if json:
        answer_json(report)
    elif not report.refused:
        say(head)
        say(_changed_view(report))
    if not report.refused:
        return
    if not json:
        complain(f"refused: {report.refused}{_in_words(report.others)}")
    raise typer.Exit(EXIT_BAD_CONFIGURATION)


def _in_words(changes: tuple[Difference, ...]) -> str:
    said = ", ".join(f"{each.name}: {each.before} -> {each.after}" for each in changes)
    return f"; meanwhile {said}" if said else ""


def _changed_view(report: Changed) -> RenderableType:
    parts: list[RenderableType] = []
    if not report.changes:
        parts.append(plain(f"nothing to change: version {report.version} says so already"))
    elif report.dry_run:
        parts.append(plain(f"version {report.seen_version + 1} would change:", CARE))
    else:
        parts.append(plain(f"version {report.version} is in force:", GOOD))
    parts += [plain(f"  {each.name}: {each.before} -> {each.after}") for each in report.changes]
    if report.changes and report.effects is not None:
        parts += [plain(sentence) for sentence in report.effects.sentences]
    if report.changes and not report.dry_run:
        soon = (
            "the workers are told"
            if report.nudged
            else "workers find out within 10 s: NATS_URL gave no answer, none was told"
        )
        parts.append(plain(f"every claim from now on is under it; {soon}"))
    return Group(*parts)


def _shown_view(report: Shown) -> RenderableType:
    table = columns_table("name", "value", "default", "words")
    for each in (*report.settings, *report.parameters):
        table.add_row(*_setting_row(each))
    made = f"version {report.version} of {moment(report.made_at_ms)} UTC, by {report.who}"
    return Group(plain(f"{made}: {report.why}"), plain(f"strategy {report.strategy}"), table)


def _setting_row(each: Setting) -> tuple[RenderableType, ...]:
    other = "" if each.value == each.default else "bold"
    return plain(each.name), plain(each.value, other), plain(each.default, "dim"), plain(each.help)


def _compared_view(report: Compared) -> RenderableType:
    head = plain(f"version {report.before} -> {report.after}")
    if not report.changes:
        return Group(head, plain("no difference"))
    return Group(head, *(plain(f"  {e.name}: {e.before} -> {e.after}") for e in report.changes))


def _history_view(report: History) -> RenderableType:
    table = columns_table("version", "time", "who", "why", "words")
    for each in report.versions:
        changes = ", ".join(f"{e.name}: {e.before} -> {e.after}" for e in each.changes)
        number = f"{each.version} *" if each.version == report.in_force else str(each.version)
        row = (number, moment(each.made_at_ms), each.who, each.why, changes)
        table.add_row(*(plain(text) for text in row))
    unreadable = [plain(f"CANNOT BE READ: {each}", BAD) for each in report.unreadable]
    return Group(table, *unreadable)
