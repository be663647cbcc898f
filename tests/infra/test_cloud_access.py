"""Who may do what at AWS, and who may speak to whom, as `infra/*.yml` declare it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pytest

from tests.support.declared_cloud import (
    API_CREDENTIALS,
    INFRA,
    SIGNING_KEY,
    Json,
    cloud,
    containers,
    of_type,
)

LIVE: Final = cloud(execution="live")
CLUSTER: Final = cloud(execution="live", nodes=3)
both: Final = pytest.mark.parametrize("resources", [LIVE, CLUSTER], ids=["one", "three"])

NEEDS: Final = {
    "batch_write_item": "dynamodb:BatchWriteItem",
    "get_item": "dynamodb:GetItem",
    "put_item": "dynamodb:PutItem",
    "query": "dynamodb:Query",
    # Of an update and a condition check (functions/adapters/dynamodb/store.py, `reopen`).
    "transact_write_items": "dynamodb:ConditionCheckItem",
    "update_item": "dynamodb:UpdateItem",
}
"""Calls of the SDK's client, and what IAM calls the right to them."""


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


def _statements(resources: dict[str, Json]) -> Iterator[tuple[str, Json]]:
    """Every statement that grants something, with the logical id of what it belongs to."""
    for logical_id, resource in resources.items():
        properties = resource.get("Properties", {})
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        if "PolicyDocument" in properties:
            documents.append(properties["PolicyDocument"])
        for document in documents:
            for statement in document["Statement"]:
                yield logical_id, statement


def _rights(resources: dict[str, Json], owner: str) -> list[tuple[list[str], list[Json]]]:
    return [
        (_listed(statement["Action"]), _listed(statement["Resource"]))
        for logical_id, statement in _statements(resources)
        if logical_id == owner
    ]


@both
def test_nothing_is_granted_on_everything(resources: dict[str, Json]) -> None:
    seen = 0
    for logical_id, statement in _statements(resources):
        seen += 1
        actions = _listed(statement["Action"])
        assert statement["Effect"] == "Allow"
        assert not any("*" in action for action in actions), logical_id
        if actions == ["ecr:GetAuthorizationToken"]:  # knows no resource
            continue
        for resource in _listed(statement["Resource"]):
            assert resource != "*", logical_id
            if actions == ["logs:DescribeLogGroups"]:  # names of groups, for the flow logs
                continue
            text = str(resource)
            if "starport-layer-bucket/*" in text or text.endswith("NatsRouteSecret-*'}"):
                continue  # one bucket; one secret
            assert "*" not in text, logical_id
    assert seen > 15


@both
def test_every_role_is_for_one_service_of_this_account(resources: dict[str, Json]) -> None:
    tasks = of_type(resources, "AWS::ECS::TaskDefinition").values()
    execution_roles = {task["ExecutionRoleArn"]["Fn::GetAtt"][0] for task in tasks}
    for logical_id, role in of_type(resources, "AWS::IAM::Role").items():
        [statement] = role["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"].keys() == {"Service"}
        if logical_id in execution_roles:  # only the documented form is known to let tasks start
            assert statement.keys() == {"Effect", "Principal", "Action"}, logical_id
            continue
        assert statement["Condition"]["StringEquals"] == {
            "aws:SourceAccount": {"Ref": "AWS::AccountId"}
        }, logical_id


@both
def test_each_service_starts_with_a_role_of_its_own(resources: dict[str, Json]) -> None:
    roles: dict[str, set[str]] = {}
    for logical_id, task in of_type(resources, "AWS::ECS::TaskDefinition").items():
        [container] = task["ContainerDefinitions"]
        roles.setdefault(task["ExecutionRoleArn"]["Fn::GetAtt"][0], set()).add(container["Name"])
        # Feeders and NATS call nothing at AWS: their code gets no credentials at all.
        expected = {"Fn::GetAtt": ["WorkerTaskRole", "Arn"]} if logical_id == "WorkerTask" else None
        assert task.get("TaskRoleArn") == expected, logical_id
    assert roles == {
        "FeederExecutionRole": {"feeder"},
        "UserFeederExecutionRole": {"user-feeder"},
        "WorkerExecutionRole": {"worker"},
        "NatsExecutionRole": {"nats"},
    }


@both
def test_who_can_read_the_secrets_that_matter(resources: dict[str, Json]) -> None:
    readers: dict[str, set[str]] = {SIGNING_KEY: set(), API_CREDENTIALS: set()}
    for logical_id, statement in _statements(resources):
        if resources[logical_id]["Type"] == "AWS::EC2::VPCEndpoint":
            continue  # lets others' rights through, gives none
        for secret, owners in readers.items():
            if secret in str(statement):
                assert _listed(statement["Action"]) == ["secretsmanager:GetSecretValue"]
                owners.add(logical_id)
    assert readers == {
        SIGNING_KEY: {"WorkerExecutionRole"},
        API_CREDENTIALS: {"UserFeederExecutionRole"},
    }


