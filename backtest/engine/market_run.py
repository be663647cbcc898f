"""One market while its books come: tops of its books, its signals, and what is measured at its end.

Nothing is looked up ahead: prices after a signal are read when the market is over.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from backtest.engine.desk import PLACEHOLDER_BID_E4, Desk, UnderWay, is_placeholder
from backtest.engine.observations import (
    CHART_POINTS,
    DELAYS_S,
    HORIZONS_S,
    SIZES_USD,
    UNKNOWN,
    MarketSeen,
    Prices,
    SignalRows,
)
from functions.core.trade import Trade
from protocol.book import Book, Level, Proof
from protocol.market import UP, MarketInfo
from protocol.snapshot import BookSnapshot
from protocol.units import PRICE_SCALE, cost_e6

_HORIZONS_MS: Final = np.array([round(1_000 * each) for each in HORIZONS_S], dtype=np.int64)
_DELAYS_MS: Final = np.array([round(1_000 * each) for each in DELAYS_S], dtype=np.int64)
_UNSEEN: Final = (UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN)


class SignalNoted(msgspec.Struct, frozen=True):
    """One signal, as far as it is known when it is given."""

    at_ms: int
    is_up: bool
    episode: int
    tick_e4: int
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
        "_longest_gap_ms",
        "_tops",
        "_up_token",
        "darks",
        "episode",
        "episode_outcome",
        "index",
        "last",
        "last_ms",
        "market",
        "placeholders",
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
            fee=market.fee,
            first_at_ms=first_at_ms,
            last_at_ms=first_at_ms,
        )
        self.last: BookSnapshot | None = None
        self.last_ms = first_at_ms
        self.waiting: list[tuple[Desk, UnderWay]] = []
        """Orders that have arrived and meet the next book."""
        self.signals: list[SignalNoted] = []
        self.episode = -1
        self.episode_outcome = ""
        self.placeholders = self.darks = 0
        self._up_token = market.token_of(UP)
        self._tops = array("q")
        """Of each book: its time, best bid and ask of Up, best bid and ask of Down."""
        # What a recording has missed of a window's beginning is a gap, too.
        self._longest_gap_ms = self.seen.longest_gap_ms = max(0, first_at_ms - market.start_ms)
        self._chart_from_ms = market.start_ms

    def note(self, snapshot: BookSnapshot, now_ms: int) -> None:
        """The market's newest book."""
        up, down = snapshot.books
        if up.token_id != self._up_token:
            up, down = down, up
        up_bids, up_asks, down_bids, down_asks = up.bids, up.asks, down.bids, down.asks
        if up_bids and up_asks and down_bids and down_asks:
            tops = (now_ms, up_bids[0][0], up_asks[0][0], down_bids[0][0], down_asks[0][0])
        else:
            tops = (now_ms, *_top_of(up), *_top_of(down))
        if snapshot.proof is Proof.NONE:
            self.darks += 1
            tops = (now_ms, *_UNSEEN)
        elif tops[1] <= PLACEHOLDER_BID_E4 and is_placeholder(up) and is_placeholder(down):
            self.placeholders += 1
            tops = (now_ms, *_UNSEEN)
        self._tops.extend(tops)
        gap_ms = now_ms - self.last_ms
        if gap_ms > self._longest_gap_ms:
            self._note_gap(now_ms, gap_ms)
        if now_ms >= self._chart_from_ms:
            self._note_chart(now_ms, tops[1], tops[2])
        self.last, self.last_ms = snapshot, now_ms

    def note_end(self) -> None:
        """The market is over, or the recording: nobody knows what came after the last book."""
        self.seen.last_at_ms = self.last_ms
        gap_ms = self.market.end_ms - max(self.last_ms, self.market.start_ms)
        self.seen.longest_gap_ms = max(self._longest_gap_ms, gap_ms)

    def _note_gap(self, now_ms: int, gap_ms: int) -> None:
        market = self.market
        if market.start_ms < now_ms and self.last_ms < market.end_ms:
            self._longest_gap_ms = self.seen.longest_gap_ms = gap_ms

    def _note_chart(self, now_ms: int, bid_e4: int, ask_e4: int) -> None:
        market = self.market
        self._chart_from_ms = now_ms + max(1, (market.end_ms - market.start_ms) // CHART_POINTS)
        if now_ms <= market.end_ms and len(self.seen.chart_at_ms) < CHART_POINTS:
            self.seen.chart_at_ms.append(now_ms)
            one_sided = UNKNOWN in (bid_e4, ask_e4)
            self.seen.chart_mid_e4.append(math.nan if one_sided else (bid_e4 + ask_e4) / 2)

    def note_signal(
        self, trade: Trade, book: Book, strength: float, now_ms: int, arrives_at_ms: int
    ) -> None:
        """A signal on the newest book, which `note` has; `book` is the bought token's. `episode` is
        set before."""
        assert self.last is not None  # noqa: S101 - it was noted
        tick_e4 = self.last.market.tick_size_e4
        first = not self.signals or self.signals[-1].episode != self.episode
        bid_e4 = book.best_bid_e4
        self.signals.append(
            SignalNoted(
                at_ms=now_ms,
                is_up=trade.outcome == UP,
                episode=self.episode,
                tick_e4=tick_e4,
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

    def measured(self, gap_over_ms: int, cut_at_ms: int | None) -> SignalRows | None:
        """What became of the signals' prices; None without signals. The market is over, or the
        recording is at `cut_at_ms`: what a price was after that nobody knows."""
        noted = self.signals
        if not noted:
            return None
        tops = _Tops(self, gap_over_ms, cut_at_ms)
        at_ms = np.array([each.at_ms for each in noted], dtype=np.int64)
        arrives_ms = np.array([each.arrives_at_ms for each in noted], dtype=np.int64)
        is_up = np.array([each.is_up for each in noted], dtype=np.bool_)
        after = tops.unchanged(at_ms[:, np.newaxis] + _HORIZONS_MS)
        waited_ms = at_ms[:, np.newaxis] + _DELAYS_MS
        arrived = np.stack((tops.unchanged(arrives_ms), tops.next(arrives_ms)), axis=1)
        # Where no book comes next nothing is met, and no price is paid.
        met_ms = np.stack((arrives_ms, tops.at_ms(arrived[:, 1])), axis=1)[:, :, np.newaxis]
        held = tops.unchanged((met_ms + _HORIZONS_MS).reshape((len(noted), -1)))
        return SignalRows(
            at_ms=at_ms,
            market=np.full(len(noted), self.index, dtype=np.int32),
            is_up=is_up,
            episode=np.array([each.episode for each in noted], dtype=np.int32),
            tick_e4=np.array([each.tick_e4 for each in noted], dtype=np.int32),
            strength=np.array([each.strength for each in noted], dtype=np.float64),
            edge_ticks=np.array([each.edge_ticks for each in noted], dtype=np.float64),
            to_close_ms=np.array([each.to_close_ms for each in noted], dtype=np.int64),
            bid_e4=np.array([each.bid_e4 for each in noted], dtype=np.int32),
            ask_e4=np.array([each.ask_e4 for each in noted], dtype=np.int32),
            max_price_e4=np.array([each.max_price_e4 for each in noted], dtype=np.int32),
            bid_after_e4=tops.bids(after, is_up),
            ask_after_e4=tops.asks(after, is_up),
            bid_held_e4=tops.bids(held, is_up),
            ask_held_e4=tops.asks(held, is_up),
            ask_waited_e4=tops.asks(tops.unchanged(waited_ms), is_up),
            ask_waited_next_e4=tops.asks(tops.next(waited_ms), is_up),
            arrival_ask_e4=tops.asks(arrived, is_up),
            size_price_e4=np.array([each.size_prices_e4 for each in noted], dtype=np.float64),
        )

    def tops(self) -> NDArray[np.int64]:
        """(books, 5): time, best bid and ask of Up, best bid and ask of Down."""
        return np.frombuffer(self._tops, dtype=np.int64).reshape((-1, 5))


class _Tops:
    """Prices of a market at given times; indices of -1 are of no book, a row of them a signal."""

    def __init__(self, run: MarketRun, gap_over_ms: int, cut_at_ms: int | None) -> None:
        tops = run.tops()
        self._at_ms = tops[:, 0]
        # One more at the end, for what is not known: index -1.
        sides = np.concatenate((tops[:, 1:], [_UNSEEN])).astype(np.int32)
        self._up_bid: Prices = sides[:, 0]
        self._up_ask: Prices = sides[:, 1]
        self._down_bid: Prices = sides[:, 2]
        self._down_ask: Prices = sides[:, 3]
        self._known_before_ms = run.market.end_ms
        if cut_at_ms is not None:
            self._known_before_ms = min(cut_at_ms + 1, run.market.end_ms)
        self._gap_over_ms = gap_over_ms

    def unchanged(self, ms: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of the last book at or before each time."""
        index = np.searchsorted(self._at_ms, ms, side="right") - 1
        age_ms = ms - self._at_ms[index]
        known = (index >= 0) & (age_ms <= self._gap_over_ms) & (ms < self._known_before_ms)
        return np.where(known, index, -1)

    def next(self, ms: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of the first book after each time."""
        index = np.searchsorted(self._at_ms, ms, side="right")
        there = index < len(self._at_ms)
        index = np.where(there, index, 0)
        wait_ms = self._at_ms[index] - ms
        known = (
            there & (wait_ms <= self._gap_over_ms) & (self._at_ms[index] < self._known_before_ms)
        )
        return np.where(known, index, -1)

    def at_ms(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """When those books came; the newest one's time for none."""
        return self._at_ms[index]

    def bids(self, index: NDArray[np.int64], is_up: NDArray[np.bool_]) -> Prices:
        return np.where(is_up[:, np.newaxis], self._up_bid[index], self._down_bid[index])

    def asks(self, index: NDArray[np.int64], is_up: NDArray[np.bool_]) -> Prices:
        return np.where(is_up[:, np.newaxis], self._up_ask[index], self._down_ask[index])


def _top_of(book: Book) -> tuple[int, int]:
    """Best bid and ask as `SignalRows` has them: an empty side is worth what it can be at most."""
    bid_e4, ask_e4 = book.best_bid_e4, book.best_ask_e4
    if bid_e4 is None and ask_e4 is None:
        return UNKNOWN, UNKNOWN
    return 0 if bid_e4 is None else bid_e4, PRICE_SCALE if ask_e4 is None else ask_e4


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
