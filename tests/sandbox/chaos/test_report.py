"""Which orders count as lost with their worker, and how long they took to be recorded."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from functions.core.claim import ClaimState
from sandbox.chaos.claim_watch import ClaimWatch, Sighting
from sandbox.chaos.report import executed_orders, lost_spans_s, recording_line, report
from sandbox.chaos.run import ChaosOutcome, untested
from tests.sandbox.test_audit import NOON_MS, audit_input, claim, entry

POSTED_MS = NOON_MS + 5


def outcome(*, recorded_ms: int, kills_ms: list[int], seen: bool = True) -> ChaosOutcome:
    """One order, matched 5 ms after its POST."""
    watch = ClaimWatch("http://127.0.0.1:1", "account")
    if seen:
        watch.orders["o1"] = Sighting(claimed_ms=POSTED_MS, recorded_ms=recorded_ms)
    return ChaosOutcome(
        seed=1,
        duration_s=1,
        audits={
            "quiet": audit_input([], [], []),
            "account": audit_input([entry(1, matched_at_ms=POSTED_MS + 5)], [claim(1)], []),
        },
        watches={"account": watch, "quiet": ClaimWatch("http://127.0.0.1:1", "quiet")},
        kills=Counter({"worker-1": 2, "nats": 1}),
        stops=Counter(),
        ambushes=0,
        worker_kills_ms=kills_ms,
        store_faults=Counter(),
        store_requests=9,
        venue_faults=Counter(drop_after=1),
        retuned=5,
        lowered=2,
        not_known=1,
        converged_s=1.0,
        violations=[],
    )


def test_the_time_runs_from_the_match_to_the_record() -> None:
    given = outcome(recorded_ms=POSTED_MS + 2_005, kills_ms=[POSTED_MS + 10])
    assert lost_spans_s(given, set()) == [2.0]
    assert recording_line(given, set()).endswith("p50 2.0 s, p99 2.0 s, max 2.0 s")


def test_an_order_that_a_worker_told_of_was_not_lost() -> None:
    given = outcome(recorded_ms=POSTED_MS + 2_005, kills_ms=[POSTED_MS + 10])
    assert lost_spans_s(given, {"o1"}) == []


@pytest.mark.parametrize("kill_ms", [POSTED_MS - 1, POSTED_MS + 3_000])
def test_an_order_recorded_while_no_worker_was_killed_is_left_out(kill_ms: int) -> None:
    given = outcome(recorded_ms=POSTED_MS + 2_005, kills_ms=[kill_ms])
    assert lost_spans_s(given, set()) == []


@pytest.mark.parametrize("seen", [True, False])
def test_an_order_that_was_never_recorded_took_for_ever(seen: bool) -> None:
    given = outcome(recorded_ms=0, kills_ms=[], seen=seen)
    assert lost_spans_s(given, set()) == [float("inf")]


def test_a_run_without_kills_or_lowered_limits_proves_nothing() -> None:
    assert untested(Counter({"nats": 1}), lowered=1, duration_s=60) == []
    assert untested(Counter(), lowered=1, duration_s=60) == ["nothing was killed"]
    assert len(untested(Counter(), lowered=0, duration_s=60)) == 2
    assert untested(Counter({"nats": 1}), lowered=0, duration_s=30) == []


def test_orders_told_are_read_from_the_workers_logs(tmp_path: Path) -> None:
    (tmp_path / "worker-1.log").write_text(
        '{"order": "o1", "event": "executed"}\n{"order": "o2", "event": "refused"}\n'
        '{"order": "o3", "event": "executed"'  # killed while it wrote
    )
    (tmp_path / "schedule.log").write_text('{"order": "o4", "event": "executed"}\n')
    assert executed_orders(tmp_path) == {"o1"}


def test_the_report_counts_what_was_done(tmp_path: Path) -> None:
    text = "\n".join(report(outcome(recorded_ms=POSTED_MS + 2_005, kills_ms=[]), tmp_path))
    assert "kills: 3 (2 worker-1, 1 nats)" in text
    assert "faults of the venue: 1 drop_after" in text
    assert "faults of the store: none in 9 requests" in text
    assert "configurations: 5 changes, 2 of them fewer positions; not known of 1 more" in text
    assert "account: venue: 1 orders matched" in text


def test_the_watch_notes_when_each_order_was_first_seen_recorded() -> None:
    watch, claimed = ClaimWatch("http://127.0.0.1:1", "account"), []
    for now_ms, state in (
        (1, ClaimState.CLAIMED),
        (2, ClaimState.UNKNOWN),
        (3, ClaimState.OPEN),
        (4, ClaimState.SETTLED),
    ):
        claimed += watch.saw(audit_input([], [claim(1, state=state)], []).account, now_ms)
    assert watch.orders["o1"] == Sighting(claimed_ms=1, recorded_ms=3, state=ClaimState.SETTLED)
    assert claimed == [claim(1, state=ClaimState.CLAIMED)]


def test_a_claim_that_ended_between_two_looks_is_recorded_when_it_is_gone() -> None:
    watch = ClaimWatch("http://127.0.0.1:1", "account")
    watch.saw(audit_input([], [claim(1, state=ClaimState.CLAIMED)], []).account, 1)
    watch.saw(audit_input([], [], []).account, 2)
    assert watch.orders["o1"].recorded_ms == 2
