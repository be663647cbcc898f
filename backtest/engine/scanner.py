"""The scanner that a stream is compared with: it looks at the book every so often, and acts later.

Nobody chooses when a period begins, so each second of it is a phase, with accounts of its own in
both brackets. A scanner asks the venue for the book, so what it looks at is the book of that
moment; it remembers the market as the stream does, which flatters it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

import msgspec

from backtest.engine.assumptions import Assumptions, Bracket
from backtest.engine.desk import Desk
from backtest.engine.market_run import MarketRun
from backtest.engine.observations import Lane
from functions.core.configuration import Configuration
from functions.core.gate import hold_reason_of
from functions.core.market_memories import MarketMemories
from functions.core.trade import Trade
from protocol.snapshot import BookSnapshot
from strategies.interface import Hold
from strategies.view import MarketView

SCAN_MS: Final = 1_000
ScannedOffer: TypeAlias = tuple[list[Desk], MarketRun, BookSnapshot, Trade, int, int]
"""(desks, market, the book, the trade, when it was decided, how long its execution takes)."""


class Scanner:
    """All phases; it looks every SCAN_MS, each time for another one."""

    def __init__(
        self,
        assumptions: Assumptions,
        configuration: Configuration,
        memories: MarketMemories,
        ask: Callable[[MarketView, int], Trade | Hold],
    ) -> None:
        assert assumptions.poll is not None  # noqa: S101 - without it there is no scanner
        self._poll = assumptions.poll
        self._seed = assumptions.seed
        self._gap_over_ms = assumptions.gap_over_ms
        self._gate = configuration.gate
        self._memories = memories
        self._ask = ask
        self._of_phase = {
            phase_ms: [
                Desk(_lane(phase_ms, self._poll.every_ms, bracket), configuration.limits)
                for bracket in Bracket
            ]
            for phase_ms in self._poll.phases_ms
        }

    @property
    def desks(self) -> Iterator[Desk]:
        """By phase, each in the order of `Bracket`."""
        for desks in self._of_phase.values():
            yield from desks

    def offer(self, run: MarketRun, scan_ms: int) -> ScannedOffer | None:
        """What is found at `scan_ms` in the book as it then stands; None: nothing to buy."""
        market, last = run.market, run.last
        if last is None or not market.start_ms <= scan_ms < market.end_ms:
            return None
        if scan_ms - run.last_ms > self._gap_over_ms:
            return None  # the recording does not say what stands there
        scanned, trade = self._look(last, scan_ms)
        if trade is None:
            return None
        what = f"scan:{market.condition_id}:{scan_ms}"
        latency_ms = self._poll.execution.draw_ms(what, self._seed)
        desks = self._of_phase[scan_ms % self._poll.every_ms]
        return desks, run, scanned, trade, scan_ms, latency_ms

    def _look(self, last: BookSnapshot, scan_ms: int) -> tuple[BookSnapshot, Trade | None]:
        now_ns = scan_ms * 1_000_000
        scanned = msgspec.structs.replace(
            last, received_at_ns=now_ns, published_at_ns=now_ns, venue_timestamp_ms=scan_ms
        )
        if hold_reason_of(scanned, self._gate, scan_ms) is not None:
            return scanned, None
        view = self._memories.view(scanned, scan_ms)
        decision = None if view is None else self._ask(view, scan_ms)
        return scanned, decision if isinstance(decision, Trade) else None


def _lane(phase_ms: int, every_ms: int, bracket: Bracket) -> Lane:
    name = f"scan every {every_ms / 1000:g} s from second {phase_ms // 1000}, {bracket}"
    return Lane(name=name, bracket=bracket, poll_phase_ms=phase_ms)
