"""Evidence applied to a claim: pure functions `(claim, evidence) -> claim | None`.

None means that the evidence says nothing new. Evidence may come in any order and any number of
times: reports and fills are joined by maximum, so the same set of evidence always leads to the same
amounts, whoever applies it. `functions.handlers.apply_evidence` applies it to the stored claim.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from functions.core.claim import (
    FINALITY_OF,
    FINALITY_RANK,
    Claim,
    ClaimEvent,
    ClaimFill,
    ClaimState,
    Finality,
    moved,
)
from functions.core.evidence import OrderLookup, Resolution, sees
from protocol.decision import Timeline
from protocol.fee import taker_fee_e6
from protocol.fill import Fill, TradeStatus
from protocol.units import PRICE_SCALE, SIZE_SCALE, cost_e6
from venue.wire.order_answer import Accepted, Answer, Rejected
from venue.wire.orders import is_killed, says_nothing_matched

TEXT_LENGTH_MAX: Final = 500
"""A proxy's error page must not fill the account item."""

LOOKUP_AFTER_MS: Final = 2_000
"""A claim older than this without a resolution is asked about: the POST is usually answered in
tens of milliseconds, and asking early harms nobody."""
CONFIRM_AFTER_MS: Final = 30_000
"""An open claim whose trades are not final is asked about after this: the user channel is late."""
COUNT_AFTER_MS: Final = 45_000
"""Looks at younger claims are not counted: a POST may take 5 s to give up, what it sent may reach
the venue later than that, the venue holds some orders, and its reads lag by seconds. All of that
must be over before "not found" means anything."""
LOOKUP_SPACING_MS: Final = 5_000
"""Two reconcilers that look at the same moment have looked once."""
LOOKUPS_MIN: Final = 3
"""One look may meet a server that is behind; so many, apart from each other, are believed."""
OVERDUE_AFTER_MS: Final = 120_000
"""A claim that is not resolved by then is an alarm."""
FINAL_AFTER_MS: Final = 600_000
"""So long after a market's end a position is settled although its trades were never confirmed."""
UNSETTLED_AFTER_MS: Final = 3_600_000
"""A claim that is live so long after its market's end is an alarm: windows follow each other by the
quarter of an hour, resolutions take minutes, and Gamma lags by a quarter of an hour at most."""
SIZE_ROUNDING_E6: Final = 10_000
"""The venue rounds shares in its answers, at most to the hundredth."""
SPEND_ROUNDING_E6: Final = 10_000
"""Whole cents are sent: of an order that has matched in full, less than one is left."""


def apply_answer(claim: Claim, answer: Answer, now_ms: int, timeline: Timeline) -> Claim | None:
    """The worker's own evidence: the answer to its POST (invariant 4: only proof releases)."""
    if isinstance(answer, Accepted):
        updated = msgspec.structs.replace(
            claim,
            reported_spend_e6=max(claim.reported_spend_e6, answer.spend_e6),
            reported_size_e6=max(claim.reported_size_e6, answer.size_e6),
        )
        updated = _with_fills(updated, answer.fills)
        if claim.ended:  # it was given up, or even settled, before this worker had its answer
            return _found(claim, updated, now_ms)
        return _counted(updated, ClaimEvent.ACCEPTED, now_ms, text=answer.status, timeline=timeline)
    if claim.state is not ClaimState.CLAIMED:
        return None  # the venue's records were faster, and they outrank a refusal or a silence
    text = answer.text[:TEXT_LENGTH_MAX]
    if isinstance(answer, Rejected):
        event, text = ClaimEvent.REJECTED, f"{answer.reason.value}: {text}"
    else:
        event = ClaimEvent.NO_PROOF
    return moved(claim, event, resolved_at_ms=now_ms, text=text, timeline=timeline)


def apply_trades(claim: Claim, fills: Sequence[Fill], now_ms: int) -> Claim | None:
    """Trades of the claim's order; trades of other orders are ignored."""
    return _found(claim, _with_fills(claim, fills), now_ms)


def apply_lookup(
    claim: Claim, lookup: OrderLookup, now_ms: int, *, dated: bool = True
) -> Claim | None:
    """One complete lookup of the order at the venue, made at `now_ms` by the venue's clock.

    What it shows counts, whoever has asked. What it does not show counts only where the order's own
    trader has asked: to everybody else the venue shows nothing, or the part that it was the other
    side of. Nor does it count when it is not `dated`, `now_ms` being another clock's time.
    """
    updated = _with_fills(claim, lookup.trades)
    shown_e6 = 0 if lookup.order is None else lookup.order.size_matched_e6
    if sees(lookup.seen_by, claim):
        # An order's trades are made all at once: its own trader, who sees one, sees them all.
        shown = {fill.trade_id: fill.size_e6 for fill in lookup.trades if _is_of(fill, claim)}
        shown_e6 = max(shown_e6, sum(shown.values()))
    updated = msgspec.structs.replace(
        updated, recorded_size_e6=max(updated.recorded_size_e6, shown_e6)
    )
    if updated != claim:
        return _found(claim, updated, now_ms)
    if claim.ended or claim.filled_size_e6 > 0:
        return None
    status = "" if lookup.order is None else lookup.order.status
    over = dated and now_ms >= claim.market_end_ms + FINAL_AFTER_MS
    nothing = says_nothing_matched(status) if over else is_killed(status)
    if not claim.fills and lookup.order is not None and not nothing:
        # Accepted, and may still match: found, nothing bought yet, and no lookup to be counted.
        known = claim.state is ClaimState.OPEN and claim.looks == 0
        return None if known else moved(claim, ClaimEvent.FOUND, looks=0)
    counts = dated and sees(lookup.seen_by, claim)
    return _nothing_shown(claim, lookup, now_ms) if counts else None


