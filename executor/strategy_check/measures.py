"""What a strategy costs: CPU time a book, and memory."""

from __future__ import annotations

import gc
import time
import tracemalloc
from typing import Final

from executor.strategy_check.made_up_views import made_up_views
from executor.strategy_check.report import StrategyCheck
from runtime.time_limit import TookTooLongError, within_s
from strategies.interface import Strategy
from strategies.view import MarketView

TIME_MAX_US: Final = 200
"""Of the 99th percentile. A worker asks each strategy about each book, one after the other."""
ROUNDS: Final = 3
GROWTH_MAX_BYTES: Final = 16_384
GROWTH_BOOKS: Final = 2_000
PEAK_MAX_BYTES: Final = 1 << 20
_PEAK_BOOKS: Final = 300
_MEASURE_MAX_S: Final = 15.0
_TIME: Final = "fast enough"
_MEMORY: Final = "memory is bounded"


def time_check(strategy: type[Strategy], views: list[MarketView]) -> StrategyCheck:
    """CPU time, the best of some rounds: a busy machine makes none of them slower by much."""
    try:
        with within_s(_MEASURE_MAX_S, cpu=True):
            rounds = [_times_us(strategy, views) for _ in range(ROUNDS)]
    except TookTooLongError:
        return _failed(
            _TIME, f"{ROUNDS} x {len(views):,} books take longer than {_MEASURE_MAX_S:g} s"
        )
    except BaseException:  # noqa: BLE001 - what it raises is another check's
        return _failed(_TIME, "not known, because it raises")
    p50, p99 = min((_at(times, 0.99), _at(times, 0.5)) for times in rounds)[::-1]
    return StrategyCheck(
        what=_TIME,
        ok=p99 <= TIME_MAX_US,
        text=f"{p50:.1f} us a book, {p99:.1f} us at p99 (CPU time, best of {ROUNDS} rounds over "
        f"{len(views):,} books); at most {TIME_MAX_US} us",
    )


def _times_us(strategy: type[Strategy], views: list[MarketView]) -> list[float]:
    decide, defaults, times = strategy.decide, strategy.Parameters(), list[float]()
    for view in views:
        now_ms = view.market.end_ms - view.time_to_close_ms
        begun_ns = time.thread_time_ns()
        decide(view, defaults, now_ms)
        times.append((time.thread_time_ns() - begun_ns) / 1000)
    return sorted(times)


def _at(times: list[float], share: float) -> float:
    return times[min(len(times) - 1, int(len(times) * share))]


def memory_check(strategy: type[Strategy], views: list[MarketView]) -> StrategyCheck:
    """What stays after thousands of books, and the most that one answer takes."""
    tracemalloc.start()
    try:
        with within_s(_MEASURE_MAX_S, cpu=True):
            _ask(strategy, seed=3, count=GROWTH_BOOKS // 4)
            before = _in_use()
            _ask(strategy, seed=4, count=GROWTH_BOOKS)
            grown = _in_use() - before
            peak = max(_peak_of(strategy, view) for view in views[:: len(views) // _PEAK_BOOKS + 1])
    except TookTooLongError:
        return _failed(_MEMORY, f"not measured within {_MEASURE_MAX_S:g} s")
    except BaseException:  # noqa: BLE001 - what it raises is another check's
        return _failed(_MEMORY, "not known, because it raises")
    finally:
        tracemalloc.stop()
    return StrategyCheck(
        what=_MEMORY,
        ok=grown <= GROWTH_MAX_BYTES and peak <= PEAK_MAX_BYTES,
        text=f"{max(0, grown) / 1000:.1f} kB more after {GROWTH_BOOKS:,} other books (at most "
        f"{GROWTH_MAX_BYTES / 1000:.1f}); {peak / 1000:.1f} kB at most while it answers (at most "
        f"{PEAK_MAX_BYTES / 1000:.0f})",
    )


def _ask(strategy: type[Strategy], seed: int, count: int) -> None:
    defaults = strategy.Parameters()
    for view in made_up_views(seed, count):
        strategy.decide(view, defaults, view.market.end_ms - view.time_to_close_ms)


def _in_use() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _peak_of(strategy: type[Strategy], view: MarketView) -> int:
    now_ms, defaults = view.market.end_ms - view.time_to_close_ms, strategy.Parameters()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    strategy.decide(view, defaults, now_ms)
    return tracemalloc.get_traced_memory()[1] - before


def _failed(what: str, text: str) -> StrategyCheck:
    return StrategyCheck(what=what, ok=False, text=text)
