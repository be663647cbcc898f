"""`book_imbalance_crypto` on many moments at once.

Sums of sizes are whole numbers, and quotients are of such sums below 2^53, which a float holds, so
they are rounded once, as Python's are. Moments whose sums are larger (450,000 USD on one side) are
left to the strategy's own functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protocol.book import Book, Level
from protocol.market import DOWN, UP
from strategies.book_imbalance import BookImbalance, weighted_mid_e4
from strategies.view import MarketView

_EXACT_BELOW: Final = 2.0**53

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]
_Flags = NDArray[np.bool_]


class BookImbalanceTwin:
    """See `backtest.sweep.features`."""

    def __init__(
        self, views: Sequence[MarketView], points: Sequence[BookImbalance.Parameters]
    ) -> None:
        self._views = views
        self._up = _Tops([view.up for view in views])
        self._down = _Tops([view.down for view in views])
        two_sided = np.flatnonzero(self._up.is_two_sided & (self._up.spread > 0))
        self._rows = two_sided
        """Of the moments whose Up has both sides and is not crossed; what follows is of these."""
        levels = sorted({each.levels for each in points})
        hurdled = {each.levels for each in points if each.hurdle_ticks}
        sides = _Sides(
            [views[row] for row in two_sided.tolist()],
            max(levels, default=1),
            with_costs=bool(hurdled),
        )
        self._imbalance = {each: sides.imbalance(each) for each in levels}
        self._bought_up = {each: self._imbalance[each] > 0 for each in levels}
        self._edge_ticks = {
            each: sides.edge_ticks(each, self._bought_up[each])
            for each in levels
            if each in hurdled
        }
        self._mid, self._spread = self._up.mid[two_sided], self._up.spread[two_sided]
        self._down_spread = self._down.spread[two_sided]
        self._down_two_sided = self._down.is_two_sided[two_sided]

    def wants(self, parameters: BookImbalance.Parameters) -> NDArray[np.int8]:
        """See `Twin.wants`."""
        levels, spread_max_e4 = parameters.levels, parameters.spread_max_e4
        imbalance, bought_up = self._imbalance[levels], self._bought_up[levels]
        # A NaN, where nothing is on either side, is not at least anything.
        passes = (
            (parameters.mid_min_e4 <= self._mid)
            & (self._mid <= parameters.mid_max_e4)
            & (self._spread <= spread_max_e4)
            & (np.abs(imbalance) >= parameters.imbalance_min)
        )
        passes &= bought_up | (
            self._down_two_sided & (self._down_spread > 0) & (self._down_spread <= spread_max_e4)
        )
        if parameters.hurdle_ticks:
            passes &= self._edge_ticks[levels] >= parameters.hurdle_ticks
        wants = np.zeros(len(self._views), dtype=np.int8)
        wants[self._rows] = np.where(bought_up, 1, -1) * passes
        return wants


class _Tops:
    """The best prices of books; 0 where a side is empty."""

    def __init__(self, books: list[Book]) -> None:
        bid = np.array([book.bids[0][0] if book.bids else 0 for book in books], dtype=np.int64)
        ask = np.array([book.asks[0][0] if book.asks else 0 for book in books], dtype=np.int64)
        self.is_two_sided: _Flags = np.array(
            [bool(book.bids and book.asks) for book in books], dtype=np.bool_
        )
        self.mid: _Floats = (bid + ask) / 2
        self.spread: _Ints = ask - bid


class _Side:
    """One side of books: sizes and price x size, summed from the best level on."""

    def __init__(self, sides: list[tuple[Level, ...]], levels: int) -> None:
        count = len(sides)
        lengths = np.array([min(len(side), levels) for side in sides], dtype=np.int64)
        numbers = chain.from_iterable(chain.from_iterable(side[:levels] for side in sides))
        flat = np.fromiter(numbers, dtype=np.int64).reshape((-1, 2))
        row = np.repeat(np.arange(count), lengths)
        column = np.arange(len(flat)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        price, size = (np.zeros((count, levels), dtype=np.int64) for _ in range(2))
        price[row, column], size[row, column] = flat[:, 0], flat[:, 1]
        self.size = np.cumsum(size, axis=1)
        self.money = np.cumsum(price * size, axis=1)
        about = np.cumsum(price.astype(np.float64) * size, axis=1)
        # Money is the larger of the two wherever a price is at least 1e-4.
        self.is_exact: _Flags = about < _EXACT_BELOW / 2


class _Sides:
    def __init__(self, views: list[MarketView], levels: int, *, with_costs: bool) -> None:
        self._views = views
        self._up_bids = _Side([view.up.bids for view in views], levels)
        self._up_asks = _Side([view.up.asks for view in views], levels)
        self._down_bids = _Side([view.down.bids for view in views], levels)
        self._down_asks = _Side([view.down.asks for view in views], levels)
        self._tick_e4 = np.array([view.market.tick_size_e4 for view in views], dtype=np.int64)
        self._mid_e4: dict[str, _Floats] = {}
        self._costs_ticks: dict[str, _Floats] = {}
        """By outcome; NaN where its book is one-sided."""
        for outcome in (UP, DOWN) if with_costs else ():
            mids = [view.book(outcome).mid_e4 for view in views]
            self._mid_e4[outcome] = np.array(mids, dtype=np.float64)
            costs = [view.costs_ticks(outcome) for view in views]
            self._costs_ticks[outcome] = np.array(costs, dtype=np.float64)

    def imbalance(self, levels: int) -> _Floats:
        """As `Book.imbalance` of Up; NaN for None."""
        last = levels - 1
        bid, ask = self._up_bids.size[:, last], self._up_asks.size[:, last]
        exact = self._up_bids.is_exact[:, last] & self._up_asks.is_exact[:, last]
        imbalance = _quotient(bid - ask, bid + ask)
        for row in np.flatnonzero(~exact).tolist():
            value = self._views[row].up.imbalance(levels)
            imbalance[row] = np.nan if value is None else value
        return imbalance

    def edge_ticks(self, levels: int, bought_up: _Flags) -> _Floats:
        """What the bought book's weighted mid promises after costs; NaN where it is one-sided."""
        last = levels - 1

        def of_bought(up: _Side, down: _Side) -> tuple[_Ints, _Ints, _Flags]:
            both = (
                np.where(bought_up, getattr(up, name)[:, last], getattr(down, name)[:, last])
                for name in ("size", "money", "is_exact")
            )
            size, money, is_exact = both
            return size, money, is_exact

        bid_size, bid_money, bids_exact = of_bought(self._up_bids, self._down_bids)
        ask_size, ask_money, asks_exact = of_bought(self._up_asks, self._down_asks)
        exact = bids_exact & asks_exact
        bid_e4, ask_e4 = _quotient(bid_money, bid_size), _quotient(ask_money, ask_size)
        value_e4 = _quotient(bid_e4 * ask_size + ask_e4 * bid_size, bid_size + ask_size)
        for row in np.flatnonzero(~exact).tolist():
            view = self._views[row]
            book = view.up if bought_up[row] else view.down
            if book.bids and book.asks:
                value_e4[row] = weighted_mid_e4(book, levels)
        mid_e4, costs_ticks = (
            np.where(bought_up, *(of[outcome] for outcome in (UP, DOWN)))
            for of in (self._mid_e4, self._costs_ticks)
        )
        edge_ticks: _Floats = (value_e4 - mid_e4) / self._tick_e4 - costs_ticks
        return edge_ticks


def _quotient(above: _Ints | _Floats, below: _Ints) -> _Floats:
    """NaN where nothing is below."""
    quotient: _Floats = np.full(len(above), np.nan)
    np.divide(above, below, out=quotient, where=below != 0)
    return quotient
