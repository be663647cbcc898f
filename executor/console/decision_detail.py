"""One decision with all that is known of it: its book, numbers, order, and what came afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from backtest.replay.answers import Strategies
from backtest.replay.explained import Explained, MarkoutLater, explained
from executor.commands.explain import claim_of, configuration_of, with_claim
from executor.console.decision_reader import AFTER_MS
from executor.console.decision_rows import filled_text
from executor.console.decision_search import DecisionSearch, DecisionSearches
from executor.console.decision_timeline import timeline_of
from functions.core.claim import Claim
from functions.core.configuration import ConfigurationRow, shown
from functions.ports import Store, StoreError
from protocol.decision import Decision
from protocol.snapshot import UNDECODABLE
from runtime.addresses import origins
from runtime.output import one_line

KEPT_MAX: Final = 32
READ_TIMEOUT_S: Final = 5.0
"""Whoever opens the page waits for it."""
READ_AGAIN_MS: Final = 5_000
WATCHED_MS: Final = 10_000
"""So long after somebody has looked at it last, a decision is followed."""
FOLLOWED_MS: Final = 3_600_000
"""A claim that is nowhere to be found is looked for no longer than that after its decision."""
SEARCH_AGAIN_MS: Final = 10_000
_SUFFIXES: Final = ("_min", "_max")


class StrategyNumber(msgspec.Struct, frozen=True, kw_only=True):
    """One number of a strategy's, and the parameters that it was measured by."""

    name: str
    value: float
    thresholds: tuple[tuple[str, str], ...]
    """(parameter, value); empty: no parameter is named after it."""


class DecisionDetail(msgspec.Struct, kw_only=True):
    """What is known of one decision so far."""

    decision: Decision
    claim: Claim | None = None
    source: str = ""
    """`account` or `ledger`: where the claim stands."""
    row: ConfigurationRow | None = None
    problem: str = ""
    """Why store and configuration were not read."""
    read_at_ms: int = 0
    watched_at_ms: int = 0


class DecisionDetails:
    """The decisions that somebody has looked at last."""

    def __init__(
        self,
        stores: Mapping[str, Store],
        searches: DecisionSearches,
        now_ms: Callable[[], int],
    ) -> None:
        self._stores, self._searches, self._now_ms = stores, searches, now_ms
        self._known: dict[str, DecisionDetail] = {}

    async def open(self, decision: Decision) -> None:
        """Somebody wants to see it: read what the store has, and search in the recording."""
        detail = self._known.pop(decision.decision_id, None)
        if detail is None or detail.decision.strategy != decision.strategy:
            detail = DecisionDetail(decision=decision)
        self._known[decision.decision_id] = detail
        while len(self._known) > KEPT_MAX:
            del self._known[next(iter(self._known))]
        detail.watched_at_ms = self._now_ms()
        await self._read(detail)
        if self._to_be_searched(self._searches.of(decision.decision_id)):
            self._searches.ask(decision)

    def variables(self, decision_id: str) -> dict[str, Any] | None:
        """For the page and its parts, as of now. None: it is not known, or not any more."""
        detail = self._known.get(decision_id)
        if detail is None:
            return None
        detail.watched_at_ms = self._now_ms()
        search = self._searches.of(decision_id)
        told = self._told(detail, search)
        return {
            "told": told,
            "decision": told.decision,
            "filled": filled_text(told.decision),
            "numbers": numbers_of(told.decision, told.parameters),
            "parameters": _named_values(told.parameters),
            "settings": _named_values(told.settings),
            "timeline": timeline_of(detail.decision, detail.claim),
            "source": detail.source,
            "state": "" if detail.claim is None else detail.claim.state.value,
            "markouts": [each for each in told.markouts if each.after_s is not None],
            "resolved": _resolved(told.markouts),
            "search": search,
            "problem": detail.problem,
        }

    async def run(self) -> None:
        """Follow what somebody looks at, until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            now_ms = self._now_ms()
            for detail in list(self._known.values()):
                watched = now_ms - detail.watched_at_ms < WATCHED_MS
                if watched and now_ms - detail.read_at_ms >= READ_AGAIN_MS:
                    await self._read(detail)

    def _told(self, detail: DecisionDetail, search: DecisionSearch | None) -> Explained:
        found = None if search is None else search.found
        if found is None:
            why = "" if search is None else search.why_not
            found = explained(
                detail.decision, "the decision log", detail.row, None, why, Strategies(), None
            )
        if detail.decision.intent_id:
            return with_claim(found, detail.claim, detail.source)
        return found

    def _to_be_searched(self, search: DecisionSearch | None) -> bool:
        """Whoever opens the page again wants another search where the last one could not know all
        yet."""
        if search is None:
            return True
        if search.searching or self._now_ms() - search.searched_at_ms < SEARCH_AGAIN_MS:
            return False
        early = search.searched_at_ms < search.at_ms + AFTER_MS
        return search.found is None or early

    async def _read(self, detail: DecisionDetail) -> None:
        """The claim as it is now, unless it has ended. Raises nothing."""
        decision, now_ms = detail.decision, self._now_ms()
        detail.read_at_ms = now_ms
        store = self._stores.get(decision.strategy)
        if store is None:
            detail.problem = f"the store of {decision.strategy} is not open here"
            return
        claim = detail.claim
        late = claim is None and now_ms - decision.decided_at_ms > FOLLOWED_MS
        ended = claim is not None and claim.ended
        known = not decision.intent_id or ended or (late and bool(detail.source))
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                if detail.row is None and decision.config_version:
                    detail.row = await configuration_of(store, decision.config_version)
                if not known:
                    detail.claim, source = await claim_of(store, decision)
                    detail.source = source or "nowhere"
            detail.problem = ""
        except (StoreError, TimeoutError) as error:
            why = one_line(origins(str(error))) or f"no answer within {READ_TIMEOUT_S:g} s"
            detail.problem = f"the store was not read: {why}"


def numbers_of(decision: Decision, parameters: str) -> list[StrategyNumber]:
    """The strategy's numbers, each with the parameters that are named after it."""
    named = dict(_named_values(parameters))
    numbers = decision.numbers or {"imbalance": decision.imbalance}
    return [
        StrategyNumber(
            name=name,
            value=value,
            thresholds=tuple(
                (f"{name}{suffix}", named[f"{name}{suffix}"])
                for suffix in _SUFFIXES
                if f"{name}{suffix}" in named
            ),
        )
        for name, value in numbers.items()
    ]


def _named_values(text: str) -> list[tuple[str, str]]:
    """A JSON object as pairs; none where it is none."""
    if not text:
        return []
    try:
        named = msgspec.json.decode(text, type=dict[str, Any])
    except (*UNDECODABLE, ValueError):
        return []
    return [(name, shown(value)) for name, value in named.items()]


def _resolved(markouts: list[MarkoutLater]) -> MarkoutLater | None:
    return next((each for each in markouts if each.after_s is None), None)
