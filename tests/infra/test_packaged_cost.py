"""What the page of costs counts is what is packaged: a part that is added shows in the bill."""

from __future__ import annotations

from benchmarks.cost import COUNTS, tasks
from tests.infra.conftest import of_type, packaged
from tests.infra.test_alarms import TOLD
from tests.support.metrics_builders import worker_metrics


def test_functions_have_the_memory_that_is_reckoned_with() -> None:
    functions = of_type(packaged("prod"), "AWS::Lambda::Function").values()
    sizes = {function["Properties"]["MemorySize"] for function in functions}
    assert sizes == {1024 * COUNTS["lambda_gb"]}


def test_metrics_and_alarms_are_as_many() -> None:
    alarms = [
        each["Properties"] for each in of_type(packaged("prod"), "AWS::CloudWatch::Alarm").values()
    ]
    watched = [
        sum("MetricStat" in part for part in alarm["Metrics"]) if "Metrics" in alarm else 1
        for alarm in alarms
    ]
    assert sum(watched) == COUNTS["alarm_metrics"]
    told = sum(map(len, TOLD.values())) + bool(of_type(packaged("prod"), "AWS::Logs::MetricFilter"))
    assert told == COUNTS["custom_metrics"]


def test_endpoints_that_are_paid_by_the_hour_are_as_many() -> None:
    endpoints = of_type(packaged("prod"), "AWS::EC2::VPCEndpoint").values()
    zones = [
        len(each["Properties"]["SubnetIds"])
        for each in endpoints
        if each["Properties"].get("VpcEndpointType") == "Interface"
    ]
    assert sum(zones) == COUNTS["interface_endpoints"]


def test_tasks_are_as_large() -> None:
    sizes = sorted(
        (int(task["Properties"]["Cpu"]) / 1024, int(task["Properties"]["Memory"]) / 1024)
        for task in of_type(packaged("prod"), "AWS::ECS::TaskDefinition").values()
    )
    assert sizes == sorted((cpu, memory) for _, cpu, memory in tasks(2).values())


def test_a_further_group_adds_as_much() -> None:
    plain, grouped = (set(packaged(stage)["Resources"]) for stage in ("dev", "groups"))
    alarms = set(of_type(packaged("groups"), "AWS::CloudWatch::Alarm")) - plain
    assert len({name for name in alarms if name.endswith("Flow")}) == COUNTS["group_alarms"]
    assert sum(each.of_group for each in worker_metrics().cloudwatch) == COUNTS["group_metrics"]
    assert not {name for name in grouped - plain if "Table" in name or "Nat" in name}
