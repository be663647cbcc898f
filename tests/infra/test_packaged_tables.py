"""What the packaged template says of the tables: emulators take it and drop it."""

from __future__ import annotations

import json

import pytest

from tests.infra.conftest import BUILD, STAGES, of_type, packaged


@pytest.mark.parametrize("stage", STAGES)
def test_both_tables_are_recoverable_and_encrypted(stage: str) -> None:
    tables = of_type(packaged(stage), "AWS::DynamoDB::Table")
    assert set(tables) == {"StateTable", "DecisionTable"}
    for name, table in tables.items():
        properties = table["Properties"]
        assert properties["BillingMode"] == "PAY_PER_REQUEST", name
        assert properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
        assert properties["SSESpecification"] == {"SSEEnabled": True}, name


@pytest.mark.parametrize("stage", STAGES)
def test_decisions_expire_and_nothing_else_can(stage: str) -> None:
    tables = of_type(packaged(stage), "AWS::DynamoDB::Table")
    assert tables["DecisionTable"]["Properties"]["TimeToLiveSpecification"] == {
        "AttributeName": "expires_at",
        "Enabled": True,
    }
    assert "TimeToLiveSpecification" not in tables["StateTable"]["Properties"]


@pytest.mark.parametrize("stage", STAGES)
def test_tables_are_protected_where_money_is(stage: str) -> None:
    for table in of_type(packaged(stage), "AWS::DynamoDB::Table").values():
        protected = stage == "prod"
        assert table["Properties"]["DeletionProtectionEnabled"] is protected
        for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
            assert table[policy] == ("Retain" if protected else "Delete")


def test_an_update_of_prod_may_neither_replace_nor_delete_a_table() -> None:
    state = json.loads((BUILD / "prod" / "serverless-state.json").read_bytes())
    denied = [
        each for each in state["service"]["provider"]["stackPolicy"] if each["Effect"] == "Deny"
    ]
    assert denied == [
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["Update:Replace", "Update:Delete"],
            "Resource": ["LogicalResourceId/StateTable", "LogicalResourceId/DecisionTable"],
        }
    ]
