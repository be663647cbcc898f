"""A recording whose recorder's clock was set, that has gaps, or that a stranger made."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backtest.replay.answers import Strategies
from backtest.replay.history import NotRemade
from backtest.replay.replay import ReplayReport, replay
from feeder.recording.format import Configured, Decided, Missed, Record, payload
from protocol.decision import decode_decision
from strategies.book_imbalance import BookImbalance
from strategies.interface import Hold, Signal
from strategies.view import MarketView
from tests.support import made_history as made


def replayed(path: Path, records: Iterable[Record], **own: Any) -> ReplayReport:
    return replay(made.write(path, records), Strategies(own))


def the_only(report: ReplayReport) -> NotRemade:
    (first,) = report.not_again_first
    return first


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_recorder_whose_clock_is_wrong_or_is_set_loses_no_decision(
    tmp_path: Path, hours: int
) -> None:
    records = made.history()
    half = len(records) // 2
    set_ = [
        msgspec.structs.replace(each, at_ns=each.at_ns + hours * 3_600 * 10**9)
        for each in records[half:]
    ]
    report = replayed(tmp_path, [*records[:half], *set_])
    assert (report.equal, report.not_again) == (report.decisions, {})


@pytest.mark.parametrize("place", [2, 6], ids=["before its first book", "a little after it"])
def test_books_that_the_recorder_missed_are_not_called_older_than_the_recording(
    tmp_path: Path, place: int
) -> None:
    at_ns = made.books(20)[-1].received_at_ns
    records = [each for each in made.history() if each.at_ns > at_ns or each.at_ns == 1]
    missed = Missed(at_ns=1, mono_ns=1, what="books", messages=0, since_ns=at_ns, why="away")
    records.insert(place, made.at(missed, records[place].at_ns))
    report = replayed(tmp_path, records)
    assert report.not_again["books_missing"] == report.missing > 0
    assert report.not_again.get("before_recording", 0) < 4


def test_a_strategy_that_ends_the_process_does_not(tmp_path: Path) -> None:
    class Leaving(BookImbalance):
        @staticmethod
        def decide(view: MarketView, parameters: Any, now_ms: int) -> Signal | Hold:
            raise SystemExit(0)

    report = replayed(tmp_path, made.history(), book_imbalance_crypto=Leaving)
    assert report.differences[0].again == "raises SystemExit: 0"
    assert report.accounts[0].holds == {"strategy_error": report.books}


def test_no_recording_chooses_a_file_to_run(tmp_path: Path) -> None:
    ran, file = tmp_path / "ran", tmp_path / "theirs.py"
    file.write_text(f"open({str(ran)!r}, 'w')\n")
    records = [
        made.configured(msgspec.structs.replace(made.row(), strategy=str(file)))
        if isinstance(each, Configured)
        else each
        for each in made.history()
    ]
    report = replayed(tmp_path, records)
    assert report.not_again == {"strategy_not_loaded": report.decisions}
    assert not ran.exists()


def test_another_decision_of_the_same_id_is_not_passed_over(tmp_path: Path) -> None:
    records = made.history()
    last = next(each for each in reversed(records) if isinstance(each, Decided))
    other = msgspec.structs.replace(decode_decision(payload(last)), spend_e6=7)
    report = replayed(tmp_path, [*records, made.decided(other)])
    assert report.not_again == {"unreadable": 1}
    assert the_only(report).text == "another decision has its id"


def test_a_memory_that_keeps_less_by_now_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = made.history()
    monkeypatch.setattr("strategies.memory.RECENT_MAX", 4)
    monkeypatch.setattr("strategies.memory.OLDER_APART_MS", 60_000)
    report = replayed(tmp_path, records)
    assert report.different
    assert report.unlike == {"memory": report.different}


def test_a_recorder_that_began_anew_was_away_before(tmp_path: Path) -> None:
    records = made.history()
    again = msgspec.structs.replace(records[0], run="b", at_ns=records[-1].at_ns)
    report = replayed(tmp_path, [*records, again])
    assert report.ok
    assert report.missed == ["all: the recorder began anew, and was away before"]
