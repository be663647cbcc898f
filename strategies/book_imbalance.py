"""`book_imbalance_crypto`: buy the outcome that the best levels of the Up book lean to.

One market, both outcomes' books at hand: when the Up book's best levels lean to one side by enough,
buy the outcome they lean to, at that outcome's *own* best ask. A negative imbalance buys Down's
token from Down's book, never at Up's price (the books are mirrors, but only almost always: 18,766
of 18,782 recorded pairs).

Assumes that resting size predicts the next move of the mid (Cao, Hansch and Wang 2009, "The
information content of an open limit-order book"). On the bundled recordings the mid moves with it,
by about as much as an entry costs.
"""

from __future__ import annotations

from enum import StrEnum

from protocol.book import Book, size_of
from protocol.market import DOWN, UP
from strategies.interface import Hold, Signal, Strategy
from strategies.parameters import StrategyParameters, parameter
from strategies.view import MarketView


class BookImbalance(Strategy):
    """See the module's text."""

    name = "book_imbalance_crypto"

    class Parameters(StrategyParameters):
        """When the signal is given; prices in 1e-4 USD."""

        levels: int = parameter(5, "How many levels of each side count.", ge=1, le=40, tunable=True)
        imbalance_min: float = parameter(
            0.5, "The least imbalance of their sizes, either way.", ge=0, le=1, tunable=True
        )
        mid_min_e4: int = parameter(
            3_000, "The lowest mid of Up that is traded.", ge=0, le=10_000, tunable=True
        )
        mid_max_e4: int = parameter(
            7_000, "The highest mid of Up that is traded.", ge=0, le=10_000, tunable=True
        )
        spread_max_e4: int = parameter(
            200, "The widest spread, of Up and of what is bought.", ge=1, le=10_000, tunable=True
        )
        hurdle_ticks: float = parameter(
            0.0,
            "How much more than half the spread and the fee the book must promise, in ticks; "
            "0: what an entry costs is not asked.",
            ge=0,
            le=100,
            tunable=True,
        )

    class Reason(StrEnum):
        """Why it holds, in the order of the checks."""

        ONE_SIDED = "one_sided"
        CROSSED = "crossed"
        OUTSIDE_PRICE_ZONE = "outside_price_zone"
        SPREAD_TOO_WIDE = "spread_too_wide"
        NO_IMBALANCE = "no_imbalance"
        BELOW_HURDLE = "below_hurdle"

    @staticmethod
    def decide(view: MarketView, parameters: Parameters, now_ms: int) -> Signal | Hold:
        """Decide on one book; `now_ms` does not matter here."""
        up, reason = view.up, BookImbalance.Reason
        mid, spread = up.mid_e4, up.spread_e4
        if mid is None or spread is None:
            return Hold(reason.ONE_SIDED)
        if spread <= 0:
            return Hold(reason.CROSSED)
        if not parameters.mid_min_e4 <= mid <= parameters.mid_max_e4:
            return Hold(reason.OUTSIDE_PRICE_ZONE)
        if spread > parameters.spread_max_e4:
            return Hold(reason.SPREAD_TOO_WIDE)
        imbalance = up.imbalance(parameters.levels)  # after the cheap checks
        if imbalance is None or abs(imbalance) < parameters.imbalance_min:
            return Hold(reason.NO_IMBALANCE)

        outcome, bought = (UP, up) if imbalance > 0 else (DOWN, view.down)
        bought_spread = bought.spread_e4
        if bought_spread is None:
            return Hold(reason.ONE_SIDED)
        if bought_spread <= 0:
            return Hold(reason.CROSSED)
        if bought_spread > parameters.spread_max_e4:
            return Hold(reason.SPREAD_TOO_WIDE)
        value_e4 = weighted_mid_e4(bought, parameters.levels)
        if parameters.hurdle_ticks:
            edge_ticks = view.edge_after_costs_ticks(outcome, value_e4)
            if edge_ticks is None or edge_ticks < parameters.hurdle_ticks:
                return Hold(reason.BELOW_HURDLE)
        return Signal(outcome=outcome, numbers={"imbalance": imbalance}, value_e4=value_e4)

    @staticmethod
    def bids_seen(parameters: Parameters) -> int:
        """Of each book as many as are weighed."""
        return parameters.levels

    @staticmethod
    def measures(view: MarketView, parameters: Parameters, now_ms: int) -> dict[str, float]:
        """What `decide` compares, of Up's book; the edge is that of the outcome it leans to."""
        up, numbers = view.up, dict[str, float]()
        imbalance = up.imbalance(parameters.levels)
        if up.mid_e4 is not None and up.spread_e4 is not None:
            numbers |= {"mid_e4": up.mid_e4, "spread_e4": up.spread_e4}
        if imbalance is not None:
            numbers["imbalance"] = abs(imbalance)
            outcome = UP if imbalance > 0 else DOWN
            bought = view.book(outcome)
            if bought.bids and bought.asks:
                value_e4 = weighted_mid_e4(bought, parameters.levels)
                edge_ticks = view.edge_after_costs_ticks(outcome, value_e4)
                if edge_ticks is not None:
                    numbers["edge_ticks"] = edge_ticks
        return numbers


def weighted_mid_e4(book: Book, levels: int) -> float:
    """The mean of both sides' prices over so many levels, each weighted with the other's size.

    The book must have both sides.
    """
    bids, asks = book.bids[:levels], book.asks[:levels]
    bid_size, ask_size = sum(map(size_of, bids)), sum(map(size_of, asks))
    bid_e4 = sum([price * size for price, size in bids]) / bid_size
    ask_e4 = sum([price * size for price, size in asks]) / ask_size
    return (bid_e4 * ask_size + ask_e4 * bid_size) / (bid_size + ask_size)
