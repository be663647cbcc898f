"""What the proof of a strategy found, as structs; `--json` prints them as they are."""

from __future__ import annotations

import msgspec


class StrategyCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One check: whether it held, and one sentence that says so."""

    what: str
    ok: bool
    text: str


class StrategyTrials(msgspec.Struct, frozen=True, kw_only=True):
    """What the strategy did, with its defaults, on the bundled recordings.

    Counted are the books that the worker's gate lets through by default, one after the other: no
    cooldown and no limit of an account is looked at.
    """

    markets: int
    books: int
    signals: int
    signals_per_market_median: float
    bought: int
    """Signals for which the book had what the default size buys."""
    holds: dict[str, int]
    """By reason, the most frequent first; those of orders that could not be made, too."""


class StrategyReport(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    file: str
    strategy: str
    """Its name; empty where it could not be loaded."""
    ok: bool
    checks: tuple[StrategyCheck, ...]
    trials: StrategyTrials | None
