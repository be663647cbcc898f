"""What a strategy is: a name, typed parameters, and a pure function of what a market shows.

    class MyStrategy(Strategy):
        name = "my_strategy"

        class Parameters(StrategyParameters):
            spread_max_ticks: int = parameter(2, "The widest spread.", ge=1, le=50, tunable=True)

        class Reason(StrEnum):
            SPREAD_TOO_WIDE = "spread_too_wide"

        @staticmethod
        def decide(view, parameters, now_ms):
            ...
            return Signal(outcome="Up", numbers={"spread_ticks": 1.0})

`decide` sees only books that the gate has passed, and decides nothing but what to buy: limits,
cooldowns, the claim and the order are the worker's, and nothing that a strategy does weakens them.
It must answer the same for the same arguments, raise nothing, and touch nothing outside. A
worker's accounts with the same parameters share one answer to each book.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from strategies.parameters import StrategyParameters
from strategies.view import MarketView


class Hold(msgspec.Struct, frozen=True):
    """Buy nothing on this book; the reason is of a closed set."""

    reason: StrEnum


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """Buy `outcome` now, at its own best ask, within what the account allows."""

    outcome: str
    """`Up` or `Down`."""
    numbers: dict[str, float]
    """Why, as numbers by name, units last: they are stored with the decision. At most 16."""
    limit_price_e4: int | None = None
    """The most to pay a share, in 1e-4 USD; the account's own limit holds beside it."""
    spend_e6: int | None = None
    """How much to spend, in 1e-6 USD; never more than the account's size."""
    value_e4: float | None = None
    """What the strategy thinks a share is worth, in 1e-4 USD, if it has a view on that."""


class Strategy:
    """The base of every strategy; see the module's text. Never instantiated."""

    name: ClassVar[str]
    """Letters, digits and `_`; what configurations, accounts and metrics know it by."""
    Parameters: ClassVar[type[StrategyParameters]]
    Reason: ClassVar[type[StrEnum]]
    """Why it holds: its own closed set."""

    @staticmethod
    def decide(view: MarketView, parameters: Any, now_ms: int) -> Signal | Hold:
        """Decide on one book, at `now_ms` (epoch milliseconds)."""
        raise NotImplementedError

    @staticmethod
    def bids_seen(parameters: Any) -> int | None:
        """How many bids of each book, best first, it looks at under these parameters. None: all.

        Feeders need not publish more (`PUBLISHED_BIDS`); a memory's rows are complete either way.
        On books with fewer than it says it is not asked, so that it never decides on a part.
        """
        return None

    @staticmethod
    def measures(view: MarketView, parameters: Any, now_ms: int) -> dict[str, float]:
        """What it goes by, as numbers by name, for a person who asks why it holds. May be left out.

        Beside `spread_e4` the parameters `spread_min_e4` and `spread_max_e4` are shown, if there
        are any: where a bound holds either way, the number is the size alone. No worker asks this.
        """
        return {}
