"""Settlement: the market is resolved, the position pays, the slot is free, the P&L is booked.

For each open position whose market has ended: find the resolution (`VenueRecords.resolution` knows
the order of evidence), compute (`functions.core.lifecycle.apply_resolution`, pure), and move the
claim. The P&L is booked in the same conditional write that ends the claim, so it is booked once;
the ledger row follows, idempotent. Winnings that are to be redeemed are noted in that same write,
and asked for until the venue shows no shares any more.
"""

from __future__ import annotations

import time
from typing import Final

import msgspec
import structlog

from functions.core.account import REDEMPTIONS_MAX, Account, Redemption
from functions.core.claim import Claim, ClaimState
from functions.core.lifecycle import apply_resolution, settleable
from functions.handlers.apply_evidence import apply_evidence
from functions.ports import RecordsError, Store, VenueRecords

REDEEM_AGAIN_MS: Final = 60_000
"""The chain needs seconds to a minute, and a plain wallet pays gas for each request."""
GIVEN_UP_AFTER_MS: Final = 86_400_000
"""Winnings that nobody has asked for and the venue has not shown for a day are not there."""
_log = structlog.get_logger()


class SettleReport(msgspec.Struct, kw_only=True):
    """What one run saw and did."""

    settled: int = 0
    waiting: int = 0
    """Positions of ended markets that are not resolved yet, or whose trades are not final."""
    failures: int = 0
    """Positions that got no answer from the venue or the store; tried again next run."""
    redeeming: int = 0
    """Markets whose winnings have been asked for and are not seen paid yet."""
    pnl_e6: int = 0


async def settle(store: Store, records: VenueRecords, *, redeem: bool = False) -> SettleReport:
    """One run over the account. Raises StoreError when the account cannot be read."""
    report = SettleReport()
    account = await store.account()
    now_ms = _now_ms()
    for claim in account.claims.values():
        if claim.state is not ClaimState.OPEN or claim.market_end_ms > now_ms:
            continue
        try:
            note = redeem and len(account.redeem) + report.settled < REDEMPTIONS_MAX
            await _settle_claim(store, records, claim, report, redeem=note)
        except Exception as error:  # noqa: BLE001 - one claim must not hold up the others
            report.failures += 1
            _log.error("claim_not_settled", order=claim.order_id, error=_one_line(error))
    if redeem:
        if len(account.redeem) >= REDEMPTIONS_MAX:
            _log.critical("redemptions_pile_up", waiting=len(account.redeem))
        await _redeem(store, records, account, report)
    _log.info("settled", **msgspec.structs.asdict(report))
    return report


async def _settle_claim(
    store: Store, records: VenueRecords, claim: Claim, report: SettleReport, *, redeem: bool
) -> None:
    if not settleable(claim, _now_ms()):
        report.waiting += 1
        return
    resolution = await records.resolution(claim)
    if resolution is None:
        report.waiting += 1
        return
    if claim.token_id not in resolution.payouts_e6:
        raise RecordsError(f"the resolution of {claim.slug} does not name token {claim.token_id}")
    ended = await apply_evidence(
        store,
        claim,
        lambda seen: apply_resolution(seen, resolution, _now_ms()),
        redeem=redeem,
    )
    if ended is not None and ended.state is ClaimState.SETTLED:
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


async def _redeem(
    store: Store, records: VenueRecords, account: Account, report: SettleReport
) -> None:
    """Ask for winnings until they have been asked for and are seen gone."""
    another_s = []
    for condition_id, waiting in account.redeem.items():
        if waiting.wallet not in ("", records.trader.wallet):
            another_s.append(condition_id)  # whose shares we do not see: they would look paid
            continue
        try:
            await _redeem_one(store, records, condition_id, waiting, report)
        except Exception as error:  # noqa: BLE001 - one market must not hold up the others
            report.failures += 1
            _log.warning("not_redeemed", market=condition_id, error=_one_line(error))
    if another_s:
        report.failures += len(another_s)
        trader = records.trader
        _log.critical(
            "another_trader", markets=another_s, signer=trader.signer, wallet=trader.wallet
        )


async def _redeem_one(
    store: Store,
    records: VenueRecords,
    condition_id: str,
    waiting: Redemption,
    report: SettleReport,
) -> None:
    held = await records.positions([waiting.token_id])
    now_ms = _now_ms()
    if held.get(waiting.token_id, 0) > 0:
        report.redeeming += 1
        if now_ms - waiting.asked_at_ms < REDEEM_AGAIN_MS:
            return
        # Noted first: once it has been paid out, nothing else shows that it was there at all. And
        # who has not written the note does not ask: somebody else just has.
        asked = msgspec.structs.replace(waiting, asked_at_ms=now_ms)
        if await store.set_redemption(condition_id, asked, waiting):
            await records.redeem(condition_id)
    elif waiting.asked_at_ms or now_ms - waiting.since_ms > GIVEN_UP_AFTER_MS:
        # Nothing there although nobody asked: not yet on the chain, or paid out by somebody else.
        await store.set_redemption(condition_id, None, waiting)
        _log.info("winnings_redeemed", market=condition_id, asked=waiting.asked_at_ms > 0)
    else:
        report.redeeming += 1


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
