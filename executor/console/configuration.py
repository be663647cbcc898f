"""The view Configuration: what each account may do, its history, and changes of it.

A change is shown before it is made: what it would mean for the account as it stands, as `executor
config set --dry-run` says it. It is made on the condition that the version that the form was made
from is still in force. Whatever is refused, what was typed stays in the form.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog
from aiohttp import web

from executor.commands import configuration as commands
from executor.configuration_reports import Changed, History
from executor.console.accounts import AccountNow
from executor.console.asked_strategies import ASK_MAX_S, AskedStrategies
from executor.console.configuration_form import (
    PREFIX,
    FormGroup,
    changes_in,
    form_of,
    typed_in,
)
from executor.console.messages import Message
from executor.console.positions_limits import GroupsReader, limits_of_group
from executor.console.view import Query, Shared
from functions.bootstrap import MisconfiguredError
from functions.core.account import utc_day
from functions.core.configuration import (
    AccountConfiguration,
    ConfigurationError,
    shown,
    stored_values,
)
from functions.handlers.control import NotDoneError
from functions.ports import Store, StoreError
from functions.settings import AccountSettings
from runtime.addresses import origins
from runtime.line_throttle import LineThrottle
from runtime.output import one_line

HISTORY_SHOWN: Final = 20
LOOK_EVERY_S: Final = 1.0
_PARTS: Final = "configuration_parts.html"
_log = structlog.get_logger()


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A change that was asked for, and what it would mean."""

    path: str
    """Where it is confirmed."""
    why: str
    fields: dict[str, str]
    """What is posted with the confirmation."""
    report: Changed


