"""The sections of a report that measures fill: plain numbers, a struct a section. Pure.

Money is in 1e-6 USD (`_e6`), prices in 1e-4 USD (`_e4`), a tick is the market's own. Shares are
from 0 to 1, `_pct` are percent. What cannot be said is None; nothing here is NaN, so all of it is
JSON. Whatever depends on the bracket is given for both.

Every interval is of 95%, drawn anew over *blocks*: markets whose windows overlap, because their
coins move together. It is never drawn over trades.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

from backtest.engine.assumptions import Bracket

_T = TypeVar("_T")


class Both(msgspec.Struct, Generic[_T], frozen=True):
    """One thing in both brackets."""

    unchanged: _T
    """The order met the last book at or before its arrival: optimistic."""
    next: _T
    """The first one after it: pessimistic."""

    def of(self, bracket: Bracket) -> _T:
        """The one of a bracket."""
        return self.unchanged if bracket is Bracket.UNCHANGED else self.next


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A number and its interval over blocks. Low and high are None below five blocks."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    """Signals, or orders, behind it."""
    blocks: int = 0
    """Blocks in which they are."""


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """How often something was so, and its interval.

    Wilson's, of as many draws as there are `independent` ones: orders of one market share one
    outcome, and those at one time move together, so a block counts once. Of signals it is drawn
    over blocks, as an `Estimate`.
    """

    hits: int = 0
    of: int = 0
    independent: int = 0
    value: float | None = None
    low: float | None = None
    high: float | None = None


# -- VERDICT ---------------------------------------------------------------------------------------


class VerdictKind(StrEnum):
    """What can be said; the closed set."""

    EDGE_SHOWN = "edge shown"
    LOSS_SHOWN = "loss shown"
    NOTHING_SHOWN = "nothing shown"
    TOO_POOR = "data too poor"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """VERDICT: one line."""

    kind: VerdictKind
    sentence: str
    """For a trader; says why, and how many markets would be needed."""
    markets: int
    """Markets with books."""
    blocks: int
    """Blocks with signals."""
    markets_needed: int | None
    """For showing 2% of stake in four of five tries, by the markout after 60 s of all signals.
    None: cannot be said."""
    markets_needed_by_pnl: int | None
    """The same by what was paid out in the end."""


# -- WORTH -----------------------------------------------------------------------------------------


class MovedAfter(msgspec.Struct, frozen=True, kw_only=True):
    """How far the mid of the wanted token has moved since the signal."""

    after_s: int
    moved_ticks: Estimate
    """Above zero: with the signal. Nothing is paid here: what the signal predicts, before costs."""


class MarkoutAfter(msgspec.Struct, frozen=True, kw_only=True):
    """What a share was worth so long after its order met a book, less the price paid, in ticks."""

    after_s: int | None
    """None: at resolution, when a share is worth its payout."""
    mid: Estimate
    mid_after_fee: Estimate
    bid: Estimate
    """What it could be sold for; the fee of selling is not in it."""
    bid_after_fee: Estimate


class Markouts(msgspec.Struct, frozen=True, kw_only=True):
    """One bracket's; each signal (or filled order) counts once, however large."""

    priced: int
    """Got a price at or below their limit."""
    refused: int
    """Met an ask above their limit: not in the markouts."""
    unknown: int
    """Met no book near enough to tell."""
    rows: list[MarkoutAfter]


class Worth(msgspec.Struct, frozen=True, kw_only=True):
    """WORTH: what the signal predicts against what an entry costs."""

    signals: int
    episodes: int
    """Signals with no book between them that held."""
    half_spread_ticks: float | None
    """Mean over the signals."""
    fee_ticks: float | None
    """Of a share at the ask, mean over the signals."""
    hurdle_ticks: float | None
    """Half the spread and the fee: what the mid has to move for an entry to pay."""
    claimed_edge_ticks: float | None
    """What the strategy said that a share is worth beyond costs, mean over the signals."""
    moved: list[MovedAfter]
    signals_markouts: Both[Markouts]
    filled_markouts: Both[Markouts]
    """Of the stream's filled orders, at the price they paid."""


# -- MONEY -----------------------------------------------------------------------------------------


class CurvePoint(msgspec.Struct, frozen=True):
    """P&L summed up to the end of a market, and its band (None below five blocks)."""

    at_ms: int
    pnl_e6: int
    low_e6: int | None = None
    high_e6: int | None = None


class SplitSensitivity(msgspec.Struct, frozen=True, kw_only=True):
    """What one split does: the market paid 0.50 to both whose P&L that changes most."""

    slug: str
    pnl_e6: int
    """The whole run's P&L then."""
    change_e6: int


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """MONEY of one bracket: of the filled orders of which is known what they paid."""

    filled: int
    settled: int
    """Filled, and it is known what the market paid: the rest of this section is about them."""
    spent_e6: int
    """Without fees."""
    fees_e6: int
    payout_e6: int
    pnl_e6: int
    return_on_stake: Estimate
    """P&L a USD spent; 0.05 is 5%."""
    win_rate: Rate
    mean_price: float | None
    """USD a share, mean over the orders: what the win rate has to beat, with the fee."""
    mean_fee: float | None
    """USD a share, likewise."""
    brier_price: float | None
    """Mean (price paid - payout of a share)^2; 0.25 is what 0.50 always gives."""
    brier_value: float | None
    """The same of the strategy's own value, where it has one."""
    drawdown_e6: int
    """The deepest fall of the summed curve, at or above zero."""
    longest_losing_run: int
    """Orders in a row, in order of their markets' ends, that lost."""
    quarter_kelly: float | None
    """Share of the capital, a quarter of Kelly's; 0 where nothing should be bet."""
    split: SplitSensitivity | None
    curve: list[CurvePoint]


