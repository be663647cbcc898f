"""The tables: of repeats, and of two trees."""

from __future__ import annotations

import pytest
from rich.table import Table

from benchmarks import pipeline
from benchmarks.capacity import RateStep
from benchmarks.pipeline import LOADS, OURS, WHOLE, Measured, Run
from benchmarks.process_times import ProcessTimes
from benchmarks.report import (
    capacity_table,
    compared_table,
    figures_table,
    ratios_table,
    stages_table,
)


def run(whole_ms: float, *, cpu_s: float = 1.0, stage: str = "sign", signals: int = 2) -> Run:
    return {
        load: Measured(
            seconds=2.0,
            frames=1_000,
            signals=signals,
            stages_ms={WHOLE: [whole_ms, 3 * whole_ms], stage: [whole_ms / 10]},
            processes={"feeders": ProcessTimes(cpu_s, 0.0)},
        )
        for load in LOADS
    }


def cells(table: Table, row: str) -> list[str]:
    columns = [list(column.cells) for column in table.columns]
    number = columns[0].index(row)
    return [str(column[number]) for column in columns[1:]]


def test_of_each_stage_p50_and_p99_idle_and_loaded_stand_in_a_row() -> None:
    table = stages_table("ours", [run(1.0), run(2.0), run(3.0)])
    assert cells(table, "sign") == ["0.20 (0.15-0.25)"] * 4
    assert "idle 6 of 6" in str(table.title)


def test_how_many_times_as_long_is_said_of_each_repeat() -> None:
    table = ratios_table("ratios", [run(1.0), run(2.0)], {"script": [run(3.0), run(6.0)]})
    assert cells(table, "script") == ["3.00"] * 4


def test_two_trees_are_compared_stage_by_stage_and_by_processor_time() -> None:
    now, then = [run(1.0, cpu_s=0.5)], [run(2.0, cpu_s=1.0)]
    table = compared_table("main", now, then)
    assert cells(table, "sign") == ["0.50"] * 4
    assert cells(table, "CPU of feeders") == ["0.50", "", "0.50", ""]


def test_a_stage_or_a_process_that_one_tree_does_not_have_has_no_ratio() -> None:
    now, then = [run(1.0, stage="rehearse")], [run(2.0)]
    then[0]["idle"].processes.clear()
    table = compared_table("main", now, then)
    assert cells(table, "rehearse") == ["-"] * 4
    assert cells(table, "CPU of feeders")[0] == "-"


def test_figures_that_only_one_tree_has_are_shown_without_a_ratio() -> None:
    table = figures_table("f", {"today": [{"a": 1.0, "b": 4.0}], "main": [{"b": 8.0}]})
    assert cells(table, "b") == ["4.00", "8.00", "0.50"]
    assert cells(table, "a") == ["1.00", "-", "-"]


def test_a_repeat_whose_signals_got_no_order_is_told_of_above_its_figures() -> None:
    assert "REPEATS" not in str(stages_table("ours", [run(1.0)]).title)
    table = stages_table("ours", [run(1.0), run(1.0, signals=3)])
    assert "1 of 2 REPEATS WITH SIGNALS THAT GOT NO ORDER" in str(table.title)


def test_such_a_repeat_is_measured_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = [run(1.0), run(2.0, signals=3), run(3.0), run(4.0, signals=3), run(5.0, signals=3)]
    monkeypatch.setattr(pipeline, "_measure", lambda *_: _given(measured.pop(0)))
    said: list[str] = []
    runs = pipeline.run([OURS], seconds=1, repeats=3, progress=said.append)[OURS.name]
    assert [each["idle"].stages_ms[WHOLE][0] for each in runs] == [1.0, 3.0, 5.0]
    assert sum("once more" in each for each in said) == 2


async def _given(run: Run) -> Run:
    return run


def step(rate: float, handled: float, books: float, **lost: int) -> RateStep:
    none = {"leases_lost": 0, "connections_lost": 0, "cut_as_too_slow": 0, "books_doubted": 0}
    return RateStep(
        frames_per_s=rate,
        handled_per_s=handled,
        books_per_s=books,
        age_p50_ms=1.0,
        age_p99_ms=2.0,
        feeder_cores=0.5,
        feeder_us_a_line_frame=50.0,
        waited_us_a_line_frame=5.0,
        **{**none, **lost},
    )


def test_frames_that_are_handled_and_changes_that_are_published_are_told_apart() -> None:
    steps = [
        step(1_000, 990, 990),
        step(2_000, 1_990, 1_500),
        step(4_000, 3_990, 3_990, connections_lost=1),
        step(8_000, 7_990, 7_990),
    ]
    title = str(capacity_table("today", [steps]).title)
    assert title.endswith("handled up to 2,000/s, each change published up to 1,000/s")
    other = [step(each.frames_per_s, each.frames_per_s, each.frames_per_s) for each in steps]
    title = str(capacity_table("today", [other, other, steps]).title)
    assert title.endswith("handled up to 8,000/s, each change published up to 8,000/s")
    title = str(capacity_table("today", [[step(1_000, 600, 600)]]).title)
    assert title.endswith("handled up to no rate, each change published up to no rate")
