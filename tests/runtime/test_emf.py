"""The format itself, against its specification (CloudWatch User Guide, embedded metric format)."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.emf import Unit, document, representatives

BOUNDS = (0.001, 0.01, 0.05, 0.25, math.inf)


def test_a_document_is_one_line_that_names_what_it_holds() -> None:
    values: dict[str, float | list[float]] = {"Books": 3, "Halted": True, "BookAge": [1.5, 2]}
    line = document("prod", "worker", values, 17, {"BookAge": "Milliseconds"})
    assert "\n" not in line
    assert json.loads(line) == {
        "_aws": {
            "Timestamp": 17,
            "CloudWatchMetrics": [
                {
                    "Namespace": "StreamingExecutor",
                    "Dimensions": [["Stage", "Service"]],
                    "Metrics": [
                        {"Name": "Books", "Unit": "Count"},
                        {"Name": "Halted", "Unit": "Count"},
                        {"Name": "BookAge", "Unit": "Milliseconds"},
                    ],
                }
            ],
        },
        "Stage": "prod",
        "Service": "worker",
        "Books": 3,
        "Halted": 1,
        "BookAge": [1.5, 2],
    }


def test_what_is_told_of_a_group_is_told_of_the_service_as_before() -> None:
    values: dict[str, float | list[float]] = {"Books": 3, "BookAge": [1.5, 2]}
    units: dict[str, Unit] = {"BookAge": "Milliseconds"}
    alone = json.loads(document("prod", "worker", values, 17, units))
    told = json.loads(
        document("prod", "worker", values, 17, units, group="slow", of_group=("BookAge", "Other"))
    )
    assert told.pop("Group") == "slow"
    assert told["_aws"]["CloudWatchMetrics"].pop() == {
        "Namespace": "StreamingExecutor",
        "Dimensions": [["Stage", "Service", "Group"]],
        "Metrics": [{"Name": "BookAge", "Unit": "Milliseconds"}],
    }
    assert told == alone
    silent = json.loads(
        document("prod", "worker", {"BookAge": []}, 1, group="slow", of_group=["BookAge"])
    )
    assert len(silent["_aws"]["CloudWatchMetrics"]) == 1


def test_what_has_no_value_is_neither_named_nor_told() -> None:
    told = json.loads(document("dev", "x", {"A": math.nan, "B": [], "C": 0, "D": math.inf}, 1))
    assert [metric["Name"] for metric in told["_aws"]["CloudWatchMetrics"][0]["Metrics"]] == ["C"]
    assert told.keys() == {"_aws", "Stage", "Service", "C"}


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"A": [1.0] * 101}, "A: 101 values"),
        ({f"M{n}": 1 for n in range(101)}, "101 metrics"),
        ({"Stage": 1}, "no metric may be called Stage"),
        ({"Group": 1}, "no metric may be called Group"),
    ],
)
def test_the_formats_limits_are_kept(values: dict[str, float], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        document("dev", "x", values, 1)


def test_up_to_a_hundred_observations_have_a_value_each() -> None:
    assert representatives(dict.fromkeys(BOUNDS, 0)) == []
    assert representatives({}) == []
    assert representatives({0.001: 0, 0.01: 1, 0.05: 0, 0.25: 2, math.inf: 1}) == pytest.approx(
        [0.01, 0.15, 0.25, 0.25]
    )


def bucket_of(value: float) -> float:
    return next(bound for bound in BOUNDS if value <= bound)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 3000), min_size=5, max_size=5))
def test_a_percentile_of_the_values_lies_in_the_bucket_of_that_of_the_observations(
    counts: list[int],
) -> None:
    values = representatives(dict(zip(BOUNDS, counts, strict=True)))
    total = sum(counts)
    assert len(values) == min(total, 100)
    assert values == sorted(values)
    for percent in range(1, 101) if total else ():
        rank = -(-percent * total // 100)
        cumulative = [sum(counts[: index + 1]) for index in range(len(counts))]
        observed = BOUNDS[next(i for i, reached in enumerate(cumulative) if rank <= reached)]
        told = values[-(-percent * len(values) // 100) - 1]
        # Above the last finite bound the values are that bound: the bucket below it.
        assert bucket_of(told) == (0.25 if math.isinf(observed) else observed)