# -- EXECUTION -------------------------------------------------------------------------------------


class Deviations(msgspec.Struct, frozen=True, kw_only=True):
    """How far a price is from the ask that was decided on."""

    n: int = 0
    mean_ticks: float | None = None
    """With its sign: above zero is dearer."""
    median_ticks: float | None = None
    p95_ticks: float | None = None
    median_pct: float | None = None
    """Of its size, either way."""
    p95_pct: float | None = None
    over_5pct_share: float | None = None


class ExecutionEnds(msgspec.Struct, frozen=True, kw_only=True):
    """EXECUTION of one bracket, of the stream's orders."""

    orders: int
    ends: dict[str, int]
    """By `OrderEnd`, every one of them, also those that did not happen."""
    fill_rate: Rate
    """Wholly or partly filled, of the orders of which the recording can tell."""
    refused_by_limit: Rate
    """Signals (all of which it is known) that would have met an ask above their limit."""
    arrival_ms: float | None
    """Median time from decision to arrival."""
    paid: Deviations
    """The mean price of each filled order."""
    met: Deviations
    """The best ask in the book that an order met, also where it was not filled."""
    met_by_signals: Deviations
    """The same of all signals, also of those that the account refused."""


# -- COMPARED WITH ---------------------------------------------------------------------------------


class Rival(StrEnum):
    """What the strategy is compared with; itself first."""

    STRATEGY = "strategy"
    ALWAYS_UP = "always Up"
    COIN_TOSS = "coin toss"
    AGAINST = "against the signal"
    SCANNER = "scanner"


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One way of trading, and what the strategy earned more than it."""

    rival: Rival
    orders: float
    """Filled and settled; a scanner's: the mean over its phases."""
    left_out: float
    """Orders of which the recording cannot tell, likewise: not in what follows."""
    spent_e6: int
    pnl_e6: int
    """A coin toss's: the exact expectation. A scanner's: the mean over its phases."""
    return_on_stake: Estimate
    strategy_minus: Estimate
    """The strategy's return on stake less this one's; paired: both drawn with the same blocks."""
    worst_return: float | None = None
    """A scanner's worst phase."""
    best_return: float | None = None
    phases: int = 0
    curve: list[CurvePoint] = []


# -- tables ----------------------------------------------------------------------------------------


class TableCells(msgspec.Struct, frozen=True, kw_only=True):
    """One row's numbers in one bracket."""

    markout_60s: Estimate
    """Of the row's signals, mid-based, after the price paid and the fee, in ticks."""
    orders: int
    """Filled and settled."""
    win_rate: Rate
    mean_price: float | None
    mean_fee: float | None
    edge: float | None
    """What a share paid, in the mean, less price and fee, USD: the win rate less them, but for
    splits."""
    pnl_e6: int


class TableLine(msgspec.Struct, frozen=True, kw_only=True):
    """What is from `low` up to, but without, `high`; the last line has its `high`, too.

    By price: a signal or an order is where its price paid is, which may differ by bracket.
    """

    label: str
    low: float | None
    """None in the table by series."""
    high: float | None
    signals: int
    """By price: by the ask that was decided on."""
    cells: Both[TableCells]


class BrokenDown(msgspec.Struct, frozen=True, kw_only=True):
    """One table."""

    by: str
    """What the lines differ in, for a heading."""
    lines: list[TableLine]


class Tables(msgspec.Struct, frozen=True, kw_only=True):
    """The tables by signal strength, price paid, time to close and series."""

    by_strength: BrokenDown
    """Empty where the strategy gives no number."""
    by_price: BrokenDown
    by_time_to_close: BrokenDown
    by_series: BrokenDown


# -- COST OF WAITING, SIZE -------------------------------------------------------------------------


class Waited(msgspec.Struct, frozen=True, kw_only=True):
    """One delay, one bracket: the best ask then against the one decided on."""

    n: int
    """Signals of which it is known."""
    unknown: int
    p25_pct: float | None = None
    """Quartiles of the size of the deviation, either way."""
    median_pct: float | None = None
    p75_pct: float | None = None
    p90_pct: float | None = None
    mean_ticks: float | None = None
    """With its sign: above zero is dearer."""
    limit_refuses: float | None = None
    """Share that the order's own limit refuses: the ask is above it."""
    both_ways_refuse: float | None = None
    """Share that a check both ways refuses: as far below the ask is too far as well."""


class DelayLine(msgspec.Struct, frozen=True, kw_only=True):
    """COST OF WAITING of one delay."""

    delay_s: float
    waited: Both[Waited]


class ScanSees(msgspec.Struct, frozen=True, kw_only=True):
    """How many episodes a scan of so many seconds finds, over all its phases."""

    every_s: int
    share: float | None


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """COST OF WAITING."""

    delays: list[DelayLine]
    episodes: int
    episode_median_s: float | None
    """How long a signal lasts: to the book after its last one."""
    scans: list[ScanSees]


class SizeLine(msgspec.Struct, frozen=True, kw_only=True):
    """SIZE of one amount, over the first book of each episode."""

    usd: int
    books: int
    held: int
    """Books whose asks hold so much."""
    held_share: float | None
    extra_ticks: float | None
    """Mean price above that of the smallest amount, over the books that hold it."""
