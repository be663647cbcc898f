"""Alarms, scaling, dashboard, cost monitor: whatever they watch is told, and they reach somebody.

Read from `infra/*.yml` as they are, without packaging. What CloudWatch makes of them is not shown
here; the emulator of the stage local creates the plain ones.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock, patch

import pytest
import yaml

from feeder.books.metrics import FeederMetrics
from feeder.fills.metrics import UserMetrics
from functions.aws import entry_points
from functions.aws.settings import FunctionSettings, ReconcileSettings, SettleSettings
from functions.handlers.reconcile import ReconcileReport
from functions.handlers.settle import SettleReport
from protocol.series import parse_series
from runtime.cloudwatch import CloudWatchMetric, Interval
from runtime.emf import NAMESPACE
from runtime.log import line_of as line_said
from tests.support.guides import sections
from tests.support.metrics_builders import ACCOUNT, worker_metrics

ROOT = Path(__file__).parents[2]
PREFIX = "${self:service}-${sls:stage}-"
FILES = (
    *("alarms", "alarms-scheduled", "alarms-math", "alarms-lines"),
    *("scaling", "dashboard", "cost"),
)
TELLS_NOBODY = {"BooksLateAlarm", "BooksEarlyAlarm"}
"""They only move the number of workers."""


class Loader(yaml.CSafeLoader):
    """YAML with CloudFormation's short forms (`!Ref x` as {"!Ref": x})."""


def tagged(loader: Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.SequenceNode):
        return {f"!{suffix}": loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.ScalarNode)
    return {f"!{suffix}": loader.construct_scalar(node)}


Loader.add_multi_constructor("!", tagged)


def read(path: str) -> Any:
    text = (ROOT / path).read_text(encoding="utf-8")
    return yaml.load(text, Loader)  # noqa: S506 - a SafeLoader with the short forms


RESOURCES: dict[str, dict[str, Any]] = {
    logical_id: resource
    for name in FILES
    for logical_id, resource in read(f"infra/{name}.yml")["Resources"].items()
}
ALARMS: dict[str, dict[str, Any]] = {
    logical_id: resource["Properties"]
    for logical_id, resource in RESOURCES.items()
    if resource["Type"] == "AWS::CloudWatch::Alarm"
}


def line_of(service: str, told: Sequence[CloudWatchMetric], *observed: Any) -> dict[str, Any]:
    """The line that a process tells after a minute in which these histograms saw something."""
    interval = Interval("dev", service, told)
    for histogram in observed:
        histogram.observe(0.003)
    line: dict[str, Any] = json.loads(interval.line(60_000))
    return line


def scheduled_lines() -> list[dict[str, Any]]:
    """What the functions tell at the end of an invocation whose one run found nothing to do."""

    async def invoked() -> None:
        until_s = asyncio.get_running_loop().time() + 1  # no time for a second run
        await entry_points.work_reconcile(
            opened(ReconcileSettings(cloudwatch_stage="dev")), {}, until_s
        )
        await entry_points.work_settle(opened(SettleSettings(cloudwatch_stage="dev")), {}, until_s)

    def opened(settings: FunctionSettings) -> entry_points.ScheduledResources:
        return entry_points.ScheduledResources(
            settings=settings,
            stores={ACCOUNT: Mock(configuration=AsyncMock(return_value=None))},
            records={ACCOUNT: Mock()},
        )

    with (
        patch.object(entry_points, "reconcile_once", AsyncMock(return_value=ReconcileReport())),
        patch.object(entry_points, "compare_group", AsyncMock(return_value=None)),
        patch.object(entry_points, "settle_once", AsyncMock(return_value=SettleReport())),
        redirect_stdout(io.StringIO()) as stdout,
    ):
        asyncio.run(invoked())
    return [json.loads(line) for line in stdout.getvalue().splitlines()]


def told_units() -> dict[str, dict[str, str]]:
    """Units of the metrics in the lines that are really told, by service and name."""
    worker = worker_metrics()
    lines = [
        line_of(
            "worker", worker.cloudwatch, worker.book_age, worker.accounts[ACCOUNT].tick_to_trade
        ),
        line_of("feeder", FeederMetrics([parse_series("btc-15m")]).cloudwatch),
        line_of("user-feeder", UserMetrics().cloudwatch),
        *scheduled_lines(),
    ]
    return {
        line["Service"]: {
            metric["Name"]: metric["Unit"]
            for directive in line["_aws"]["CloudWatchMetrics"]
            for metric in directive["Metrics"]
            if metric["Name"] in line
        }
        for line in lines
    }


