"""What goes to CloudWatch of counters, gauges and histograms, and when."""

from __future__ import annotations

import asyncio
import io
import json
import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from structlog.testing import capture_logs

from runtime import cloudwatch
from runtime.cloudwatch import CloudWatchMetric, Interval, reporting_to_cloudwatch


class Shop:
    def __init__(self) -> None:
        r = CollectorRegistry()
        self.sold = Counter("sold", "Things sold", ["kind"], registry=r)
        self.stock = Gauge("stock", "Things there", registry=r)
        self.wait = Histogram("wait_seconds", "Waited", buckets=(0.1, 0.2, 0.5), registry=r)
        self.cloudwatch = (
            CloudWatchMetric("Sold", (self.sold.labels("a"), self.sold.labels("b"))),
            CloudWatchMetric("Stock", (self.stock,)),
            CloudWatchMetric("Wait", (self.wait,), "Milliseconds"),
        )


def told(line: str) -> dict[str, Any]:
    return {name: value for name, value in json.loads(line).items() if name != "_aws"}


HEAD = {"Stage": "dev", "Service": "shop"}


def test_each_line_tells_what_happened_since_the_last_one() -> None:
    shop = Shop()
    shop.sold.labels("a").inc(5)  # before: not of this interval
    shop.wait.observe(0.4)
    interval = Interval("dev", "shop", shop.cloudwatch)
    shop.sold.labels("a").inc()
    shop.sold.labels("b").inc(2)
    shop.sold.labels("other").inc(9)
    shop.stock.set(7)
    shop.wait.observe(0.15)
    shop.wait.observe(0.6)
    first = interval.line(60_000)
    assert told(first) == {**HEAD, "Sold": 3, "Stock": 7, "Wait": [200, 500]}
    assert json.loads(first)["_aws"]["Timestamp"] == 60_000
    units = json.loads(first)["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    assert {unit["Name"]: unit["Unit"] for unit in units} == {
        "Sold": "Count",
        "Stock": "Count",
        "Wait": "Milliseconds",
    }
    shop.stock.set(math.nan)
    assert told(interval.line(120_000)) == {**HEAD, "Sold": 0}


async def test_of_a_group_are_told_those_that_are_wanted_of_it() -> None:
    shop = Shop()
    metrics = [replace(each, of_group=each.name == "Wait") for each in shop.cloudwatch]
    lines: list[str] = []
    async with reporting_to_cloudwatch("dev", "shop", metrics, lines.append, group="east"):
        shop.wait.observe(0.15)
    [line] = lines
    assert told(line)["Group"] == "east"
    *_, directive = json.loads(line)["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["Stage", "Service", "Group"]]
    assert [metric["Name"] for metric in directive["Metrics"]] == ["Wait"]


async def test_without_a_stage_nothing_is_told() -> None:
    lines: list[str] = []
    async with reporting_to_cloudwatch(None, "shop", Shop().cloudwatch, lines.append):
        pass
    assert lines == []


async def test_a_line_comes_with_every_interval_and_one_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cloudwatch, "EVERY_S", 0.01)
    lines: asyncio.Queue[str] = asyncio.Queue()
    shop = Shop()
    async with (
        asyncio.timeout(30),
        reporting_to_cloudwatch("dev", "shop", shop.cloudwatch, lines.put_nowait),
    ):
        shop.sold.labels("a").inc()
        assert told(await lines.get())["Sold"] == 1
        await lines.get()
        monkeypatch.setattr(cloudwatch, "EVERY_S", 3600)
        while not lines.empty():
            lines.get_nowait()
        shop.sold.labels("a").inc(4)
    left = [told(lines.get_nowait())["Sold"] for _ in range(lines.qsize())]
    assert sum(left) == 4


async def test_the_last_line_comes_whatever_ends_it() -> None:
    lines: list[str] = []
    with pytest.raises(RuntimeError, match="the service failed"):
        async with reporting_to_cloudwatch("dev", "shop", Shop().cloudwatch, lines.append):
            raise RuntimeError("the service failed")
    assert len(lines) == 1


async def test_a_stdout_that_is_gone_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    async with reporting_to_cloudwatch("dev", "shop", Shop().cloudwatch, lambda _: "Broken pipe"):
        pass
    assert "metrics_not_written" in capsys.readouterr().out


@pytest.mark.parametrize("stdout", [None, "closed"])
async def test_a_process_started_without_a_stdout_stops_in_order(
    stdout: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = io.StringIO() if stdout else None
    if gone is not None:
        gone.close()
    with capture_logs() as logs:
        async with reporting_to_cloudwatch("dev", "shop", Shop().cloudwatch):
            monkeypatch.setattr("runtime.output.sys.stdout", gone)
    monkeypatch.undo()
    assert [line["event"] for line in logs] == ["metrics_not_written"]


def test_every_minute_gets_one_line_however_late_a_wake_up_is() -> None:
    now_s = 1_800_000_059.5
    minutes = []
    for late_s in (0.0, 0.3, 2.0, 11.0, 0.0, 0.05) * 3:
        now_s += cloudwatch.wait_s(now_s) + late_s
        minutes.append(now_s // 60)
    assert [b - a for a, b in pairwise(minutes)] == [1] * (len(minutes) - 1)
