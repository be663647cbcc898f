"""Stand-ins for the three ports, in memory, that keep a record of every call in one list."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import deepcopy
from typing import Final, TypeVar

import msgspec

from functions.core.account import (
    Account,
    ClaimRefusal,
    Limits,
    Pause,
    Redemption,
    new_account,
    refusal_of,
)
from functions.core.claim import Claim, ClaimState, entries_difference
from functions.core.collective import CollectiveLimits
from functions.core.evidence import OrderLookup, Resolution, Undecided
from functions.core.pruning import LATE_REQUEST_MS, WINDOW_KEPT_MS
from functions.core.trade import Trade
from functions.core.winnings import key_of, note_of
from functions.ports import (
    Claimed,
    ClaimRefused,
    ClaimResult,
    MinedTransaction,
    PreparedOrder,
    RecordsError,
    StoreError,
)
from protocol.decision import Decision
from protocol.fill import Fill
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot
from tests.support.memory_configurations import MemoryConfigurations
from tests.support.memory_groups import MemoryGroup
from tests.support.memory_numbers import DAYS_KEPT_MS, added, count_down, day_of, plus
from tests.support.memory_wallets import MemoryTable, WalletsInMemory
from tests.support.trading_builders import TRADER, clob_market
from venue.wire.clob_market import ClobMarket
from venue.wire.order_answer import Accepted, Answer

Calls = list[str]
Hook = Callable[[], Awaitable[None]]
T = TypeVar("T")

NOT_YET: Final = Undecided(reason="the CLOB has not closed it")
NEW_ACCOUNT: Final = new_account()


class MemoryStore(WalletsInMemory, MemoryConfigurations):
    """The store's semantics in one process; `store_contract.py` holds it against the real one.

    Between the call and its effect nothing is awaited but `before`'s hooks, so every write is as
    conditional as it claims to be. Does not model: latency, limits on sizes, failures other than
    those injected.
    """

    def __init__(
        self, calls: Calls | None = None, table: MemoryTable | None = None, name: str = "strategy"
    ) -> None:
        super().__init__(table, name)
        self.calls: Calls = [] if calls is None else calls
        self.item: Account | None = NEW_ACCOUNT
        """The account item; None: nobody has opened the account yet."""
        self.config_rows, self.halts = {}, 0
        self.groups: dict[str, MemoryGroup] = {}
        self.of_group = ""
        self.rows: dict[tuple[int, str], Claim] = {}
        self.logged: dict[tuple[int, str], Decision] = {}
        self.failures: dict[str, int] = {}
        """How many of the next calls of a name fail without any effect."""
        self.lost: dict[str, int] = {}
        """How many of the next calls of a name have their effect and then no reply."""
        self.before: dict[str, Hook] = {}
        """Awaited once, before the next call of that name: somebody else is faster."""

    @property
    def claims(self) -> dict[str, Claim]:
        return self._account().claims

    @property
    def cooldowns(self) -> dict[str, int]:
        return self._account().cooldowns

    @property
    def filed(self) -> list[Claim]:
        """The ledger, oldest first."""
        return [self.rows[key] for key in sorted(self.rows)]

    async def open_account(self) -> Account:
        await self._called("open_account")
        if self.item is None:
            self.item = NEW_ACCOUNT
        return self._told("open_account", self.item)

    async def account(self) -> Account:
        await self._called("account")
        return self._told("account", self._account())

    def group(self, name: str) -> MemoryGroup:
        return self.groups.setdefault(name, MemoryGroup(name))

    async def claim(
        self, claim: Claim, limits: Limits, now_ms: int, collective: CollectiveLimits | None = None
    ) -> ClaimResult:
        if claim.state is not ClaimState.CLAIMED or claim.version != 1 or not claim.counted:
            raise ValueError(f"a claim begins as claimed, and counted, not as {claim.state}")
        if claim.collective != ("" if collective is None else collective.name):
            raise ValueError("a claim names the group that counts it, and no other")
        await self._called("claim")
        if claim.spend_e6 > limits.daily_spend_cap_e6:
            return ClaimRefused(reason=ClaimRefusal.DAILY_SPEND, account=None)
        reason = refusal_of(self.item, claim, limits, now_ms, day_of(now_ms))
        if self.item is None:
            return ClaimRefused(reason=ClaimRefusal.NO_ACCOUNT, account=None)
        if reason is not None:
            stored = map(self.item.claims.get, (claim.condition_id, claim.intent_id))
            if any(each is not None and each.attempt_id == claim.attempt_id for each in stored):
                return Claimed()
            return ClaimRefused(reason=reason, account=deepcopy(self.item))
        if collective is not None:
            group = self.group(collective.name)
            if reason := group.refusal(claim, collective, day_of(now_ms)):
                account = deepcopy(self.item)
                return ClaimRefused(reason=reason, account=account, collective=group.item)
            group.claimed(claim)
        self._put_claim(claim)
        self._change(
            cooldowns={
                **self.cooldowns,
                claim.condition_id: now_ms + max(limits.cooldown_ms, 1),
            },
            spent_e6=plus(self._account().spent_e6, now_ms, claim.spend_e6),
            entries=added(self._account().entries, claim.window, 1),
        )
        return self._told("claim", Claimed())

    async def move(self, claim: Claim, seen: Claim, *, redeem: bool = False) -> bool:
        await self._called("move")
        if not self._is_stored(seen):
            return False
        self._change(claims={k: v for k, v in self.claims.items() if k != seen.slot})
        self._put_claim(claim)
        self._book(claim, seen)
        if redeem:
            notes, key = self._account().redeem, key_of(claim)
            note = note_of(claim, seen, claim.booked_at_ms, notes.get(key))
            self._change(redeem={**notes, key: note})
        return self._told("move", True)

    async def reopen(self, claim: Claim, seen: Claim) -> bool:
        await self._called("reopen")
        row = self.rows.get((seen.claimed_at_ms, seen.intent_id))
        if claim.slot in self.claims or row is None or row.version != seen.version:
            return False
        self._put_claim(claim)
        self._book(claim, seen)
        self._change(cooldowns={**self.cooldowns, claim.condition_id: claim.market_end_ms})
        return self._told("reopen", True)

    async def put_ledger(self, claim: Claim) -> None:
        await self._called("put_ledger")
        key = (claim.claimed_at_ms, claim.intent_id)
        row = self.rows.get(key)
        if row is None or row.version <= claim.version:
            self.rows[key] = deepcopy(claim)
        self._told("put_ledger", None)

    async def forget(self, claim: Claim) -> None:
        await self._called("forget")
        if self._is_stored(claim):
            self._change(claims={k: v for k, v in self.claims.items() if k != claim.slot})
        self._told("forget", None)

    async def ledger(self, since_ms: int, until_ms: int) -> list[Claim]:
        await self._called("ledger")
        return deepcopy([c for c in self.filed if since_ms <= c.claimed_at_ms < until_ms])

    async def ledger_row(self, claim: Claim) -> Claim | None:
        await self._called("ledger_row")
        return deepcopy(self.rows.get((claim.claimed_at_ms, claim.intent_id)))

    async def halt(self, reason: str) -> None:
        await self._called("halt")
        if self.item is None:
            self.item = NEW_ACCOUNT
        self.halts += 1
        self._change(trading="halted", halt_reason=reason, halt_id=str(self.halts))
        self._told("halt", None)

    async def resume(self, seen: Account) -> bool:
        await self._called("resume")
        if self.item is None or self.item.halt_id != seen.halt_id:
            return False
        self._change(trading="enabled", halt_reason="")
        return self._told("resume", True)

    async def set_pause(self, pause: Pause, seen: Pause) -> bool:
        await self._called("set_pause")
        if self.item is None or self.item.pause != seen:
            return False
        self._change(pause=pause)
        return self._told("set_pause", True)

    async def prune(self, account: Account, now_ms: int) -> None:
        await self._called("prune")
        oldest_day = day_of(now_ms - DAYS_KEPT_MS)
        old_ms = now_ms - LATE_REQUEST_MS
        over = {market for market, until in account.cooldowns.items() if until <= old_ms}
        if any(self.cooldowns.get(market, old_ms + 1) > old_ms for market in over):
            return  # one of them began anew, or is gone: the next run will see
        now = self._account()
        self._change(
            cooldowns={k: v for k, v in now.cooldowns.items() if k not in over},
            pnl_e6={k: v for k, v in now.pnl_e6.items() if k >= oldest_day},
            spent_e6={k: v for k, v in now.spent_e6.items() if k >= oldest_day},
            entries={
                k: v for k, v in now.entries.items() if k >= f"{now_ms - WINDOW_KEPT_MS:015d}"
            },
        )

    async def set_redemptions(
        self, changes: Mapping[str, Redemption | None], seen: Mapping[str, Redemption]
    ) -> bool:
        await self._called("set_redemptions")
        waiting = self._account().redeem
        if any(waiting.get(key) != note for key, note in seen.items()):
            return False
        left = {key: changes.get(key, note) for key, note in waiting.items()}
        self._change(redeem={key: note for key, note in left.items() if note is not None})
        return True

    async def put_decisions(self, decisions: Sequence[Decision]) -> None:
        await self._called("put_decisions")
        for each in decisions:
            self.logged[each.decided_at_ms, each.decision_id] = deepcopy(each)

    async def decisions(self, day: str, limit: int) -> list[Decision]:
        await self._called("decisions")
        newest = sorted(self.logged.items(), reverse=True)
        return [each for (at_ms, _), each in newest if day_of(at_ms) == day][:limit]

    async def upkeep(self) -> None:
        pass

    def problem(self) -> str | None:
        return None

    async def close(self) -> None:
        pass

    def _account(self) -> Account:
        if self.item is None:
            raise StoreError("account: there is no account")
        return self.item

    def _change(self, **changes: object) -> None:
        self.item = msgspec.structs.replace(self._account(), **changes)

    def _put_claim(self, claim: Claim) -> None:
        # A copy: what the caller changes later (its timeline) is not stored.
        self._change(claims={**self.claims, claim.slot: deepcopy(claim)})

    def _is_stored(self, seen: Claim) -> bool:
        stored = self.item.claims.get(seen.slot) if self.item is not None else None
        return stored is not None and (stored.attempt_id, stored.version) == (
            seen.attempt_id,
            seen.version,
        )

    def _book(self, claim: Claim, seen: Claim) -> None:
        now = self._account()
        reserved_e6 = claim.reserved_e6 - seen.reserved_e6
        self._change(
            pnl_e6=plus(now.pnl_e6, claim.booked_at_ms, claim.pnl_e6 - seen.pnl_e6),
            spent_e6=plus(now.spent_e6, claim.claimed_at_ms, reserved_e6),
            entries=added(now.entries, claim.window, entries_difference(claim, seen)),
        )
        if seen.collective:
            self.group(seen.collective).moved(claim, seen)

    async def _called(self, name: str) -> None:
        self.calls.append(name)
        hook = self.before.pop(name, None)
        if hook is not None:
            await hook()
        count_down(self.failures, name, StoreError(f"{name}: injected"))

    def _told(self, name: str, reply: T) -> T:
        count_down(self.lost, name, StoreError(f"{name}: no reply, injected"))
        return deepcopy(reply)


class ScriptedExchange:
    """Answers every POST with `answer` (default: all of it at the limit price)."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.answer: Answer | None = None
        self.posted: list[PreparedOrder] = []
        self.prepared = 0
        self.observed: list[BookSnapshot] = []
        self.before_prepare: Hook | None = None
        self.during_post: Hook | None = None

    async def warm(self, market: MarketInfo) -> None:
        pass

    async def prepare(self, trade: Trade, snapshot: BookSnapshot) -> PreparedOrder:
        self.calls.append("prepare")
        if self.before_prepare is not None:
            await self.before_prepare()
        self.prepared += 1
        return PreparedOrder(
            order_id=f"order-{self.prepared}",
            trader=TRADER,
            salt=str(self.prepared),
            order_timestamp_ms=1,
            spend_e6=trade.spend_e6,
            size_e6=trade.spend_e6 * 10_000 // trade.max_price_e4,
            payload=None,
        )

    async def post(self, order: PreparedOrder) -> Answer:
        self.calls.append("post")
        self.posted.append(order)
        if self.during_post is not None:
            await self.during_post()
        return self.answer or Accepted(
            status="matched", spend_e6=order.spend_e6, size_e6=order.size_e6
        )

    def observe(self, snapshot: BookSnapshot) -> None:
        self.observed.append(snapshot)

    def forget(self, condition_id: str) -> None:
        pass

    def rehearsal(self) -> None:
        pass

    def problem(self) -> str | None:
        return None

    async def refresh_balance(self) -> None:
        self.calls.append("refresh_balance")

    async def upkeep(self) -> None:
        pass

    async def close(self) -> None:
        pass


