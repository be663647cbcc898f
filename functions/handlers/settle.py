"""Settlement: the market is resolved, the position pays, the slot is free, the P&L is booked.

For each market that has ended with positions that are open: find the resolution, once for all of
them (`VenueRecords.resolution` knows the order of evidence); for each position compute
(`functions.core.lifecycle.apply_resolution`, pure), and move the
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
from functions.core.evidence import Resolution, Undecided
from functions.core.lifecycle import apply_resolution, settleable, unsettled
from functions.core.winnings import key_of
from functions.handlers.apply_evidence import apply_evidence
from functions.handlers.redeem import RedeemReport, ask_for_winnings
from functions.ports import RecordsDisagreeError, RecordsError, Store, StoreError, VenueRecords

_WAITS: Final = {
    ClaimState.CLAIMED: "it is not known what became of the order",
    ClaimState.UNKNOWN: "it is not known what became of the order",
    ClaimState.RELEASED: "it has ended and is not filed in the ledger",
    ClaimState.SETTLED: "it has ended and is not filed in the ledger",
}
SETTLED_AT_ONCE: Final = 8
"""Markets."""
CLAIMS_S: Final = 15.0
"""No resolution is waited for any longer: a run ends within the 55 s of its function, and what it
says of claims, and the winnings, must not wait for the last that does not answer."""
WRITES_S: Final = 20.0
"""Of what was learned until then the writing still begins, and is not cut."""
ASK_UNTIL_S: Final = 18.0
"""No request for winnings begins later in a run: each takes up to half a minute."""
ASK_ANEW_UNTIL_S: Final = 60.0
"""When a person asks, who waits two minutes for the report."""
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
    """Claims whose winnings are to be redeemed and could not be noted."""
    pnl_e6: int = 0
    incomplete: bool = False
    """Markets were asked about, and none of these questions got an answer."""


async def settle(
    store: Store, records: VenueRecords, *, redeem: bool = False, ask_anew: bool = False
) -> SettleReport:
    """One run over the account. Raises StoreError when the account cannot be read.

    With `redeem` winnings are noted and asked for; with `ask_anew` at once, however often they have
    been, as far as a person waits for it.
    """
    report = SettleReport()
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    account = await store.account()
    noted = set(account.redeem) if redeem else None
    slots = asyncio.Semaphore(SETTLED_AT_ONCE)

    async def one(claims: list[Claim]) -> bool | None:
        async with slots:
            return await _settle_market(store, records, claims, report, noted, began_s)

    over = [claim for claim in account.claims.values() if claim.market_end_ms <= records.now_ms()]
    random.shuffle(over)  # those that time is left for differ from run to run
    markets: dict[str, list[Claim]] = {}
    for claim in over:
        markets.setdefault(claim.condition_id, []).append(claim)
    answered = await asyncio.gather(*map(one, markets.values()))
    report.incomplete = False in answered and True not in answered
    if report.unsettled:
        _log.critical("claims_unsettled", claims=report.unsettled)
    if redeem:
        until_s = began_s + (ASK_ANEW_UNTIL_S if ask_anew else ASK_UNTIL_S)
        await ask_for_winnings(store, records, account, report, until_s=until_s, anew=ask_anew)
    _log.info("settled", **msgspec.structs.asdict(report))
    return report


async def _settle_market(
    store: Store,
    records: VenueRecords,
    claims: list[Claim],
    report: SettleReport,
    noted: set[str] | None,
    began_s: float,
) -> bool | None:
    """Settle what is ready of one market's claims: the venue is asked once. Whether it has
    answered, None when it was not asked."""
    ready = [claim for claim in claims if settleable(claim, records.now_ms())]
    answer: Resolution | Undecided | Exception | None = None
    if ready:
        try:
            async with asyncio.timeout_at(began_s + CLAIMS_S):
                answer = await records.resolution(ready[0])
        except TimeoutError:
            answer = RecordsError("the venue has not answered in the time of a run")
        except Exception as error:  # noqa: BLE001 - one market must not hold up the others
            answer = error
    for claim in claims:
        why: str | None
        try:
            if claim not in ready or answer is None:
                why = _waits(claim, report)
            else:
                why = await _settle_claim(store, records, claim, answer, report, noted, began_s)
        except Exception as error:  # noqa: BLE001 - one claim must not hold up the others
            report.failures += 1
            why = _one_line(error)
            _log.error("claim_not_settled", order=claim.order_id, error=why)
        if why is not None and unsettled(claim, records.now_ms()):
            report.unsettled.append(f"{claim.slug}, order {claim.order_id}: {why}")
    if answer is None:
        return None
    return not isinstance(answer, Exception) or isinstance(answer, RecordsDisagreeError)


def _waits(claim: Claim, report: SettleReport) -> str:
    """Why a resolution cannot end the claim yet."""
    if claim.state is not ClaimState.OPEN:
        return _WAITS[claim.state]
    report.waiting += 1
    return "its trades are not final" if claim.filled_size_e6 else "it is not known to have bought"


async def _settle_claim(
    store: Store,
    records: VenueRecords,
    claim: Claim,
    resolution: Resolution | Undecided | Exception,
    report: SettleReport,
    noted: set[str] | None,
    began_s: float,
) -> str | None:
    """Why the claim is not settled, None when it is. `noted`: the keys of the notes of winnings,
    None when none are to be written."""
    if isinstance(resolution, Exception):
        raise resolution
    if isinstance(resolution, Undecided):
        report.waiting += 1
        return resolution.reason
    if asyncio.get_running_loop().time() > began_s + WRITES_S:
        raise StoreError("no time was left to write it")
    if claim.token_id not in resolution.payouts_e6:
        raise RecordsError(f"the resolution of {claim.slug} does not name token {claim.token_id}")
    key = key_of(claim)
    room = noted is not None and (key in noted or len(noted) < REDEMPTIONS_MAX)
    if noted is not None and room and resolution.payouts_e6[claim.token_id] > 0:
        noted.add(key)  # before the write: others are settled meanwhile
    ended = await apply_evidence(
        store,
        claim,
        lambda seen: apply_resolution(seen, resolution, records.now_ms()),
        redeem=room,
    )
    if ended is None or ended.state is not ClaimState.SETTLED:
        return "it has changed meanwhile"
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
    if noted is not None and ended.payout_e6 > 0 and not room:
        report.not_noted += 1
        _log.error(
            "winnings_not_noted",
            market=ended.condition_id,
            slug=ended.slug,
            token=ended.token_id,
            wallet=ended.trader.wallet,
            payout_e6=ended.payout_e6,
        )
    return None


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