class ConfigurationView:
    """See the top of this module."""

    name, title, template = "configuration", "Configuration", "configuration.html"

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._settings: dict[str, AccountSettings] = {
            one.account: one for one in shared.settings.each()
        }
        self._strategies = AskedStrategies(shared.settings)
        self._history: dict[str, History] = {}
        self._groups = GroupsReader(shared.accounts, shared.stores)
        self._failures = LineThrottle()

    # -- the page ----------------------------------------------------------------------------------

    def variables(self, query: Query) -> dict[str, Any]:
        """What the page shows."""
        return self._page(self._account(query))

    def parts(self, query: Query) -> dict[str, str]:
        """What of it changes: the form does not, for somebody may be at work on it."""
        now, part = self._account(query), self._shared.pages.part
        return {
            "configuration-in-force": part(_PARTS, "in_force", now=now),
            "configuration-history": part(_PARTS, "history", history=self._history.get(now.name)),
            "configuration-group": self._group_part(now),
        }

    def data_at_ms(self) -> int:
        """Of the accounts, which are read every second."""
        return self._shared.accounts.read_at_ms()

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """The forms."""
        return (
            web.post("/configuration/preview", self._preview),
            web.post("/configuration/set", self._set),
            web.post("/configuration/preview-rollback", self._preview_rollback),
            web.post("/configuration/rollback", self._rollback),
            # Whoever halts on a page that was an answer is sent back to its path.
            web.get("/configuration/{answer}", self._to_the_page),
        )

    async def run(self) -> None:
        """Read each account's history when its version is another one, and the groups."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_reading_histories())
            tasks.create_task(self._groups.run(self._shared.audience))

    async def _keep_reading_histories(self) -> None:
        while True:
            for now in self._shared.accounts.of.values():
                await self._read_history(now)
            await asyncio.sleep(LOOK_EVERY_S)

    def _account(self, query: Query) -> AccountNow:
        """The one that is asked for, else the first."""
        accounts = self._shared.accounts.of
        return accounts.get(query.get("account", "")) or next(iter(accounts.values()))

    def _group_part(self, now: AccountNow) -> str:
        """The limits of the group that counts the account's claims, if one does."""
        counted_by = "" if now.account is None else now.account.collective
        group = self._groups.of.get(counted_by)
        limits = [] if group is None else limits_of_group(group, utc_day(self._shared.now_ms()))
        return self._shared.pages.part(
            _PARTS, "group", counted_by=counted_by, group=group, limits=limits
        )

    def _page(
        self,
        now: AccountNow,
        *,
        groups: tuple[FormGroup, ...] = (),
        why: str = "",
        why_mistake: str = "",
        proposal: Proposal | None = None,
        trouble: str = "",
    ) -> dict[str, Any]:
        if not groups:
            groups, trouble_here = self._form(now)
            trouble = trouble or trouble_here
        return {
            "now": now,
            "parts": self._shared.pages.made(self.parts({"account": now.name})),
            "groups": groups,
            "prefix": PREFIX,
            "why": why,
            "why_mistake": why_mistake,
            "proposal": proposal,
            "trouble": trouble,
            "versions": self._earlier(now),
        }

    def _earlier(self, now: AccountNow) -> list[int]:
        """Versions that can be put in force again."""
        history = self._history.get(now.name)
        in_force = 0 if now.configuration is None else now.configuration.version
        found = [] if history is None else [each.version for each in history.versions]
        return [version for version in found if version != in_force]

    def _form(
        self,
        now: AccountNow,
        typed: Mapping[str, str] | None = None,
        mistakes: Mapping[str, str] | None = None,
    ) -> tuple[tuple[FormGroup, ...], str]:
        """The form, or why there is none."""
        strategy = self._strategies.strategy(now.name)
        if now.configuration is None:
            return (), now.error or (
                "There is no configuration yet: the first worker that starts makes version 1."
            )
        if isinstance(strategy, str):
            return (), strategy
        try:
            settings, stored = stored_values(now.configuration, strategy.Parameters)
        except ConfigurationError as error:
            return (), str(error)
        return form_of(settings, stored, strategy.Parameters, typed, mistakes), ""

    # -- what is posted ----------------------------------------------------------------------------

    async def _to_the_page(self, request: web.Request) -> web.Response:
        query = f"?{request.query_string}" if request.query_string else ""
        raise web.HTTPSeeOther(f"/configuration{query}")

    async def _preview(self, request: web.Request) -> web.Response:
        """What the typed values would mean; changes nothing."""
        form = await _posted(request)
        now = self._named(form)
        strategy = self._strategies.strategy(now.name)
        if isinstance(strategy, str):
            return self._answer(now, self._page(now, trouble=strategy), status=409)
        typed = typed_in(form, AccountConfiguration) | typed_in(form, strategy.Parameters)
        groups, trouble = self._form(now, typed)
        if trouble:
            return self._answer(now, self._page(now, trouble=trouble), status=409)
        changes = changes_in(groups)
        return await self._proposed(now, form, "/configuration/set", changes)

    async def _set(self, request: web.Request) -> web.Response:
        """What was shown before, if nothing has come in between."""
        form = await _posted(request)
        now = self._named(form)
        changes = {
            name.removeprefix(PREFIX): value
            for name, value in form.items()
            if name.startswith(PREFIX)
        }
        return await self._made(now, form, changes)

    async def _preview_rollback(self, request: web.Request) -> web.Response:
        form = await _posted(request)
        return await self._proposed(self._named(form), form, "/configuration/rollback", None)

    async def _rollback(self, request: web.Request) -> web.Response:
        form = await _posted(request)
        return await self._made(self._named(form), form, None)

    async def _proposed(
        self, now: AccountNow, form: Mapping[str, str], path: str, changes: dict[str, str] | None
    ) -> web.Response:
        why = form.get("why", "")
        try:
            commands.reason(why)
        except ValueError as error:
            page = self._again(now, form, changes, why_mistake=str(error))
            return self._answer(now, page, status=422)
        report = await self._asked(now, form, changes, dry_run=True)
        if not isinstance(report, Changed):
            return report
        fields = {"account": now.name, "version": str(report.seen_version), "why": why}
        if changes is None:
            fields["to"] = form.get("to", "")
        else:
            others = {each.name for each in report.changes}  # 300.0 is no other value than 300
            fields |= {f"{PREFIX}{name}": changes[name] for name in changes if name in others}
        proposal = Proposal(path=path, why=why, fields=fields, report=report)
        return self._answer(now, self._again(now, form, changes, proposal=proposal))

    async def _made(
        self, now: AccountNow, form: Mapping[str, str], changes: dict[str, str] | None
    ) -> web.Response:
        report = await self._asked(now, form, changes, dry_run=False)
        if not isinstance(report, Changed):
            return report
        report = await commands.told(self._shared.settings, report)
        await self._shared.accounts.read(now.name)
        await self._read_history(self._shared.accounts.of[now.name])
        if report.version == report.seen_version:
            text = f"Nothing to change: version {report.version} says so already."
        else:
            soon = "The workers are told." if report.nudged else "Workers find out within 10 s."
            text = f"Version {report.version} is in force for every claim from now on. {soon}"
        path = f"/configuration?account={now.name}"
        raise self._shared.messages.see(path, f"{now.name}: {text}")

    async def _asked(
        self,
        now: AccountNow,
        form: Mapping[str, str],
        changes: dict[str, str] | None,
        *,
        dry_run: bool,
    ) -> Changed | web.Response:
        """What the store and the checks say; a page where they refuse."""
        store, settings = self._shared.stores.get(now.name), self._settings[now.name]
        if store is None:
            return self._refused(now, form, changes, "NOT DONE: the store is not open.")
        try:
            wanted = await self._wanted(store, settings, form, changes)
            report = await commands.changed_in(
                store,
                settings,
                wanted,
                who=f"{commands.somebody()} (console)",
                why=commands.reason(form.get("why", "")),
                seen_version=_whole(form.get("version", "")),
                dry_run=dry_run,
                trial_max_s=ASK_MAX_S,
            )
        except ConfigurationError as error:
            return self._refused(now, form, changes, str(error), error.by_name)
        except (NotDoneError, StoreError, MisconfiguredError, ValueError) as error:
            return self._refused(now, form, changes, one_line(origins(str(error))))
        if report.refused:
            await self._shared.accounts.read(now.name)
            others = "".join(
                f" {each.name}: {each.before} → {each.after}." for each in report.others
            )
            text = f"Refused: {report.refused}.{others and ' Meanwhile:'}{others}"
            return self._refused(self._shared.accounts.of[now.name], form, changes, text)
        return report

    async def _wanted(
        self,
        store: Store,
        settings: AccountSettings,
        form: Mapping[str, str],
        changes: dict[str, str] | None,
    ) -> commands.Change:
        if changes is not None:
            return commands.setting(changes)
        return await commands.as_in_version(store, settings, _whole(form.get("to", "")))

    def _refused(
        self,
        now: AccountNow,
        form: Mapping[str, str],
        changes: dict[str, str] | None,
        text: str,
        mistakes: Mapping[str, str] | None = None,
    ) -> web.Response:
        page = self._again(now, form, changes, mistakes=mistakes)
        known = "" if text.startswith("NOT KNOWN") else "Nothing is changed. "
        message = Message(f"{known}{text}", failed=True)
        return self._answer(now, page, status=422 if mistakes else 409, message=message)

    def _again(
        self,
        now: AccountNow,
        form: Mapping[str, str],
        changes: dict[str, str] | None,
        mistakes: Mapping[str, str] | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """The page with what was typed still in its fields."""
        typed = {
            name: "" if value == shown(None) else value for name, value in (changes or {}).items()
        }
        groups, trouble = self._form(now, typed, mistakes)
        return self._page(now, groups=groups, why=form.get("why", ""), trouble=trouble, **more)

    def _answer(
        self,
        now: AccountNow,
        page: Mapping[str, Any],
        *,
        status: int = 200,
        message: Message | None = None,
    ) -> web.Response:
        given = {
            "view": self.name,
            "title": self.title,
            "events": f"/events/{self.name}?account={now.name}",
            "message": message,
            "data_at_ms": self.data_at_ms(),
            **page,
        }
        text = self._shared.pages.render(self.template, **given)
        return web.Response(text=text, status=status, content_type="text/html")

    def _named(self, form: Mapping[str, str]) -> AccountNow:
        now = self._shared.accounts.of.get(form.get("account", ""))
        if now is None:
            raise web.HTTPNotFound
        return now

    async def _read_history(self, now: AccountNow) -> None:
        known, store = self._history.get(now.name), self._shared.stores.get(now.name)
        version = 0 if now.configuration is None else now.configuration.version
        if store is None or not version or (known is not None and known.in_force == version):
            return
        try:
            self._history[now.name] = await commands.history_in(store, HISTORY_SHOWN)
        except (StoreError, NotDoneError) as error:
            if (unlogged := self._failures.admit()) is not None:
                _log.warning(
                    "console_history_not_read",
                    account=now.name,
                    error=one_line(origins(str(error))),
                    unlogged_before=unlogged,
                )


async def _posted(request: web.Request) -> dict[str, str]:
    """The texts of a form."""
    form = await request.post()
    return {name: value for name, value in form.items() if isinstance(value, str)}


def _whole(text: str) -> int:
    """A version. Raises ConfigurationError."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ConfigurationError("no version is named")
    return int(text)
