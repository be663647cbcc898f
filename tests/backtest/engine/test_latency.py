"""How long orders take."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.engine.assumptions import Polling, PollingError
from backtest.engine.latency import LATENCY_MAX_MS, Latency, LatencyError


@settings(max_examples=10, deadline=None)
@given(st.lists(st.floats(0, 5_000), min_size=1, max_size=40), st.text(max_size=20))
def test_a_draw_is_of_what_was_measured_and_depends_on_its_name_alone(
    samples_ms: list[float], what: str
) -> None:
    latency = Latency.measured("bench", samples_ms)
    draws = [latency.draw_ms(what, seed) for seed in (1, 2)]
    assert draws == [Latency.measured("bench", samples_ms).draw_ms(what, seed) for seed in (1, 2)]
    for drawn_ms in draws:
        assert round(min(samples_ms)) <= drawn_ms <= round(max(samples_ms))
    assert min(samples_ms) <= latency.median_ms <= max(samples_ms)


def test_many_draws_are_spread_as_they_are_said_to_be() -> None:
    latency = Latency.of_quantiles("said", [(0.5, 10.0), (0.9, 100.0), (1.0, 1_000.0)])
    drawn = sorted(latency.draw_ms(str(number), 1) for number in range(5_000))
    assert drawn[0] == 10
    assert drawn[2_500] <= 13
    assert 85 <= drawn[4_400] <= 100
    assert 900 <= drawn[-1] <= 1_000
    between = Latency.between(30_000, 120_000)
    mean = statistics.fmean(between.draw_ms(str(number), 1) for number in range(5_000))
    assert abs(mean - 75_000) < 1_500
    assert (between.name, between.median_ms) == ("30 to 120 s", 75_000)


@pytest.mark.parametrize("ms", [-1, math.nan, math.inf, LATENCY_MAX_MS + 1])
def test_what_is_no_latency_is_refused(ms: float) -> None:
    with pytest.raises(LatencyError, match=r"from 0 to|must rise"):
        Latency.constant(ms)


def test_quantiles_must_rise_to_one() -> None:
    with pytest.raises(LatencyError, match="from 0 to 1"):
        Latency.of_quantiles("x", [(0.5, 1.0), (0.9, 2.0)])
    with pytest.raises(LatencyError, match="must rise"):
        Latency.of_quantiles("x", [(0.5, 2.0), (1.0, 1.0)])
    with pytest.raises(LatencyError, match="from 0 to 1"):
        Latency.of_quantiles("x", [])
    with pytest.raises(LatencyError, match="no latency was measured"):
        Latency.measured("x", [])
    with pytest.raises(LatencyError, match="must rise"):
        Latency.between(2, 1)


@pytest.mark.parametrize("every_ms", [0, -1_000, 700, 1_500, 3_601_000])
def test_a_scanner_looks_every_so_many_whole_seconds(every_ms: int) -> None:
    with pytest.raises(PollingError, match="whole seconds"):
        Polling(every_ms=every_ms, execution=Latency.constant(0))
