"""What the gate looks at, number by number, for a person who asks why it passes nothing. Pure.

`functions.core.gate` decides; a test holds this to it.
"""

from __future__ import annotations

from typing import Final

import msgspec

from functions.core.gate import CLOCK_SKEW_MAX_MS, VENUE_CLOCK_SKEW_MAX_MS, GateConfig
from protocol.book import Proof
from protocol.snapshot import BookSnapshot

_IN_SECONDS_MS: Final = 10_000


class NumberCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wanted of a book or of an account, as a person reads it."""

    name: str
    value: str
    wanted: str
    passed: bool


def gate_checks(snapshot: BookSnapshot, config: GateConfig, now_ms: int) -> list[NumberCheck]:
    """What `functions.core.gate` looks at, number by number, in its order."""
    market = snapshot.market
    age_ms = now_ms - snapshot.received_at_ns // 1_000_000
    newest_ms = max(snapshot.received_at_ns, snapshot.published_at_ns) // 1_000_000
    venue_ms = now_ms - snapshot.venue_timestamp_ms
    venue_max_ms = config.book_age_max_ms + VENUE_CLOCK_SKEW_MAX_MS
    to_close_ms = market.end_ms - now_ms
    proven = snapshot.proof is not Proof.NONE and snapshot.proof.rank >= config.proof_min.rank
    ahead_ms = newest_ms - now_ms
    return [
        _check("proof", snapshot.proof.value, f"at least {config.proof_min.value}", proven),
        _at_most("ahead of our clock", max(0, ahead_ms), CLOCK_SKEW_MAX_MS),
        _at_most("age", age_ms, config.book_age_max_ms),
        _at_most("age by the venue's clock", venue_ms, venue_max_ms),
        _at_most("ahead of it by the venue's clock", max(0, -venue_ms), VENUE_CLOCK_SKEW_MAX_MS),
        _check("accepting orders", _yes(market.accepting), "yes", market.accepting),
        _at_least("since its start", now_ms - market.start_ms, 0),
        _at_least("to its end", to_close_ms, config.time_to_close_min_ms),
    ]


def _at_most(name: str, value_ms: int, most_ms: int) -> NumberCheck:
    return _check(name, _span(value_ms), f"at most {_span(most_ms)}", value_ms <= most_ms)


def _at_least(name: str, value_ms: int, least_ms: int) -> NumberCheck:
    return _check(name, _span(value_ms), f"at least {_span(least_ms)}", value_ms >= least_ms)


def _span(span_ms: int) -> str:
    return f"{span_ms:,} ms" if abs(span_ms) < _IN_SECONDS_MS else f"{span_ms / 1_000:,.1f} s"


def _check(name: str, value: str, wanted: str, passed: bool) -> NumberCheck:
    return NumberCheck(name=name, value=value, wanted=wanted, passed=passed)


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"
