"""Notes of winnings in the account item: what is written where, and on which condition. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from functions.adapters.dynamodb.conditions import NOTE_IS_AS_SEEN, NOTHING_IS_NOTED
from functions.adapters.dynamodb.items import Attribute, Item, redemption_attribute, redemption_of
from functions.core.account import Redemption
from functions.core.claim import Claim
from functions.core.winnings import key_of, note_of
from functions.ports import StoreError


def note_in(item: Item | None, claim: Claim) -> Attribute | None:
    """What stands where the claim's winnings are noted, as it stands there."""
    try:
        note: Attribute | None = (item or {}).get("redeem", {"M": {}})["M"].get(key_of(claim))
    except (KeyError, TypeError, AttributeError) as error:
        raise StoreError("account item: $.redeem: malformed") from error
    return note


def add_note(
    sets: list[str],
    names: dict[str, str],
    values: Item,
    claim: Claim,
    seen: Claim,
    since_ms: int,
    noted: Attribute | None,
) -> str:
    """Note the claim's winnings beside what is `noted`, in the same update; returns the condition
    that nobody has changed that. Raises StoreError when what is noted cannot be read."""
    earlier = None if noted is None else redemption_of(noted)
    sets.append("redeem.#note = :note")
    names["#note"] = key_of(claim)
    values[":note"] = redemption_attribute(note_of(claim, seen, since_ms, earlier))
    if noted is None:
        return NOTHING_IS_NOTED
    values[":noted"] = noted  # as it stands: a newer version may have written more than we read
    return NOTE_IS_AS_SEEN


def redemptions_request(
    changes: Mapping[str, Redemption | None], seen: Mapping[str, Redemption]
) -> dict[str, Any]:
    """The update that replaces notes, None being none, if all of `seen` are as they were seen."""
    names: dict[str, str] = {}
    values: Item = {}
    sets, removes, conditions = [], [], []
    for number, (key, note) in enumerate(seen.items()):
        path, names[f"#k{number}"] = f"redeem.#k{number}", key
        values[f":seen{number}"] = redemption_attribute(note)
        conditions.append(f"{path} = :seen{number}")
        change = changes.get(key, note)
        if change is None:
            removes.append(path)
        elif change != note:
            values[f":new{number}"] = redemption_attribute(change)
            sets.append(f"{path} = :new{number}")
    clauses = {"SET": sets, "REMOVE": removes}
    return {
        "UpdateExpression": " ".join(f"{verb} {', '.join(p)}" for verb, p in clauses.items() if p),
        "ConditionExpression": " AND ".join(conditions),
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }
