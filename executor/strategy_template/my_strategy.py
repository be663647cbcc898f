"""`my_strategy`: buy the outcome that the price has just moved to.

A starting point: change it, then prove it, and ask what it is worth (docs/how-to/strategies.md):

    executor strategy check ./my_strategy.py
    executor backtest --strategy ./my_strategy.py

Say here what you assume, and where you have it from.
"""

from __future__ import annotations

from enum import StrEnum

from protocol.market import DOWN, UP
from strategies.interface import Hold, Signal, Strategy
from strategies.parameters import StrategyParameters, parameter
from strategies.view import MarketView


class MyStrategy(Strategy):
    """See the module's text."""

    name = "my_strategy"
    """What accounts, logs and metrics know it by."""

    class Parameters(StrategyParameters):
        """What can be set while it runs: each with a default, a sentence of help, and bounds.

        Units stand last in names. `tunable`: a sweep may vary it.
        """

        window_s: float = parameter(
            15.0, "How far back the price is compared, in seconds.", ge=1, le=120, tunable=True
        )
        move_min_ticks: float = parameter(
            3.0, "The least move of Up's mid, either way, in ticks.", ge=0, le=100, tunable=True
        )
        spread_max_ticks: float = parameter(
            2.0, "The widest spread of Up, in ticks.", ge=1, le=100, tunable=True
        )

    class Reason(StrEnum):
        """Why it holds: all the reasons that there are, each counted by itself."""

        ONE_SIDED = "one_sided"
        SPREAD_TOO_WIDE = "spread_too_wide"
        NO_PAST = "no_past"
        QUIET = "quiet"

    @staticmethod
    def decide(view: MarketView, parameters: Parameters, now_ms: int) -> Signal | Hold:
        """Decide on one book. No state, no clock, no I/O: the same arguments, the same answer.

        `view` has both books (`view.up`, `view.down`: levels best first, prices in 1e-4 USD), the
        market's facts, the time to its close, and the last books of Up (`view.memory`). Limits,
        cooldown, size and the order itself are the worker's.
        """
        up, reason = view.up, MyStrategy.Reason
        mid_e4, spread_e4, tick_e4 = up.mid_e4, up.spread_e4, view.market.tick_size_e4
        if mid_e4 is None or spread_e4 is None:
            return Hold(reason.ONE_SIDED)
        if spread_e4 > parameters.spread_max_ticks * tick_e4:
            return Hold(reason.SPREAD_TOO_WIDE)

        # The oldest book of the window, newest first; the newest is the one that is decided on.
        before_e4 = None
        for row in reversed(view.memory.last(128)[:-1]):
            if row.at_ms < now_ms - parameters.window_s * 1000:
                break
            before_e4 = row.mid_e4 if row.mid_e4 is not None else before_e4
        if before_e4 is None:
            return Hold(reason.NO_PAST)

        moved_ticks = (mid_e4 - before_e4) / tick_e4
        if abs(moved_ticks) < parameters.move_min_ticks:
            return Hold(reason.QUIET)
        outcome = UP if moved_ticks > 0 else DOWN
        # The numbers are stored with the decision; `view.costs_ticks(outcome)` is what an entry
        # costs a share: half the spread and the fee.
        return Signal(outcome=outcome, numbers={"moved_ticks": moved_ticks})
