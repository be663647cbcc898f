"""What is known of an order, in the order in which it became known, and by what evidence. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from executor.console.formats import price, signed_usd, size, usd
from functions.core.claim import UNRESOLVED, Claim, ClaimState, Finality
from protocol.decision import Decision

_STANDINGS: Final = {
    Finality.PROVISIONAL: "provisional: it may still fail",
    Finality.FAILED: "failed: it counts no more",
    Finality.CONFIRMED: "confirmed: final",
}
FILLS_SHOWN: Final = 50


class TimelineEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is known."""

    at_ms: int | None
    """None: its time is not kept."""
    what: str
    evidence: str
    """Who says so."""


def timeline_of(decision: Decision, claim: Claim | None) -> list[TimelineEvent]:
    """Of a decision, with its claim as it is now; None: neither account nor ledger has it."""
    events = [
        TimelineEvent(
            at_ms=decision.decided_at_ms,
            what=f"signal: {decision.outcome}, asked {price(decision.signal_price_e4)}, "
            f"to be bought up to {price(decision.max_price_e4)}",
            evidence=f"the worker {decision.worker}",
        )
    ]
    if not decision.intent_id:
        return events
    if claim is None:
        answered_ms = decision.timeline.answered_at_ns // 1_000_000
        logged = f"{decision.state}: {_bought(decision.filled_size_e6, decision.filled_spend_e6)}"
        return [
            *events,
            TimelineEvent(
                at_ms=answered_ms or None,
                what=f"order {decision.order_id}: {logged}",
                evidence=f"as the worker logged it{_quoted(decision.text)}",
            ),
        ]
    return [*events, *_claim_events(claim)]


def _claim_events(claim: Claim) -> list[TimelineEvent]:
    most = f"{usd(claim.spend_e6)} USD at most, at {price(claim.max_price_e4)} at most"
    events = [
        TimelineEvent(
            at_ms=claim.claimed_at_ms,
            what=f"claimed: {most}",
            evidence=f"our own write, before order {claim.order_id} was sent",
        ),
        _answer(claim),
    ]
    if claim.recorded_size_e6:
        events.append(
            TimelineEvent(
                at_ms=None,
                what=f"{size(claim.recorded_size_e6)} shares matched",
                evidence="the venue's record of the order",
            )
        )
    for trade, fill in list(claim.fills.items())[:FILLS_SHOWN]:
        events.append(
            TimelineEvent(
                at_ms=None,
                what=f"fill: {size(fill.size_e6)} shares at {price(fill.price_e4)}, "
                f"{_STANDINGS[fill.standing]}",
                evidence=f"trade {trade}",
            )
        )
    if len(claim.fills) > FILLS_SHOWN:
        more = f"and {len(claim.fills) - FILLS_SHOWN} more fills"
        events.append(TimelineEvent(at_ms=None, what=more, evidence="the account"))
    if claim.looks:
        events.append(
            TimelineEvent(
                at_ms=claim.looked_at_ms or None,
                what=f"{claim.looks} looks in a row showed nothing bought",
                evidence="the venue's records, in the order's own name",
            )
        )
    if claim.resolved_at_ms:
        bought = _bought(claim.filled_size_e6, claim.filled_spend_e6)
        events.append(
            TimelineEvent(
                at_ms=claim.resolved_at_ms,
                what=f"{bought}, fee {usd(claim.fee_e6)}",
                evidence="the last evidence about the order was applied"
                + (", after it had ended before" if claim.came_back else ""),
            )
        )
    if claim.settled_at_ms:
        paid = f"settled: paid {usd(claim.payout_e6)} USD, P&L {signed_usd(claim.pnl_e6)} USD"
        events.append(
            TimelineEvent(at_ms=claim.settled_at_ms, what=paid, evidence="the market's resolution")
        )
    elif claim.state is ClaimState.RELEASED:
        events.append(
            TimelineEvent(
                at_ms=claim.resolved_at_ms or None,
                what="released: nothing was bought, or what was bought has failed",
                evidence=claim.text or "no text came",
            )
        )
    return events


def _answer(claim: Claim) -> TimelineEvent:
    answered_ms = 0 if claim.timeline is None else claim.timeline.answered_at_ns // 1_000_000
    if answered_ms:
        reported = _bought(claim.reported_size_e6, claim.reported_spend_e6)
        return TimelineEvent(
            at_ms=answered_ms,
            what=f"answered: {reported}",
            evidence=f"the venue's answer{_quoted(claim.text)}",
        )
    waits = claim.state in UNRESOLVED
    return TimelineEvent(
        at_ms=None,
        what="no answer is known" + (": the venue is asked about the order" if waits else ""),
        evidence=claim.text or "the worker has not written one",
    )


def _bought(size_e6: int, spend_e6: int) -> str:
    return f"bought {size(size_e6)} shares for {usd(spend_e6)} USD" if size_e6 else "nothing bought"


def _quoted(text: str) -> str:
    return f": “{text}”" if text else ""
