"""What time alone takes out of the account item, which every claim pays for as a whole. Pure."""

from __future__ import annotations

from typing import Any, Final

from functions.adapters.dynamodb.conditions import ACCOUNT_EXISTS
from functions.core.account import Account, utc_day

PRUNED_AT_ONCE_MAX: Final = 50
DAYS_KEPT_MS: Final = 8 * 86_400_000
# AWS refuses requests that were signed longer ago than 15 minutes: none is executed after this.
LATE_REQUEST_MS: Final = 20 * 60_000
# By a clock that is ahead a window that runs is over; it is kept for as long as a cooldown.
WINDOW_KEPT_MS: Final = LATE_REQUEST_MS


def prune_request(account: Account, now_ms: int) -> dict[str, Any] | None:
    """The update that removes what is over in `account`, as it was seen; None: nothing is."""
    oldest_day = utc_day(now_ms - DAYS_KEPT_MS)
    # A claim's own cooldown is what keeps its delayed first try from being a second claim.
    old_ms = now_ms - LATE_REQUEST_MS
    over_by = f"{now_ms - WINDOW_KEPT_MS:015d}"  # a window's key begins with its end
    paths = [
        ("cooldowns", market) for market, until in account.cooldowns.items() if until <= old_ms
    ]
    paths += [("pnl_e6", day) for day in account.pnl_e6 if day < oldest_day]
    paths += [("spent_e6", day) for day in account.spent_e6 if day < oldest_day]
    paths += [("entries", window) for window in account.entries if window < over_by]
    del paths[PRUNED_AT_ONCE_MAX:]
    if not paths:
        return None
    removed = [f"{field}.#k{number}" for number, (field, _) in enumerate(paths)]
    # A cooldown that began anew meanwhile makes all of it fail: the next run will see it.
    conditions = [f"{path} <= :old" for path in removed if path.startswith("cooldowns")]
    values = {"ExpressionAttributeValues": {":old": {"N": str(old_ms)}}} if conditions else {}
    return {
        "UpdateExpression": "REMOVE " + ", ".join(removed),
        "ConditionExpression": " AND ".join([ACCOUNT_EXISTS, *conditions]),
        "ExpressionAttributeNames": {f"#k{n}": key for n, (_, key) in enumerate(paths)},
        **values,
    }
