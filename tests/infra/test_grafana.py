"""The Grafana dashboard and Prometheus' rules ask for nothing that nobody exports.

Checked by hand besides, on 2026-11-22: Grafana's own model of a dashboard (grafana-foundation-sdk
10.1, made of Grafana's schema) reads this one and writes it again with nothing lost; promtool 2.42
accepts configuration and rules; a Prometheus 2.42 that scraped these registries answers every
query. A running Grafana has not been seen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from feeder.books.metrics import FeederMetrics
from feeder.fills.metrics import UserMetrics
from feeder.settings import FeederSettings, UserFeederSettings
from functions.settings import ScheduleSettings, WorkerSettings
from protocol.series import parse_series
from tests.support.guides import sections
from tests.support.metrics_builders import schedule_metrics, worker_metrics

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
DASHBOARD: dict[str, Any] = json.loads(
    (INFRA / "grafana/dashboards/executor.json").read_text(encoding="utf-8")
)
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
STORY = ("Feed", "Books", "Decisions", "Claims", "Orders", "Money")
GRID = 24
"""Columns of Grafana's grid."""

_TEXTS = re.compile(r'"[^"]*"')
_LABELS_ASKED = re.compile(r"\{([^}]*)\}|\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
_RANGE = re.compile(r"\[[^\]]*\]")
_WORD = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_FUNCTION = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\s*\(")
_KEYWORDS = {"by", "and", "or", "unless", "sum", "max", "min", "inf"}


def read(path: str) -> Any:
    return yaml.safe_load((INFRA / path).read_text(encoding="utf-8"))


ALERTS: list[dict[str, Any]] = read("prometheus/alerts.yml")["groups"][0]["rules"]


def exported() -> dict[str, set[str]]:
    """The labels of each series that the processes export, by its name; and Prometheus' `up`."""
    registries: tuple[CollectorRegistry, ...] = (
        FeederMetrics([parse_series("btc-15m")]).registry,
        UserMetrics().registry,
        worker_metrics().registry,
        schedule_metrics()[0].registry,
    )
    series = {"up": set[str]()}
    for registry in registries:
        for metric in registry.collect():
            for sample in metric.samples:
                series.setdefault(sample.name, set()).update(sample.labels)
    return series


EXPORTED = exported()


def asked(query: str) -> tuple[set[str], set[str]]:
    """The names and the labels in a query: whatever is no function, keyword, text or range."""
    bare = _RANGE.sub("", _TEXTS.sub("", query))
    asked_for = (" ".join(filter(None, found.groups())) for found in _LABELS_ASKED.finditer(bare))
    labels = {label for text in asked_for for label in _WORD.findall(text)}
    rest = _FUNCTION.sub("(", _LABELS_ASKED.sub("", bare))
    return set(_WORD.findall(rest)) - _KEYWORDS, labels


def queries() -> Iterator[tuple[str, str]]:
    for panel in PANELS:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for rule in ALERTS:
        yield rule["alert"], rule["expr"]


@pytest.mark.parametrize(("title", "query"), list(queries()))
def test_what_is_asked_for_is_exported(title: str, query: str) -> None:
    names, labels = asked(query)
    assert names, title
    assert names <= EXPORTED.keys(), f"{title}: nobody exports {sorted(names - EXPORTED.keys())}"
    known = set.union({"job", "instance"}, *(EXPORTED[name] for name in names))
    assert labels <= known, f"{title}: no such label: {sorted(labels - known)}"
    assert query.count("(") == query.count(")")


def test_a_query_is_taken_apart_as_it_should_be() -> None:
    query = (
        'histogram_quantile(0.9, sum by (le, x) (rate(some_bucket{kind="a b", why!~"c|d"}[5m])))'
    )
    assert asked(f"({query} or vector(0)) > 0.5 and other_total") == (
        {"some_bucket", "other_total"},
        {"le", "x", "kind", "why"},
    )


def test_counters_are_asked_for_their_growth_and_gauges_are_not() -> None:
    for title, query in queries():
        for name in asked(query)[0]:
            grows = re.search(rf"\b(rate|increase)\({name}\b", query) is not None
            assert grows == name.endswith(("_total", "_bucket")), (title, name)


def test_values_of_labels_are_the_ones_that_exist() -> None:
    values: dict[str, set[str]] = {"job": {"feeder", "worker", "user-feeder", "schedule"}}
    for registry in (worker_metrics().registry, schedule_metrics()[0].registry):
        for metric in registry.collect():
            for sample in metric.samples:
                for label, value in sample.labels.items():
                    values.setdefault(label, set()).add(value)
    for title, query in queries():
        for label, _, wanted in re.findall(r'(\w+)(=|!~|=~)"([^"]*)"', query):
            assert set(wanted.split("|")) <= values[label], title


def test_panels_are_read_from_left_to_right_and_none_covers_another() -> None:
    ids = [panel["id"] for panel in PANELS]
    assert len(set(ids)) == len(ids)
    taken: dict[tuple[int, int], str] = {}
    for panel in PANELS:
        place = panel["gridPos"]
        assert 0 <= place["x"] <= place["x"] + place["w"] <= GRID
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) is panel["title"]
    heads = sorted((p for p in PANELS if p["type"] == "text"), key=lambda p: p["gridPos"]["x"])
    assert tuple(re.findall(r"\d\. (\w+)", p["options"]["content"])[0] for p in heads) == STORY


def test_every_panel_has_what_grafana_needs_of_it() -> None:
    uid = read("grafana/provisioning/datasources/prometheus.yml")["datasources"][0]["uid"]
    assert DASHBOARD["uid"]
    assert DASHBOARD["title"]
    for panel in PANELS:
        if panel["type"] == "text":
            continue
        assert panel["type"] == "timeseries"
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters) > 0
        for part in (panel, *panel["targets"]):
            assert part["datasource"] == {"type": "prometheus", "uid": uid}


def test_each_alert_leads_to_a_section_of_a_guide() -> None:
    there = sections()
    for rule in ALERTS:
        assert rule["annotations"]["runbook"] in there, rule["alert"]


def test_prometheus_scrapes_each_process_at_the_port_that_it_has_by_default() -> None:
    jobs = {job["job_name"]: job for job in read("prometheus/prometheus.yml")["scrape_configs"]}
    for name, settings in (
        ("feeder", FeederSettings),
        ("worker", WorkerSettings),
        ("user-feeder", UserFeederSettings),
        ("schedule", ScheduleSettings),
    ):
        (found,) = jobs.pop(name)["dns_sd_configs"]
        assert (found["names"], found["port"]) == (
            [name],
            settings.model_fields["metrics_port"].default,
        )
    assert jobs == {}
