"""What a rolling replacement is judged by; a whole one is `make rolling`, and in `.ci/run`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from local.services import Service
from sandbox.rolling.report import (
    Pauses,
    RollingOutcome,
    ends_logged,
    longest_s,
    lost_leases,
    orders_in_flight,
    port_told,
    report,
)
from sandbox.rolling.run import generation, with_two_feeders
from tests.sandbox.test_audit import NOON_MS, audit_input, claim, entry

START_MS, END_MS = NOON_MS, NOON_MS + 30_000


def pauses_of(*times_ms: int) -> Pauses:
    pauses = Pauses()
    for now_ms in times_ms:
        pauses.saw("m1", START_MS, END_MS, NOON_MS + now_ms)
    return pauses


def test_the_longest_pause_of_a_market_counts_from_its_start() -> None:
    pauses = pauses_of(-5_000, 200, 250, 1_250)
    assert [(a - NOON_MS, b - NOON_MS) for a, b in pauses.of_one_ms] == [(0, 200), (250, 1_250)]
    assert longest_s(pauses.of_one_ms) == 1.0
    assert longest_s(pauses.of_all_ms) == 5.2


def test_only_pauses_that_overlap_a_handover_are_its_own() -> None:
    pauses = pauses_of(0, 1_000, 1_050, 3_050)
    assert longest_s(pauses.of_one_ms, [(NOON_MS + 900, NOON_MS + 1_040)]) == 1.0
    assert longest_s(pauses.of_one_ms, [(NOON_MS + 1_000, NOON_MS + 1_040)]) == 0.0


def test_a_pause_that_lasts_until_the_end_is_one_but_not_of_a_market_that_is_over() -> None:
    pauses = pauses_of(0)
    pauses.saw("m2", START_MS - 30_000, START_MS + 10, NOON_MS)
    pauses.close(NOON_MS + 4_000)
    assert pauses.of_one_ms == [(NOON_MS, NOON_MS + 4_000)]


def test_another_market_shortens_the_pause_of_all_but_not_of_one() -> None:
    pauses = pauses_of(0)
    pauses.saw("m2", START_MS, END_MS, NOON_MS + 500)
    pauses.saw("m1", START_MS, END_MS, NOON_MS + 1_000)
    assert longest_s(pauses.of_one_ms) == 1.0
    assert longest_s(pauses.of_all_ms) == 0.5


def log(path: Path, *lines: dict[str, object]) -> Path:
    text = [json.dumps({"timestamp": "2026-11-22T12:00:01Z"} | line) for line in lines]
    path.write_text("\n".join([*text, "Traceback (most recent call last):", '{"event": "cut']))
    return path


def test_orders_that_ended_after_the_word_to_stop_are_read_from_the_workers_log(
    tmp_path: Path,
) -> None:
    path = log(
        tmp_path / "worker-1.1.log",
        {"event": "executed", "order": "o0", "state": "open", "timestamp": "2026-11-22T11:59:59Z"},
        {"event": "executed", "order": "o1", "state": "open"},
        {"event": "refused", "order": "o2", "state": "released"},
        {"event": "refused", "order": "", "state": ""},  # no claim: nothing was under way
        {"event": "order_abandoned", "order": "o3"},  # one of these two
        {"event": "orders_abandoned", "count": 2},
    )
    assert ends_logged(path, NOON_MS) == (2, 2)


def test_a_process_tells_its_port_in_its_log(tmp_path: Path) -> None:
    path = log(tmp_path / "w.log", {"event": "started", "metrics_port": 4711})
    assert port_told(path, "started") == 4711
    assert port_told(path, "another") is None
    assert port_told(tmp_path / "none.log", "started") is None


def test_lost_leases_are_counted_over_all_feeders(tmp_path: Path) -> None:
    log(tmp_path / "feeder-1.1.log", {"event": "lease_lost"}, {"event": "lease_released"})
    log(tmp_path / "feeder-2.1.log", {"event": "lease_lost"})
    assert lost_leases(tmp_path) == 2


def test_orders_in_flight_are_read_from_the_metrics() -> None:
    assert (
        orders_in_flight("# TYPE worker_orders_in_flight gauge\nworker_orders_in_flight 2.0\n") == 2
    )
    assert orders_in_flight("") == 0


def test_there_are_two_feeders_and_each_generation_has_a_name() -> None:
    planned = [
        Service(name=name, module="m", started_event="e", env={}) for name in ("feeder", "worker-1")
    ]
    names = [service.name for service in with_two_feeders(planned)]
    assert names == ["feeder-1", "feeder-2", "worker-1"]
    assert generation(planned[1], 3).name == "worker-1.3"


def test_the_report_says_what_was_replaced_and_what_was_finished() -> None:
    outcome = RollingOutcome(
        replaced=Counter({"feeder-1": 2, "worker-1": 1}),
        starts_s={"feeder": [1.0, 2.0]},
        stops_s={"feeder": [0.1, 0.3]},
        pauses=pauses_of(0, 1_000),
        handovers_ms=[(NOON_MS, NOON_MS + 10)],
        lost_leases=0,
        under_way=1,
        finished=2,
        abandoned=0,
        converged_s=None,
        audits={"a": audit_input([entry(1)], [claim(1)], []), "b": audit_input([], [], [])},
        violations=[],
    )
    text = "\n".join(report(outcome))
    assert "replacements: 3 (2 feeder-1, 1 worker-1)" in text
    assert "feeder: healthy after at most 2.0 s, ended at most 0.3 s after SIGTERM" in text
    assert "handed over: 1.00 s of one market" in text
    assert "orders ended after SIGTERM: 2, abandoned: 0" in text
    assert "a: venue: 1 orders matched" in text
    assert "b: venue: 0 orders matched" in text
    assert "not converged" in text
