"""Settlement: the market is resolved, the position pays, the slot is free, the P&L is booked.

For each open position whose market has ended: find the resolution (`VenueRecords.resolution` knows
the order of evidence), compute (`functions.core.lifecycle.apply_resolution`, pure), and move the
claim. The P&L is booked in the same conditional write that ends the claim, so it is booked once;
the ledger row follows, idempotent. Winnings that are to be redeemed are noted in that same write
(`functions.handlers.redeem` asks for them).

Whatever keeps a claim from being settled has a reason, and an hour after its market's end that is
an alarm: a slot that nobody can free by waiting is for a person.
"""

from __future__ import annotations

import asyncio
import random
from typing import Final

import msgspec
import structlog

from functions.core.account import REDEMPTIONS_MAX
from functions.core.claim import Claim, ClaimState
from functions.core.evidence import Undecided
from functions.core.lifecycle import apply_resolution, final, settleable, unsettled
from functions.handlers.apply_evidence import apply_evidence
from functions.handlers.redeem import RedeemReport, ask_for_winnings
from functions.ports import RecordsError, Store, VenueRecords

_WAITS: Final = {
    ClaimState.CLAIMED: "it is not known what became of the order",
    ClaimState.UNKNOWN: "it is not known what became of the order",
    ClaimState.RELEASED: "it has ended and is not filed in the ledger",
    ClaimState.SETTLED: "it has ended and is not filed in the ledger",
}
SETTLED_AT_ONCE: Final = 8
CLAIMS_S: Final = 15.0
"""A run ends within the 55 s of its function, whatever does not answer: what it says of claims, and
the winnings, must not wait for the last of them."""
ASK_UNTIL_S: Final = 18.0
"""No request for winnings begins later in a run: each takes up to half a minute."""
_log = structlog.get_logger()


class SettleReport(RedeemReport, kw_only=True):
    """What one run saw and did. `failures` counts positions, too, that got no answer from the venue
    or the store."""

    settled: int = 0
    waiting: int = 0
    """Positions of ended markets that are not resolved yet, or whose trades are not final."""
    unsettled: list[str] = msgspec.field(default_factory=list)
    """One sentence for each claim that is live long after its market's end, and why: an alarm."""
    not_noted: int = 0
    """Markets whose winnings are to be redeemed and could not be noted."""
    pnl_e6: int = 0


async def settle(
    store: Store, records: VenueRecords, *, redeem: bool = False, ask_anew: bool = False
) -> SettleReport:
    """One run over the account. Raises StoreError when the account cannot be read.

    With `redeem` winnings are noted and asked for; with `ask_anew` at once, however often they have
    been.
    """
    report = SettleReport()
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    account = await store.account()
    noted = set(account.redeem) if redeem else None
    unseen = {condition_id for condition_id, note in account.redeem.items() if note.unseen}
    slots = asyncio.Semaphore(SETTLED_AT_ONCE)

    async def one(claim: Claim) -> None:
        async with slots:
            try:
                async with asyncio.timeout_at(began_s + CLAIMS_S):
                    why = await _settle_claim(store, records, claim, report, noted, unseen)
            except Exception as error:  # noqa: BLE001 - one claim must not hold up the others
                report.failures += 1
                why = _one_line(error)
                _log.error("claim_not_settled", order=claim.order_id, error=why)
            if why is not None and unsettled(claim, records.now_ms()):
                report.unsettled.append(f"{claim.slug}, order {claim.order_id}: {why}")

    over = [claim for claim in account.claims.values() if claim.market_end_ms <= records.now_ms()]
    random.shuffle(over)  # those that time is left for differ from run to run
    await asyncio.gather(*(one(claim) for claim in over))
    if report.unsettled:
        _log.critical("claims_unsettled", claims=report.unsettled)
    if redeem:
        until_s = began_s + ASK_UNTIL_S
        await ask_for_winnings(store, records, account, report, until_s=until_s, anew=ask_anew)
    _log.info("settled", **msgspec.structs.asdict(report))
    return report


async def _settle_claim(
    store: Store,
    records: VenueRecords,
    claim: Claim,
    report: SettleReport,
    noted: set[str] | None,
    unseen: set[str],
) -> str | None:
    """Why the claim is not settled, None when it is. `noted`: the markets whose winnings are, None
    when none are to be; `unseen`: those for shares that were not seen yet."""
    if claim.state is not ClaimState.OPEN:
        return _WAITS[claim.state]
    if not settleable(claim, records.now_ms()):
        report.waiting += 1
        return (
            "its trades are not final" if claim.filled_size_e6 else "it is not known to have bought"
        )
    resolution = await records.resolution(claim)
    if isinstance(resolution, Undecided):
        report.waiting += 1
        return resolution.reason
    if claim.token_id not in resolution.payouts_e6:
        raise RecordsError(f"the resolution of {claim.slug} does not name token {claim.token_id}")
    note = noted is not None and (claim.condition_id in noted or len(noted) < REDEMPTIONS_MAX)
    if noted is not None and note and resolution.payouts_e6[claim.token_id] > 0:
        noted.add(claim.condition_id)  # before the write: others are settled meanwhile
    ended = await apply_evidence(
        store,
        claim,
        lambda seen: apply_resolution(seen, resolution, records.now_ms()),
        redeem=note,
        unseen=claim.condition_id in unseen,
    )
    if ended is None or ended.state is not ClaimState.SETTLED:
        return "it has changed meanwhile"
    if not final(ended):
        unseen.add(ended.condition_id)
    report.settled += 1
    report.pnl_e6 += ended.pnl_e6 - claim.pnl_e6
    _log.info(
        "position_settled",
        market=ended.slug,
        outcome=ended.outcome,
        source=resolution.source,
        payout_e6=ended.payout_e6,
        pnl_e6=ended.pnl_e6,
    )
    if noted is not None and ended.payout_e6 > 0:
        _count_note(ended, noted, report, note=note)
    return None


def _count_note(claim: Claim, noted: set[str], report: SettleReport, *, note: bool) -> None:
    if note:
        noted.add(claim.condition_id)
        return
    report.not_noted += 1
    _log.error(
        "winnings_not_noted",
        market=claim.condition_id,
        slug=claim.slug,
        token=claim.token_id,
        payout_e6=claim.payout_e6,
    )


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
