"""The newest decisions, which of them a page shows, and one as a row of its table. Pure."""

from __future__ import annotations

import re
from bisect import insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias
from urllib.parse import urlencode

import msgspec

from executor.console.formats import clock, millis, price, size, usd
from executor.reports import stages_us
from functions.core.account import utc_day
from protocol.decision import Decision

KEPT_MAX: Final = 2_000
PAGE_ROWS: Final = 50
PAGES_MAX: Final = 1_000
CHOICES_MAX: Final = 200
"""Of one kind, in the form of the filter."""
FIELD_LENGTH_MAX: Final = 256
LINKED_ID: Final = r"[A-Za-z0-9_-]{1,128}"
"""Ids that can stand in a path: all that a worker makes."""
_is_linked: Final = re.compile(LINKED_ID).fullmatch
_Key: TypeAlias = tuple[str, str]


class DecisionFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What a page's query asks for; empty: all."""

    account: str = ""
    result: str = ""
    reason: str = ""
    market: str = ""
    """A part of the market's slug."""
    page: int = 0

    @classmethod
    def of(cls, query: Mapping[str, str]) -> DecisionFilter:
        """Whatever a query says: what cannot be meant is nothing."""
        texts = {
            name: query.get(name, "").strip()[:FIELD_LENGTH_MAX]
            for name in ("account", "result", "reason", "market")
        }
        page = query.get("page", "")
        number = int(page) if page.isascii() and page.isdigit() and len(page) < 6 else 0
        return cls(page=min(number, PAGES_MAX), **texts)

    def takes(self, decision: Decision) -> bool:
        """Whether the page wants it."""
        return (
            self.account in ("", decision.strategy)
            and self.result in ("", decision.result)
            and self.reason in ("", decision.reason)
            and self.market.lower() in decision.slug.lower()
        )

    def query(self, page: int = 0) -> str:
        """The same of another page, for a link."""
        given = {
            "account": self.account,
            "result": self.result,
            "reason": self.reason,
            "market": self.market,
            "page": str(page) if page else "",
        }
        return urlencode({name: text for name, text in given.items() if text})

    @property
    def narrows(self) -> bool:
        """Whether it leaves anything out."""
        return bool(self.account or self.result or self.reason or self.market)


class DecisionPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of decisions, newest first."""

    decisions: Sequence[Decision]
    newer: bool
    older: bool
    """Whether there is a page after it."""


def page_of(decisions: Iterable[Decision], wanted: DecisionFilter) -> DecisionPage:
    """Of `decisions`, newest first; reads no further than it must."""
    skip, found = wanted.page * PAGE_ROWS, list[Decision]()
    for each in decisions:
        if not wanted.takes(each):
            continue
        if skip:
            skip -= 1
            continue
        found.append(each)
        if len(found) > PAGE_ROWS:
            break
    older = len(found) > PAGE_ROWS and wanted.page < PAGES_MAX
    return DecisionPage(decisions=found[:PAGE_ROWS], newer=wanted.page > 0, older=older)


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What can be chosen in the form."""

    accounts: tuple[str, ...]
    results: tuple[str, ...]
    reasons: tuple[str, ...]
    markets: tuple[str, ...]

    @classmethod
    def of(cls, decisions: Iterable[Decision]) -> Choices:
        """All that is there, as far as a form has room."""
        accounts, results, reasons, markets = (dict[str, None]() for _ in range(4))
        for each in decisions:
            accounts[each.strategy] = results[each.result] = reasons[each.reason] = None
            markets[each.slug] = None
        return cls(
            accounts=tuple(sorted(accounts)[:CHOICES_MAX]),
            results=tuple(sorted(results)),
            reasons=tuple(sorted(reasons)[:CHOICES_MAX]),
            markets=tuple(markets)[:CHOICES_MAX],  # the newest ones
        )


class NewestDecisions:
    """The newest `KEPT_MAX` of all accounts, each once, whichever way they came."""

    def __init__(self) -> None:
        self._order: list[tuple[int, _Key]] = []
        """Oldest first."""
        self._kept: dict[_Key, Decision] = {}
        self._choices: tuple[int, Choices] | None = None
        self.version = 0
        """Counts the changes."""

    def __len__(self) -> int:
        return len(self._order)

    def put(self, decisions: Iterable[Decision]) -> int:
        """Keep those that are new, and say how many. Which books each saw, is not kept."""
        new = 0
        for each in decisions:
            key = each.strategy, each.decision_id
            place = each.decided_at_ms, key
            if key in self._kept or (len(self) >= KEPT_MAX and place < self._order[0]):
                continue
            self._kept[key] = msgspec.structs.replace(each, memory_versions="", memory_digest="")
            insort(self._order, place)
            if len(self) > KEPT_MAX:
                del self._kept[self._order.pop(0)[1]]
            new += 1
        self.version += new > 0
        return new

    def newest_first(self) -> Iterator[Decision]:
        """All that are kept."""
        return (self._kept[key] for _, key in reversed(self._order))

    def named(self, decision_id: str) -> Decision | None:
        """The newest one of that id."""
        return next((each for each in self.newest_first() if each.decision_id == decision_id), None)

    def choices(self) -> Choices:
        """For the form of the filter."""
        if self._choices is None or self._choices[0] != self.version:
            self._choices = self.version, Choices.of(self.newest_first())
        return self._choices[1]


class DecisionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One decision as the table shows it: text, not yet escaped."""

    path: str
    """Of its page; empty: its id cannot stand in a path."""
    time: str
    day: str
    account: str
    market: str
    outcome: str
    result: str
    reason: str
    repeats: int
    signal: str
    limit: str
    filled: str
    stages: str
    version: str

    @classmethod
    def of(cls, decision: Decision, today: str = "") -> DecisionRow:
        """One row; the day is left out where it is `today`."""
        at_ms = decision.decided_at_ms
        day = utc_day(at_ms)
        return cls(
            path=path_of(decision),
            time=clock(at_ms),
            day="" if day == today else day,
            account=decision.strategy,
            market=decision.slug,
            outcome=decision.outcome,
            result=decision.result,
            reason=decision.reason,
            repeats=decision.repeats,
            signal=price(decision.signal_price_e4),
            limit=price(decision.max_price_e4),
            filled=filled_text(decision),
            stages=stages_text(decision),
            version=str(decision.config_version or ""),
        )


def path_of(decision: Decision) -> str:
    """Of a decision's page. The query says where to look for it once it is not among the newest."""
    if _is_linked(decision.decision_id) is None:
        return ""
    where = urlencode({"account": decision.strategy, "day": utc_day(decision.decided_at_ms)})
    return f"/decisions/{decision.decision_id}?{where}"


def filled_text(decision: Decision) -> str:
    """What it bought."""
    if not decision.filled_size_e6:
        return ""
    return f"{size(decision.filled_size_e6)} for {usd(decision.filled_spend_e6)}"


def stages_text(decision: Decision) -> str:
    """How long each stage took: `publish 0.21 ms, deliver 0.80 ms`."""
    told = stages_us(decision.timeline).items()
    return ", ".join(f"{name} {millis(took_us / 1_000)}" for name, took_us in told)
