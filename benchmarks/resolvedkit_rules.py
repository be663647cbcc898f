"""The imbalance strategy by resolvedkit's own rules and engine, on its sample: what it comes to.

    python -m benchmarks.resolvedkit_rules

Each token by itself, no wait for the window's start, 60 s between the entries of a market, at most
three: how somebody would write it with that library alone. Beside the figures of `executor
backtest` it shows what the production rules change: one decision for both tokens, the gate, and the
account's conditions. The same data, 18 Bitcoin markets of a quarter of an hour.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from typing import Final

from resolvedkit.data.sample import load_sample
from resolvedkit.engine import Backtester, Context
from resolvedkit.engine import Strategy as TheirStrategy
from resolvedkit.models import Book as TheirBook

LATENCIES_MS: Final = (0, 10, 250, 1_000, 5_000)
LEVELS: Final = 5
USD: Final = 1.1
ROUNDING: Final = 1e-9


class ByItself(TheirStrategy):  # type: ignore[misc]  # it has no types
    """One token's book, and nothing else."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def on_book(self, ctx: Context, book: TheirBook) -> None:
        """Buy the token that is leant on, at most 5% above its ask."""
        if not book.two_sided:
            return
        self.counts["books"] += 1
        if not self._passes(ctx, book):
            return
        self.counts["passed"] += 1
        bid, ask = (sum(level.size for level in side[:LEVELS]) for side in (book.bids, book.asks))
        if (bid - ask) / (bid + ask) < 0.5:
            return
        self.counts["signals"] += 1
        entries, until_ms = ctx.state.get("entries", 0), ctx.state.get("until_ms", 0)
        if entries >= 3 or book.ts < until_ms:
            return
        ctx.state.update(entries=entries + 1, until_ms=book.ts + 60_000)
        self.counts["entries"] += 1
        ctx.buy(book.side, USD, math.floor(book.best_ask * 105 + ROUNDING) / 100)

    @staticmethod
    def _passes(ctx: Context, book: TheirBook) -> bool:
        in_time = ctx.market.end_ts - book.ts >= 300_000
        in_zone = 0.3 - ROUNDING <= book.mid <= 0.7 + ROUNDING
        narrow = book.best_ask - book.best_bid <= 0.02 + ROUNDING
        return bool(in_time and in_zone and narrow)


def main() -> int:
    """Print what it comes to, a line a latency."""
    source = load_sample()
    for latency_ms in LATENCIES_MS:
        strategy = ByItself()
        results = Backtester(source, strategy, latency_ms=latency_ms).run()
        fills = sum(len(market.fills) for market in results.markets)
        told = ", ".join(f"{count:,} {name}" for name, count in strategy.counts.items())
        print(
            f"{latency_ms} ms: {told}, {fills} filled, fees {results.fees:.2f} on "
            f"{results.invested:.2f} USD, P&L {results.pnl:+.2f} USD"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
