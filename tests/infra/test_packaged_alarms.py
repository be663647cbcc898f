"""The alarms as they are packaged: each watches what its stage tells, or a part of its stack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from runtime.emf import NAMESPACE
from tests.infra.conftest import STAGES, Template, of_type, packaged
from tests.infra.test_alarms import TOLD

# Under which dimensions AWS tells each metric, and whose names they take: an alarm on others is
# silent for ever. AWS documentation: Lambda "Types of metrics", SQS "Available CloudWatch metrics",
# DynamoDB "Metrics and dimensions".
OF_AWS: dict[tuple[str, str], dict[str, str | None]] = {
    ("AWS/Lambda", "Errors"): {"FunctionName": "AWS::Lambda::Function"},
    ("AWS/Lambda", "Throttles"): {"FunctionName": "AWS::Lambda::Function"},
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): {"QueueName": "AWS::SQS::Queue"},
    ("AWS/DynamoDB", "WriteThrottleEvents"): {"TableName": "AWS::DynamoDB::Table"},
    ("AWS/DynamoDB", "SystemErrors"): {"TableName": "AWS::DynamoDB::Table", "Operation": None},
}
OPERATIONS = {"UpdateItem"}
"""What a claim is (functions/adapters/dynamodb/store.py)."""


def _watched(template: Template) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Alarm, metric and its dimensions."""
    for name, alarm in of_type(template, "AWS::CloudWatch::Alarm").items():
        properties = alarm["Properties"]
        parts = [part["MetricStat"]["Metric"] for part in properties.get("Metrics", [])
                 if "MetricStat" in part]  # fmt: skip
        for metric in parts or [properties]:
            dimensions = metric.get("Dimensions", [])
            yield name, metric, {each["Name"]: each["Value"] for each in dimensions}


@pytest.mark.parametrize("stage", STAGES)
def test_a_metric_of_ours_is_told_by_this_stage(stage: str) -> None:
    seen = set()
    for alarm, metric, dimensions in _watched(packaged(stage)):
        if metric["Namespace"] != NAMESPACE:
            continue
        assert dimensions.keys() == {"Stage", "Service"}, alarm
        assert dimensions["Stage"] == stage, alarm
        assert metric["MetricName"] in TOLD[dimensions["Service"]], alarm
        seen.add(alarm)
    assert {"BookAgeAlarm", "FeederSilentAlarm", "ReconcileSilentAlarm"} <= seen


@pytest.mark.parametrize("stage", STAGES)
def test_a_metric_of_aws_has_the_dimensions_that_aws_gives_it(stage: str) -> None:
    resources = packaged(stage)["Resources"]
    seen = set()
    for alarm, metric, dimensions in _watched(packaged(stage)):
        if metric["Namespace"].startswith(NAMESPACE):
            continue
        expected = OF_AWS[metric["Namespace"], metric["MetricName"]]
        assert dimensions.keys() == expected.keys(), alarm
        for dimension, kind in expected.items():
            value = dimensions[dimension]
            if kind is None:
                assert value in OPERATIONS, alarm
                continue
            # A queue's Ref is its URL; of the others it is the name.
            names = value.get("Fn::GetAtt", [value.get("Ref"), None])
            assert resources[names[0]]["Type"] == kind, alarm
            assert names[1] == ("QueueName" if dimension == "QueueName" else None), alarm
        seen.add(metric["Namespace"])
    assert {"AWS/SQS", "AWS/DynamoDB"} <= seen


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_critical_lines_of_each_process_are_counted_for_the_alarm_on_them(stage: str) -> None:
    template = packaged(stage)
    alarm = template["Resources"]["CriticalLinesAlarm"]["Properties"]
    assert alarm["Namespace"] == f"{NAMESPACE}/{stage}"
    counted = {}
    for each in of_type(template, "AWS::Logs::MetricFilter").values():
        (metric,) = each["Properties"]["MetricTransformations"]
        assert metric["MetricNamespace"] == alarm["Namespace"]
        assert metric["MetricName"] == alarm["MetricName"]
        counted[each["Properties"]["LogGroupName"]["Ref"]] = each.get("Condition")
    groups = {
        name: each.get("Condition")
        for name, each in of_type(template, "AWS::Logs::LogGroup").items()
    }
    # Not ours: nats-server's own text, and the network's.
    assert counted == {n: c for n, c in groups.items() if n not in ("NatsLogGroup", "FlowLogGroup")}
