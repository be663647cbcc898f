"""The view *Decisions*: the newest ones of all accounts as they are made, older ones by their day,
and each with all that is known of it.

They come from `decision.*` as the workers publish them, and from the decision log, which also has
what was published while NATS was away. JetStream is not asked: what it keeps, the log has.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from typing import Any, Final

import structlog
from aiohttp import web
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from executor.console.decision_days import DecisionDays
from executor.console.decision_detail import DecisionDetails
from executor.console.decision_rows import (
    KEPT_MAX,
    LINKED_ID,
    DecisionFilter,
    DecisionRow,
    NewestDecisions,
    page_of,
)
from executor.console.decision_search import DecisionSearches
from executor.console.view import Query, Shared
from functions.core.account import utc_day
from functions.core.group import is_file
from functions.ports import StoreError, UnreadableRowsError
from protocol.decision import Decision, decode_decision
from protocol.snapshot import ProtocolError
from protocol.subjects import DECISIONS
from runtime.addresses import origins
from runtime.line_throttle import LineThrottle
from runtime.output import one_line

DAYS_KEPT: Final = 8
"""The log keeps a week."""
BEGUN_WITH_MIN: Final = 200
"""Decisions of an account to begin with; for fewer, an earlier day is read, too."""
READ_AGAIN_S: Final = 20.0
READ_AGAIN_ROWS: Final = 100
READ_TIMEOUT_S: Final = 15.0
TRY_AGAIN_S: Final = 3.0
MESSAGE_BYTES_MAX: Final = 64 << 10
"""A worker's are far smaller; two thousand are kept."""
RENDERED_MAX: Final = 16
_DAY_MS: Final = 86_400_000
_is_day: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII).fullmatch
_log = structlog.get_logger()


