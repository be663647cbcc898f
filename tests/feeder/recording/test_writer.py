"""A recording on disk: what was put is there, whatever happens to the process and to the files."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import zlib
from pathlib import Path

import pytest

from feeder.recording import writer as writer_module
from feeder.recording.errors import RecordingError
from feeder.recording.format import Frame, Lost, Started, encode_record, payload
from feeder.recording.reader import RecordingReader
from feeder.recording.writer import WriterLimits, open_recording
from runtime.process import first_failure
from tests.support.recording_files import (
    frames,
    head,
    only_file,
    payloads_in,
    record,
    started,
)

ROOT = Path(__file__).parents[3]
PAYLOADS = [b'{"event_type":"book"}', b"PONG", b"\xff\x00\n", "ö\u2028".encode(), b""]


async def test_what_was_put_comes_back_in_order_and_byte_for_byte(tmp_path: Path) -> None:
    await record(tmp_path, PAYLOADS)
    reader = RecordingReader(tmp_path)
    assert payloads_in(reader) == PAYLOADS
    assert reader.damages == []
    assert reader.compressed_bytes == only_file(tmp_path).stat().st_size


async def test_standard_tools_read_it(tmp_path: Path) -> None:
    await record(tmp_path, PAYLOADS)
    process = await asyncio.create_subprocess_exec(
        "zcat", only_file(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    stdout, _ = await process.communicate()
    assert stdout.splitlines()[1:] == [encode_record(each).strip() for each in frames(PAYLOADS)]


async def test_each_flush_is_complete_and_can_be_read_while_writing_goes_on(tmp_path: Path) -> None:
    async with open_recording(tmp_path, head) as writer:
        for count, each in enumerate(frames(PAYLOADS), start=1):
            writer.put(each)
            await writer.flush()
            reader = RecordingReader(tmp_path)
            assert payloads_in(reader) == PAYLOADS[:count]
            assert reader.damages == []


async def test_a_full_file_is_followed_by_another_that_stands_for_itself(tmp_path: Path) -> None:
    async with open_recording(tmp_path, head, WriterLimits(file_bytes_max=1)) as writer:
        for each in frames(PAYLOADS):
            writer.put(each)
            await writer.flush()
    reader = RecordingReader(tmp_path)
    assert payloads_in(reader) == PAYLOADS
    assert len(reader.files) == 1 + len(PAYLOADS)
    for number, path in enumerate(reader.files[1:], start=2):
        begun, frame = RecordingReader(path)
        assert begun == started(part=number)
        assert isinstance(frame, Frame)


async def test_a_new_hour_begins_a_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_recording(tmp_path, head) as writer:
        before = writer_module._hour()
        monkeypatch.setattr(writer_module, "_hour", lambda: before + 1)
        writer.put(frames([b"later"])[0])
    assert [path.name[:11] for path in RecordingReader(tmp_path).files] == [
        "part-000001",
        "part-000002",
    ]


async def test_only_a_directory_of_its_own_will_do(tmp_path: Path) -> None:
    async def refused(directory: Path, says: str) -> None:
        with pytest.raises(RecordingError, match=says):
            await record(directory, [])

    (tmp_path / "notes.txt").touch()
    await refused(tmp_path, r"something else \(notes.txt\)")
    await refused(tmp_path / "notes.txt", "it is not a directory")
    await refused(tmp_path / "notes.txt" / "below", "Not a directory")
    async with open_recording(tmp_path / "new" / "own", head):
        await refused(tmp_path / "new" / "own", "another process does so")
    await record(tmp_path / "new" / "own", [])


async def test_a_disk_that_is_too_slow_leaves_a_count_and_bounded_memory(tmp_path: Path) -> None:
    line = len(encode_record(frames([b"0"])[0]))
    async with open_recording(tmp_path, head, WriterLimits(waiting_bytes_max=3 * line)) as writer:
        for each in frames([b"0", b"1", b"2", b"3", b"4"]):
            writer.put(each)  # nothing is written meanwhile
        assert writer.lost == 2
    records = list(RecordingReader(tmp_path))
    assert [payload(each) for each in records if isinstance(each, Frame)] == [b"0", b"1", b"2"]
    (lost,) = [each for each in records if isinstance(each, Lost)]
    assert (lost.records, lost.since_ns) == (2, 5)
    assert records[-1] is lost


async def test_the_count_of_what_is_missing_stands_where_it_is_missing(tmp_path: Path) -> None:
    line = len(encode_record(frames([b"0"])[0]))
    async with open_recording(tmp_path, head, WriterLimits(waiting_bytes_max=5 * line)) as writer:
        for each in frames([b"0", b"1", b"2", b"3", b"4", b"5", b"6"]):
            writer.put(each)
        await writer.flush()
        writer.put(frames([b"later"])[0])
    kinds = [payload(r) if isinstance(r, Frame) else type(r) for r in RecordingReader(tmp_path)]
    assert kinds == [Started, b"0", b"1", b"2", b"3", b"4", Lost, b"later"]


async def test_a_disk_that_refuses_ends_it_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(RecordingError, match=r"cannot write .*part-000001.*: No space left"):
        async with open_recording(tmp_path, head, WriterLimits(flush_every_s=0)) as writer:
            monkeypatch.setattr(os, "fsync", full)
            writer.put(frames([b"0"])[0])
            await first_failure(writer.run())


async def test_a_refusal_while_stopping_is_raised_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(RecordingError, match="No space left"):
        async with open_recording(tmp_path, head) as writer:
            monkeypatch.setattr(os, "fsync", full)
            writer.put(frames([b"0"])[0])


ENDLESS = """
import asyncio, pathlib, sys, time
from feeder.recording.format import frame_of
from feeder.recording.writer import open_recording
from tests.support.recording_files import head
from runtime.process import first_failure

async def put(writer):
    for number in range(10**9):
        now = time.time_ns()
        writer.put(frame_of(b"%d" % number, conn=1, at_ns=now, mono_ns=now))
        if number % 5 == 0:  # far from a full batch: time alone makes it write
            await asyncio.sleep(0.001)
            print(number, now, flush=True)

async def main():
    async with open_recording(pathlib.Path(sys.argv[1]), head) as writer:
        await first_failure(writer.run(), put(writer))

asyncio.run(main())
"""


async def test_a_kill_costs_at_most_the_last_second(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ENDLESS, str(tmp_path)), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    number = at_ns = begun_ns = 0
    while not begun_ns or at_ns - begun_ns < 1_700_000_000:
        number, at_ns = map(int, (await process.stdout.readline()).split())
        begun_ns = begun_ns or at_ns
    process.send_signal(signal.SIGKILL)
    await process.wait()

    found = [each for each in RecordingReader(tmp_path) if isinstance(each, Frame)]
    assert [payload(each) for each in found] == [b"%d" % i for i in range(len(found))]
    assert at_ns - found[-1].at_ns < 1_000_000_000
    assert len(found) > number / 4


def test_members_are_gzip() -> None:
    assert zlib.decompress(writer_module._member(b"lines"), 31) == b"lines"
