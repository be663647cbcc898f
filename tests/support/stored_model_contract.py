"""Any store against the pure model: any account, any claim, any history.

A subclass in a test module gives the fixture `opened`, of the session or module.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from functions.core.account import NO_PAUSE, Account, Limits, Pause, refusal_of
from functions.core.claim import (
    TRANSITIONS,
    UNRESOLVED,
    Claim,
    ClaimEvent,
    ClaimState,
    entries_difference,
    moved,
)
from functions.core.collective import CollectiveLimits
from functions.core.configuration import ConfigurationRow
from functions.ports import Claimed, ClaimRefused, Store
from tests.support.configuration_builders import a_row
from tests.support.store_builders import LIMITS, NOW_MS, make_account, make_claim

MARKETS = ["0xm1", "0xm2", "0xm3", "0xm4", "0xm5"]
MIDNIGHT_MS = 1_790_035_200_000  # 2026-09-22T00:00:00Z
DAYS = ["2026-09-20", "2026-09-21", "2026-09-22"]
ROOM_E6 = LIMITS.daily_spend_cap_e6 - 1_100_000
PAUSES = [Pause(reason="r", since_ms=0, until_ms=NOW_MS + ms) for ms in (-1, 0, 1)]
LOSS_E6 = LIMITS.daily_loss_limit_e6

# Shrinking a failure takes thousands of calls of some milliseconds: the test's timeout would end it
# and report that instead. The failure as it was found is small enough to read.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)


class Opened:
    """A store on a loop of its own, so that plain (not async) properties can drive it."""

    def __init__(self, runner: asyncio.Runner, store: Store, table: Any) -> None:
        self.table = table
        """What is stored as a person sees and changes it."""
        self._runner, self._store = runner, store

    def claim(
        self,
        claim: Claim,
        limits: Limits,
        now_ms: int,
        collective: CollectiveLimits | None = None,
    ) -> Claimed | ClaimRefused:
        return self._runner.run(self._store.claim(claim, limits, now_ms, collective))

    def move(self, claim: Claim, seen: Claim) -> bool:
        return self._runner.run(self._store.move(claim, seen))

    def forget(self, claim: Claim) -> None:
        self._runner.run(self._store.forget(claim))

    def set_configuration(self, row: ConfigurationRow, seen_version: int) -> bool:
        return self._runner.run(self._store.set_configuration(row, seen_version))

    def configuration(self) -> ConfigurationRow | None:
        return self._runner.run(self._store.configuration())


@contextmanager
def opened_on(opening: AbstractAsyncContextManager[Store], table: Any) -> Iterator[Opened]:
    with asyncio.Runner() as runner:
        store = runner.run(opening.__aenter__())
        try:
            yield Opened(runner, store, table)
        finally:
            runner.run(opening.__aexit__(None, None, None))


def day_of(now_ms: int) -> str:
    return datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y-%m-%d")


def near(value: int) -> st.SearchStrategy[int]:
    """On the edge, beside it, and far away."""
    return st.sampled_from([value - 1, value, value + 1, value - 10**9, value + 10**9])


@st.composite
def situations(draw: st.DrawFn) -> tuple[Account, Limits, int]:
    now_ms = draw(st.sampled_from([NOW_MS, MIDNIGHT_MS - 1, MIDNIGHT_MS]))
    held = draw(st.lists(st.sampled_from(MARKETS), unique=True, max_size=4))
    account = make_account(
        trading=draw(st.sampled_from(["enabled", "enabled", "enabled", "halted", "", "Enabled"])),
        claims={
            claim.slot: claim
            for claim in (
                make_claim(
                    market,
                    f"old-{market}",
                    state=draw(st.sampled_from(ClaimState)),
                    by_intent=draw(st.booleans()),
                )
                for market in held
            )
        },
        cooldowns=draw(st.dictionaries(st.sampled_from(MARKETS), near(now_ms), max_size=3)),
        pnl_e6=draw(st.dictionaries(st.sampled_from(DAYS), near(-LOSS_E6), max_size=2)),
        spent_e6=draw(st.dictionaries(st.sampled_from(DAYS), near(ROOM_E6), max_size=2)),
        pause=draw(st.sampled_from([NO_PAUSE, NO_PAUSE, *PAUSES])),
        entries=draw(
            st.dictionaries(
                st.sampled_from([make_claim(market).window for market in MARKETS]),
                st.integers(0, 3),
                max_size=3,
            )
        ),
        config_version=draw(st.sampled_from([1, 1, 1, 1, 0, 2, None])),
        collective=draw(st.sampled_from(["", "", "", "group"])),
    )
    limits = msgspec.structs.replace(
        LIMITS,
        max_positions=draw(st.integers(0, 5)),
        max_entries_per_market=draw(st.sampled_from([None, 1, 2])),
        config_version=draw(st.sampled_from([1, 1, 1, 0])),
    )
    return account, limits, now_ms


EVENTS = [event for event in ClaimEvent if event is not ClaimEvent.LOOKED]


class AccountHistory(RuleBasedStateMachine):
    """Claims, repeats, resolutions, halts and time, beside a dictionary that does the same."""

    opened: Opened  # given by the test

    def __init__(self) -> None:
        super().__init__()
        self.account = make_account()
        self.now_ms = NOW_MS
        self.attempts = itertools.count(1)
        self.limits = LIMITS
        self.versions = 0
        """Of the configuration; `limits` are of the last one that was heard of."""
        self.in_force = 0
        """Positions."""
        self.made: dict[str, Claim] = {}
        """By intent id, as they are now, or were when they were forgotten."""

    @initialize(max_positions=st.integers(1, 4), max_entries=st.sampled_from([None, 1, 2, 3]))
    def start(self, max_positions: int, max_entries: int | None) -> None:
        self.limits = msgspec.structs.replace(
            LIMITS, max_positions=max_positions, max_entries_per_market=max_entries
        )
        self.in_force = max_positions
        self.opened.table.delete_configurations()
        self.opened.table.put_account(self.account)

    @rule(max_positions=st.integers(1, 4), heard=st.booleans(), stale=st.booleans())
    def the_configuration_changes(self, max_positions: int, heard: bool, stale: bool) -> None:
        """And the worker hears of it, or does not."""
        seen = self.versions - stale
        if seen < 0:
            return
        row = a_row(seen + 1, max_positions=max_positions, why=f"{self.versions} {stale}")
        assert self.opened.set_configuration(row, seen) is not stale
        if stale:
            return
        self.versions += 1
        assert self.opened.configuration() == row
        self.account = msgspec.structs.replace(self.account, config_version=self.versions)
        self.in_force = max_positions
        if heard:
            self.limits = msgspec.structs.replace(
                self.limits, max_positions=max_positions, config_version=self.versions
            )

    @rule(seconds=st.integers(0, 400))
    def time_passes(self, seconds: int) -> None:
        self.now_ms += seconds * 1000

    @rule(market=st.sampled_from(MARKETS), sent_twice=st.booleans())
    def claim(self, market: str, sent_twice: bool) -> None:
        claim = make_claim(market, f"a{next(self.attempts)}", claimed_at_ms=self.now_ms)
        reason = refusal_of(self.account, claim, self.limits, self.now_ms, day_of(self.now_ms))
        for _ in range(1 + sent_twice):
            result = self.opened.claim(claim, self.limits, self.now_ms)
            assert (reason is None) == isinstance(result, Claimed)
            assert reason is None or result == ClaimRefused(reason=reason, account=self.account)
        if reason is None:
            assert self.entries()[claim.window] < (self.limits.max_entries_per_market or 1 << 30)
            self.account.claims[market] = claim
            assert len(self.account.claims) <= self.in_force
            assert self.limits.config_version == self.versions
            self.account.cooldowns[market] = self.now_ms + self.limits.cooldown_ms
            self.spend(claim, claim.spend_e6)
            self.account.entries[claim.window] = self.account.entries.get(claim.window, 0) + 1
            self.made[claim.intent_id] = claim

    @precondition(lambda self: self.account.claims)
    @rule(
        data=st.data(),
        event=st.sampled_from(EVENTS),
        sent_twice=st.booleans(),
        stale=st.booleans(),
    )
    def move(self, data: st.DataObject, event: ClaimEvent, sent_twice: bool, stale: bool) -> None:
        held = self.account.claims[data.draw(st.sampled_from(sorted(self.account.claims)))]
        if (held.state, event) not in TRANSITIONS:
            return
        seen = msgspec.structs.replace(held, version=held.version + 1) if stale else held
        changed = moved(seen, event, filled_spend_e6=7, text="evidence", resolved_at_ms=self.now_ms)
        sent_before = False
        for _ in range(1 + sent_twice):
            done = self.opened.move(changed, seen)
            assert done == (not stale and not sent_before)
            sent_before = True
        if not stale:
            self.put(changed, held)
            entries = entries_difference(changed, held)
            if entries:
                window = held.window
                self.account.entries[window] = self.account.entries.get(window, 0) + entries

    @precondition(lambda self: self.account.claims)
    @rule(data=st.data(), event=st.sampled_from(EVENTS))
    def an_older_version_moves(self, data: st.DataObject, event: ClaimEvent) -> None:
        """It counts nothing, loses what it does not know, and leaves a claim where it stands."""
        held = self.account.claims[data.draw(st.sampled_from(sorted(self.account.claims)))]
        if (held.state, event) not in TRANSITIONS:
            return
        if held.state is ClaimState.RELEASED:
            return  # what comes back by it counts nowhere: a limit of entries does not bind it
        changed = moved(held, event, filled_spend_e6=7, resolved_at_ms=self.now_ms)
        self.put(msgspec.structs.replace(changed, by_intent=held.by_intent, counted=False), held)
        self.opened.table.put_account(self.account)

    def put(self, changed: Claim, held: Claim) -> None:
        del self.account.claims[held.slot]
        self.account.claims[changed.slot] = self.made[changed.intent_id] = changed
        self.spend(held, changed.reserved_e6 - held.reserved_e6)

    @precondition(lambda self: self.account.claims)
    @rule(data=st.data(), stale=st.booleans())
    def forget(self, data: st.DataObject, stale: bool) -> None:
        held = self.account.claims[data.draw(st.sampled_from(sorted(self.account.claims)))]
        self.opened.forget(
            msgspec.structs.replace(held, version=held.version - 1) if stale else held
        )
        if not stale:
            del self.account.claims[held.slot]

    def spend(self, claim: Claim, amount_e6: int) -> None:
        day = day_of(claim.claimed_at_ms)
        if amount_e6:
            self.account.spent_e6[day] = self.account.spent_e6.get(day, 0) + amount_e6

    @rule(trading=st.sampled_from(["enabled", "halted"]))
    def a_person_changes_trading(self, trading: str) -> None:
        self.account = msgspec.structs.replace(self.account, trading=trading)
        self.opened.table.put_account(self.account)

    @invariant()
    def never_more_than_allowed(self) -> None:
        claims = self.account.claims.values()
        unresolved = [each.condition_id for each in claims if each.state in UNRESOLVED]
        assert len(unresolved) == len(set(unresolved))
        for window, number in self.entries().items():
            over = self.now_ms >= make_claim().market_end_ms  # of all of them
            assert over or number <= self.account.entries[window]

    def entries(self) -> Counter[str]:
        """By window, counted here and not by the code: what has not ended with nothing bought."""
        live = (each for each in self.made.values() if each.state is not ClaimState.RELEASED)
        return Counter(each.window for each in live)

    def teardown(self) -> None:
        assert self.opened.table.account() == self.account


class StoredModelContract:
    """Inherit it, and give the fixture `opened`."""

    @given(situations(), st.sampled_from(MARKETS))
    @settings(
        max_examples=50,
        deadline=None,
        phases=PHASES,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    def test_the_condition_is_the_model(
        self, opened: Opened, situation: tuple[Account, Limits, int], market: str
    ) -> None:
        account, limits, now_ms = situation
        opened.table.put_account(account)
        claim = make_claim(market, "new", claimed_at_ms=now_ms)
        reason = refusal_of(account, claim, limits, now_ms, day_of(now_ms))
        result = opened.claim(claim, limits, now_ms)
        if reason is not None:
            assert result == ClaimRefused(reason=reason, account=account)
            assert opened.table.account() == account
        else:
            assert result == Claimed()
            day = day_of(now_ms)
            assert opened.table.account() == msgspec.structs.replace(
                account,
                claims=account.claims | {market: claim},
                cooldowns=account.cooldowns | {market: now_ms + limits.cooldown_ms},
                spent_e6=account.spent_e6 | {day: account.spent_e6.get(day, 0) + claim.spend_e6},
                entries=account.entries | {claim.window: account.entries.get(claim.window, 0) + 1},
            )

    def test_any_history_is_the_models_history(self, opened: Opened) -> None:
        AccountHistory.opened = opened
        run_machine(
            AccountHistory,
            settings=settings(
                max_examples=15, stateful_step_count=20, deadline=None, phases=PHASES
            ),
        )
