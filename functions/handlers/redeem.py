"""Winnings: asked for until the venue shows no shares any more, whoever redeemed them.

Settlement notes them (`Account.redeem`). Each request is counted in the note before it is made: a
restart does not begin anew, and who has not written the note does not ask. When to ask, and when
the note goes, is decided by `functions.core.winnings`, pure.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import Final, TypeAlias

import msgspec
import structlog

from functions.core import winnings
from functions.core.account import REDEMPTIONS_MAX, Account, Redemption
from functions.core.wallet import Siblings
from functions.handlers.siblings import siblings_of
from functions.ports import RecordsError, Store, VenueRecords

ASKED_AT_ONCE_MAX: Final = 3
"""A request takes up to 20 s; the run has to end. The others have their turn in the next one."""
LOOKED_AT_ONCE_MAX: Final = 20
"""Each look is two requests."""
WEI: Final = 10**18
"""Of one POL, which gas is paid in."""
_log = structlog.get_logger()

Notes: TypeAlias = dict[str, Redemption]
"""By their keys in the account."""


class NotToldError(RecordsError):
    """The venue has answered, and not about this token: nothing is known of its shares."""


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
    """Ask where it is time; `anew`: a person asks, so it is time everywhere.

    One request pays out all that the wallet has in a market, whatever notes there are about it. No
    request begins after `until_s`, the loop's time.
    """
    loop = asyncio.get_running_loop()
    if len(account.redeem) >= REDEMPTIONS_MAX:
        _log.critical("redemptions_pile_up", waiting=len(account.redeem))
    now_ms, trader = records.now_ms(), records.trader
    left = dict(account.redeem)
    ours: dict[str, Notes] = {}
    for key, note in left.items():
        if winnings.seen_by(note, trader.wallet):
            ours.setdefault(winnings.market_of(key), {})[key] = note
    # Whose shares we do not see: they would look paid out.
    report.strangers = winnings.markets_of(
        key for key, note in left.items() if not winnings.seen_by(note, trader.wallet)
    )
    if report.strangers:
        _log.critical(
            "another_trader", markets=report.strangers, signer=trader.signer, wallet=trader.wallet
        )
    wanted = [
        (condition_id, notes)
        for condition_id, notes in ours.items()
        if anew or any(winnings.due(note, now_ms) for note in notes.values())
    ]
    random.shuffle(wanted)  # those that always fail must not keep the others from their turn
    for condition_id, notes in wanted if anew else wanted[:ASKED_AT_ONCE_MAX]:
        if loop.time() > until_s:
            break  # the others in the next run
        try:
            await _ask(store, records, account, condition_id, notes, left, report, anew=anew)
        except Exception as error:  # noqa: BLE001 - one market must not hold up the others
            report.failures += 1
            tries = max(note.tries for note in notes.values()) + 1
            _log.warning("not_redeemed", market=condition_id, tries=tries, error=_one_line(error))
    await _count_transactions(records, report)
    report.redeeming = len(winnings.markets_of(left))
    if not anew:
        report.stuck = winnings.markets_of(
            key for key, note in left.items() if winnings.stuck(note, now_ms)
        )
    if report.stuck:
        _log.critical("redemptions_stuck", markets=report.stuck)


async def _ask(
    store: Store,
    records: VenueRecords,
    account: Account,
    condition_id: str,
    notes: Notes,
    left: Notes,
    report: RedeemReport,
    *,
    anew: bool,
) -> None:
    """Look at the shares of one market's notes, and ask for them if it is time for some that are
    there. What is gone is taken out of `left`."""
    held = await shares_of(records, {note.token_id for note in notes.values()})
    wallet = records.trader.wallet
    siblings = await _siblings(store, wallet)
    report.failures += len(siblings.unread)
    now_ms = records.now_ms()
    shown = {
        key: shares_e6
        for key, note in notes.items()
        if isinstance(shares_e6 := held[note.token_id], int)
    }
    asking = any(
        shares_e6 > 0 and (anew or winnings.due(notes[key], now_ms))
        for key, shares_e6 in shown.items()
    ) and (anew or not winnings.asked_by_another(siblings, condition_id, wallet, now_ms))
    changes = {
        key: _looked(account, siblings, key, shares_e6, now_ms, wallet)
        for key, shares_e6 in shown.items()
    }
    for key, shares_e6 in shown.items():
        note = changes[key]
        if asking and shares_e6 > 0 and note is not None:
            changes[key] = winnings.asked(note, now_ms, anew=anew)
    # Noted first, in one write and only if no other process has noted anything about the market
    # meanwhile: a request that nobody knows of would be made again and again.
    done = await _note(store, notes, changes)
    if done:
        for key in [key for key, change in changes.items() if change is None]:
            del left[key]
    if done and asking and siblings.accounts and not anew:
        # Two that ask at the same moment have both noted it by now: the first by name does.
        now = (await _siblings(store, wallet)).accounts
        first = Siblings(accounts={k: v for k, v in now.items() if k < store.account_name})
        asking = not winnings.asked_by_another(first, condition_id, wallet, now_ms)
    if done and asking:
        report.requests += 1
        await records.redeem(condition_id)
    for failure in held.values():
        if isinstance(failure, RecordsError):
            raise failure


async def shares_of(records: VenueRecords, tokens: Iterable[str]) -> dict[str, int | RecordsError]:
    """Shares held, by token. Each is asked about alone, so that one which the venue cannot answer
    for does not keep the others."""
    slots = asyncio.Semaphore(LOOKED_AT_ONCE_MAX)

    async def look_at(token_id: str) -> dict[str, int]:
        async with slots:
            return await records.positions([token_id])

    wanted = sorted(tokens)
    looks = await asyncio.gather(*map(look_at, wanted), return_exceptions=True)
    held: dict[str, int | RecordsError] = {}
    for token_id, look in zip(wanted, looks, strict=True):
        if isinstance(look, RecordsError):
            held[token_id] = look
        elif isinstance(look, Exception):  # a defect that one answer shows is no other's
            held[token_id] = RecordsError(f"shares of token {token_id}: {_one_line(look)}")
        elif isinstance(look, BaseException):
            raise look
        else:  # not told is not gone
            unknown = NotToldError(f"shares of token {token_id}: not told")
            held[token_id] = look.get(token_id, unknown)
    return held


async def _count_transactions(records: VenueRecords, report: RedeemReport) -> None:
    try:
        for each in await records.mined():
            report.gas_wei += each.gas_wei
            report.reverted += each.reverted
            if each.reverted:
                _log.error(
                    "redeem_reverted", market=each.condition_id, transaction=each.transaction
                )
    except Exception as error:  # noqa: BLE001 - what was paid must not hide what was not
        _log.warning("gas_not_counted", error=_one_line(error))


# -- by reconciliation, with or without a key ------------------------------------------------------


async def forget_what_is_gone(store: Store, records: VenueRecords, account: Account) -> int:
    """Remove the notes whose shares are not there any more; of many, look at some each time.

    Returns how many could not be looked at, or not be removed.
    """
    now_ms = records.now_ms()
    notes = [
        (key, note)
        for key, note in account.redeem.items()
        if winnings.telling(note, now_ms) and winnings.seen_by(note, records.trader.wallet)
    ]
    if len(notes) > LOOKED_AT_ONCE_MAX:
        notes = random.sample(notes, LOOKED_AT_ONCE_MAX)
    if not notes:
        return 0
    held = await shares_of(records, {note.token_id for _, note in notes})
    siblings = await _siblings(store, records.trader.wallet)
    failures = len(siblings.unread)
    for key, note in notes:
        shares_e6 = held[note.token_id]
        if isinstance(shares_e6, RecordsError):
            failures += 1
            _log.warning("winnings_not_seen", market=winnings.market_of(key), error=str(shares_e6))
            continue
        try:
            change = _looked(account, siblings, key, shares_e6, now_ms, records.trader.wallet)
            await _note(store, {key: note}, {key: change})
        except Exception as error:  # noqa: BLE001 - one note must not hold up the others
            failures += 1
            market = winnings.market_of(key)
            _log.warning("winnings_not_seen", market=market, error=_one_line(error))
    return failures


async def _siblings(store: Store, wallet: str) -> Siblings:
    """Those whose shares may be shown beside one's own. Of one that cannot be read nobody knows how
    many: then none are taken for one's own, which keeps a note too long rather than too short."""
    siblings = await siblings_of(store, wallet)
    for why in siblings.unread:
        _log.warning("winnings_of_others_not_seen", error=why)
    return siblings


def _looked(
    account: Account, siblings: Siblings, key: str, held_e6: int, now_ms: int, wallet: str
) -> Redemption | None:
    """The note after a look; None when nothing is to be waited for any more."""
    note = account.redeem[key]
    if winnings.gone(note, held_e6, now_ms):
        return None
    beside_e6 = winnings.beside_e6(account, key, siblings)
    return winnings.looked(note, held_e6, now_ms, beside_e6, wallet)


async def _note(store: Store, seen: Notes, changes: dict[str, Redemption | None]) -> bool:
    """Write what has changed, if all is still as seen; whether it is."""
    changed = {key: change for key, change in changes.items() if change != seen[key]}
    if not changed:
        return True
    if not await store.set_redemptions(changed, seen):
        return False
    for key in [key for key, change in changed.items() if change is None]:
        note, market = seen[key], winnings.market_of(key)
        if winnings.never_seen(note):
            _log.error(
                "winnings_never_seen", market=market, token=note.token_id, wallet=note.wallet
            )
        else:
            _log.info("winnings_redeemed", market=market, asked=note.asked_at_ms > 0)
    return True


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
