"""What is asked of the account item when a claim is made, moved, or put back. Pure."""

from __future__ import annotations

from typing import Any, Final

from functions.adapters.dynamodb.conditions import (
    CLAIM_CONDITION,
    CLAIM_UPDATE,
    NOT_BACK_YET,
    SEEN_CONDITION,
)
from functions.adapters.dynamodb.items import Attribute, Item, claim_attribute
from functions.adapters.dynamodb.redemptions import add_note
from functions.core.account import TRADING_ENABLED, Limits, utc_day
from functions.core.claim import Claim, entries_difference

NO_LIMIT: Final = 10**9  # of entries


def claim_request(claim: Claim, limits: Limits, now_ms: int) -> dict[str, Any]:
    """The update that makes `claim` if every limit holds."""
    entries_max = limits.max_entries_per_market
    return {
        "UpdateExpression": CLAIM_UPDATE,
        "ConditionExpression": CLAIM_CONDITION,
        "ExpressionAttributeNames": {
            "#market": claim.condition_id,
            "#window": claim.window,
            "#today": utc_day(now_ms),
        },
        "ExpressionAttributeValues": {
            ":enabled": {"S": TRADING_ENABLED},
            ":max_positions": {"N": str(limits.max_positions)},
            ":max_entries": {"N": str(NO_LIMIT if entries_max is None else entries_max)},
            ":now": {"N": str(now_ms)},
            ":config_version": {"N": str(limits.config_version)},
            ":loss_floor": {"N": str(-limits.daily_loss_limit_e6)},
            ":room": {"N": str(limits.daily_spend_cap_e6 - claim.spend_e6)},
            ":claim": claim_attribute(claim),
            ":collective": {"S": claim.collective},
            # At least a millisecond: without any, a late try of this very claim would pass.
            ":cooldown_until": {"N": str(now_ms + max(limits.cooldown_ms, 1))},
            ":zero": {"N": "0"},
            ":one": {"N": "1"},
            ":spend": {"N": str(claim.spend_e6)},
        },
    }


def move_request(
    claim: Claim, seen: Claim, redeem: bool, noted: Attribute | None
) -> dict[str, Any]:
    """The update that replaces `seen` by `claim`; with `redeem` it also notes the winnings, where
    `noted` is what stands there."""
    condition = SEEN_CONDITION
    names = {"#slot": seen.slot}
    values: Item = {
        ":attempt": {"S": seen.attempt_id},
        ":seen_version": {"N": str(seen.version)},
        ":claim": claim_attribute(claim),
    }
    sets, removed = ["claims.#slot = :claim"], ""
    if claim.slot != seen.slot:  # resolved: from here on the market may have another claim
        names["#apart"] = claim.slot
        sets, removed = ["claims.#apart = :claim"], " REMOVE claims.#slot"
    add_to_key(
        sets, names, values, "pnl_e6", utc_day(claim.booked_at_ms), claim.pnl_e6 - seen.pnl_e6
    )
    _add_differences(sets, names, values, claim, seen)
    if redeem:
        unchanged = add_note(sets, names, values, claim, seen, claim.booked_at_ms, noted)
        condition = f"{condition} AND {unchanged}"
    return {
        "UpdateExpression": "SET " + ", ".join(sets) + removed,
        "ConditionExpression": condition,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }


def reopen_request(claim: Claim, seen: Claim) -> dict[str, Any]:
    """The update that puts `claim` back, which is `seen` in the ledger."""
    names = {"#slot": claim.slot, "#market": claim.condition_id}
    values: Item = {":claim": claim_attribute(claim), ":until": {"N": str(claim.market_end_ms)}}
    sets = ["claims.#slot = :claim", "cooldowns.#market = :until"]
    _add_differences(sets, names, values, claim, seen)
    return {
        "UpdateExpression": "SET " + ", ".join(sets),
        "ConditionExpression": NOT_BACK_YET,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }


def _add_differences(
    sets: list[str], names: dict[str, str], values: Item, claim: Claim, seen: Claim
) -> None:
    """What the change takes from the day's cap and from the window's entries, or gives back."""
    reserved_e6 = claim.reserved_e6 - seen.reserved_e6
    add_to_key(sets, names, values, "spent_e6", utc_day(claim.claimed_at_ms), reserved_e6)
    add_to_key(sets, names, values, "entries", claim.window, entries_difference(claim, seen))


def add_to_key(
    sets: list[str], names: dict[str, str], values: Item, field: str, key: str, amount: int
) -> None:
    """Add an amount to one number of a map (of days, of windows), in the same update."""
    if amount:
        names[f"#{field}_key"] = key
        values |= {f":{field}": {"N": str(amount)}, ":zero": {"N": "0"}}
        path = f"{field}.#{field}_key"
        sets.append(f"{path} = if_not_exists({path}, :zero) + :{field}")