class ScriptedClob:
    """`ClobMarkets` that agrees with `trading_builders.market`, unless told otherwise."""

    def __init__(self) -> None:
        self.answers: dict[str, ClobMarket | RecordsError] = {}
        self.asked: list[str] = []

    async def market(self, condition_id: str) -> ClobMarket:
        self.asked.append(condition_id)
        answer = self.answers.get(condition_id, clob_market(condition_id))
        if isinstance(answer, RecordsError):
            raise answer
        return answer

    async def close(self) -> None:
        pass


class ScriptedRecords:
    """What the venue has on record, as told beforehand. Does not model: time, pages, lag other
    than looks that say so themselves.
    """

    def __init__(self, calls: Calls | None = None) -> None:
        self.calls: Calls = [] if calls is None else calls
        self.trader = TRADER
        self.looks: dict[str, deque[OrderLookup]] = {}
        """By order id; the last one is told for ever, and without any the order is not found."""
        self.trades: list[Fill] = []
        self.resolutions: dict[str, Resolution] = {}
        """By condition id; none: not resolved yet."""
        self.held: dict[str, int] = {}
        """By token id; none: no shares."""
        self.redeem_requests: list[str] = []
        self.transactions: list[MinedTransaction] = []
        """What the next question for them is told."""
        self.failures: dict[str, int] = {}
        """How many of the next calls of a name fail."""
        self.before: dict[str, Hook] = {}
        """Awaited once, while the next call of that name is under way."""
        self.clock: Callable[[], int] | None = None
        """The venue's, epoch ms; none: it does not say when it was asked."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 if self.clock is None else self.clock()

    async def lookup(self, claim: Claim) -> OrderLookup:
        asked_at_ms = None if self.clock is None else self.clock()
        await self._called("lookup")
        looks = self.looks.get(claim.order_id)
        look = OrderLookup(seen_by=self.trader, order=None, trades=())
        if looks:
            look = looks.popleft() if len(looks) > 1 else looks[0]
        return msgspec.structs.replace(look, asked_at_ms=asked_at_ms)

    async def trades_since(self, since_ms: int) -> tuple[Fill, ...]:
        await self._called("trades_since")
        return tuple(each for each in self.trades if each.matched_at_ms >= since_ms)

    async def resolution(self, claim: Claim) -> Resolution | Undecided:
        await self._called("resolution")
        return self.resolutions.get(claim.condition_id, NOT_YET)

    async def positions(self, token_ids: Sequence[str]) -> dict[str, int]:
        await self._called("positions")
        return {token_id: self.held.get(token_id, 0) for token_id in token_ids}

    async def redeem(self, condition_id: str) -> None:
        await self._called("redeem")
        self.redeem_requests.append(condition_id)

    async def mined(self) -> tuple[MinedTransaction, ...]:
        await self._called("mined")
        mined, self.transactions = tuple(self.transactions), []
        return mined

    async def close(self) -> None:
        pass

    async def _called(self, name: str) -> None:
        self.calls.append(name)
        hook = self.before.pop(name, None)
        if hook is not None:
            await hook()
        count_down(self.failures, name, RecordsError(f"{name}: injected"))