def _nothing_shown(claim: Claim, lookup: OrderLookup, now_ms: int) -> Claim | None:
    """What it means that the order's own trader sees nothing bought."""
    if claim.fills:  # all that are known have failed; nobody has said how many there are
        failed = {fill.trade_id for fill in lookup.trades if fill.status is TradeStatus.FAILED}
        # Trades are made all at once: a lookup that shows these as failed would show any other.
        if claim.fills.keys() <= failed:
            return _nothing_left(claim, now_ms)
        return _nothing_there(claim, ClaimEvent.ALL_FAILED, now_ms)
    return _nothing_there(claim, ClaimEvent.NEVER_THERE, now_ms)


def _nothing_there(claim: Claim, event: ClaimEvent, now_ms: int) -> Claim | None:
    """Count a lookup that showed nothing bought; after enough of them that is what `event` says."""
    age_ms = now_ms - claim.claimed_at_ms
    if age_ms < COUNT_AFTER_MS or abs(now_ms - claim.looked_at_ms) < LOOKUP_SPACING_MS:
        return None
    looks = claim.looks + 1
    if looks >= LOOKUPS_MIN:
        text = f"not found in {looks} looks over {age_ms // 1000} s"
        return moved(
            claim,
            event,
            looks=looks,
            looked_at_ms=now_ms,
            resolved_at_ms=now_ms,
            payout_e6=0,
            pnl_e6=0,
            text=text,
        )
    return moved(claim, ClaimEvent.LOOKED, looks=looks, looked_at_ms=now_ms)


def apply_resolution(claim: Claim, resolution: Resolution, now_ms: int) -> Claim | None:
    """The market is resolved: what the position paid, after fees.

    None for a position that is not ready (see `settleable`). Raises KeyError when the resolution
    does not know the claim's token.
    """
    if not settleable(claim, now_ms):
        return None
    payout_e6 = claim.filled_size_e6 * resolution.payouts_e6[claim.token_id] // SIZE_SCALE
    return moved(
        claim,
        ClaimEvent.RESOLVED,
        payout_e6=payout_e6,
        pnl_e6=payout_e6 - claim.filled_spend_e6 - claim.fee_e6,
        settled_at_ms=now_ms,
    )


# -- what needs attention ------------------------------------------------------------------------


def final(claim: Claim) -> bool:
    """Whether the order bought something, and the venue has said its last word about all of it.

    Not final: an open claim whose known trades have all failed, and one of which the user channel
    has told some trades and nobody how many there are, while money is left for another. There may
    be others; it is asked.
    """
    provisional = any(fill.standing is Finality.PROVISIONAL for fill in claim.fills.values())
    known = amount_is_known(claim) and _complete(claim)
    return claim.filled_size_e6 > 0 and not provisional and known


def amount_is_known(claim: Claim) -> bool:
    """Whether somebody has said how much the order bought in all: its answer, its record, or trades
    that leave no money for another."""
    known = claim.fills.values()
    left_e6 = claim.spend_e6 - sum(cost_e6(fill.price_e4, fill.size_e6) for fill in known)
    return _stated_size_e6(claim) > 0 or left_e6 < SPEND_ROUNDING_E6


def needs_lookup(claim: Claim, now_ms: int) -> bool:
    """Whether reconciliation should ask the venue about this claim now."""
    if claim.ended or abs(now_ms - claim.looked_at_ms) < LOOKUP_SPACING_MS:
        return False
    age_ms = now_ms - claim.claimed_at_ms
    if claim.state is ClaimState.OPEN:
        return age_ms >= CONFIRM_AFTER_MS and not final(claim)
    return age_ms >= LOOKUP_AFTER_MS


def overdue(claim: Claim, now_ms: int) -> bool:
    """Whether a person should know that this claim is still not resolved."""
    resolved = claim.ended or (claim.state is ClaimState.OPEN and final(claim))
    return not resolved and now_ms - claim.claimed_at_ms >= OVERDUE_AFTER_MS


def unsettled(claim: Claim, now_ms: int) -> bool:
    """Whether a person should know that this claim still takes a slot."""
    return now_ms - claim.market_end_ms >= UNSETTLED_AFTER_MS


def settleable(claim: Claim, now_ms: int) -> bool:
    """Whether a resolution of its market may end this claim."""
    if claim.state is not ClaimState.OPEN or claim.filled_size_e6 == 0:
        return False
    over_ms = now_ms - claim.market_end_ms
    return over_ms >= 0 and (final(claim) or over_ms >= FINAL_AFTER_MS)


