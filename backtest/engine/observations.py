"""What one run has seen: all that measures, reports and pictures are made of. Pure.

A *moment* is one snapshot of a market, both tokens' books. A *signal* is a trade that the strategy
wanted; there is one list of them, because brackets and comparisons decide on the same books. An
*order* is a signal whose claim the account took, so each lane has orders of its own.

Memory: a row of about 290 bytes a signal, an object an order, and 200 points a market for its
picture; nothing grows with the moments.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from backtest.engine.assumptions import Assumptions, Bracket
from backtest.feed.events import Exclusion, LeftOut
from functions.core.configuration import Configuration
from protocol.fee import NO_FEE, FeeSchedule

HORIZONS_S: Final = (1, 5, 30, 60)
"""After which a signal's price is looked at again."""
DELAYS_S: Final = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0)
"""How much later an order might come: what waiting costs."""
SIZES_USD: Final = (1, 10, 50, 250, 1_000)
"""How large an order might be."""
UNKNOWN: Final = -1
"""A price that is not known: no book there, or one that shows nothing."""
CHART_POINTS: Final = 200

Prices: TypeAlias = NDArray[np.int32]
"""In 1e-4 USD; UNKNOWN where there is none."""


class SignalRows(msgspec.Struct, frozen=True, kw_only=True):
    """The signals of a run in order of time: arrays of one row a signal.

    Prices are of the token that is to be bought. A price at a time is of the last book at or before
    it (`unchanged`), unless it says `next`; it is UNKNOWN when that book is further away than
    `gap_over_ms`, and after the market's end. Where a book has no ask it is taken for 1 USD, where
    it has no bid for 0: such books stand where a price has run away, and must not drop out.
    """

    at_ms: NDArray[np.int64]
    """When it was decided, epoch milliseconds."""
    market: NDArray[np.int32]
    """Index in `Observations.markets`."""
    is_up: NDArray[np.bool_]
    """Whether Up is to be bought."""
    episode: NDArray[np.int32]
    """Signals of one market and outcome with no book between them that held: numbered, over all."""
    tick_e4: Prices
    """The market's tick at that moment: it becomes finer where prices are extreme."""
    strength: NDArray[np.float64]
    """The strategy's first number (`Observations.strength_name`), its size; NaN without one."""
    edge_ticks: NDArray[np.float64]
    """What the strategy says it is worth beyond costs (`Trade.edge_after_costs_ticks`)."""
    to_close_ms: NDArray[np.int64]
    bid_e4: Prices
    ask_e4: Prices
    """What it decided on."""
    max_price_e4: Prices
    """Its limit."""
    bid_after_e4: Prices
    """(signals, HORIZONS_S): the best bid so long after the decision."""
    ask_after_e4: Prices
    """(signals, HORIZONS_S): the best ask."""
    bid_held_e4: Prices
    """(signals, 2 x HORIZONS_S): the best bid so long after the arrival (unchanged), then so long
    after the book that is met (next). What was bought later than a price is not worth that price:
    it was bought because its limit allowed it then, and would look cheap."""
    ask_held_e4: Prices
    """The same, the best ask."""
    ask_waited_e4: Prices
    """(signals, DELAYS_S): the best ask that an order meets which comes so late, unchanged."""
    ask_waited_next_e4: Prices
    """The same, next."""
    arrival_ask_e4: Prices
    """(signals, 2): the best ask at the arrival by `assumptions.latency` and the taker delay, per
    bracket in the order of `Bracket`."""
    size_price_e4: NDArray[np.float64]
    """(signals, SIZES_USD): the mean price that so many USD pay in the book that was decided on;
    NaN where it does not hold so much. Only of the first of each episode, else NaN."""

    def __len__(self) -> int:
        return len(self.at_ms)