@both
def test_a_role_reads_the_secrets_of_its_tasks_and_no_others(resources: dict[str, Json]) -> None:
    named: dict[str, set[str]] = {}
    for task in of_type(resources, "AWS::ECS::TaskDefinition").values():
        [container] = task["ContainerDefinitions"]
        for entry in container["Secrets"]:
            source = entry["ValueFrom"]
            text = source if isinstance(source, str) else source["Fn::Sub"]
            match = re.match(r"\$\{(\w+)\}:|(arn:.*:secret:[\w-]+)", text)
            assert match is not None
            role = task["ExecutionRoleArn"]["Fn::GetAtt"][0]
            named.setdefault(role, set()).add(match[1] or match[2])
    granted: dict[str, set[str]] = {}
    for logical_id, statement in _statements(resources):
        kind = resources[logical_id]["Type"]
        if "secretsmanager:GetSecretValue" not in _listed(statement["Action"]):
            continue
        owner = logical_id
        if kind == "AWS::IAM::RolePolicy":
            owner = resources[logical_id]["Properties"]["RoleName"]["Ref"]
        elif kind != "AWS::IAM::Role":
            continue
        for resource in _listed(statement["Resource"]):
            text = resource if isinstance(resource, str) else resource["Ref"]
            granted.setdefault(owner, set()).add(text)
    assert granted == named


def test_the_worker_may_do_what_its_code_does_and_no_more() -> None:
    code = INFRA.parent / "functions" / "adapters" / "dynamodb" / "table.py"
    calls = set(re.findall(r"self\._client\.([a-z]\w*_\w+|query)\(", code.read_text("utf-8")))
    assert {NEEDS[call] for call in calls} == {
        action for actions, _ in _rights(LIVE, "WorkerTaskRole") for action in actions
    }
    state = [{"Fn::GetAtt": ["StateTable", "Arn"]}]
    assert _rights(LIVE, "WorkerTaskRole") == [
        (["dynamodb:GetItem", "dynamodb:Query"], state),
        (["dynamodb:ConditionCheckItem", "dynamodb:PutItem", "dynamodb:UpdateItem"], state),
        (["dynamodb:BatchWriteItem"], [{"Fn::GetAtt": ["DecisionTable", "Arn"]}]),
    ]


def test_a_worker_writes_no_partition_but_its_own() -> None:
    """Which those are: tests/infra/test_groups.py."""
    for owner, statement in _statements(LIVE):
        actions = _listed(statement["Action"])
        if owner != "WorkerTaskRole" or actions == ["dynamodb:GetItem", "dynamodb:Query"]:
            continue
        [allowed] = [
            condition["dynamodb:LeadingKeys"]
            for operator, condition in statement["Condition"].items()
            if operator.startswith("ForAllValues:String")
        ]
        assert allowed
        # Of a request that names no key, "all values" are right.
        assert statement["Condition"]["Null"] == {"dynamodb:LeadingKeys": "false"}


def test_only_the_workers_rights_pass_the_tables_endpoint() -> None:
    [(actions, tables)] = _rights(LIVE, "DynamoDbEndpoint")
    assert set(actions) == set(NEEDS.values())
    assert tables == [
        {"Fn::GetAtt": ["StateTable", "Arn"]},
        {"Fn::GetAtt": ["DecisionTable", "Arn"]},
    ]
    [statement] = LIVE["DynamoDbEndpoint"]["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Condition"] == {
        "ArnEquals": {"aws:PrincipalArn": [{"Fn::GetAtt": ["WorkerTaskRole", "Arn"]}]}
    }


@both
def test_generated_passwords_are_letters_for_nats_server_reads_them_as_configuration(
    resources: dict[str, Json],
) -> None:
    generated = of_type(resources, "AWS::SecretsManager::Secret")
    assert len(generated) == (3 if "NatsServiceA" in resources else 2)
    for secret in generated.values():
        assert "SecretString" not in secret
        how = secret["GenerateSecretString"]
        assert how["ExcludeNumbers"] is how["ExcludePunctuation"] is True
        assert how["PasswordLength"] >= 32
        assert how["GenerateStringKey"] == "password"