class DecisionsView:
    """See the module's text."""

    name, title, template = "decisions", "Decisions", "decisions.html"

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._newest = NewestDecisions()
        self._days = DecisionDays(shared.stores, shared.now_ms)
        own = [each.strategy for each in shared.settings.entries if is_file(each.strategy)]
        self._searches = DecisionSearches(self._recording, own, shared.now_ms)
        self._details = DecisionDetails(shared.stores, self._searches, shared.now_ms)
        self._problems: dict[str, str] = {}
        """By account, why its log was not read."""
        self._begun = False
        self._unread = 0
        self._unreadable = LineThrottle()
        self._current_at_ms = 0
        """When all that had been published had come."""
        self._rendered: dict[DecisionFilter, tuple[object, str]] = {}

    # -- what is shown -----------------------------------------------------------------------------

    def variables(self, query: Query) -> dict[str, Any]:
        """For the page of the newest ones."""
        wanted = DecisionFilter.of(query)
        return {
            "wanted": wanted,
            "choices": self._newest.choices(),
            "kept_max": KEPT_MAX,
            "days": self._known_days(),
            "day": "",
            **self._table(wanted),
        }

    def parts(self, query: Query) -> dict[str, str]:
        """The newest ones that the query wants, or one decision's page."""
        if decision_id := query.get("id", ""):
            found = self._details.variables(decision_id)
            if found is None:
                return {}
            return {"decisions-detail": self._part("detail", **found)}
        wanted = DecisionFilter.of(query)
        problems = tuple(self._problems.items())
        told = self._newest.version, self._begun, problems, self._unread, self._today()
        if (known := self._rendered.get(wanted)) is None or known[0] != told:
            while len(self._rendered) >= RENDERED_MAX:
                del self._rendered[next(iter(self._rendered))]
            known = told, self._part("table", wanted=wanted, day="", **self._table(wanted))
            self._rendered[wanted] = known
        return {"decisions-table": known[1]}

    def data_at_ms(self) -> int:
        """While decisions would come, if any were made, that is now: when NATS was last asked for
        something that it has answered, and was asked for books."""
        if self._begun:
            self._current_at_ms = max(self._current_at_ms, self._shared.books.answered_at_ms)
        return self._current_at_ms

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """A day, and a decision."""
        return (
            web.get("/decisions/day/{day}", self._day),
            web.get(f"/decisions/{{id:{LINKED_ID}}}", self._decision),
        )

    def _table(self, wanted: DecisionFilter) -> dict[str, Any]:
        page = page_of(self._newest.newest_first(), wanted)
        notes = list(self._problems.values())
        if not self._begun and not notes:
            notes.append("The decision log is being read.")
        if self._unread:
            notes.append(f"{self._unread} messages on decision.* could not be read.")
        return {
            "rows": [DecisionRow.of(each, self._today()) for each in page.decisions],
            "several": self._several(),
            "page": page,
            "notes": notes,
            "complete": len(self._newest) < KEPT_MAX,
        }

    def _part(self, macro: str, **arguments: Any) -> str:
        return self._shared.pages.part("decisions_parts.html", macro, **arguments)

    def _several(self) -> bool:
        return len(self._shared.accounts.of) > 1

    def _today(self) -> str:
        return utc_day(self._shared.now_ms())

    def _known_days(self) -> list[str]:
        now_ms = self._shared.now_ms()
        return [utc_day(now_ms - days * _DAY_MS) for days in range(DAYS_KEPT)]

    def _recording(self) -> str:
        status = self._shared.system()
        return "" if status is None else status.recording

    async def _day(self, request: web.Request) -> web.Response:
        """All of a day, from the log. It does not change by itself."""
        day = request.match_info["day"]
        try:
            known = bool(_is_day(day)) and date.fromisoformat(day).isoformat() == day
        except ValueError:
            known = False
        if not known:
            raise web.HTTPNotFound
        wanted = DecisionFilter.of(request.query)
        page, read = await self._days.page(day, wanted)
        notes = list(read.problems)
        if not read.complete and not page.older and len(read.decisions) > 0:
            notes.append("Older ones of this day are too many to be read here.")
        text = self._shared.pages.render(
            self.template,
            view=self.name,
            title=self.title,
            wanted=wanted,
            choices=self._newest.choices(),
            kept_max=KEPT_MAX,
            days=self._known_days(),
            day=day,
            rows=[DecisionRow.of(each, day) for each in page.decisions],
            several=self._several(),
            page=page,
            notes=notes,
            complete=read.complete,
        )
        return web.Response(text=text, content_type="text/html")

    async def _decision(self, request: web.Request) -> web.Response:
        decision_id = request.match_info["id"]
        account, day = request.query.get("account", ""), request.query.get("day", "")
        decision = self._newest.named(decision_id)
        if decision is None and account in self._shared.stores and _is_day(day):
            decision = await self._days.decision(account, day, decision_id)
        found = None
        if decision is not None:
            await self._details.open(decision)
            found = self._details.variables(decision_id)
        text = self._shared.pages.render(
            "decision.html",
            view=self.name,
            title="Decision",
            events=f"/events/{self.name}?id={decision_id}" if found else "/events/page",
            data_at_ms=self.data_at_ms() if found else self._shared.accounts.read_at_ms(),
            decision_id=decision_id,
            found=found,
        )
        return web.Response(
            text=text, content_type="text/html", status=200 if found is not None else 404
        )

    # -- how it comes ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Take what is published, read what is in the log, follow what somebody looks at."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take_published())
            group.create_task(self._read_log())
            group.create_task(self._searches.run())
            group.create_task(self._details.run())

    async def _take_published(self) -> None:
        nc = await self._shared.nats.connected()
        taken = await nc.subscribe(DECISIONS.subjects[0], cb=self._take)
        try:
            await asyncio.Event().wait()
        finally:
            with suppress(NatsError):  # the connection is closed, or about to be
                await taken.unsubscribe()

    async def _take(self, message: Msg) -> None:
        try:
            decision = _decoded(message.data)
        except ProtocolError as error:
            self._unread += 1
            if (unlogged := self._unreadable.admit()) is not None:
                _log.warning("decision_malformed", error=str(error), unlogged_before=unlogged)
            return
        self._newest.put([decision])

    async def _read_log(self) -> None:
        """What is there already; then what was missed while NATS was away."""
        begun = set[str]()
        while True:
            names = list(self._shared.accounts.of)
            for name in names:
                if await self._read_account(name, begun=name in begun):
                    begun.add(name)
            self._begun = begun.issuperset(names)
            await asyncio.sleep(READ_AGAIN_S if self._begun else TRY_AGAIN_S)
            if self._begun:
                await self._shared.audience.come()

    async def _read_account(self, name: str, *, begun: bool) -> bool:
        """Whether its log was read."""
        store = self._shared.stores.get(name)
        if store is None:
            return False
        accounts = max(len(self._shared.accounts.of), 1)
        limit = READ_AGAIN_ROWS if begun else max(KEPT_MAX // accounts, READ_AGAIN_ROWS)
        read, problem = 0, ""
        now_ms = self._shared.now_ms()
        for days in range(1 if begun else DAYS_KEPT):
            try:
                async with asyncio.timeout(READ_TIMEOUT_S):
                    rows = await store.decisions(utc_day(now_ms - days * _DAY_MS), limit - read)
            except UnreadableRowsError as error:
                rows, problem = error.readable, f"{name}: {one_line(origins(str(error)))}"
            except (StoreError, TimeoutError) as error:
                why = one_line(origins(str(error))) or f"no answer within {READ_TIMEOUT_S:g} s"
                self._problems[name] = f"{name}: the decision log was not read: {why}"
                return False
            self._newest.put(rows)
            read += len(rows)
            if read >= min(BEGUN_WITH_MIN, limit):
                break
        self._problems.pop(name, None)
        if problem:
            self._problems[name] = problem
        return True


def _decoded(payload: bytes) -> Decision:
    """Raises ProtocolError, also for one that is too long to be kept."""
    if len(payload) > MESSAGE_BYTES_MAX:
        raise ProtocolError(f"decision: {len(payload)} bytes")
    return decode_decision(payload)
