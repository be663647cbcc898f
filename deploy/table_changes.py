"""What an update of the stack would do to the tables: found by comparing two templates. Pure.

CloudFormation replaces a table whose name or key changes, and deletes one that is no longer
declared, or whose condition no longer holds. Each would end every claim's durability, so none is
left to a stack policy alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

TABLE: Final = "AWS::DynamoDB::Table"
# "Update requires: Replacement", or an error in the middle of an update (local indexes): AWS
# CloudFormation Template Reference, AWS::DynamoDB::Table.
_REPLACING: Final = ("TableName", "KeySchema", "LocalSecondaryIndexes", "ImportSourceSpecification")

RECOVERY_DAYS: Final = 35
"""Where a template names none (AWS CloudFormation, PointInTimeRecoverySpecification)."""


def refused_changes(
    deployed: Mapping[str, Any], packaged: Mapping[str, Any], *, protected: bool
) -> list[str]:
    """One line for each change of a deployed table that must not be deployed.

    `protected`: whether recovery and protection, too, must stay as strong as they are (prod).
    """
    refused = []
    new = packaged.get("Resources", {})
    for name, old in deployed.get("Resources", {}).items():
        if old.get("Type") != TABLE:
            continue
        if name not in new or new[name].get("Type") != TABLE:
            refused.append(f"{name} would be deleted: the template declares it no more")
            continue
        if new[name].get("Condition") != old.get("Condition"):
            refused.append(f"{name} would be deleted where the condition on it does not hold")
        refused += [f"{name} would be replaced: {what}" for what in _replacing(old, new[name])]
        refused += [f"{name}: {what}" for what in _expiring(old, new[name])]
        if protected:
            refused += [f"{name} would lose {what}" for what in _weakened(old, new[name])]
    return refused


def _replacing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    before, after = old.get("Properties", {}), new.get("Properties", {})
    changed = [name for name in _REPLACING if before.get(name) != after.get(name)]
    if "KeySchema" not in changed and _key_types(before) != _key_types(after):
        changed.append("AttributeDefinitions of its key")
    return [f"{name} changes" for name in changed]


def _key_types(properties: Mapping[str, Any]) -> dict[str, str]:
    keys = {key["AttributeName"] for key in properties.get("KeySchema", [])}
    return {
        each["AttributeName"]: each["AttributeType"]
        for each in properties.get("AttributeDefinitions", [])
        if each["AttributeName"] in keys
    }


def _expiring(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    before, after = _expiry(old), _expiry(new)
    if after is None or after == before:
        return []
    if before is None:
        return [f"rows with an attribute {after} would be deleted, which were there to stay"]
    # DynamoDB takes another attribute only after expiry was off, so the update would fail.
    return ["what its rows expire by changes, which takes two deployments: off, then on"]


def _expiry(table: Mapping[str, Any]) -> str | None:
    """The attribute by which rows expire; None: they stay."""
    expiry = table.get("Properties", {}).get("TimeToLiveSpecification", {})
    return str(expiry.get("AttributeName")) if _true(expiry.get("Enabled")) else None


def _weakened(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    before, after = _strengths(old), _strengths(new)
    return [what for what, had in before.items() if after[what] < had]


def _strengths(table: Mapping[str, Any]) -> dict[str, int]:
    """How strong each is: 0 is off. Of the point-in-time recovery, in days."""
    properties = table.get("Properties", {})
    recovery = properties.get("PointInTimeRecoverySpecification", {})
    days = int(recovery.get("RecoveryPeriodInDays", RECOVERY_DAYS))
    # RetainExceptOnCreate differs from Retain only while the table is first created.
    kept = ("Retain", "RetainExceptOnCreate")
    return {
        "its deletion protection": _true(properties.get("DeletionProtectionEnabled")),
        "its point-in-time recovery, or days of it": days
        if _true(recovery.get("PointInTimeRecoveryEnabled"))
        else 0,
        "its encryption with the account's key": _true(
            properties.get("SSESpecification", {}).get("SSEEnabled")
        ),
        "its DeletionPolicy Retain": table.get("DeletionPolicy") in kept,
        "its UpdateReplacePolicy Retain": table.get("UpdateReplacePolicy") in kept,
    }


def _true(value: object) -> bool:
    return str(value).lower() == "true"  # CloudFormation takes both for a boolean
