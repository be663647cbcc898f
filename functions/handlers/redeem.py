"""Winnings: asked for until the venue shows no shares any more, whoever redeemed them.

Settlement notes them (`Account.redeem`). Each request is counted in the note before it is made: a
restart does not begin anew, and who has not written the note does not ask. When to ask, and when
the note goes, is decided by `functions.core.winnings`, pure.
"""

from __future__ import annotations

import asyncio
import random
from typing import Final

import msgspec
import structlog

from functions.core import winnings
from functions.core.account import REDEMPTIONS_MAX, Account, Redemption
from functions.ports import RecordsError, Store, VenueRecords

ASKED_AT_ONCE_MAX: Final = 3
"""A request takes up to 20 s; the run has to end. The others have their turn in the next one."""
LOOKED_AT_ONCE_MAX: Final = 20
"""Each look is two requests."""
WEI: Final = 10**18
"""Of one POL, which gas is paid in."""
_log = structlog.get_logger()


class RedeemReport(msgspec.Struct, kw_only=True):
    """What one run saw and did about winnings."""

    failures: int = 0
    """Questions that got no answer; asked again in the next run."""
    redeeming: int = 0
    """Markets whose winnings are not seen paid yet."""
    stuck: list[str] = []
    """Condition ids of those that were asked for as often as we do: an alarm."""
    requests: int = 0
    """Requests made."""
    reverted: int = 0
    """Transactions that the chain has refused."""
    gas_wei: int = 0
    """What our own transactions have cost; a relayer's cost us nothing."""
    strangers: list[str] = []
    """Condition ids of winnings of another wallet than the one that asks: an alarm."""


async def ask_for_winnings(
    store: Store,
    records: VenueRecords,
    account: Account,
    report: RedeemReport,
    *,
    until_s: float,
    anew: bool = False,
) -> None:
    """Ask where it is time; `anew`: a person asks, so it is time everywhere, and he waits.

    Otherwise no request begins after `until_s`, the loop's time.
    """
    loop = asyncio.get_running_loop()
    if len(account.redeem) >= REDEMPTIONS_MAX:
        _log.critical("redemptions_pile_up", waiting=len(account.redeem))
    now_ms, trader = records.now_ms(), records.trader
    # Whose shares we do not see: they would look paid out.
    report.strangers = [
        condition_id
        for condition_id, note in account.redeem.items()
        if not winnings.seen_by(note, trader.wallet)
    ]
    if report.strangers:
        _log.critical(
            "another_trader", markets=report.strangers, signer=trader.signer, wallet=trader.wallet
        )
    wanted = [
        (condition_id, note)
        for condition_id, note in account.redeem.items()
        if condition_id not in report.strangers and (anew or winnings.due(note, now_ms))
    ]
    random.shuffle(wanted)  # those that always fail must not keep the others from their turn
    report.redeeming = len(account.redeem)
    for condition_id, note in wanted if anew else wanted[:ASKED_AT_ONCE_MAX]:
        if not anew and loop.time() > until_s:
            break  # the others in the next run
        try:
            await _ask(store, records, condition_id, note, report, anew=anew)
        except Exception as error:  # noqa: BLE001 - one market must not hold up the others
            report.failures += 1
            _log.warning(
                "not_redeemed", market=condition_id, tries=note.tries + 1, error=_one_line(error)
            )
    await _count_transactions(records, report)
    if not anew:
        report.stuck = [k for k, note in account.redeem.items() if winnings.stuck(note, now_ms)]
    if report.stuck:
        _log.critical("redemptions_stuck", markets=report.stuck)


async def _ask(
    store: Store,
    records: VenueRecords,
    condition_id: str,
    note: Redemption,
    report: RedeemReport,
    *,
    anew: bool,
) -> None:
    held_e6 = (await records.positions([note.token_id])).get(note.token_id)
    if held_e6 is None:
        raise RecordsError(f"shares of token {note.token_id}: not told")
    now_ms = records.now_ms()
    if held_e6 > 0:
        # Noted first: a request that nobody knows of would be made again and again.
        if await store.set_redemption(condition_id, winnings.asked(note, now_ms, anew=anew), note):
            report.requests += 1
            await records.redeem(condition_id)
    else:
        report.redeeming -= await _look(store, condition_id, note, 0, now_ms)


async def _count_transactions(records: VenueRecords, report: RedeemReport) -> None:
    try:
        for each in await records.mined():
            report.gas_wei += each.gas_wei
            report.reverted += each.reverted
            if each.reverted:
                _log.error(
                    "redeem_reverted", market=each.condition_id, transaction=each.transaction
                )
    except RecordsError as error:
        _log.warning("gas_not_counted", error=str(error))


# -- by reconciliation, with or without a key ------------------------------------------------------


async def forget_what_is_gone(store: Store, records: VenueRecords, account: Account) -> int:
    """Remove the notes whose shares are not there any more; of many, look at some each time.

    Returns how many could not be looked at: each is asked about alone, so that one which the venue
    cannot answer for does not keep the others. Raises StoreError when one could not be removed.
    """
    now_ms = records.now_ms()
    notes = [
        (condition_id, note)
        for condition_id, note in account.redeem.items()
        if winnings.telling(note, now_ms) and winnings.seen_by(note, records.trader.wallet)
    ]
    if len(notes) > LOOKED_AT_ONCE_MAX:
        notes = random.sample(notes, LOOKED_AT_ONCE_MAX)
    looks = await asyncio.gather(
        *(records.positions([note.token_id]) for _, note in notes), return_exceptions=True
    )
    failures = 0
    for (condition_id, note), held in zip(notes, looks, strict=True):
        if isinstance(held, RecordsError):
            failures += 1
            _log.warning("winnings_not_seen", market=condition_id, error=str(held))
        elif isinstance(held, BaseException):
            raise held
        elif note.token_id in held:  # not told is not gone
            await _look(store, condition_id, note, held[note.token_id], now_ms)
    return failures


async def _look(
    store: Store, condition_id: str, note: Redemption, held_e6: int, now_ms: int
) -> bool:
    """Note what a look has shown; whether the note is gone."""
    if not winnings.gone(note, held_e6, now_ms):
        looked = winnings.looked(note, held_e6, now_ms)
        if looked != note:
            await store.set_redemption(condition_id, looked, note)
        return False
    done = await store.set_redemption(condition_id, None, note)
    if done and note.unseen:
        _log.error("winnings_never_seen", market=condition_id, token=note.token_id)
    elif done:
        _log.info("winnings_redeemed", market=condition_id, asked=note.asked_at_ms > 0)
    return done


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