@both
def test_nobody_comes_in_from_outside(resources: dict[str, Json]) -> None:
    rules = [
        ("EndpointSecurityGroup", rule)
        for rule in resources["EndpointSecurityGroup"]["Properties"]["SecurityGroupIngress"]
    ]
    assert "SecurityGroupIngress" not in resources["ServiceSecurityGroup"]["Properties"]
    assert "SecurityGroupIngress" not in resources["NatsSecurityGroup"]["Properties"]
    rules += [
        (rule["GroupId"]["Ref"], rule)
        for rule in of_type(resources, "AWS::EC2::SecurityGroupIngress").values()
    ]
    seen = {
        (group, rule["FromPort"], rule["ToPort"], rule["SourceSecurityGroupId"]["Ref"])
        for group, rule in rules
    }
    expected = {
        ("NatsSecurityGroup", 4222, 4222, "ServiceSecurityGroup"),
        ("EndpointSecurityGroup", 443, 443, "ServiceSecurityGroup"),
        ("EndpointSecurityGroup", 443, 443, "NatsSecurityGroup"),
    }
    if "NatsServiceA" in resources:
        expected.add(("NatsSecurityGroup", 6222, 6222, "NatsSecurityGroup"))
    assert seen == expected


@both
def test_what_may_be_reached(resources: dict[str, Json]) -> None:
    def egress(group: str) -> set[tuple[Json, ...]]:
        rules = resources[group]["Properties"]["SecurityGroupEgress"]
        return {
            (
                rule.get("FromPort"),
                rule.get("ToPort"),
                rule.get("CidrIp") or rule["DestinationSecurityGroupId"]["Ref"],
            )
            for rule in rules
        }

    assert egress("ServiceSecurityGroup") == {
        (443, 443, "0.0.0.0/0"),
        (4222, 4222, "NatsSecurityGroup"),
    }
    assert egress("NatsSecurityGroup") == {(443, 443, "0.0.0.0/0")}
    assert egress("EndpointSecurityGroup") == {(None, None, "127.0.0.1/32")}


@both
def test_only_services_have_a_way_to_the_internet_and_it_is_one(
    resources: dict[str, Json],
) -> None:
    assert len(of_type(resources, "AWS::EC2::NatGateway")) == 1
    assert len(of_type(resources, "AWS::EC2::EIP")) == 1
    out = {
        route["RouteTableId"]["Ref"]
        for route in of_type(resources, "AWS::EC2::Route").values()
        if route["DestinationCidrBlock"] == "0.0.0.0/0"
    }
    table_of = {
        association["SubnetId"]["Ref"]: association["RouteTableId"]["Ref"]
        for association in of_type(resources, "AWS::EC2::SubnetRouteTableAssociation").values()
    }
    assert table_of.keys() == of_type(resources, "AWS::EC2::Subnet").keys()
    for logical_id, service in of_type(resources, "AWS::ECS::Service").items():
        network = service["NetworkConfiguration"]["AwsvpcConfiguration"]
        tables = {table_of[subnet["Ref"]] for subnet in network["Subnets"]}
        groups = [group["Ref"] for group in network["SecurityGroups"]]
        if logical_id.startswith("Nats"):
            assert (tables, groups) == ({"NatsRouteTable"}, ["NatsSecurityGroup"])
            assert not tables & out
        else:
            assert (tables, groups) == ({"PrivateRouteTable"}, ["ServiceSecurityGroup"])
            assert tables <= out
    for subnet in of_type(resources, "AWS::EC2::Subnet").values():
        assert "MapPublicIpOnLaunch" not in subnet


def test_nats_can_start_without_the_internet() -> None:
    """Everything that ECS fetches for a task has an endpoint, whose names are AWS's own."""
    endpoints = of_type(LIVE, "AWS::EC2::VPCEndpoint")
    services = {
        endpoint["ServiceName"]["Fn::Sub"].rpartition("${AWS::Region}.")[2]: endpoint
        for endpoint in endpoints.values()
    }
    assert services.keys() == {"dynamodb", "s3", "ecr.api", "ecr.dkr", "logs", "secretsmanager"}
    assert {"Ref": "NatsRouteTable"} in services["s3"]["RouteTableIds"]
    for name, endpoint in services.items():
        assert "PolicyDocument" in endpoint, name
        if endpoint["VpcEndpointType"] == "Interface":
            assert endpoint["PrivateDnsEnabled"] is True
    [image] = {container["Image"] for container in containers(LIVE).values()}
    assert ".dkr.ecr." in image
    assert "@sha256:" in image


def test_refused_connections_are_kept() -> None:
    [log] = of_type(LIVE, "AWS::EC2::FlowLog").values()
    assert log["TrafficType"] == "REJECT"
    assert log["LogGroupName"] == {"Ref": "FlowLogGroup"}
    assert LIVE["FlowLogGroup"]["Properties"]["RetentionInDays"] == 30