# -- amounts -------------------------------------------------------------------------------------


def filled(claim: Claim) -> tuple[int, int, int]:
    """(USD spent, shares held, fee), in 1e-6, that the report and the fills amount to.

    The answer's amounts are exact and count until the trades say more; a FAILED trade takes its
    part away. An order record names shares but no money: what they cost is then taken to be the
    most it can be, until the trades are known.
    """
    known = claim.fills.values()
    failed = [fill for fill in known if fill.standing is Finality.FAILED]
    complete = _complete(claim)
    size_e6 = _known_size_e6(claim) if complete else _stated_size_e6(claim)
    if claim.reported_spend_e6 and size_e6 <= claim.reported_size_e6 + SIZE_ROUNDING_E6:
        spend_e6 = claim.reported_spend_e6
    elif complete:
        spend_e6 = sum(cost_e6(fill.price_e4, fill.size_e6) for fill in known)
    else:
        spend_e6 = min(claim.spend_e6, cost_e6(claim.max_price_e4, size_e6))
    size_e6 -= sum(fill.size_e6 for fill in failed)
    spend_e6 -= sum(cost_e6(fill.price_e4, fill.size_e6) for fill in failed)
    if size_e6 <= 0:
        return 0, 0, 0
    if complete:
        fee_e6 = sum(
            taker_fee_e6(claim.fee_schedule, fill.price_e4, fill.size_e6)
            for fill in known
            if fill.standing is not Finality.FAILED
        )
    else:
        # Not every trade is known: the schedule at the average price, an upper bound.
        price_e4 = min(max(spend_e6, 0) * PRICE_SCALE // size_e6, PRICE_SCALE)
        fee_e6 = taker_fee_e6(claim.fee_schedule, price_e4, size_e6)
    return max(spend_e6, 0), size_e6, fee_e6


def _known_size_e6(claim: Claim) -> int:
    return sum(fill.size_e6 for fill in claim.fills.values())


def _stated_size_e6(claim: Claim) -> int:
    return max(claim.reported_size_e6, claim.recorded_size_e6)


def _complete(claim: Claim) -> bool:
    """Whether the known trades, failed ones included, are all that the venue has named."""
    stated_e6 = _stated_size_e6(claim)
    if not claim.fills:  # less than the rounding is bought, too
        return stated_e6 == 0
    return _known_size_e6(claim) + SIZE_ROUNDING_E6 >= stated_e6


def _is_of(fill: Fill, claim: Claim) -> bool:
    return fill.order_id.lower() == claim.order_id.lower()


def _with_fills(claim: Claim, fills: Sequence[Fill]) -> Claim:
    # By the order id alone, which is a hash over the order with its side. A trade of our order on
    # another side would be the venue contradicting itself; to ignore it would hide an exposure.
    if not fills:
        return claim  # as with nearly every answer
    joined = dict(claim.fills)
    for fill in fills:
        if not _is_of(fill, claim):
            continue
        standing = FINALITY_OF[fill.status]
        known = joined.get(fill.trade_id)
        if known is None or FINALITY_RANK[standing] > FINALITY_RANK[known.standing]:
            joined[fill.trade_id] = ClaimFill(
                standing=standing, price_e4=fill.price_e4, size_e6=fill.size_e6
            )
    return msgspec.structs.replace(claim, fills=joined)


def _found(claim: Claim, updated: Claim, now_ms: int) -> Claim | None:
    """`updated` is the claim with what the venue now says about its order."""
    if updated == claim:
        return None
    spend_e6, size_e6, fee_e6 = filled(updated)
    if claim.ended:
        if (spend_e6, size_e6, fee_e6) == _filled_before(claim):
            return None  # a confirmation of what it ended with: nothing to correct
        # Open again; what is wrong is settled anew.
        return _counted(updated, ClaimEvent.FOUND, now_ms)
    if size_e6 <= 0 and _stated_size_e6(updated) > 0:
        return _nothing_left(updated, now_ms)
    # Without a size, nobody knows whether these trades are all of them: reconciliation asks.
    return _counted(updated, ClaimEvent.FOUND, now_ms)


def _filled_before(claim: Claim) -> tuple[int, int, int]:
    return claim.filled_spend_e6, claim.filled_size_e6, claim.fee_e6


def _nothing_left(updated: Claim, now_ms: int) -> Claim:
    """Every share has failed. Should it have been settled before, its P&L is taken back."""
    return _counted(updated, ClaimEvent.ALL_FAILED, now_ms, payout_e6=0, pnl_e6=0)


def _counted(updated: Claim, event: ClaimEvent, now_ms: int, **changes: object) -> Claim:
    spend_e6, size_e6, fee_e6 = filled(updated)
    return moved(
        updated,
        event,
        filled_spend_e6=spend_e6,
        filled_size_e6=size_e6,
        fee_e6=fee_e6,
        looks=0,
        resolved_at_ms=now_ms,
        **changes,
    )
