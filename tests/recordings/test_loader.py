"""The bundled recordings, and how a file is read."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path

import pytest

from recordings.loader import (
    BUNDLED,
    BundledRecordingError,
    LevelChange,
    Recording,
    Step,
    bundled,
    load,
    load_header,
    load_readable,
)

HEADER = {
    "format": 1,
    "slug": "btc-updown-15m-1",
    "condition_id": "0x01",
    "outcomes": ["Up", "Down"],
    "start_ms": 1_000,
    "end_ms": 901_000,
    "payouts": ["1", "0"],
    "source": "a test",
}


def write(path: Path, *lines: object) -> Path:
    path.write_bytes(gzip.compress("\n".join(json.dumps(line) for line in lines).encode()))
    return path


def test_the_bundle_is_small_and_attributed() -> None:
    files = bundled()
    assert len(files) == 18
    assert sum(path.stat().st_size for path in files) < 1_500_000
    attribution = (BUNDLED / "ATTRIBUTION.md").read_text()
    assert "CC BY 4.0" in attribution and "Resolved Markets" in attribution


@pytest.mark.parametrize("path", bundled(), ids=lambda path: path.name.split(".")[0])
def test_a_bundled_recording_is_whole(path: Path) -> None:
    recording = load(path)
    header, steps = recording.header, list(recording.steps())

    assert path.name == f"{header.slug}.jsonl.gz"
    assert header.end_ms - header.start_ms == 900_000
    assert sorted(recording.payouts) == [Decimal(0), Decimal(1)]
    times = [step.at_ms for step in steps]
    assert times == sorted(set(times))
    assert -60_000 <= times[0] < 0, "books are there before the window starts"
    assert 895_000 < times[-1] <= 900_000
    assert {change.outcome for change in steps[0].changes} == {0, 1}
    bids: list[dict[int, int]] = [{}, {}]
    asks: list[dict[int, int]] = [{}, {}]
    for step in steps:
        for change in step.changes:
            side = (bids if change.side == "BUY" else asks)[change.outcome]
            side.pop(change.price_e4, None)
            if change.size_e6:
                side[change.price_e4] = change.size_e6
        for outcome in (0, 1):
            assert max(bids[outcome], default=0) < min(asks[outcome], default=10_000), "crossed"
    # The books favour the winner at the end: the two belong together.
    winner = recording.payouts.index(Decimal(1))
    assert max(bids[winner], default=0) > max(bids[1 - winner], default=0)


def test_lines_become_steps_removals_first(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.gz",
        HEADER,
        [-5, [["0.4", "10.5"], ["0.6", "1"]], 1],
        [7, [["0.41", "2", "0.4", "0"], []], [[], ["0.123", "0.000001"]]],
        [8, None, [[], []]],
    )
    recording = load(path)
    assert recording.payouts == (Decimal(1), Decimal(0))
    assert list(recording.steps()) == [
        Step(
            -5,
            (
                LevelChange(0, "BUY", 4000, 10_500_000),
                LevelChange(0, "SELL", 6000, 1_000_000),
                LevelChange(1, "SELL", 6000, 10_500_000),
                LevelChange(1, "BUY", 4000, 1_000_000),
            ),
        ),
        Step(
            7,
            (
                LevelChange(0, "BUY", 4000, 0),
                LevelChange(0, "BUY", 4100, 2_000_000),
                LevelChange(1, "SELL", 1230, 1),
            ),
        ),
        Step(8, ()),
    ]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"not gzip", "not a recording"),
        (gzip.compress(b"", mtime=0), "not a recording"),
        (gzip.compress(b'{"format":1}', mtime=0), "not a recording"),
        (gzip.compress(json.dumps({**HEADER, "format": 2}).encode()), "format 2, expected 1"),
    ],
)
def test_a_file_that_is_not_a_recording(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(content)
    with pytest.raises(BundledRecordingError, match=text):
        load(path)


@pytest.mark.parametrize(
    "line", [[1], [1, None, 2], [1, [["0.5"], []], None], [1, [["1.5", "1"], []], 1], "x"]
)
def test_a_broken_line_is_named(tmp_path: Path, line: object) -> None:
    recording: Recording = load(write(tmp_path / "a.gz", HEADER, line))
    with pytest.raises(BundledRecordingError, match="btc-updown-15m-1: line 2"):
        list(recording.steps())


def test_of_a_cut_file_the_complete_lines_are_there(tmp_path: Path) -> None:
    whole = bundled()[0]
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(whole.read_bytes()[:-20_000])
    recording, damage = load_readable(path)
    assert "end-of-stream" in damage
    assert recording.lines == load(whole).lines[: len(recording.lines)]
    assert 100 < len(recording.lines) < len(load(whole).lines)
    assert load_header(path) == load_header(whole) == (recording.header, -59_997)
    with pytest.raises(BundledRecordingError, match=r"a\.jsonl\.gz: not a recording: .*end-of"):
        load(path)


def test_of_an_altered_file_the_lines_before_the_damage_are_there(tmp_path: Path) -> None:
    content = bytearray(bundled()[0].read_bytes())
    content[2_000] ^= 0x55  # the stream itself cannot be inflated beyond it
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(content)
    recording, damage = load_readable(path)
    whole = load(bundled()[0])
    assert damage and 10 < len(recording.lines) < 100
    assert recording.lines[:-1] == whole.lines[: len(recording.lines) - 1]
    with pytest.raises(BundledRecordingError, match="not a recording"):
        load(path)


def test_where_only_the_checksum_is_wrong_no_line_can_be_trusted(tmp_path: Path) -> None:
    content = bytearray(bundled()[0].read_bytes())
    content[30_000:30_010] = b"\xff" * 10
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(content)
    with pytest.raises(BundledRecordingError, match="its checksum is of another content"):
        load_readable(path)
    assert load_header(path)[0] == load_header(bundled()[0])[0]


def test_a_file_of_several_members_is_one(tmp_path: Path) -> None:
    lines = gzip.decompress(bundled()[0].read_bytes()).splitlines(keepends=True)
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(lines[:9])) + gzip.compress(b"".join(lines[9:])))
    assert load(path) == load(bundled()[0])
    path.write_bytes(path.read_bytes() + bytes(100))
    assert load(path) == load(bundled()[0])


def test_a_bomb_is_not_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recordings.loader._FILE_BYTES_MAX", 100_000)
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(HEADER).encode() + b"\n" + bytes(10_000_000)))
    recording, damage = load_readable(path)
    assert (recording.lines, damage) == ((), "more than 0 MB")


def test_a_header_without_moments(tmp_path: Path) -> None:
    assert load_header(write(tmp_path / "a.gz", HEADER))[1] is None
    assert load_header(write(tmp_path / "b.gz", HEADER, "x"))[1] is None
    with pytest.raises(BundledRecordingError, match="it is empty"):
        load_header(write(tmp_path / "c.gz"))
