"""A recorded run is made again at its end, and fails where a decision is another one then."""

from __future__ import annotations

from pathlib import Path

from feeder.recording.format import Configured, Published
from sandbox.run.replayed import replayed
from sandbox.services import Options
from tests.support import made_history as made


def options(record: Path | None) -> Options:
    return Options(record=record, execution="paper")


def test_a_run_that_was_not_recorded_has_nothing_to_say() -> None:
    assert replayed(options(None)) == ([], [])


def test_all_equal_is_said(tmp_path: Path) -> None:
    made.write(tmp_path, made.history())
    lines, unlike = replayed(options(tmp_path))
    assert lines[0] == "replayed: 12 decisions: all equal"
    assert unlike == []


def test_what_differs_or_is_not_there_fails_the_run(tmp_path: Path) -> None:
    assert replayed(options(tmp_path / "none"))[1]
    tuned = made.configured(made.row(imbalance_min=0.99))
    for records in (
        [tuned if isinstance(each, Configured) else each for each in made.history()],
        [each for each in made.history() if not isinstance(each, Published)],
    ):
        made.write(tmp_path, records)
        (sentence,) = replayed(options(tmp_path))[1]
        assert sentence.startswith("made again from its own recording: ")
