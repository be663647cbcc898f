"""A recording read back: what is damaged is left out and reported, what is no recording refused."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from feeder.recording import reader as reader_module
from feeder.recording.errors import RecordingError
from feeder.recording.format import encode_record
from feeder.recording.reader import RecordingReader
from feeder.recording.writer import WriterLimits, open_recording
from tests.support.recording_files import (
    frames,
    head,
    only_file,
    payloads_in,
    record,
    started,
)


@pytest.mark.parametrize("kept", [1, 9, 20, -9, -1])
async def test_a_torn_tail_is_left_out_reported_and_never_appended_to(
    tmp_path: Path, kept: int
) -> None:
    await record(tmp_path, [b"first"])
    path = only_file(tmp_path)
    whole = path.stat().st_size
    torn = gzip.compress(encode_record(frames([b"second"])[0]))[:kept]
    with path.open("ab") as file:
        file.write(torn)

    reader = RecordingReader(tmp_path)
    assert payloads_in(reader) == [b"first"]
    (damage,) = reader.damages
    assert (damage.file, damage.offset, damage.bytes) == (path.name, whole, len(torn))

    await record(tmp_path, [b"third"])
    assert path.stat().st_size == whole + len(torn)
    assert payloads_in(RecordingReader(tmp_path)) == [b"first", b"third"]


async def test_a_flipped_bit_is_found_and_costs_the_rest_of_its_file(tmp_path: Path) -> None:
    async with open_recording(tmp_path, head) as writer:
        for each in frames([b"second", b"third"]):
            await writer.open()  # each in a file of its own
            writer.put(each)
    reader = RecordingReader(tmp_path)
    first = reader.files[0]
    content = bytearray(first.read_bytes())
    content[-12] ^= 1  # within the compressed lines: only the checksum can tell
    first.write_bytes(content)
    with pytest.raises(RecordingError, match="no recording"):
        list(RecordingReader(first))
    assert payloads_in(reader) == [b"second", b"third"]
    assert [each.file for each in reader.damages] == [first.name]


async def test_an_unreadable_line_costs_itself_only(tmp_path: Path) -> None:
    path = tmp_path / "any-name.gz"
    lines = [encode_record(started()), b'{"kind":"later"}\n', encode_record(frames([b"x"])[0])]
    path.write_bytes(b"".join(map(gzip.compress, lines)))
    reader = RecordingReader(path)
    assert payloads_in(reader) == [b"x"]
    assert reader.unreadable_lines == 1
    assert "any-name.gz, line 2" in reader.unreadable_line


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no complete line"),
        (b"plain text", "no complete line"),
        (gzip.compress(b"plain text\n"), "no line says so"),
        (gzip.compress(encode_record(frames([b"x"])[0])), "no line says so"),
        (gzip.compress(encode_record(started()).replace(b'"format":1', b'"format":2')), "format 2"),
    ],
    ids=["empty", "text", "zipped text", "headless", "another format"],  # gzip has times in it
)
def test_a_file_that_is_no_recording_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=says):
        list(RecordingReader(path))


def test_a_bomb_is_not_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "_MEMBER_BYTES_MAX", 1 << 20)
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(encode_record(started())) + gzip.compress(bytes(1 << 24)))
    reader = RecordingReader(path)
    assert len(list(reader)) == 1
    assert "in one piece" in reader.damages[0].why


def test_a_line_that_no_writer_makes_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feeder.recording.format.LINE_BYTES_MAX", 1_000)
    path = tmp_path / "a"
    lines = [encode_record(started()), *map(encode_record, frames([b"x" * 2_000, b"y"]))]
    path.write_bytes(gzip.compress(b"".join(lines)))
    reader = RecordingReader(path)
    assert payloads_in(reader) == [b"y"]
    assert "line 2: no record: longer than 1000 bytes" in reader.unreadable_line


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "part-000001-20231114T000000Z.jsonl.gz")
    with pytest.raises(RecordingError, match="a pipe, not a file"):
        list(RecordingReader(tmp_path))


def test_nothing_to_read_is_refused(tmp_path: Path) -> None:
    for path, says in ((tmp_path, "no file named"), (tmp_path / "absent", "No such file")):
        with pytest.raises(RecordingError, match=says):
            RecordingReader(path)


async def test_how_much_was_read_is_told(tmp_path: Path) -> None:
    async with open_recording(tmp_path, head, WriterLimits(file_bytes_max=1)) as writer:
        for each in frames([b"0", b"1", b"2"]):
            writer.put(each)
            await writer.flush()
    told: list[float] = []
    assert payloads_in(RecordingReader(tmp_path, tell=told.append)) == [b"0", b"1", b"2"]
    assert told == sorted(told)
    assert (len(told), told[-1]) == (4, 1.0)