def watched(alarm: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Name, dimensions and statistic of each metric of ours that the alarm looks at."""
    metrics = [each["MetricStat"] for each in alarm.get("Metrics", ()) if "MetricStat" in each]
    if not metrics:
        stat = alarm.get("Statistic") or alarm["ExtendedStatistic"]
        metrics = [{"Metric": alarm, "Stat": stat}]
    for each in metrics:
        metric = each["Metric"]
        if metric["Namespace"] == NAMESPACE:
            dimensions = {part["Name"]: part["Value"] for part in metric["Dimensions"]}
            yield metric["MetricName"], dimensions, each["Stat"]


TOLD = told_units()


def check_told(name: str, dimensions: dict[str, Any], stat: str) -> None:
    assert dimensions.keys() == {"Stage", "Service"}
    assert dimensions["Stage"] == "${sls:stage}"
    units = TOLD[dimensions["Service"]]
    assert name in units, f"{dimensions['Service']} does not tell {name}"
    assert (units[name] == "Milliseconds") == bool(re.fullmatch(r"p\d+", stat)), (name, stat)


@pytest.mark.parametrize("alarm", ALARMS)
def test_what_an_alarm_watches_is_really_told(alarm: str) -> None:
    for name, dimensions, stat in watched(ALARMS[alarm]):
        check_told(name, dimensions, stat)


def test_what_silence_is_an_alarm_of_has_always_a_value() -> None:
    """One that may be left out of a line would ring without a reason; BookAge has one (see it)."""
    quiet = {
        "worker": line_of("worker", worker_metrics().cloudwatch),
        "feeder": line_of("feeder", FeederMetrics([parse_series("btc-15m")]).cloudwatch),
        **{line["Service"]: line for line in scheduled_lines()},
    }
    rings_on_silence = {
        name: dimensions["Service"]
        for alarm in ALARMS.values()
        if alarm["TreatMissingData"] == "breaching"
        for name, dimensions, _ in watched(alarm)
    }
    assert rings_on_silence.pop("BookAge") == "worker"
    assert rings_on_silence == {
        "SnapshotsPublished": "feeder",
        "ChannelsOpen": "feeder",
        "MarketsReady": "feeder",
        "ReconcileRuns": "reconcile",
        "SettleRuns": "settle",
    }
    for name, service in rings_on_silence.items():
        assert name in quiet[service]


def test_every_alarm_says_what_it_means_and_what_to_do_and_reaches_a_person() -> None:
    there = sections()
    for logical_id, alarm in ALARMS.items():
        assert alarm["AlarmName"].startswith(PREFIX), "or the topic's policy keeps it out"
        assert alarm["TreatMissingData"] in ("breaching", "notBreaching", "ignore")
        if logical_id in TELLS_NOBODY:
            continue
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"!Ref": "AlarmTopic"}]
        said, _, titles = alarm["AlarmDescription"].partition("Runbook: ")
        assert len(said) > 40
        for section in re.findall(r'"([^"]+)"', titles) or [""]:
            assert section in there, logical_id


def test_a_line_that_wants_a_person_is_found_by_the_alarm_on_lines() -> None:
    """In the syntax of CloudWatch: the property `level` of a line that is one JSON object."""
    filters = [each for each in RESOURCES.values() if each["Type"] == "AWS::Logs::MetricFilter"]
    patterns = {each["Properties"]["FilterPattern"] for each in filters}
    assert patterns == {'{ $.level = "critical" }'}
    assert json.loads(line_said("critical", {"event": "positions_differ"}))["level"] == "critical"
    assert json.loads(line_said("error", {"event": "run_failed"}))["level"] == "error"
    alarm = ALARMS["CriticalLinesAlarm"]
    for each in filters:
        (counted,) = each["Properties"]["MetricTransformations"]
        assert counted["MetricNamespace"] == alarm["Namespace"] == NAMESPACE + "/${sls:stage}"
        assert counted["MetricName"] == alarm["MetricName"]
        assert (counted["MetricValue"], counted["DefaultValue"]) == ("1", 0)


def test_the_alarms_that_were_asked_for_are_there() -> None:
    names = {alarm["AlarmName"].removeprefix(PREFIX) for alarm in ALARMS.values()}
    assert names >= {
        "book-age",
        "claims-unresolved",
        "position-mismatch",
        "markets-differ",
        "clocks-differ",
        "critical-lines",
        "dead-letters",
        "strategy-disabled",
        "strategy-errors",
        "account-in-trouble",
        "group-differs",
        "daily-loss",
        "feeder-silent",
        "order-errors",
        "lambda-errors",
        "reconcile-silent",
    }
    assert RESOURCES["CostSubscription"]["Properties"]["Subscribers"] == [
        {"Type": "SNS", "Address": {"!Ref": "AlarmTopic"}}
    ]


def test_thresholds_on_the_age_of_books_are_bounds_of_buckets() -> None:
    """Between two bounds the values are guesses; at a bound the comparison is exact."""
    buckets = next(iter(worker_metrics().book_age.collect())).samples
    bounds_ms = {1000 * float(each.labels["le"]) for each in buckets if "le" in each.labels}
    on_age = [alarm for alarm in ALARMS.values() if alarm.get("MetricName") == "BookAge"]
    assert len(on_age) == 3
    assert bounds_ms >= {alarm["Threshold"] for alarm in on_age}
    steps = RESOURCES["WorkersOut"]["Properties"]["StepScalingPolicyConfiguration"]
    lower = [step["MetricIntervalLowerBound"] for step in steps["StepAdjustments"]]
    assert all(ALARMS["BooksLateAlarm"]["Threshold"] + bound in bounds_ms for bound in lower)


def test_workers_are_added_before_a_person_is_called_and_taken_away_with_hesitation() -> None:
    out, back, called = (
        ALARMS[name] for name in ("BooksLateAlarm", "BooksEarlyAlarm", "BookAgeAlarm")
    )
    assert back["Threshold"] * 10 < out["Threshold"] < called["Threshold"]
    assert out["DatapointsToAlarm"] < back["DatapointsToAlarm"]
    # Without books neither more nor fewer workers are wanted.
    assert out["TreatMissingData"] == back["TreatMissingData"] == "notBreaching"
    target = RESOURCES["WorkerScaling"]["Properties"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 10)


def test_only_alarms_and_costs_of_this_account_may_publish_encrypted() -> None:
    topic = RESOURCES["AlarmTopic"]["Properties"]
    assert topic["KmsMasterKeyId"] == {"!GetAtt": "AlarmKey.Arn"}
    assert topic["Subscription"] == [{"Protocol": "email", "Endpoint": "${param:alarmEmail}"}]
    account = {"aws:SourceAccount": {"!Ref": "AWS::AccountId"}}
    publishers = set()
    for statement in RESOURCES["AlarmTopicPolicy"]["Properties"]["PolicyDocument"]["Statement"]:
        assert statement["Action"] == "sns:Publish"
        assert statement["Resource"] == {"!Ref": "AlarmTopic"}
        assert statement["Condition"]["StringEquals"] == account
        publishers.add(statement["Principal"]["Service"])
    (root, services) = RESOURCES["AlarmKey"]["Properties"]["KeyPolicy"]["Statement"]
    assert root["Principal"] == {
        "AWS": {"!Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}
    }
    assert services["Condition"]["StringEquals"] == account
    assert set(services["Principal"]["Service"]) == publishers
    assert publishers == {"cloudwatch.amazonaws.com", "costalerts.amazonaws.com"}


def test_the_dashboard_is_read_from_left_to_right_and_shows_what_is_told() -> None:
    body = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["!Sub"]
    widgets = json.loads(body)["widgets"]
    taken: dict[tuple[int, int], str] = {}
    for index, widget in enumerate(widgets):
        for x in range(widget["x"], widget["x"] + widget["width"]):
            for y in range(widget["y"], widget["y"] + widget["height"]):
                assert 0 <= x < 24
                assert (x, y) not in taken, (taken[x, y], widget)
                taken[x, y] = str(index)
        for namespace, *rest in widget["properties"].get("metrics", ()):
            if namespace == NAMESPACE:
                name, *dimensions, shown = rest
                pairs = dict(zip(dimensions[::2], dimensions[1::2], strict=True))
                check_told(name, pairs, shown["stat"])
    heads = [widget["properties"]["markdown"] for widget in widgets if widget["type"] == "text"]
    assert [re.findall(r"## (\w+)", head)[0] for head in heads] == [
        "Feed", "Books", "Decisions", "Claims", "Orders", "Money",
    ]  # fmt: skip


def test_the_cost_monitor_watches_a_tag_that_everything_carries() -> None:
    watched_tag = json.loads(RESOURCES["CostMonitor"]["Properties"]["MonitorSpecification"])["Tags"]
    tags = read("serverless.yml")["provider"]["stackTags"]
    assert watched_tag == {"Key": "stack", "Values": [tags["stack"]]}
