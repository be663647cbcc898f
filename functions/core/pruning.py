"""What time alone takes out of an account item, which every claim pays for as a whole. Pure."""

from __future__ import annotations

from typing import Final

from functions.core.account import Account, utc_day

DAYS_KEPT_MS: Final = 8 * 86_400_000
# AWS refuses requests that were signed longer ago than 15 minutes: none is executed after this.
LATE_REQUEST_MS: Final = 20 * 60_000
# By a clock that is ahead a window that runs is over; it is kept for as long as a cooldown.
WINDOW_KEPT_MS: Final = LATE_REQUEST_MS


def over_in(account: Account, now_ms: int) -> list[tuple[str, str]]:
    """What is over: a field of the account (`cooldowns`, `pnl_e6`, ...) and a key in it, each."""
    oldest_day = oldest_day_kept(now_ms)
    # A claim's own cooldown is what keeps its delayed first try from being a second claim.
    old_ms = now_ms - LATE_REQUEST_MS
    over_by = f"{now_ms - WINDOW_KEPT_MS:015d}"  # a window's key begins with its end
    over = [("cooldowns", market) for market, until in account.cooldowns.items() if until <= old_ms]
    over += [("pnl_e6", day) for day in account.pnl_e6 if day < oldest_day]
    over += [("spent_e6", day) for day in account.spent_e6 if day < oldest_day]
    over += [("entries", window) for window in account.entries if window < over_by]
    return over


def oldest_day_kept(now_ms: int) -> str:
    """UTC date `YYYY-MM-DD` before which amounts of a day are removed."""
    return utc_day(now_ms - DAYS_KEPT_MS)
