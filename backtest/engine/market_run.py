"""One market while its books come: tops of its books, its signals, and what is measured at its end.

Nothing is looked up ahead: prices after a signal are read when the market is over.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from backtest.engine.desk import Desk, UnderWay, is_placeholder
from backtest.engine.observations import (
    CHART_POINTS,
    DELAYS_S,
    HORIZONS_S,
    SIZES_USD,
    UNKNOWN,
    MarketSeen,
    Prices,
)
from functions.core.trade import Trade
from protocol.book import Book, Level, Proof
from protocol.market import UP, MarketInfo
from protocol.snapshot import BookSnapshot
from protocol.units import PRICE_SCALE, cost_e6

_UNSEEN: Final = (UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN)


class SignalNoted(msgspec.Struct, frozen=True):
    """One signal, as far as it is known when it is given."""

    at_ms: int
    is_up: bool
    episode: int
    strength: float
    edge_ticks: float
    to_close_ms: int
    bid_e4: int
    ask_e4: int
    max_price_e4: int
    arrives_at_ms: int
    size_prices_e4: tuple[float, ...]


class MarketRun:
    """`note` each book, after `last` was used for whatever arrived before it."""

    __slots__ = (
        "_chart_from_ms",
        "_down_ask",
        "_down_bid",
        "_up_ask",
        "_up_bid",
        "at_ms",
        "darks",
        "episode",
        "episode_outcome",
        "index",
        "last",
        "last_ms",
        "market",
        "placeholders",
        "scanned_s",
        "seen",
        "signals",
        "waiting",
    )

    def __init__(self, market: MarketInfo, index: int, first_at_ms: int) -> None:
        self.market = market
        self.index = index
        self.seen = MarketSeen(
            slug=market.slug,
            series=market.series,
            condition_id=market.condition_id,
            start_ms=market.start_ms,
            end_ms=market.end_ms,
            tick_e4=market.tick_size_e4,
            first_at_ms=first_at_ms,
            last_at_ms=first_at_ms,
        )
        self.last: BookSnapshot | None = None
        self.last_ms = first_at_ms
        self.scanned_s = first_at_ms // 1_000
        """The last second at which a scanner has looked."""
        self.waiting: list[tuple[Desk, UnderWay]] = []
        """Orders that have arrived and meet the next book."""
        self.signals: list[SignalNoted] = []
        self.episode = -1
        self.episode_outcome = ""
        self.placeholders = self.darks = 0
        self.at_ms = array("q")
        self._up_bid, self._up_ask = array("i"), array("i")
        self._down_bid, self._down_ask = array("i"), array("i")
        self._chart_from_ms = 0

    def note(self, snapshot: BookSnapshot, now_ms: int) -> None:
        """The market's newest book."""
        up_bid, up_ask, down_bid, down_ask = self._tops_of(snapshot)
        self.at_ms.append(now_ms)
        self._up_bid.append(up_bid)
        self._up_ask.append(up_ask)
        self._down_bid.append(down_bid)
        self._down_ask.append(down_ask)
        seen, market = self.seen, snapshot.market
        gap_ms = now_ms - self.last_ms
        if (
            gap_ms > seen.longest_gap_ms
            and market.start_ms < now_ms
            and self.last_ms < market.end_ms
        ):
            seen.longest_gap_ms = gap_ms
        if now_ms >= self._chart_from_ms and market.start_ms <= now_ms <= market.end_ms:
            apart_ms = max(1, (market.end_ms - market.start_ms) // (CHART_POINTS - 1))
            self._chart_from_ms = now_ms + apart_ms
            seen.chart_at_ms.append(now_ms)
            one_sided = UNKNOWN in (up_bid, up_ask)
            seen.chart_mid_e4.append(math.nan if one_sided else (up_bid + up_ask) / 2)
        self.last, self.last_ms = snapshot, now_ms

    def _tops_of(self, snapshot: BookSnapshot) -> tuple[int, int, int, int]:
        if snapshot.proof is Proof.NONE:
            self.darks += 1
            return _UNSEEN
        up, down = snapshot.books
        if up.token_id != snapshot.market.token_of(UP):
            up, down = down, up
        if is_placeholder(up) and is_placeholder(down):
            self.placeholders += 1
            return _UNSEEN
        up_bids, up_asks, down_bids, down_asks = up.bids, up.asks, down.bids, down.asks
        return (
            up_bids[0][0] if up_bids else UNKNOWN,
            up_asks[0][0] if up_asks else UNKNOWN,
            down_bids[0][0] if down_bids else UNKNOWN,
            down_asks[0][0] if down_asks else UNKNOWN,
        )

    def note_signal(
        self, trade: Trade, book: Book, strength: float, now_ms: int, arrives_at_ms: int
    ) -> None:
        """A signal on the newest book; `book` is the bought token's. `episode` is set before."""
        first = not self.signals or self.signals[-1].episode != self.episode
        bid_e4 = book.best_bid_e4
        self.signals.append(
            SignalNoted(
                at_ms=now_ms,
                is_up=trade.outcome == UP,
                episode=self.episode,
                strength=strength,
                edge_ticks=trade.edge_after_costs_ticks,
                to_close_ms=self.market.end_ms - now_ms,
                bid_e4=UNKNOWN if bid_e4 is None else bid_e4,
                ask_e4=trade.signal_price_e4,
                max_price_e4=trade.max_price_e4,
                arrives_at_ms=arrives_at_ms,
                size_prices_e4=_size_prices_e4(book.asks) if first else _NO_SIZES,
            )
        )

    def measured(self, gap_over_ms: int) -> MeasuredSignals | None:
        """What became of the signals' prices; None without signals. The market is over."""
        if not self.signals:
            return None
        noted = self.signals
        tops = _Tops(self, gap_over_ms)
        at_ms = np.array([each.at_ms for each in noted], dtype=np.int64)
        arrives_ms = np.array([each.arrives_at_ms for each in noted], dtype=np.int64)
        is_up = np.array([each.is_up for each in noted], dtype=np.bool_)
        after = [tops.unchanged(at_ms + 1_000 * horizon) for horizon in HORIZONS_S]
        waited_ms = [at_ms + round(1_000 * delay) for delay in DELAYS_S]
        return MeasuredSignals(
            noted=noted,
            market=self.index,
            bid_after_e4=_columns(tops.bids(index, is_up) for index in after),
            ask_after_e4=_columns(tops.asks(index, is_up) for index in after),
            ask_waited_e4=_columns(tops.asks(tops.unchanged(ms), is_up) for ms in waited_ms),
            ask_waited_next_e4=_columns(tops.asks(tops.next(ms), is_up) for ms in waited_ms),
            arrival_ask_e4=_columns(
                tops.asks(index, is_up)
                for index in (tops.unchanged(arrives_ms), tops.next(arrives_ms))
            ),
        )

    def top_arrays(self) -> tuple[NDArray[np.int64], list[Prices]]:
        """(times, [up bid, up ask, down bid, down ask]) of all its books."""
        sides = (self._up_bid, self._up_ask, self._down_bid, self._down_ask)
        return (
            np.frombuffer(self.at_ms, dtype=np.int64),
            [np.frombuffer(side, dtype=np.int32) for side in sides],
        )


class MeasuredSignals(msgspec.Struct, frozen=True, kw_only=True):
    """The signals of one market; columns as in `SignalRows`."""

    noted: list[SignalNoted]
    market: int
    bid_after_e4: Prices
    ask_after_e4: Prices
    ask_waited_e4: Prices
    ask_waited_next_e4: Prices
    arrival_ask_e4: Prices


class _Tops:
    """Prices of a market at given times; indices of -1 are of no book."""

    def __init__(self, run: MarketRun, gap_over_ms: int) -> None:
        self._at_ms, sides = run.top_arrays()
        # One more at the end, for what is not known: index -1.
        unknown = np.array([UNKNOWN], dtype=np.int32)
        self._up_bid, self._up_ask, self._down_bid, self._down_ask = (
            np.concatenate((side, unknown)) for side in sides
        )
        self._end_ms = run.market.end_ms
        self._gap_over_ms = gap_over_ms

    def unchanged(self, ms: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of the last book at or before each time."""
        index = np.searchsorted(self._at_ms, ms, side="right") - 1
        age_ms = ms - self._at_ms[index]
        known = (index >= 0) & (age_ms <= self._gap_over_ms) & (ms < self._end_ms)
        return np.where(known, index, -1)

    def next(self, ms: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of the first book after each time."""
        index = np.searchsorted(self._at_ms, ms, side="right")
        there = index < len(self._at_ms)
        index = np.where(there, index, 0)
        wait_ms = self._at_ms[index] - ms
        known = there & (wait_ms <= self._gap_over_ms) & (self._at_ms[index] < self._end_ms)
        return np.where(known, index, -1)

    def bids(self, index: NDArray[np.int64], is_up: NDArray[np.bool_]) -> Prices:
        return np.where(is_up, self._up_bid[index], self._down_bid[index])

    def asks(self, index: NDArray[np.int64], is_up: NDArray[np.bool_]) -> Prices:
        return np.where(is_up, self._up_ask[index], self._down_ask[index])


_NO_SIZES: Final = (math.nan,) * len(SIZES_USD)


def _size_prices_e4(asks: Sequence[Level]) -> tuple[float, ...]:
    """The mean price of so many USD, in 1e-4 USD; NaN where the asks do not hold so much."""
    wanted = [usd * 1_000_000 for usd in SIZES_USD]
    prices: list[float] = []
    spent_e6 = shares_e6 = 0
    for price_e4, size_e6 in asks:
        level_e6 = cost_e6(price_e4, size_e6)
        while len(prices) < len(wanted) and spent_e6 + level_e6 >= wanted[len(prices)]:
            usd_e6 = wanted[len(prices)]
            rest_e6 = (usd_e6 - spent_e6) * PRICE_SCALE / price_e4
            prices.append(usd_e6 * PRICE_SCALE / (shares_e6 + rest_e6))
        spent_e6, shares_e6 = spent_e6 + level_e6, shares_e6 + size_e6
        if len(prices) == len(wanted):
            break
    return (*prices, *_NO_SIZES[len(prices) :])


def _columns(parts: Iterable[Prices]) -> Prices:
    return np.stack(list(parts), axis=1)
