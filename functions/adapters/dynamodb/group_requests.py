"""What is asked of a group's item: what it looks like, and the group's half of each change. Pure.

    GROUP#<name>   LIMITS                        `CollectiveState`
    GROUP#<name>   ACCOUNT#<account>             an account whose claims it counts
    GROUP#<name>   CONFIG#<version, 10 digits>   `ConfigurationRow`

The account's item says of which group it is (`of_group`), and in `collective` that its claims are
counted there, as soon as the group has an item. The first limits of a group are set in this order:
item, `collective` of all accounts, limits. A worker that starts says of which group its accounts
are before it looks whether that has an item. So one of the two sees the other, and no claim is made
uncounted once the limits are in force, by whichever worker.

A half that only records (`moved_in_group`) has no condition: the account's half has one, and the
two are one transaction. So it is done once, whoever sends it how often.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from functions.adapters.dynamodb.claim_requests import add_to_key
from functions.adapters.dynamodb.conditions import (
    GROUP_CONDITION,
    GROUP_UPDATE,
    IS_OF_ANOTHER_GROUP,
    IS_OF_THE_GROUP,
)
from functions.adapters.dynamodb.items import MALFORMED, Item, attributes_of, plain_value
from functions.adapters.dynamodb.pruning import PRUNED_AT_ONCE_MAX
from functions.core.account import utc_day
from functions.core.claim import Claim
from functions.core.collective import (
    CollectiveLimits,
    CollectiveState,
    exposed_e6,
    exposure_difference,
)
from functions.core.pruning import oldest_day_kept
from functions.ports import StoreError

GROUP_SK: Final = "LIMITS"
ACCOUNT_PREFIX: Final = "ACCOUNT#"
NO_LIMIT_E6: Final = 10**18
"""USD: more than there are."""


def group_key(name: str) -> Item:
    """Primary key of a group's item."""
    return {"pk": {"S": f"GROUP#{name}"}, "sk": {"S": GROUP_SK}}


def member_key(name: str, account_name: str) -> Item:
    """Primary key of the row that says that an account is of the group."""
    return {"pk": {"S": f"GROUP#{name}"}, "sk": {"S": f"{ACCOUNT_PREFIX}{account_name}"}}


def state_of(item: Item) -> CollectiveState:
    """The group's item as a struct. Raises StoreError naming the malformed attribute."""
    try:
        plain = {name: plain_value(value) for name, value in item.items()}
        return msgspec.convert(plain, CollectiveState)
    except MALFORMED as error:
        raise StoreError(f"group item: {error}") from error


def opening_request() -> dict[str, Any]:
    """The update that makes what is missing of a group's item, and changes nothing else."""
    missing = attributes_of(msgspec.structs.asdict(CollectiveState()))
    sets = [f"{name} = if_not_exists({name}, :{name})" for name in missing]
    return {
        "UpdateExpression": "SET " + ", ".join(sets),
        "ExpressionAttributeValues": {f":{name}": value for name, value in missing.items()},
        "ReturnValues": "ALL_NEW",
    }


def joining_request(name: str) -> dict[str, Any]:
    """The account is of this group; where it was of another one, that counts it no more."""
    return {
        "UpdateExpression": "SET of_group = :group REMOVE collective",
        "ConditionExpression": IS_OF_ANOTHER_GROUP,
        "ExpressionAttributeValues": {":group": {"S": name}},
    }


def binding_request(name: str) -> dict[str, Any]:
    """The account's claims are counted by its group, from the next one on."""
    return {
        "UpdateExpression": "SET collective = :group",
        "ConditionExpression": IS_OF_THE_GROUP,
        "ExpressionAttributeValues": {":group": {"S": name}},
    }


def claimed_in_group(claim: Claim, limits: CollectiveLimits, today: str) -> dict[str, Any]:
    """The group's half of a claim: counted, if every collective limit holds."""
    exposure_e6 = NO_LIMIT_E6 if limits.exposure_max_e6 is None else limits.exposure_max_e6
    loss_e6 = NO_LIMIT_E6 if limits.daily_loss_limit_e6 is None else limits.daily_loss_limit_e6
    return {
        "UpdateExpression": GROUP_UPDATE,
        "ConditionExpression": GROUP_CONDITION,
        "ExpressionAttributeNames": {"#today": today},
        "ExpressionAttributeValues": {
            ":config_version": {"N": str(limits.config_version)},
            ":exposure_room": {"N": str(exposure_e6 - claim.spend_e6)},
            ":loss_floor": {"N": str(-loss_e6)},
            ":exposed": {"N": str(exposed_e6(claim))},
            ":zero": {"N": "0"},
            ":one": {"N": "1"},
        },
    }


def moved_in_group(claim: Claim, seen: Claim) -> dict[str, Any] | None:
    """The group's half of a change from `seen` to `claim`; None: nothing that it counts changes."""
    exposed, pnl_e6 = exposure_difference(claim, seen), claim.pnl_e6 - seen.pnl_e6
    if not seen.collective or (exposed == 0 and pnl_e6 == 0):
        return None
    names: dict[str, str] = {}
    values: Item = {":exposed": {"N": str(exposed)}, ":zero": {"N": "0"}, ":one": {"N": "1"}}
    sets = [GROUP_UPDATE.removeprefix("SET ")]
    add_to_key(sets, names, values, "pnl_e6", utc_day(claim.booked_at_ms), pnl_e6)
    return {
        "UpdateExpression": "SET " + ", ".join(sets),
        **({"ExpressionAttributeNames": names} if names else {}),
        "ExpressionAttributeValues": values,
    }


def pruning_request(seen: CollectiveState, now_ms: int) -> dict[str, Any] | None:
    """The update that removes days that are past; None: there is none."""
    oldest = oldest_day_kept(now_ms)
    days = [day for day in seen.pnl_e6 if day < oldest][:PRUNED_AT_ONCE_MAX]
    if not days:
        return None
    return {
        "UpdateExpression": "REMOVE " + ", ".join(f"pnl_e6.#k{n}" for n in range(len(days))),
        "ConditionExpression": "attribute_exists(pk)",
        "ExpressionAttributeNames": {f"#k{n}": day for n, day in enumerate(days)},
    }
