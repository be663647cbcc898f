"""What it costs to come later, how long a signal lasts, and what a larger order costs. Pure."""

from __future__ import annotations

from typing import Final

import numpy as np

from backtest.engine.observations import DELAYS_S, SIZES_USD
from backtest.measures.intervals import Floats
from backtest.measures.markout import plain_mean
from backtest.measures.prepared import Prepared, book_every_ms, known_e4
from backtest.measures.sections import Both, DelayLine, ScanSees, SizeLine, Waited, Waiting

_SCANS_S: Final = (30, 10, 5)


def waiting(run: Prepared) -> Waiting:
    """COST OF WAITING."""
    rows = run.rows
    lasted_ms = episode_lengths_ms(run)
    return Waiting(
        delays=[
            DelayLine(
                delay_s=delay_s,
                waited=Both(
                    _waited(run, known_e4(rows.ask_waited_e4[:, index])),
                    _waited(run, known_e4(rows.ask_waited_next_e4[:, index])),
                ),
            )
            for index, delay_s in enumerate(DELAYS_S)
        ],
        episodes=len(lasted_ms),
        episode_median_s=float(np.median(lasted_ms)) / 1_000 if len(lasted_ms) else None,
        scans=[
            ScanSees(every_s=every_s, share=seen_by(lasted_ms, every_s)) for every_s in _SCANS_S
        ],
    )


def seen_by(lasted_ms: Floats, every_s: int) -> float | None:
    """Share of episodes that a scan every so often falls into, over all its phases."""
    return plain_mean(np.minimum(1, lasted_ms / (1_000 * every_s)))


def episode_lengths_ms(run: Prepared) -> Floats:
    """(episodes,): from the first signal to the book after the last one.

    That book's time is not kept; it is taken to come after its market's mean time between books.
    """
    rows = run.rows
    if not len(rows):
        return np.zeros(0)
    _, first, episode = np.unique(rows.episode, return_index=True, return_inverse=True)
    last_at_ms = np.zeros(len(first), dtype=np.int64)
    np.maximum.at(last_at_ms, episode, rows.at_ms)
    every_ms = np.array([book_every_ms(each) or 0 for each in run.seen.markets])
    lasted: Floats = last_at_ms - rows.at_ms[first] + every_ms[run.market[first]]
    return lasted


def _waited(run: Prepared, ask_e4: Floats) -> Waited:
    known = ~np.isnan(ask_e4)
    unknown = int((~known).sum())
    if not known.any():
        return Waited(n=0, unknown=unknown)
    asked = known_e4(run.rows.ask_e4)[known]
    limit, tick_e4, ask_e4 = run.rows.max_price_e4[known], run.tick_e4[known], ask_e4[known]
    pct = np.abs(ask_e4 / asked - 1) * 100
    p25, median, p75, p90 = (float(each) for each in np.percentile(pct, (25, 50, 75, 90)))
    above = ask_e4 > limit
    below = ask_e4 < 2 * asked - limit
    return Waited(
        n=len(ask_e4),
        unknown=unknown,
        p25_pct=p25,
        median_pct=median,
        p75_pct=p75,
        p90_pct=p90,
        mean_ticks=float(((ask_e4 - asked) / tick_e4).mean()),
        limit_refuses=float(above.mean()),
        both_ways_refuse=float((above | below).mean()),
    )


def sizes(run: Prepared) -> list[SizeLine]:
    """SIZE, of the first book of each episode."""
    _, first = np.unique(run.rows.episode, return_index=True)
    prices, tick_e4 = run.rows.size_price_e4[first], run.tick_e4[first]
    lines = []
    for index, usd in enumerate(SIZES_USD):
        held = int((~np.isnan(prices[:, index])).sum())
        lines.append(
            SizeLine(
                usd=usd,
                books=len(first),
                held=held,
                held_share=held / len(first) if len(first) else None,
                extra_ticks=plain_mean((prices[:, index] - prices[:, 0]) / tick_e4),
            )
        )
    return lines
