"""No change of a template that would cost a table, or what protects it, is deployed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from deploy.table_changes import refused_changes

Template = dict[str, Any]
Change = Callable[[Template], object]
TABLE: Template = {
    "Type": "AWS::DynamoDB::Table",
    "DeletionPolicy": "Retain",
    "UpdateReplacePolicy": "Retain",
    "Properties": {
        "TableName": "t",
        "BillingMode": "PAY_PER_REQUEST",
        "DeletionProtectionEnabled": True,
        "KeySchema": [
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        "AttributeDefinitions": [
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        "SSESpecification": {"SSEEnabled": True},
    },
}
EXPIRES: Template = {"TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True}}
DEPLOYED: Template = {
    "Resources": {
        "StateTable": TABLE,
        "DecisionTable": {**TABLE, "Properties": {**TABLE["Properties"], **EXPIRES}},
    }
}


def _after(change: Change) -> Template:
    packaged = copy.deepcopy(DEPLOYED)
    change(packaged["Resources"])
    return packaged


def _set(**properties: Any) -> Change:
    return lambda resources: resources["StateTable"]["Properties"].update(properties)


def _expire(expiry: Template) -> Change:
    return lambda resources: resources["DecisionTable"]["Properties"].update(
        TimeToLiveSpecification=expiry
    )


def _recover(recovery: Template) -> Change:
    return _set(PointInTimeRecoverySpecification=recovery)


def _attribute(**attributes: Any) -> Change:
    return lambda resources: resources["StateTable"].update(attributes)


def _without(attribute: str) -> Change:
    return lambda resources: resources["StateTable"].pop(attribute)


def _renamed(resources: Template) -> None:
    resources["Table"] = resources.pop("StateTable")


KEY_OF_NUMBERS = [
    {"AttributeName": "pk", "AttributeType": "S"},
    {"AttributeName": "sk", "AttributeType": "N"},
]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param(_renamed, "StateTable would be deleted", id="logical id"),
        pytest.param(lambda all_: all_.pop("DecisionTable"), "DecisionTable would be", id="gone"),
        pytest.param(_attribute(Type="AWS::DynamoDB::GlobalTable"), "deleted", id="another type"),
        pytest.param(_attribute(Condition="Live"), "condition", id="condition"),
        pytest.param(_set(TableName="u"), "TableName", id="name"),
        pytest.param(_set(KeySchema=TABLE["Properties"]["KeySchema"][:1]), "KeySchema", id="key"),
        pytest.param(_set(AttributeDefinitions=KEY_OF_NUMBERS), "AttributeDefin", id="key's type"),
        pytest.param(_set(LocalSecondaryIndexes=[{}]), "LocalSecondaryIndexes", id="local index"),
        pytest.param(_set(**EXPIRES), "which were there to stay", id="claims expire"),
        pytest.param(
            _expire({"AttributeName": "x", "Enabled": True}),
            "two deployments",
            id="expire by something else",
        ),
    ],
)
@pytest.mark.parametrize("protected", [True, False])
def test_what_costs_rows_or_fails_half_way_is_refused_everywhere(
    change: Change, why: str, protected: bool
) -> None:
    (refused,) = refused_changes(DEPLOYED, _after(change), protected=protected)
    assert why in refused


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param(_set(DeletionProtectionEnabled=False), "deletion protection", id="off"),
        pytest.param(_set(DeletionProtectionEnabled={"Fn::If": []}), "protection", id="perhaps"),
        pytest.param(_recover({"PointInTimeRecoveryEnabled": False}), "recovery", id="no recovery"),
        pytest.param(_recover({}), "recovery", id="recovery not named"),
        pytest.param(
            _recover({"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": 1}),
            "days of it",
            id="a day of recovery",
        ),
        pytest.param(_set(SSESpecification={"SSEEnabled": False}), "encryption", id="AWS's key"),
        pytest.param(_without("DeletionPolicy"), "DeletionPolicy", id="deleted with the stack"),
        pytest.param(_without("UpdateReplacePolicy"), "UpdateReplacePolicy", id="or replaced"),
    ],
)
def test_what_weakens_a_table_is_refused_only_where_money_is(change: Change, why: str) -> None:
    (refused,) = refused_changes(DEPLOYED, _after(change), protected=True)
    assert why in refused
    assert refused_changes(DEPLOYED, _after(change), protected=False) == []


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda _: None, id="nothing"),
        pytest.param(_set(BillingMode="PROVISIONED"), id="billing"),
        pytest.param(_set(TableClass="STANDARD"), id="class"),
        pytest.param(_set(GlobalSecondaryIndexes=[{}]), id="global index"),
        pytest.param(_expire({}), id="expires no more"),
        pytest.param(_attribute(DeletionPolicy="RetainExceptOnCreate"), id="as good as Retain"),
        pytest.param(
            _set(AttributeDefinitions=TABLE["Properties"]["AttributeDefinitions"][::-1]), id="order"
        ),
        pytest.param(lambda all_: all_.update(Other=TABLE), id="another table"),
    ],
)
def test_what_leaves_the_tables_alone_is_deployed(change: Change) -> None:
    assert refused_changes(DEPLOYED, _after(change), protected=True) == []
