"""What should have ended long ago: claims of markets that are over, winnings that nobody gets."""

from __future__ import annotations

import contextlib
import time
from typing import Final

from executor.doctor.finding import Finding, Level, fail, ok
from functions.bootstrap import public_records, unopened_stores
from functions.core import winnings
from functions.core.account import Account
from functions.core.claim import Claim
from functions.core.evidence import Undecided
from functions.core.lifecycle import unsettled
from functions.ports import RecordsError, StoreError, VenueRecords
from functions.settings import AccountSettings

ASKED_MAX: Final = 5
"""Markets that are asked about: of more, the first ones say enough."""
_CLAIMS: Final = "claims of ended markets"
_WINNINGS: Final = "winnings"
_REDEEM: Final = 'see "Redeeming" in docs/how-to/settlement.md'
_WAIT: Final = 'see "A market that does not resolve" in docs/how-to/settlement.md'


async def check(settings: AccountSettings) -> list[Finding]:
    """Nothing of an account that cannot be read: the table's own checks say so."""
    accounts: list[Account] = []
    async with unopened_stores(settings) as stores:
        for store in stores.values():
            with contextlib.suppress(StoreError):
                accounts.append(await store.account())
    found: list[Finding] = []
    for account in accounts:
        found += await _check_account(settings, account)
    late = [each for each in found if each.level is not Level.OK]
    return late or found[:1]


async def _check_account(settings: AccountSettings, account: Account) -> list[Finding]:
    now_ms = time.time_ns() // 1_000_000
    late = [claim for claim in account.claims.values() if unsettled(claim, now_ms)]
    stuck = winnings.markets_of(k for k, n in account.redeem.items() if winnings.stuck(n, now_ms))
    found = [fail(_WINNINGS, f"market {m} was asked for in vain", _REDEEM) for m in stuck]
    if not late:
        return [ok(_CLAIMS, "none takes a slot for long"), *found]
    records = public_records(settings)
    try:
        why: dict[str, str] = {}
        for claim in late:
            market = claim.condition_id
            if market not in why and len(why) < ASKED_MAX:
                why[market] = await _why(records, claim)
        return [*(_unsettled(claim, why.get(claim.condition_id)) for claim in late), *found]
    finally:
        await records.close()


async def _why(records: VenueRecords, claim: Claim) -> str:
    try:
        resolution = await records.resolution(claim)
    except RecordsError as error:
        return str(error)
    decided = "the venue has decided it: is `functions.schedule` running?"
    return resolution.reason if isinstance(resolution, Undecided) else decided


def _unsettled(claim: Claim, why: str | None) -> Finding:
    told = ": not asked about" if why is None else f" still takes a slot: {why}"
    return fail(_CLAIMS, f"{claim.slug}{told}", _WAIT)
