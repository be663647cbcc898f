"""Who may do what, as it is packaged: no wildcard, and each secret only where it belongs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.infra.conftest import STAGES, of_type, packaged

# Actions that AWS gives no resource for, or that stand in a key's own policy ("*" is that key).
WITHOUT_RESOURCE = {
    # Service Authorization Reference, Amazon ECR: the token lets nobody pull by itself.
    ("PullImage", "ecr:GetAuthorizationToken"),
}
SIGNING_KEY = "not-a-signing-key"
API_CREDENTIALS = "not-api-credentials"


def _statements(stage: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every grant of a role or managed policy, with the logical id it stands at."""
    for kind in ("AWS::IAM::Role", "AWS::IAM::ManagedPolicy", "AWS::IAM::Policy"):
        for name, resource in of_type(packaged(stage), kind).items():
            properties = resource["Properties"]
            documents = [each["PolicyDocument"] for each in properties.get("Policies", [])]
            documents += [properties[key] for key in ("PolicyDocument",) if key in properties]
            for document in documents:
                for statement in _listed(document["Statement"]):
                    meant = statement.get("Fn::If", [None, statement])[1]
                    yield name, meant


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("stage", STAGES)
def test_no_grant_has_a_wildcard(stage: str) -> None:
    seen = 0
    for name, statement in _statements(stage):
        seen += 1
        assert "NotAction" not in statement, name
        assert "NotResource" not in statement, name
        for action in _listed(statement["Action"]):
            assert "*" not in action, (name, action)
            if (name, action) not in WITHOUT_RESOURCE:
                assert "*" not in _listed(statement["Resource"]), (name, action)
    assert seen >= 8


@pytest.mark.parametrize("stage", STAGES)
def test_only_those_who_need_a_secret_may_read_it(stage: str) -> None:
    readers: dict[str, set[str]] = {SIGNING_KEY: set(), API_CREDENTIALS: set()}
    for name, statement in _statements(stage):
        for secret, who in readers.items():
            if secret in json.dumps(statement["Resource"]):
                assert _listed(statement["Action"]) == ["secretsmanager:GetSecretValue"]
                who.add(name)
    in_cloud = stage != "local"
    assert readers[SIGNING_KEY] == {"SettleRole"} | ({"WorkerExecutionRole"} if in_cloud else set())
    assert readers[API_CREDENTIALS] == {"ReconcileRole"} | (
        {"UserFeederExecutionRole"} if in_cloud else set()
    )


@pytest.mark.parametrize("stage", STAGES)
def test_no_role_can_delete_what_the_table_holds(stage: str) -> None:
    actions = {each for _, grant in _statements(stage) for each in _listed(grant["Action"])}
    assert "dynamodb:UpdateItem" in actions
    assert not {each for each in actions if each.startswith("dynamodb:Delete")}