class OrderEnd(StrEnum):
    """What became of an order."""

    FILLED = "filled"
    PARTLY = "partly_filled"
    NO_MATCH = "no_match"
    """No ask at or below its limit was left."""
    CROSSED = "crossed"
    """The book was no book to be filled from."""
    TOO_LATE = "too_late"
    """Its market had ended."""
    LEFT_OUT = "left_out"
    """The recording cannot say: `left_out` has the reason."""
    WAITING = "waiting"
    """The recording ended before it arrived."""


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    """What a like order for one outcome would have bought at the same arrival; zero: nothing."""

    spend_e6: int
    size_e6: int
    fee_e6: int


class OrderSeen(msgspec.Struct, kw_only=True):
    """One order of one lane."""

    market: int
    """Index in `Observations.markets`."""
    outcome: str
    decided_at_ms: int
    arrived_at_ms: int
    met_at_ms: int | None = None
    """The time of the book that it met; None where it met none."""
    signal_price_e4: int
    max_price_e4: int
    tick_e4: int
    """The market's tick when it was decided."""
    spend_e6: int
    """What it was to spend."""
    strength: float
    """As in `SignalRows`."""
    to_close_ms: int
    end: OrderEnd = OrderEnd.WAITING
    left_out: LeftOut | None = None
    arrival_ask_e4: int = UNKNOWN
    """Best ask of its token in the book that it met."""
    filled_spend_e6: int = 0
    filled_size_e6: int = 0
    fee_e6: int = 0
    payout_e6: int | None = None
    """None: not known, or nothing was bought."""
    pnl_e6: int | None = None
    """Payout less what was spent and the fee; None while it is not known what the market paid."""
    up: WhatIf | None = None
    down: WhatIf | None = None
    """A like order for each outcome at the arrival; its own outcome's is what it got itself."""


class Lane(msgspec.Struct, kw_only=True):
    """One way of executing, with an account of its own."""

    name: str
    bracket: Bracket
    poll_phase_ms: int | None = None
    """Of a scanner; None: of the stream."""
    orders: list[OrderSeen] = msgspec.field(default_factory=list)
    refused: Counter[str] = msgspec.field(default_factory=Counter)
    """Signals that the account refused, by `ClaimRefusal`."""
    signals: int = 0
    """How many were given to it: the stream's all, a scanner's what it happened to see."""


class MarketSeen(msgspec.Struct, kw_only=True):
    """One market."""

    slug: str
    series: str
    condition_id: str
    start_ms: int
    end_ms: int
    tick_e4: int
    fee: FeeSchedule = NO_FEE
    up_payout_e6: int | None = None
    """1e-6 USD a share of Up; None: not known."""
    down_payout_e6: int | None = None
    moments: int = 0
    signals: int = 0
    first_at_ms: int = 0
    last_at_ms: int = 0
    longest_gap_ms: int = 0
    """Within its window without a book, also from its beginning or until its end."""
    chart_at_ms: list[int] = msgspec.field(default_factory=list)
    """At most CHART_POINTS."""
    chart_mid_e4: list[float] = msgspec.field(default_factory=list)
    """Mid of Up at those times; NaN where there was none."""


class Observations(msgspec.Struct, kw_only=True):
    """One run, all of it."""

    feed: str
    """Where the books come from, and their licence."""
    strategy: str
    strength_name: str
    """What `strength` is; empty where the strategy gives no numbers."""
    configuration: Configuration
    assumptions: Assumptions
    moments: int
    holds: Counter[str]
    """Moments on which nothing was wanted, by reason, the gate's, the strategy's and `trade_of`'s.
    `moments` = holds + signals."""
    signals: SignalRows
    markets: list[MarketSeen]
    """In order of their first book."""
    lanes: list[Lane]
    """The stream's, one a bracket, in the order of `Bracket`."""
    polling: list[Lane]
    """The scanner's, each phase in both brackets; empty without `assumptions.poll`."""
    exclusions: list[Exclusion]
    """The feed's and the run's."""
    strategy_error: str = ""
    """The first thing that the strategy raised."""

    def lane(self, bracket: Bracket) -> Lane:
        """The stream's lane of a bracket."""
        return next(lane for lane in self.lanes if lane.bracket is bracket)
