"""How fast a backtest is, beside other engines on the same books, all in one run.

    python -m benchmarks.backtest [--site DIR] [--day] [--quick]

DIR is where hftbacktest was installed, apart from this project, which does not depend on it:
`pip install --target DIR hftbacktest==2.4.4`. It is searched last. `--day` also plays a day of a
Bitcoin series at the venue's rate, synthesised from the recordings (3.5 million moments, minutes).

A moment is a snapshot of a market, both tokens' books; a book is one token's. Books are in memory
when the clock starts, as each engine wants them. What is measured:
- ours: gate, strategy with its memory, account conditions, both brackets, fills with depletion,
  fees by level, payouts, and prices after each signal; with the scanner beside it, that of 30
  phases with accounts of their own, too;
- resolvedkit: its loop and its fills, in one bracket; production decides, as with ours, and its
  orders and profit are compared with ours before anything is measured. It counts all books of its
  sample, a seventh of which are before the windows and cost nearly nothing;
- hftbacktest: see `benchmarks.backtest_hft`; another decision, compiled, without most of the above.
- the commands, as processes: from the start to the end of the report.

Contenders take turns, and ratios are taken within one; medians of the turns. The figures are also
written to `benchmarks/out/backtest.json`.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from resolvedkit.data.sample import load_sample

from backtest.engine.assumptions import PLAN_POLLING, Assumptions, Bracket, Polling
from backtest.engine.latency import Latency
from backtest.engine.observations import Observations
from backtest.engine.run import run
from backtest.feed.bundled import BundledFeed
from backtest.feed.events import FeedEvent
from benchmarks.backtest_hft import prepared
from protocol.snapshot import BookSnapshot
from strategies.book_imbalance import BookImbalance
from strategies.builtin import BUILTIN
from strategies.interface import Strategy
from tests.support.arguments import folder
from tests.support.made_up_feeds import ListFeed, configuration_of
from tests.support.resolvedkit_books import Decided, played
from tests.support.synthetic_feed import MARKETS_A_DAY, SNAPSHOTS_A_MARKET, SyntheticFeed

OUT: Final = Path(__file__).parent / "out" / "backtest.json"
LATENCY_MS: Final = 10
OURS: Final = f"ours, {BookImbalance.name}"
Contender: TypeAlias = Callable[[], tuple[float, int]]
"""(seconds, books)."""
COMMANDS: Final = {
    "report_s": ["backtest"],
    "sweep_1000_points_s": [
        *("backtest", "--sweep", "imbalance_min=0.30..0.79:0.01"),
        *("--sweep", "spread_max_e4=100..2000:100"),
    ],
}


def played_by_us(
    events: list[FeedEvent], strategy: type[Strategy], poll: Polling | None
) -> Observations:
    """As resolvedkit's engine does it: no taker delay, no gap too long."""
    assumptions = Assumptions(
        latency=Latency.constant(LATENCY_MS), taker_delay_ms=0, gap_over_ms=3_600_000, poll=poll
    )
    return run(ListFeed(events), strategy, configuration_of(strategy), assumptions)


def ours(
    events: list[FeedEvent], strategy: type[Strategy], poll: Polling | None = None
) -> Contender:
    """The whole engine."""

    def play() -> tuple[float, int]:
        begun = time.perf_counter()
        seen = played_by_us(events, strategy, poll)
        return time.perf_counter() - begun, 2 * seen.moments

    return play


def theirs(events: list[FeedEvent], markets: dict[str, list[BookSnapshot]]) -> Contender:
    """Resolvedkit's, which must agree with ours on every order."""
    source, configuration = load_sample(), configuration_of(BookImbalance)
    source.books("")  # reads them all
    books = sum(len(source.books(market.market_id)) for market in source.markets())

    def play() -> tuple[float, int]:
        begun = time.perf_counter()
        decided = Decided(BookImbalance, configuration)
        for snapshots in markets.values():
            decided.add(snapshots)
        player, results = played(decided, LATENCY_MS, markets, source)
        play.said = (  # type: ignore[attr-defined]  # for `check` alone
            [(each.slug, each.decided_at_ms, each.outcome) for each in player.orders],
            sum(each.pnl for each in results),
        )
        return time.perf_counter() - begun, books

    def check() -> None:
        play()
        orders, pnl = play.said  # type: ignore[attr-defined]
        seen = played_by_us(events, BookImbalance, None)
        lane = seen.lane(Bracket.UNCHANGED)
        mine = [(seen.markets[o.market].slug, o.decided_at_ms, o.outcome) for o in lane.orders]
        my_pnl = sum(order.pnl_e6 or 0 for order in lane.orders) / 1e6
        assert orders == mine, "resolvedkit made other orders"
        assert abs(pnl - my_pnl) < 8e-6 * len(mine), f"resolvedkit: {pnl}, ours: {my_pnl}"
        print(f"resolvedkit agrees: {len(mine)} orders, P&L {my_pnl:+.6f} and {pnl:+.6f} USD")

    check()
    return play


def hftbacktest(markets: dict[str, list[BookSnapshot]]) -> Contender:
    """Raises ImportError."""
    play = prepared(list(markets.values()))

    def timed() -> tuple[float, int]:
        seconds, moments, _ = play()
        return seconds, 2 * moments

    return timed


def contenders() -> dict[str, Contender]:
    """All that can be had here."""
    events = list(BundledFeed())
    markets: dict[str, list[BookSnapshot]] = {}
    for event in events:
        if isinstance(event, BookSnapshot):
            markets.setdefault(event.market.slug, []).append(event)
    found = {f"ours, {name}": ours(events, strategy) for name, strategy in BUILTIN.items()}
    found[f"{OURS}, and a scanner"] = ours(events, BookImbalance, PLAN_POLLING)
    found["resolvedkit"] = theirs(events, markets)
    try:
        found["hftbacktest"] = hftbacktest(markets)
    except ImportError as error:
        print(f"hftbacktest: left out, not importable here ({error})")
    return found


def in_turns(found: dict[str, Contender], turns: int) -> dict[str, float]:
    """Books a second, and how many times ours each is."""
    rates: dict[str, list[float]] = {name: [] for name in found}
    gc.collect()
    gc.freeze()  # millions of levels stand by, which no engine should be looked through for
    for _ in range(turns):
        for name, play in found.items():
            seconds, books = play()
            rates[name].append(books / seconds)
    figures: dict[str, float] = {}
    for name, each in rates.items():
        figures[f"{name}: books/s"] = statistics.median(each)
        figures[f"{name}: best books/s"] = max(each)
        ratio = [mine / theirs for theirs, mine in zip(rates[OURS], each, strict=True)]
        figures[f"{name}: times ours"] = statistics.median(ratio)
    return figures


def commands(turns: int) -> dict[str, float]:
    """Seconds of each as a process, the median."""
    figures: dict[str, float] = {}
    for name, arguments in COMMANDS.items():
        taken = []
        for _ in range(turns):
            begun = time.perf_counter()
            ran = subprocess.run(  # noqa: S603 - ourselves
                [sys.executable, "-m", "executor", *arguments],
                capture_output=True,
                text=True,
                check=False,
            )
            taken.append(time.perf_counter() - begun)
            if ran.returncode:
                print(f"{name}: exit {ran.returncode}: {ran.stderr.strip()[-300:]}")
                break
        else:
            figures[name] = statistics.median(taken)
    return figures


def a_day(markets: int) -> dict[str, float]:
    """So many windows at the venue's rate, streamed; making the books is timed apart."""
    begun = time.perf_counter()
    made = sum(1 for _ in SyntheticFeed(markets=markets))
    made_s = time.perf_counter() - begun
    assumptions = Assumptions(latency=Latency.constant(LATENCY_MS), poll=None)
    begun = time.perf_counter()
    feed, configuration = SyntheticFeed(markets=markets), configuration_of(BookImbalance)
    seen = run(feed, BookImbalance, configuration, assumptions)
    taken_s = time.perf_counter() - begun
    return {
        "busy: events": made,
        "busy: moments": seen.moments,
        "busy: signals": len(seen.signals),
        "busy: s, with making the books": taken_s,
        "busy: s of the engine": taken_s - made_s,
        "busy: books/s of the engine": 2 * seen.moments / (taken_s - made_s),
        "busy: peak MB of this process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.backtest",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--site", type=folder, action="append", default=[], help="where a peer is installed"
    )
    parser.add_argument("--day", action="store_true", help="also a whole day at full rate")
    parser.add_argument("--quick", action="store_true", help="few turns, to see that it works")
    options = parser.parse_args()
    sys.path.extend(options.site)
    # First, so that the peak is its own.
    busy = a_day(MARKETS_A_DAY if options.day else 1)
    print(f"{busy['busy: moments'] / SNAPSHOTS_A_MARKET:.1f} windows at full rate are played")
    turns = 2 if options.quick else 7
    figures = {**in_turns(contenders(), turns), **commands(1 if options.quick else 3), **busy}
    for name, figure in figures.items():
        print(f"{name:<60} {figure:>14,.2f}")
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
