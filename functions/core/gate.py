"""The gate: which books no strategy is asked about (invariant 6). Pure.

It stands before every strategy, in the evaluator, so that no strategy can forget it: a book without
proof, an old one, and one of a market that is not open are refused before their levels are looked
at. What happens to a book after the decision is checked again before the claim and before the POST
(`functions.handlers.execute`).
"""

from __future__ import annotations

from typing import Final

import msgspec

from functions.core.hold import HoldReason
from protocol.book import Proof
from protocol.snapshot import BookSnapshot

CLOCK_SKEW_MAX_MS: Final = 100
"""How far the feeder's clock may be ahead of ours (`functions.core.clock_watch` says why)."""

VENUE_CLOCK_SKEW_MAX_MS: Final = 1_000
"""How far the venue's clock may be behind ours, and a frame's way to us may be long; and how far it
may be ahead of ours: lookups, which count by the venue's clock, then begin so much too early, which
is a small part of the age that they wait for (`functions.core.lifecycle.COUNT_AFTER_MS`)."""


_BEST: Final = max(Proof, key=lambda proof: proof.rank)


class GateConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a book must show before it may be traded on; times in milliseconds."""

    book_age_max_ms: int = 1_000
    proof_min: Proof = Proof.TOP
    """The weakest proof that a book may carry; with `Proof.NONE` there is no book at all."""
    time_to_close_min_ms: int = 300_000


def hold_reason_of(snapshot: BookSnapshot, config: GateConfig, now_ms: int) -> HoldReason | None:
    """Why nothing may be traded on this book at `now_ms` (epoch milliseconds), else None."""
    market, proof = snapshot.market, snapshot.proof
    if proof is Proof.NONE:
        return HoldReason.DARK
    if proof is not _BEST and proof.rank < config.proof_min.rank:
        return HoldReason.UNPROVEN
    age_ms = now_ms - snapshot.received_at_ns // 1_000_000
    # A book from the future means that clocks disagree, so its age proves nothing. A quiet market's
    # was received before, but published just now.
    newest_ns = max(snapshot.received_at_ns, snapshot.published_at_ns)
    if now_ms - newest_ns // 1_000_000 < -CLOCK_SKEW_MAX_MS:
        return HoldReason.CLOCK_BEHIND
    if age_ms > config.book_age_max_ms:
        return HoldReason.STALE_BOOK
    # The feeder stamps a frame when it reads it; one that waited before that (a stopped process, a
    # full socket) shows by the venue's own clock.
    venue_age_ms = now_ms - snapshot.venue_timestamp_ms
    if venue_age_ms > config.book_age_max_ms + VENUE_CLOCK_SKEW_MAX_MS:
        return HoldReason.STALE_BOOK
    # Feeder and worker on one machine agree, however wrong its clock is.
    if venue_age_ms < -VENUE_CLOCK_SKEW_MAX_MS:
        return HoldReason.CLOCK_BEHIND
    if not market.accepting:
        return HoldReason.NOT_ACCEPTING
    if now_ms < market.start_ms:
        return HoldReason.NOT_STARTED
    if market.end_ms - now_ms < config.time_to_close_min_ms:
        return HoldReason.TOO_CLOSE_TO_END
    return None
