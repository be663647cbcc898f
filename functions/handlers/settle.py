"""Settlement: the market is resolved, the position pays, the slot is free, the P&L is booked.

For each open position whose market has ended: find the resolution (`Records.resolution` knows the
order of evidence), compute (`functions.core.lifecycle.settled`, pure), and move the claim. The P&L
is booked in the same conditional write that ends the claim, so it is booked once; the ledger row
follows, idempotent. Winnings that are to be redeemed are noted in that same write, and asked for
until the venue shows no shares any more.
"""

from __future__ import annotations

import time

import msgspec
import structlog

from functions.core.account import Account
from functions.core.intent import Claim, ClaimState
from functions.core.lifecycle import settleable, settled
from functions.handlers.recording import record
from functions.ports import Records, RecordsError, Store, StoreError

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


async def settle(store: Store, records: Records, *, redeem: bool = False) -> SettleReport:
    """One run over the account. Raises StoreError when the account cannot be read."""
    report = SettleReport()
    account = await store.account()
    now_ms = _now_ms()
    for claim in account.claims.values():
        if claim.state is not ClaimState.OPEN or claim.market_end_ms > now_ms:
            continue
        try:
            await _settle_claim(store, records, claim, report, redeem=redeem)
        except (StoreError, RecordsError) as error:
            report.failures += 1
            _log.warning("claim_not_settled", order=claim.order_id, error=str(error))
    if redeem:
        await _redeem(store, records, account, report)
    _log.info("settled", **msgspec.structs.asdict(report))
    return report


async def _settle_claim(
    store: Store, records: Records, claim: Claim, report: SettleReport, *, redeem: bool
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
    ended = await record(
        store,
        claim,
        lambda seen: settled(seen, resolution, _now_ms()),
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


async def _redeem(store: Store, records: Records, account: Account, report: SettleReport) -> None:
    """Ask for winnings until they are seen paid: the token's balance is gone."""
    for condition_id, since_ms in account.redeem.items():
        try:
            tokens = await _winning_tokens(store, condition_id, since_ms)
            if not tokens:  # the row is still on its way
                continue
            held = await records.positions(tokens)
            if any(held.values()):
                report.redeeming += 1
                await records.redeem(condition_id)
            else:
                await store.redeemed(condition_id)
                _log.info("winnings_redeemed", market=condition_id)
        except (StoreError, RecordsError) as error:
            report.failures += 1
            _log.warning("not_redeemed", market=condition_id, error=str(error))


async def _winning_tokens(store: Store, condition_id: str, since_ms: int) -> list[str]:
    day_ms = 86_400_000
    rows = await store.ledger(since_ms - day_ms, since_ms + day_ms)
    return sorted({row.token_id for row in rows if row.condition_id == condition_id})


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
