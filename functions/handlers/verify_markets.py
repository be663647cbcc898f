"""Verify markets: what the listing says of a market must be what the CLOB says of it.

    new market ─▶ ask the CLOB ─▶ agrees: may be traded ─▶ asked again every five minutes
                     │       └──▶ contradicts: not traded, an alarm ─▶ asked again, ever later
                     └─ no answer: not traded yet ─▶ asked again, ever later

1. A market is not traded before the CLOB has confirmed it, and from the first contradiction until
   the two agree again, whichever of them changes. That is looked up in memory, when a signal is
   decided on and once more right before the claim: no request stands in an order's way.
2. A question that gets no answer takes nothing back: which token pays for what does not change at
   the CLOB, so its last answer holds.
3. The listing comes with every book; a listing that has changed is compared at once.
4. At most MARKETS_MAX markets are known, and as many are kept by whoever is told of those that are
   forgotten (`on_forgotten`): what ended, and to make room what is in doubt for long. At most
   QUESTIONS_MAX questions are under way at once.

What contradicts what, and which facts count where they merely differ, says
`functions.core.market_facts`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from functions.core.fencing import MARKETS_MAX
from functions.core.hold import HoldReason
from functions.core.market_facts import difference, stricter
from functions.ports import ClobMarkets, RecordsError
from functions.worker_metrics import WorkerMetrics
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot
from runtime.line_throttle import LineThrottle
from runtime.process import first_failure
from venue.wire.clob_market import ClobMarket

REFRESH_S: Final = 300.0
RETRY_MIN_S: Final = 1.0
RETRY_MAX_S: Final = 30.0
LOOK_EVERY_S: Final = 1.0
QUESTIONS_MAX: Final = 8
"""About new markets and about those that are due, all in all."""
UNCONFIRMED_S: Final = 30.0
"""Running markets may all be in doubt for so long before the health check says so."""
GIVEN_UP_S: Final = 60.0
"""A market that is in doubt for so long makes room for another, when there is none."""
ROOM_EVERY_S: Final = 1.0
_log = structlog.get_logger()


class Doubt(msgspec.Struct, frozen=True):
    """Why a market is not traded."""

    reason: HoldReason
    text: str


_NOT_ASKED: Final = Doubt(HoldReason.MARKET_UNVERIFIED, "the CLOB has not been asked yet")


class _Known(msgspec.Struct):
    """What is known of one market."""

    listed: MarketInfo
    doubt: Doubt | None = _NOT_ASKED
    clob: ClobMarket | None = None
    traded_as: MarketInfo | None = None
    """The stricter of both, None where that is the listing itself."""
    tries: int = 0
    """Questions since it was last confirmed."""
    due_s: float = 0.0
    """When to ask again, by a clock that never goes back."""
    doubted_since_s: float = 0.0
    """Since when there is a doubt, by the same clock."""
    differing: LineThrottle = msgspec.field(default_factory=LineThrottle)
    """A listing may change with each book."""
    told: bool = False
    """Whether it was logged that it differs."""


class MarketVerifier:
    """What the listing says of each market, confirmed by the CLOB or not."""

    def __init__(self, markets: ClobMarkets, metrics: WorkerMetrics) -> None:
        self._markets = markets
        self._metrics = metrics
        self._known: dict[str, _Known] = {}
        self._room_at_s = float("-inf")
        self._unanswered = LineThrottle()
        self.questions = asyncio.Semaphore(QUESTIONS_MAX)
        """For whatever is asked of the venue about a market."""
        self.on_forgotten: Callable[[str], None] = lambda _: None
        """Told the condition id of each market that is forgotten."""

    def problem(self) -> str | None:
        """What is wrong, for a person: the CLOB confirms none of the running markets."""
        now_ms, now_s = time.time_ns() // 1_000_000, time.monotonic()
        running = [
            known
            for known in self._known.values()
            if known.listed.start_ms <= now_ms < known.listed.end_ms
        ]
        doubts = [
            known.doubt
            for known in running
            if known.doubt is not None and now_s - known.doubted_since_s > UNCONFIRMED_S
        ]
        if not doubts or len(doubts) < len(running):
            return None
        return f"the CLOB confirms none of {len(running)} running markets: {doubts[0].text[:300]}"

    def is_over(self, market: MarketInfo) -> bool:
        """Whether this market has ended and is forgotten, or was never known: its feeder may go on
        for seconds, and what is asked, kept and said of a market is over with it."""
        known = market.condition_id in self._known
        return not known and market.end_ms <= time.time_ns() // 1_000_000

    def takes(self, condition_id: str) -> bool:
        """Whether this market is known, or there is room for one more."""
        return condition_id in self._known or len(self._known) < MARKETS_MAX or self._make_room()

    def doubt(self, market: MarketInfo) -> Doubt | None:
        """Why this market, listed like this, is not to be traded now."""
        known = self._known.get(market.condition_id)
        if known is None or known.clob is None:
            return _NOT_ASKED if known is None else known.doubt
        if known.doubt is None and market not in (known.listed, known.traded_as):
            # A book from before the listing changed: both must agree.
            contradiction = difference(market, known.clob)
            return Doubt(HoldReason.MARKET_DIFFERS, contradiction) if contradiction else None
        return known.doubt

    def note(self, market: MarketInfo) -> None:
        """How a market is listed, with each book that comes: the newest listing counts."""
        known = self._known.get(market.condition_id)
        if known is None:
            self._known[market.condition_id] = _Known(
                listed=market, doubted_since_s=time.monotonic()
            )
            self._count()
        elif known.listed != market:
            known.listed = market
            self._judge(known)
            if known.doubt is not None:
                known.due_s = min(known.due_s, time.monotonic() + RETRY_MIN_S)

    def as_traded(self, snapshot: BookSnapshot) -> BookSnapshot:
        """The same book, with the stricter facts where the CLOB's differ from the listing's."""
        known = self._known.get(snapshot.market.condition_id)
        if known is None or known.traded_as is None:
            return snapshot
        return msgspec.structs.replace(snapshot, market=known.traded_as)

    def taker_delay_ms(self, condition_id: str) -> int | None:
        """How long the venue holds a taker order of this market; None where that is not named."""
        known = self._known.get(condition_id)
        return None if known is None or known.clob is None else known.clob.taker_delay_ms

    async def verify(self, market: MarketInfo) -> None:
        """Ask the CLOB about a market. Raises nothing: what is not confirmed stays in doubt."""
        if market.condition_id not in self._known:
            self.note(market)
        await self._verify(self._known[market.condition_id])

    async def _verify(self, known: _Known) -> None:
        known.due_s = float("inf")  # nobody else asks meanwhile
        async with self.questions:
            # Not forgotten while it waited, or before its turn came.
            if self._known.get(known.listed.condition_id) is known:
                await self._ask(known)

    async def _ask(self, known: _Known) -> None:
        market, known.due_s = known.listed, time.monotonic() + RETRY_MAX_S
        try:
            known.clob = await self._markets.market(market.condition_id)
        except RecordsError as error:
            if (unlogged := self._unanswered.admit()) is not None:
                _log.warning(
                    "market_not_verified",
                    market=market.slug,
                    error=str(error),
                    unlogged_before=unlogged,
                )
            if known.clob is None:
                known.doubt = Doubt(HoldReason.MARKET_UNVERIFIED, str(error))
        else:
            self._judge(known)
        wait_s = min(RETRY_MIN_S * 2**known.tries, RETRY_MAX_S)
        known.tries = 0 if known.doubt is None else min(known.tries + 1, 10)
        known.due_s = time.monotonic() + (REFRESH_S if known.doubt is None else wait_s)

    async def upkeep(self) -> None:
        """Ask again what is due, and forget what has ended, until cancelled."""
        await first_failure(self._keep_asking(), self._keep_forgetting())

    async def _keep_asking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now_s = time.monotonic()
            due = [known for known in self._known.values() if known.due_s <= now_s]
            await asyncio.gather(*map(self._verify, due))

    async def _keep_forgetting(self) -> None:
        """Beside the questions, which may wait long for their answers: the gauges do not."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self._forget_ended()

    def _judge(self, known: _Known) -> None:
        """Compare the newest listing with the CLOB's last word."""
        if known.clob is None:
            return
        listed, clob, before = known.listed, known.clob, known.doubt
        facts = stricter(listed, clob)
        known.traded_as = None if facts == listed else facts
        contradiction = difference(listed, clob)
        known.doubt = Doubt(HoldReason.MARKET_DIFFERS, contradiction) if contradiction else None
        if known.doubt == before:
            return
        if before is None:
            known.doubted_since_s = time.monotonic()
        self._count()
        if contradiction is not None:
            unlogged = known.differing.admit()
            known.told = unlogged is not None
            if not known.told:
                return
            _log.critical(
                "market_differs",
                market=listed.slug,
                condition_id=listed.condition_id,
                difference=contradiction,
                listing={each.token_id: each.name for each in listed.outcomes},
                clob={each.token_id: each.name for each in clob.outcomes},
                unlogged_before=unlogged,
            )
        elif known.told:
            known.told = False
            _log.info("market_agrees", market=listed.slug)

    def _forget_ended(self) -> None:
        now_ms = time.time_ns() // 1_000_000
        ended = [key for key, known in self._known.items() if known.listed.end_ms <= now_ms]
        self._forget(ended)

    def _make_room(self) -> bool:
        """Looked for once a second at most: it is others who bring ever new markets."""
        now_s = time.monotonic()
        if now_s < self._room_at_s:
            return False
        self._room_at_s = now_s + ROOM_EVERY_S
        self._forget_ended()
        if len(self._known) >= MARKETS_MAX:
            self._forget(
                [
                    key
                    for key, known in self._known.items()
                    if known.doubt is not None and now_s - known.doubted_since_s > GIVEN_UP_S
                ]
            )
        return len(self._known) < MARKETS_MAX

    def _forget(self, condition_ids: list[str]) -> None:
        for condition_id in condition_ids:
            del self._known[condition_id]
            self.on_forgotten(condition_id)
        if condition_ids:
            self._count()

    def _count(self) -> None:
        doubts = [known.doubt.reason for known in self._known.values() if known.doubt is not None]
        self._metrics.markets_differing.set(doubts.count(HoldReason.MARKET_DIFFERS))
        self._metrics.markets_unverified.set(doubts.count(HoldReason.MARKET_UNVERIFIED))
