"""What keeps an idle worker's code warm: the way of an order, again and again, without an order.

A worker that waits a tenth of a second for its next signal finds its code and its data gone from
the processor's caches, and takes two to three times as long. So what is computed between a book and
the bytes of its order is computed every 10 ms, on the newest book, and thrown away.

1. It is our own code, and leaves nothing: decoding, gate, what a signal can buy, and the exchange's
   specimen. No strategy is asked (it may count, or log), nothing is counted or kept, nobody is
   asked anything, and there is no order: what is signed no contract takes, and nobody gets it.
2. Nothing is awaited in it, so nothing is half done when real work comes.
3. Real work comes first: nothing is done while the loop is late, nor right after a book. So a
   worker whose books follow each other closely rehearses next to nothing. And on a machine so slow
   that 10 ms are no pause, rehearsals are further apart: the loop is not theirs.

Where nobody orders live it does nothing: on paper an order is held for longer than all this takes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

from functions.adapters.book_pull import Delivery
from functions.core.gate import hold_reason_of
from functions.core.market_memories import MarketMemories
from functions.core.trade import trade_of
from functions.handlers.trading_account import TradingAccount
from protocol.market import UP
from protocol.snapshot import SnapshotDecoder
from strategies.interface import Signal

REHEARSE_EVERY_S: Final = 0.01
WARM_NS: Final = 5_000_000
"""So long after a book none is needed."""
LATE_MAX_S: Final = 0.003
"""A loop that is later than this has something to do."""
PAUSE_TIMES: Final = 9
"""A pause is at least so many times as long as the rehearsal before it: a tenth of the loop's time
is theirs at most. A loop that only they hold up is late for nobody who could tell."""
PAUSE_MAX_S: Final = 1.0
"""But no longer: a machine that stood still in the middle of one may be as fast as ever."""
_SIGNAL: Final = Signal(outcome=UP, numbers={"imbalance": 0.5})
_log = structlog.get_logger()


class Rehearsal:
    """Of one worker, which tells it what it does itself; `decoder` and `memories` are its own."""

    def __init__(self, decoder: SnapshotDecoder, memories: MarketMemories) -> None:
        self._decoder = decoder
        self._memories = memories
        self._live: TradingAccount | None = None
        self._make_specimen: Callable[[], object] = lambda: None
        self._wanted = asyncio.Event()
        self.book: Delivery | None = None
        """The newest that was admitted."""

    def add(self, account: TradingAccount) -> None:
        """One more account. All that are live in a worker order by the same exchange, and which of
        their settings a rehearsal is under matters little: so more of them do not make it longer.
        """
        make_specimen = account.opened.exchange.rehearsal()
        if make_specimen is not None:
            self._live, self._make_specimen = account, make_specimen
            self._wanted.set()

    async def run(self) -> None:
        """Until cancelled. What fails is a defect: it is logged, and the worker goes on without."""
        await self._wanted.wait()
        loop = asyncio.get_running_loop()
        pause_s = REHEARSE_EVERY_S
        try:
            while True:
                due_s = loop.time() + pause_s
                await asyncio.sleep(pause_s)
                begun_s = time.monotonic()
                if loop.time() - due_s <= LATE_MAX_S:
                    self.once()
                long_s = min(PAUSE_TIMES * (time.monotonic() - begun_s), PAUSE_MAX_S)
                pause_s = max(REHEARSE_EVERY_S, long_s)
        except Exception as error:  # noqa: BLE001 - it only helps
            _log.error("rehearsal_failed", exc_info=error)
        await asyncio.Event().wait()

    def once(self) -> None:
        """On the newest book, unless it has just come."""
        book, account = self.book, self._live
        if book is None or account is None:
            return
        if time.monotonic_ns() - book.delivered.monotonic_ns > WARM_NS:
            self._decide(book, account)
            self._make_specimen()

    def _decide(self, book: Delivery, account: TradingAccount) -> None:
        snapshot, configuration = self._decoder.decode(book.payload), account.configuration
        # Then it was young enough, so that the gate looks at all of it.
        came_at_ms = book.delivered.epoch_ns // 1_000_000
        hold_reason_of(snapshot, configuration.gate, came_at_ms)
        view = self._memories.view(snapshot, came_at_ms)
        if view is not None:
            trade_of(_SIGNAL, view, configuration.order, configuration.version)
