"""Which part of a recording is read for one decision."""

from __future__ import annotations

import gzip
from pathlib import Path

import msgspec
import pytest

from executor.console.decision_reader import files_between, main, records_of
from executor.console.decision_search import seen_since_ms
from feeder.recording.errors import RecordingError
from feeder.recording.format import Record, Unfollowed, encode_record
from tests.support.account_builders import make_decision
from tests.support.recording_files import started

HOUR_MS = 3_600_000


def a_recording(folder: Path, *began_ms: int) -> Path:
    for number, at_ms in enumerate(began_ms, 1):
        records: list[Record] = [
            msgspec.structs.replace(started(), at_ns=at_ms * 10**6, part=number),
            *(
                Unfollowed(at_ns=(at_ms + s * 1_000) * 10**6, mono_ns=1, condition_id=str(s))
                for s in range(0, 3_600, 60)
            ),
        ]
        lines = b"".join(map(encode_record, records))
        (folder / f"part-{number:06}-20231114T000000Z.jsonl.gz").write_bytes(gzip.compress(lines))
    return folder


def numbers(files: list[Path]) -> list[int]:
    return [int(file.name[5:11]) for file in files]


def test_only_the_files_of_that_time_are_read(tmp_path: Path) -> None:
    recording = a_recording(tmp_path, *(hour * HOUR_MS for hour in range(1, 6)))
    assert numbers(files_between(recording, 3 * HOUR_MS, 3 * HOUR_MS + 1)) == [3]
    assert numbers(files_between(recording, 3 * HOUR_MS - 1, 3 * HOUR_MS + 1)) == [2, 3]
    assert numbers(files_between(recording, 1, 2)) == []
    assert numbers(files_between(recording, 5 * HOUR_MS, 99 * HOUR_MS)) == [5]
    (tmp_path / "part-000005-20231114T000000Z.jsonl.gz").write_bytes(b"")
    assert numbers(files_between(recording, 5 * HOUR_MS, 99 * HOUR_MS)) == [4]
    with pytest.raises(RecordingError, match="cannot read"):
        files_between(tmp_path / "nowhere", 1, 2)


def test_reading_ends_when_the_time_is_over(tmp_path: Path) -> None:
    (file,) = files_between(a_recording(tmp_path, HOUR_MS), HOUR_MS, HOUR_MS)
    records = list(records_of([file], HOUR_MS + 120_000))
    assert [each.condition_id for each in records if isinstance(each, Unfollowed)] == [
        "0",
        "60",
        "120",
    ]


def test_what_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_recording(tmp_path, HOUR_MS)
    assert main(str(tmp_path), "abcdef", 1, 2, []) == 3
    assert main(str(tmp_path), "abcdef", HOUR_MS, HOUR_MS + 5, []) == 3
    assert main(str(tmp_path / "x"), "abcdef", HOUR_MS, HOUR_MS + 5, []) == 3
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "the recording has nothing of that time"
    assert told[1].startswith("no decision in ")
    assert told[2].startswith("cannot read ")


@pytest.mark.parametrize(
    ("slug", "before_ms"),
    [
        ("btc-updown-15m-1790000000", 1_800_000),
        ("btc-updown-4h-1789990000", 10_060_000),
        ("btc-updown-4h-1000000000", 1_800_000),
        ("no-number", 1_800_000),
        ("9" * 256, 1_800_000),
    ],
)
def test_a_window_is_read_from_its_begin_on(slug: str, before_ms: int) -> None:
    decision = make_decision(slug=slug, decided_at_ms=1_790_000_000_000)
    assert seen_since_ms(decision) == 1_790_000_000_000 - before_ms
