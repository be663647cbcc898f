"""The update that removes from the account item what is over. Pure."""

from __future__ import annotations

from typing import Any, Final

from functions.adapters.dynamodb.conditions import ACCOUNT_EXISTS
from functions.core import pruning
from functions.core.account import Account

PRUNED_AT_ONCE_MAX: Final = 50


def prune_request(account: Account, now_ms: int) -> dict[str, Any] | None:
    """The update that removes what is over in `account`, as it was seen; None: nothing is."""
    paths = pruning.over_in(account, now_ms)[:PRUNED_AT_ONCE_MAX]
    if not paths:
        return None
    old_ms = now_ms - pruning.LATE_REQUEST_MS
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
