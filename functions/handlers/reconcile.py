"""Reconciliation: moving our state to the venue's evidence. Safe to run twice at once, or to die.

For each claim that is not resolved, the venue is asked: by order id, then for the order's trades.
What that means is decided by `functions.core.lifecycle.apply_lookup`, pure; what is written is
conditional on the claim being as it was seen, and lookups are counted in the claim itself, so that
two runs at once cannot count one lookup twice.

1. A lookup that fails is no evidence: nothing changes (invariant 4).
2. What the venue says outranks what we hold, ended claims included (invariant 5): the recent trades
   are read as a whole, because the user channel may have been deaf.
3. A difference between positions and claims is reported, never adopted: nobody knows its story.
   Once a market has ended there is none: whoever redeems, the venue included, takes the shares.
   Positions are the wallet's: they are compared with the claims of all accounts that trade with it.
4. Winnings that the venue shows no shares of any more are not waited for any longer.
5. What the venue does not show of another trader's order is no evidence, and its position is not
   compared: the credentials are another account's, which is an alarm.
6. No question is waited for without end: a venue that does not answer keeps a run from neither the
   other questions, nor from pruning, nor from its alarms.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import structlog

from functions.core.account import TRADING_ENABLED, Account, utc_day
from functions.core.account_status import UNRESOLVED_ALARM_MS, unresolved_for
from functions.core.claim import NOBODY, Claim, Trader
from functions.core.evidence import sees
from functions.core.lifecycle import apply_lookup, needs_lookup, overdue
from functions.core.wallet import ALONE, Siblings, comparable_shares, difference
from functions.handlers.apply_evidence import apply_evidence, apply_fills, move_to_ledger
from functions.handlers.redeem import NotToldError, forget_what_is_gone, shares_of
from functions.handlers.siblings import siblings_of, whose
from functions.ports import (
    RecordsError,
    Store,
    StoreError,
    UnreadableRowsError,
    VenueRecords,
)

LOOKUPS_AT_ONCE: Final = 4
LOOKUPS_S: Final = 20.0
"""No look-up is waited for any longer: a run is over within 55 s, its alarms included."""
SWEEP_S: Final = 35.0
"""Nor trades and positions."""
WINNINGS_S: Final = 45.0
"""Nor shares of winnings. Pruning, one call to the store, takes at most 8 s."""
SWEEP_MS: Final = 3_600_000
"""How far back trades are read: longer than any user channel's or scheduler's pause that nobody
has been alarmed about."""
_TOO_LATE: Final = "the venue has not answered in the time of a run"
_log = structlog.get_logger()


class ReconcileReport(msgspec.Struct, kw_only=True):
    """What one run saw and did."""

    looked: int = 0
    resolved: int = 0
    failures: int = 0
    """Claims or questions that got no answer from the venue or the store; tried again next run."""
    overdue: list[str] = []
    """Order ids of claims that have been unresolved for too long: an alarm."""
    mismatches: list[str] = []
    """One sentence for each token whose position is not what the claims say: an alarm."""
    foreign: int = 0
    """Orders traded that no claim knows, of no account of the wallet."""
    incomplete: bool = False
    """Trades or positions got no answer, or they are another trader's, or an account of the wallet
    cannot be read: that there is no mismatch then says nothing."""
    strangers: list[str] = []
    """Order ids of live claims of another trader than the one who asked: an alarm."""
    unresolved: int = 0
    """Claims that were claimed or unknown for more than 30 seconds when the run ended."""
    halted: bool = False
    slots_used: int = 0
    pnl_today_e6: int = 0
    spent_today_e6: int = 0


async def reconcile(store: Store, records: VenueRecords) -> ReconcileReport:
    """One run over the account. Raises StoreError when the account cannot be read."""
    report = ReconcileReport()
    began_s = asyncio.get_running_loop().time()
    account = await store.account()
    slots = asyncio.Semaphore(LOOKUPS_AT_ONCE)

    async def one(claim: Claim) -> None:
        async with slots:
            try:
                await _reconcile_claim(store, records, claim, report, began_s + LOOKUPS_S)
            except Exception as error:  # noqa: BLE001 - one claim must not hold up the others
                report.failures += 1
                _log.error("claim_not_reconciled", order=claim.order_id, error=_one_line(error))

    claims = list(account.claims.values())
    random.shuffle(claims)  # those that time is left for differ from run to run
    await asyncio.gather(*map(one, claims))
    async with _part_of(report, began_s + SWEEP_S):  # without trades positions say nothing
        await _sweep(store, records, report)
        account = await store.account()
        await _compare_positions(store, records, account, report)
    async with _part_of(report, began_s + WINNINGS_S):
        report.failures += await forget_what_is_gone(store, records, account)
    async with _part_of(report):
        await store.prune(account, records.now_ms())
    live = [claim for claim in account.claims.values() if not claim.ended]
    # Without its trader a claim may well be ours: should it not resolve, it is overdue.
    ours = (records.trader, NOBODY) if records.trader != NOBODY else ()
    report.strangers = [
        c.order_id for c in live if c.trader not in ours and not sees(records.trader, c)
    ]
    report.incomplete = report.incomplete or bool(report.strangers)
    now_ms = records.now_ms()
    report.overdue = [c.order_id for c in account.claims.values() if overdue(c, now_ms)]
    report.unresolved = unresolved_for(account, UNRESOLVED_ALARM_MS, now_ms)
    report.halted = account.trading != TRADING_ENABLED
    report.slots_used = len(account.claims)
    report.pnl_today_e6 = account.pnl_e6.get(utc_day(now_ms), 0)
    report.spent_today_e6 = account.spent_e6.get(utc_day(now_ms), 0)
    _report(report, records.trader)
    return report


@asynccontextmanager
async def _part_of(report: ReconcileReport, until_s: float | None = None) -> AsyncIterator[None]:
    """What one part of a run gets no answer to must not hold up the others.

    It may be cut at `until_s`, the loop's time: like a crash there, which harms nothing.
    """
    try:
        async with asyncio.timeout_at(until_s):
            yield
    except (StoreError, RecordsError, TimeoutError) as error:
        _incomplete(report, str(error) or _TOO_LATE)
    except Exception as error:  # noqa: BLE001 - nor must a defect that something in it shows
        _incomplete(report, _one_line(error))


def _incomplete(report: ReconcileReport, why: str) -> None:
    report.failures += 1
    report.incomplete = True
    _log.warning("reconcile_incomplete", error=why)


async def _reconcile_claim(
    store: Store, records: VenueRecords, claim: Claim, report: ReconcileReport, until_s: float
) -> None:
    if claim.ended:  # a crash left it between its end and the ledger
        await move_to_ledger(store, claim)
        report.resolved += 1
        return
    if not needs_lookup(claim, records.now_ms()):
        return
    if asyncio.get_running_loop().time() >= until_s:
        raise RecordsError("no time was left to ask about it")
    try:
        async with asyncio.timeout_at(until_s):
            lookup = await records.lookup(claim)
    except TimeoutError:
        raise RecordsError(_TOO_LATE) from None
    report.looked += 1
    # The venue's time of the question, not ours: by a clock that is ahead every claim is old. And
    # not of the answer: two runs that asked at the same moment have looked once.
    dated = lookup.asked_at_ms is not None
    at_ms = records.now_ms() if lookup.asked_at_ms is None else lookup.asked_at_ms
    if not dated:
        _log.warning("lookup_without_date", order=claim.order_id)
    now = await apply_evidence(
        store, claim, lambda seen: apply_lookup(seen, lookup, at_ms, dated=dated)
    )
    if now is not None and now.state is not claim.state:
        report.resolved += 1
        _log.info(
            "claim_resolved",
            order=claim.order_id,
            before=claim.state.value,
            state=now.state.value,
            size_e6=now.filled_size_e6,
        )


async def _sweep(store: Store, records: VenueRecords, report: ReconcileReport) -> None:
    fills = await records.trades_since(records.now_ms() - SWEEP_MS)
    if not fills:
        return
    try:
        unknown = await apply_fills(store, fills, records.now_ms())
    except UnreadableRowsError as error:  # of the ledger: live claims have had theirs
        _incomplete(report, str(error))
        return
    unclaimed = await whose(store, records.trader.wallet, unknown)
    report.foreign = unclaimed.foreign
    if unclaimed.untold:
        _incomplete(report, f"whose {unclaimed.untold} orders are: {unclaimed.why}")


async def _compare_positions(
    store: Store, records: VenueRecords, account: Account, report: ReconcileReport
) -> None:
    """Shares of each token against its claims, those of the wallet's other accounts included.

    Only where all claims say the same before and after the venue was asked: a market may be entered
    again, or end, meanwhile. An order is posted only once its claim is stored, and a claim made
    only once its account has joined the wallet, so the second look knows of each that the venue's
    answer may contain.
    """
    if not _comparable(store, account, ALONE, records):
        return
    siblings = await siblings_of(store, records.trader.wallet)
    expected = _comparable(store, account, siblings, records)
    held = await shares_of(records, expected)
    after_siblings = await siblings_of(store, records.trader.wallet)
    after = _comparable(store, await store.account(), after_siblings, records)
    unread = siblings.unread or after_siblings.unread
    if unread:
        _incomplete(report, f"positions are not compared: {unread[0]}")
        return
    for token, held_e6 in sorted(expected.items()):
        seen_e6 = held[token]
        if isinstance(seen_e6, NotToldError):  # as of paper orders
            continue
        if isinstance(seen_e6, RecordsError):
            _incomplete(report, str(seen_e6))
        elif after.get(token) == held_e6:
            text = difference(token, seen_e6, held_e6, after_siblings)
            report.mismatches += [] if text is None else [text]


def _comparable(
    store: Store, account: Account, siblings: Siblings, records: VenueRecords
) -> dict[str, dict[str, int]]:
    return comparable_shares(
        store.account_name, account, siblings, records.trader, records.now_ms()
    )


def _report(report: ReconcileReport, trader: Trader) -> None:
    if report.strangers:
        _log.critical(
            "another_trader", orders=report.strangers, signer=trader.signer, wallet=trader.wallet
        )
    if report.overdue:
        _log.critical("claims_overdue", orders=report.overdue)
    if report.mismatches:
        _log.critical("positions_differ", mismatches=report.mismatches)
    _log.info("reconciled", **msgspec.structs.asdict(report))


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
