"""`MarketView`: all that a strategy may look at. Pure."""

from __future__ import annotations

import msgspec

from protocol.book import PUBLISHED_LEVELS_MAX, Book
from protocol.market import DOWN, UP, MarketInfo
from protocol.units import PRICE_SCALE
from strategies.memory import MarketMemory


class MarketView(msgspec.Struct, frozen=True):
    """One market at one moment, the same for all strategies.

    Prices are in 1e-4 USD, sizes in 1e-6 shares, times in ms.
    The books have passed the worker's gate: proven, fresh, of a market that may be traded. They may
    be one-sided or crossed.
    """

    market: MarketInfo
    up: Book
    down: Book
    time_to_close_ms: int
    memory: MarketMemory
    bids_max: int = PUBLISHED_LEVELS_MAX
    """How many bids a book shows at most; no strategy is asked that looks at more."""

    @property
    def now_ms(self) -> int:
        """The moment that this shows, epoch milliseconds; `decide` is given the same."""
        return self.market.end_ms - self.time_to_close_ms

    def book(self, outcome: str) -> Book:
        """The outcome's own book. Raises KeyError for another name than `Up` and `Down`."""
        if outcome == UP:
            return self.up
        if outcome == DOWN:
            return self.down
        raise KeyError(f"no outcome {outcome!r}")

    def fee_ticks(self, price_e4: float) -> float:
        """The venue's fee for a share bought at `price_e4`, in ticks (`protocol.fee`)."""
        fee, price = self.market.fee, price_e4 / PRICE_SCALE
        usd = float(fee.rate) * (price * (1 - price)) ** fee.exponent
        return usd * PRICE_SCALE / self.market.tick_size_e4

    def costs_ticks(self, outcome: str) -> float | None:
        """What an entry costs a share: half the spread and the fee at the ask, in ticks.

        None where the outcome's book is one-sided. Raises KeyError as `book` does.
        """
        return self._costs_ticks(self.book(outcome))

    def _costs_ticks(self, book: Book) -> float | None:
        if not book.bids or not book.asks:
            return None
        ask_e4 = book.asks[0][0]
        half_e4 = (ask_e4 - book.bids[0][0]) / 2
        return half_e4 / self.market.tick_size_e4 + self.fee_ticks(ask_e4)

    def edge_after_costs_ticks(self, outcome: str, value_e4: float | None = None) -> float | None:
        """What a share of the outcome is worth beyond what it costs (ask and fee), in ticks.

        `value_e4` is the strategy's own estimate; without one it is the book's mid, so that the
        edge is minus the costs. None where the book is one-sided. Raises KeyError as `book` does.
        """
        book = self.book(outcome)
        costs_ticks = self._costs_ticks(book)
        if costs_ticks is None:
            return None
        mid_e4 = (book.bids[0][0] + book.asks[0][0]) / 2
        gained_e4 = 0.0 if value_e4 is None else value_e4 - mid_e4
        return gained_e4 / self.market.tick_size_e4 - costs_ticks
