"""Stand-ins for the two ports, in memory, that keep a record of every call in one list."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from functions.core.answer import Accepted, Answer
from functions.core.decide import Trade
from functions.core.intent import Account, Claim, ClaimState, Limits, refusal_of
from functions.ports import Claimed, ClaimRefused, ClaimResult, PreparedOrder, StoreError
from protocol.decision import Decision, Timeline
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot

Calls = list[str]


class MemoryStore:
    """The store's semantics in one process. Does not model: failures other than those injected."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.claims: dict[str, Claim] = {}
        self.cooldowns: dict[str, int] = {}
        self.trading = "enabled"
        self.ledger: list[Claim] = []
        self.decisions: list[Decision] = []
        self.failures: dict[str, int] = {}
        """How many of the next calls of a name fail."""
        self.before_claim: Callable[[], Awaitable[None]] | None = None

    def account(self) -> Account:
        return Account(
            trading=self.trading,
            halt_reason="",
            claims=dict(self.claims),
            cooldowns=dict(self.cooldowns),
            pnl_today_e6=0,
            day="",
        )

    async def open_account(self) -> Account:
        return self.account()

    async def claim(self, claim: Claim, limits: Limits, now_ms: int) -> ClaimResult:
        self._called("claim")
        if self.before_claim is not None:
            await self.before_claim()
        account = self.account()
        reason = refusal_of(account, claim.condition_id, limits, now_ms, "2026-01-01")
        if reason is not None:
            return ClaimRefused(reason=reason, account=account)
        self.claims[claim.condition_id] = claim
        self.cooldowns[claim.condition_id] = now_ms + limits.cooldown_ms
        return Claimed()

    async def resolve(self, claim: Claim, seen: ClaimState) -> bool:
        self._called("resolve")
        stored = self.claims.get(claim.condition_id)
        if stored is None or stored.attempt_id != claim.attempt_id or stored.state is not seen:
            return False
        if claim.state is ClaimState.RELEASED:
            del self.claims[claim.condition_id]
        else:
            self.claims[claim.condition_id] = claim
        return True

    async def put_ledger(self, claim: Claim, timeline: Timeline) -> None:
        self._called("put_ledger")
        self.ledger.append(claim)

    async def put_decisions(self, decisions: Sequence[Decision]) -> None:
        self._called("put_decisions")
        self.decisions.extend(decisions)

    async def upkeep(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.failures.get(name, 0) > 0:
            self.failures[name] -= 1
            raise StoreError(f"{name}: injected")


class ScriptedExchange:
    """Answers every POST with `answer` (default: all of it at the limit price)."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.answer: Answer | None = None
        self.posted: list[PreparedOrder] = []
        self.prepared = 0
        self.before_prepare: Callable[[], Awaitable[None]] | None = None
        self.during_post: Callable[[], Awaitable[None]] | None = None

    async def warm(self, market: MarketInfo) -> None:
        pass

    async def prepare(self, trade: Trade, snapshot: BookSnapshot) -> PreparedOrder:
        self.calls.append("prepare")
        if self.before_prepare is not None:
            await self.before_prepare()
        self.prepared += 1
        return PreparedOrder(
            order_id=f"order-{self.prepared}",
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
            status="matched", spend_e6=order.spend_e6, size_e6=order.size_e6, fee_e6=7
        )

    async def upkeep(self) -> None:
        pass

    async def close(self) -> None:
        pass


def stale(book: BookSnapshot, by_ms: int) -> BookSnapshot:
    """The same book, received `by_ms` earlier."""
    received = book.received_at_ns - by_ms * 1_000_000
    return msgspec.structs.replace(book, received_at_ns=received)
