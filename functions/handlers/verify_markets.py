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

What contradicts what, and which facts count where they merely differ, says
`functions.core.market_facts`.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import msgspec
import structlog

from functions.core.hold import HoldReason
from functions.core.market_facts import difference, stricter
from functions.ports import ClobMarkets, RecordsError
from functions.worker_metrics import WorkerMetrics
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot
from runtime.process import first_failure
from venue.wire.clob_market import ClobMarket

REFRESH_S: Final = 300.0
RETRY_MIN_S: Final = 1.0
RETRY_MAX_S: Final = 30.0
LOOK_EVERY_S: Final = 1.0
ASKED_AT_ONCE_MAX: Final = 4
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


class MarketVerifier:
    """What the listing says of each market, confirmed by the CLOB or not."""

    def __init__(self, markets: ClobMarkets, metrics: WorkerMetrics) -> None:
        self._markets = markets
        self._metrics = metrics
        self._known: dict[str, _Known] = {}

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
            self._known[market.condition_id] = _Known(listed=market)
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
        known = self._known[market.condition_id]
        known.due_s = time.monotonic() + RETRY_MAX_S  # nobody else asks meanwhile
        try:
            known.clob = await self._markets.market(market.condition_id)
        except RecordsError as error:
            _log.warning("market_not_verified", market=market.slug, error=str(error))
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
            due = [known.listed for known in self._known.values() if known.due_s <= now_s]
            for start in range(0, len(due), ASKED_AT_ONCE_MAX):
                few = [each for each in due[start:][:ASKED_AT_ONCE_MAX] if self._is_known(each)]
                await asyncio.gather(*map(self.verify, few))

    async def _keep_forgetting(self) -> None:
        """Beside the questions, which may wait long for their answers: the gauges do not."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self._forget_ended()

    def _is_known(self, market: MarketInfo) -> bool:
        return market.condition_id in self._known

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
        self._count()
        if contradiction is not None:
            _log.critical(
                "market_differs",
                market=listed.slug,
                condition_id=listed.condition_id,
                difference=contradiction,
                listing={each.token_id: each.name for each in listed.outcomes},
                clob={each.token_id: each.name for each in clob.outcomes},
            )
        elif before is not None and before.reason is HoldReason.MARKET_DIFFERS:
            _log.info("market_agrees", market=listed.slug)

    def _forget_ended(self) -> None:
        now_ms = time.time_ns() // 1_000_000
        ended = [key for key, known in self._known.items() if known.listed.end_ms <= now_ms]
        for condition_id in ended:
            del self._known[condition_id]
        if ended:
            self._count()

    def _count(self) -> None:
        doubts = [known.doubt.reason for known in self._known.values() if known.doubt is not None]
        self._metrics.markets_differing.set(doubts.count(HoldReason.MARKET_DIFFERS))
        self._metrics.markets_unverified.set(doubts.count(HoldReason.MARKET_UNVERIFIED))
