"""What CloudFormation makes first, and what it can take in when it is there already."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.infra.conftest import Template, of_type, packaged

IN_CLOUD = ("dev", "prod")


def _named(value: Any) -> Iterator[str]:
    """Logical ids (and parameters of AWS) that a piece of a template refers to."""
    if isinstance(value, list):
        for each in value:
            yield from _named(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            if key == "Ref":
                yield each
            elif key == "Fn::GetAtt":
                yield each[0] if isinstance(each, list) else each.split(".")[0]
            elif key == "Fn::Sub":
                yield from re.findall(r"\$\{([A-Za-z0-9]+)", json.dumps(each))
            yield from _named(each)


def _before(template: Template, name: str) -> set[str]:
    """Everything that is made, and in an update changed, before `name` is."""
    resources = template["Resources"]
    seen: set[str] = set()
    ahead = [name]
    while ahead:
        resource = resources[ahead.pop()]
        wanted = {*_named(resource.get("Properties", {}))}
        after = resource.get("DependsOn", [])
        wanted |= {after} if isinstance(after, str) else set(after)
        new = (wanted & resources.keys()) - seen
        seen |= new
        ahead += new
    return seen


@pytest.mark.parametrize("stage", IN_CLOUD)
def test_no_task_starts_before_what_it_starts_from(stage: str) -> None:
    """Also when a stage goes live: the endpoint lets the signing key through before it is read."""
    template = packaged(stage)
    services = of_type(template, "AWS::ECS::Service")
    assert set(services) >= {"NatsService", "FeederService", "UserFeederService", "WorkerService"}
    endpoints = set(of_type(template, "AWS::EC2::VPCEndpoint"))
    for name, service in services.items():
        before = _before(template, name)
        assert name not in before, f"{name}: waits for itself"
        needed = endpoints if name == "WorkerService" else endpoints - {"DynamoDbEndpoint"}
        assert before >= needed, name
        subnets = {each["Ref"] for each in _subnets(service)}
        routed = {
            association["Properties"]["SubnetId"]["Ref"]
            for logical_id, association in template["Resources"].items()
            if logical_id in before
            and association["Type"] == "AWS::EC2::SubnetRouteTableAssociation"
        }
        assert routed >= subnets, name
        if name != "NatsService":
            assert {"PrivateRoute", "NatGateway", "NatsService"} <= before, name


def _subnets(service: Any) -> list[Any]:
    subnets: list[Any] = service["Properties"]["NetworkConfiguration"]["AwsvpcConfiguration"][
        "Subnets"
    ]
    return subnets


@pytest.mark.parametrize("stage", ["local", *IN_CLOUD])
def test_nothing_waits_for_itself(stage: str) -> None:
    template = packaged(stage)
    for name in template["Resources"]:
        assert name not in _before(template, name), name


def test_a_table_that_outlived_its_stack_can_be_taken_in_alone() -> None:
    """The runbook cuts the tables out of the template and lets CloudFormation import them."""
    template = packaged("prod")
    for name, table in of_type(template, "AWS::DynamoDB::Table").items():
        assert set(_named(table)) == set(), name
        assert "Condition" not in table
        assert "DependsOn" not in table
        assert table["DeletionPolicy"] == "Retain"  # wanted for an import
        assert isinstance(table["Properties"]["TableName"], str)  # and a name


@pytest.mark.parametrize("stage", IN_CLOUD)
def test_workers_are_counted_by_their_scaling_alone(stage: str) -> None:
    """A count in the template would set them back with every deployment."""
    template = packaged(stage)
    assert "DesiredCount" not in template["Resources"]["WorkerService"]["Properties"]
    assert template["Resources"]["WorkerScaling"]["Properties"]["MinCapacity"] == 2
