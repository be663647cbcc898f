"""A latency as a person gives it: milliseconds, a benchmark's figures, a decision log."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from backtest.engine.latency import LatencyError
from backtest.engine.latency_text import FILE_BYTES_MAX, execution_of, latency_of
from protocol.decision import Timeline, encode_decision
from tests.support.message_builders import decision


def written(path: Path, content: Any) -> str:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return str(path)


def figures(**stages: tuple[float, float, float]) -> dict[str, Any]:
    """As `make bench` writes them."""
    named = {
        name: dict(zip(("p50", "p99", "max"), values, strict=True))
        for name, values in stages.items()
    }
    return {"machine": {}, "pipeline_with_store": {"count": 9, "signals": 9, "stages": named}}


def logged(answered_ms: float | None, decided_ns: int = 10**18) -> str:
    """One message of `decision.*`; None: it never came to an answer."""
    answered_ns = 0 if answered_ms is None else decided_ns + round(answered_ms * 1e6)
    timeline = Timeline(decided_at_ns=decided_ns, answered_at_ns=answered_ns)
    return encode_decision(structs.replace(decision(), timeline=timeline)).decode()


def test_a_number_is_milliseconds() -> None:
    assert latency_of("250").knots == ((0.0, 250.0), (1.0, 250.0))
    assert latency_of("0.5").name == "0.5 ms"


def test_a_benchmark_s_stages_from_the_decision_to_the_venue_are_added(tmp_path: Path) -> None:
    stages = figures(
        **{"decode, decide": (9, 9, 9)}, sign=(1, 2, 3), claim=(10, 20, 30), post=(5, 6, 7)
    )
    latency = latency_of(path := written(tmp_path / "latest.json", stages))
    assert latency.knots == ((0.0, 16.0), (0.5, 16.0), (0.99, 28.0), (1.0, 40.0))
    assert latency.name == f"{path}: sign, claim and post, to a venue on the same machine"


def test_of_a_decision_log_the_answer_is_an_upper_bound(tmp_path: Path) -> None:
    lines = "\n".join([logged(100), "", logged(None), logged(300)])
    latency = latency_of(path := written(tmp_path / "log", lines))
    assert latency.knots == ((0.0, 100.0), (1.0, 300.0))
    name = f"{path}: decision to the venue's answer of 2 orders, an upper bound"
    assert latency.name == name


def test_a_log_of_one_line_is_a_log(tmp_path: Path) -> None:
    assert latency_of(written(tmp_path / "log", logged(7))).median_ms == 7


def test_what_executor_decisions_printed_is_a_log(tmp_path: Path) -> None:
    rows = [
        {"stages_us": {"decide": 9_000, "sign": 1_000, "claim": 2_000, "post": 47_000}},
        {"stages_us": {"decide": 9_000, "sign": 1_000}},  # refused before the claim
    ]
    latency = latency_of(written(tmp_path / "log", {"account": "a", "decisions": rows}))
    assert (latency.median_ms, "of 1 orders" in latency.name) == (50.0, True)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "no latency was measured there"),
        ("{", "neither figures of `make bench` nor a decision log: line 1"),
        ("[1]", "neither figures of `make bench` nor a decision log: line 1"),
        ('{"machine": {}, "overload_age_ms": {}}', "of `make bench`, without its part `stores`"),
        ("\x00\x01", "neither figures of `make bench` nor a decision log: line 1"),
        ('{"pipeline_with_store": 1}', "pipeline_with_store: Expected `object`, got `int`"),
        ({"pipeline_with_store": {"stages": {}}}, "pipeline_with_store has no stage 'sign'"),
        (figures(sign=(3, 2, 1), claim=(3, 2, 1), post=(3, 2, 1)), "quantiles must rise"),
        ({"decisions": []}, "no latency was measured there"),
        ({"decisions": [1]}, "decisions: Expected `object`, got `int` - at `$[0]`"),
        (logged(4_000_000), "a latency is from 0 to 3600000 ms"),
        (logged(-1), "a latency is from 0 to 3600000 ms"),
        ("[" * 100_000, "neither figures of `make bench` nor a decision log: line 1"),
    ],
)
def test_another_file_is_one_line_that_names_it(tmp_path: Path, content: Any, says: str) -> None:
    path = written(tmp_path / "file", content)
    with pytest.raises(LatencyError, match=r"^[^\n]+$") as caught:
        latency_of(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert says in str(caught.value)


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    for text in ("-1", "1e3", "fast", str(tmp_path / "none"), "a\x00b"):
        with pytest.raises(LatencyError, match="neither milliseconds"):
            latency_of(text)
    with pytest.raises(LatencyError, match="not a file"):
        latency_of(str(tmp_path))
    os.mkfifo(pipe := tmp_path / "pipe")  # nobody writes to it
    with pytest.raises(LatencyError, match="not a file"):
        latency_of(str(pipe))


def test_a_file_too_large_to_be_a_log_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(FILE_BYTES_MAX + 1)
    with pytest.raises(LatencyError, match=r"huge: larger than 256 MB"):
        latency_of(str(path))


def test_an_execution_is_in_seconds() -> None:
    assert execution_of("30:120").knots == ((0.0, 30_000.0), (1.0, 120_000.0))
    assert execution_of("45").knots == ((0.0, 45_000.0), (1.0, 45_000.0))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "seconds are wanted, e.g. 30 or 30:120"),
        ("30:", "seconds are wanted"),
        ("a:b", "seconds are wanted"),
        ("-1:2", "seconds are wanted"),
        ("120:30", "120:30: 30 is below 120"),
        ("30:3601", "a latency is from 0 to 3600000 ms"),
    ],
)
def test_another_execution_is_one_line(text: str, says: str) -> None:
    with pytest.raises(LatencyError) as caught:
        execution_of(text)
    assert says in str(caught.value)
