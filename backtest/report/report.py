"""The report of a backtest, as numbers that a person or a program reads. Pure.

Most sections are those of `backtest.measures.sections`, which says what their units are.
"""

from __future__ import annotations

import msgspec

from backtest.engine.assumptions import Bracket
from backtest.feed.events import Exclusion
from backtest.measures.sections import (
    Both,
    Comparison,
    ExecutionEnds,
    Money,
    SizeLine,
    Tables,
    Verdict,
    Waiting,
    Worth,
)

# -- TRUST -----------------------------------------------------------------------------------------


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """TRUST: what the data can tell."""

    first_at_ms: int | None
    last_at_ms: int | None
    moments: int
    markets: int
    resolved_markets: int
    """Of which is known what they paid."""
    blocks: int
    """Markets whose windows overlap are one."""
    book_every_ms: float | None
    """Median over markets of the mean time between two books."""
    arrival_ms: float | None
    """Median time from decision to arrival: latency and taker delay."""
    longest_gap_ms: int
    """Without a book within a market's window, over all."""
    missing_windows: int
    """Windows between the first and the last one of each series of which there is no book: a market
    that is not here cannot lose."""
    unknown_share: Both[float | None]
    """Of the signals: no book near enough to their arrival."""
    brackets_differ_share: float | None
    """Of the signals known in both: the ask at the arrival is another one in the next book."""
    brackets_differ_ticks: float | None
    """Mean of that ask in the next book less in the unchanged one."""
    exclusions: list[Exclusion]
    excluded: dict[str, int]
    """How many by reason."""


# -- FUNNEL ----------------------------------------------------------------------------------------


class FunnelEnd(msgspec.Struct, frozen=True, kw_only=True):
    """From the signals to the fills."""

    refused: dict[str, int]
    """Signals that the account took no claim for, by reason, the most frequent first."""
    orders: int
    ends: dict[str, int]
    """What became of the orders (`OrderEnd`), the most frequent first."""
    filled: int
    """Wholly or partly."""


class Funnel(msgspec.Struct, frozen=True, kw_only=True):
    """FUNNEL: moments > holds by reason > signals > refused by reason > orders > filled."""

    moments: int
    holds: dict[str, int]
    """By reason, the most frequent first."""
    signals: int
    episodes: int
    after: Both[FunnelEnd]


# -- MARKETS ---------------------------------------------------------------------------------------


class MarketMoney(msgspec.Struct, frozen=True, kw_only=True):
    """One market, one bracket."""

    orders: int
    filled: int
    spent_e6: int
    pnl_e6: int | None
    """None: not known, or nothing was bought."""


class MarketEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A filled order, for the picture."""

    bracket: Bracket
    at_ms: int
    outcome: str
    price_e4: int
    """Mean price of a share of its own outcome."""
    pnl_e6: int | None


class SignalSpan(msgspec.Struct, frozen=True, kw_only=True):
    """One episode, for the picture."""

    first_at_ms: int
    last_at_ms: int
    outcome: str


class MarketLine(msgspec.Struct, frozen=True, kw_only=True):
    """MARKETS: one."""

    slug: str
    series: str
    start_ms: int
    end_ms: int
    block: int
    """Numbered from zero, in order of time."""
    paid: str
    """`Up`, `Down`, `split`, or empty where it is not known."""
    moments: int
    signals: int
    longest_gap_ms: int
    money: Both[MarketMoney]
    chart_at_ms: list[int]
    chart_mid_e4: list[float | None]
    """Of Up; None where there was no mid."""
    entries: list[MarketEntry]
    spans: list[SignalSpan]


# -- the whole -------------------------------------------------------------------------------------


class Assumption(msgspec.Struct, frozen=True, kw_only=True):
    """One thing taken for granted, by its name."""

    name: str
    value: str
    text: str
    """What it means, one sentence."""


class BacktestReport(msgspec.Struct, frozen=True, kw_only=True):
    """All of it, in the order in which it is shown."""

    feed: str
    """Where the books come from, and their licence."""
    strategy: str
    strength_name: str
    """What the strategy's first number is called; empty without one."""
    parameters: dict[str, str]
    """The strategy's, by name, as a person would write them."""
    settings: dict[str, str]
    """The account's, likewise."""
    verdict: Verdict
    worth: Worth
    trust: Trust
    funnel: Funnel
    money: Both[Money]
    execution: Both[ExecutionEnds]
    compared: Both[list[Comparison]]
    """The strategy first; no scanner without `assumptions.poll`."""
    tables: Tables
    waiting: Waiting
    sizes: list[SizeLine]
    markets: list[MarketLine]
    """In order of time."""
    warnings: list[str]
    """What dominates and what has no effect; a sentence each."""
    assumptions: list[Assumption]
