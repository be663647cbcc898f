"""A recording on disk: what was put is there, whatever happens to the process and to the files."""

from __future__ import annotations

import asyncio
import gzip
import os
import signal
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from feeder.recording import files
from feeder.recording.files import Limits, Reading, RecordingError, open_recording
from feeder.recording.format import Frame, Lost, Record, Started, encode_record, frame_of, payload
from runtime.process import first_failure

ROOT = Path(__file__).parents[3]
PAYLOADS = [b'{"event_type":"book"}', b"PONG", b"\xff\x00\n", "ö\u2028".encode(), b""]


def started(part: int = 1) -> Started:
    return Started(
        at_ns=1,
        mono_ns=1,
        format=1,
        run="a",
        part=part,
        market_ws_url="ws://127.0.0.1:1",
        gamma_url="http://127.0.0.1:1",
        series=("btc-15m",),
    )


def head(part: int) -> Iterator[Record]:
    yield started(part)


def frames(payloads: Iterable[bytes]) -> list[Frame]:
    return [frame_of(each, conn=1, at_ns=i, mono_ns=i) for i, each in enumerate(payloads, start=2)]


async def record(directory: Path, payloads: Iterable[bytes], limits: Limits = Limits()) -> None:  # noqa: B008
    async with open_recording(directory, head, limits) as writer:
        for each in frames(payloads):
            writer.put(each)


def payloads_in(reading: Reading) -> list[bytes]:
    return [payload(each) for each in reading if isinstance(each, Frame)]


def only_file(directory: Path) -> Path:
    (path,) = directory.iterdir()
    return path


async def test_what_was_put_comes_back_in_order_and_byte_for_byte(tmp_path: Path) -> None:
    await record(tmp_path, PAYLOADS)
    reading = Reading(tmp_path)
    assert payloads_in(reading) == PAYLOADS
    assert reading.damages == []
    assert reading.compressed_bytes == only_file(tmp_path).stat().st_size


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
            reading = Reading(tmp_path)
            assert payloads_in(reading) == PAYLOADS[:count]
            assert reading.damages == []


async def test_a_full_file_is_followed_by_another_that_stands_for_itself(tmp_path: Path) -> None:
    async with open_recording(tmp_path, head, Limits(file_bytes_max=1)) as writer:
        for each in frames(PAYLOADS):
            writer.put(each)
            await writer.flush()
    reading = Reading(tmp_path)
    assert payloads_in(reading) == PAYLOADS
    assert len(reading.files) == 1 + len(PAYLOADS)
    for number, path in enumerate(reading.files[1:], start=2):
        begun, frame = Reading(path)
        assert begun == started(part=number)
        assert isinstance(frame, Frame)


async def test_a_new_hour_begins_a_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_recording(tmp_path, head) as writer:
        before = files._hour()
        monkeypatch.setattr(files, "_hour", lambda: before + 1)
        writer.put(frames([b"later"])[0])
    assert [path.name[:11] for path in Reading(tmp_path).files] == ["part-000001", "part-000002"]


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

    reading = Reading(tmp_path)
    assert payloads_in(reading) == [b"first"]
    (damage,) = reading.damages
    assert (damage.file, damage.offset, damage.bytes) == (path.name, whole, len(torn))

    await record(tmp_path, [b"third"])
    assert path.stat().st_size == whole + len(torn)
    assert payloads_in(Reading(tmp_path)) == [b"first", b"third"]


async def test_a_flipped_bit_is_found_and_costs_the_rest_of_its_file(tmp_path: Path) -> None:
    async with open_recording(tmp_path, head) as writer:
        for each in frames([b"second", b"third"]):
            await writer.open()  # each in a file of its own
            writer.put(each)
    reading = Reading(tmp_path)
    first = reading.files[0]
    content = bytearray(first.read_bytes())
    content[-12] ^= 1  # within the compressed lines: only the checksum can tell
    first.write_bytes(content)
    with pytest.raises(RecordingError, match="no recording"):
        list(Reading(first))
    assert payloads_in(reading) == [b"second", b"third"]
    assert [each.file for each in reading.damages] == [first.name]


async def test_an_unreadable_line_costs_itself_only(tmp_path: Path) -> None:
    path = tmp_path / "any-name.gz"
    lines = [encode_record(started()), b'{"kind":"later"}\n', encode_record(frames([b"x"])[0])]
    path.write_bytes(b"".join(map(gzip.compress, lines)))
    reading = Reading(path)
    assert payloads_in(reading) == [b"x"]
    assert reading.unreadable_lines == 1
    assert "any-name.gz, line 2" in reading.unreadable_line


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
        list(Reading(path))


def test_a_bomb_is_not_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_MEMBER_BYTES_MAX", 1 << 20)
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(encode_record(started())) + gzip.compress(bytes(1 << 24)))
    reading = Reading(path)
    assert len(list(reading)) == 1
    assert "in one piece" in reading.damages[0].why


def test_nothing_to_read_is_refused(tmp_path: Path) -> None:
    for path, says in ((tmp_path, "no file named"), (tmp_path / "absent", "No such file")):
        with pytest.raises(RecordingError, match=says):
            Reading(path)


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
    async with open_recording(tmp_path, head, Limits(waiting_bytes_max=3 * line)) as writer:
        for each in frames([b"0", b"1", b"2", b"3", b"4"]):
            writer.put(each)  # nothing is written meanwhile
        assert writer.lost == 2
    records = list(Reading(tmp_path))
    assert [payload(each) for each in records if isinstance(each, Frame)] == [b"0", b"1", b"2"]
    (lost,) = [each for each in records if isinstance(each, Lost)]
    assert (lost.records, lost.since_ns) == (2, 5)
    assert records[-1] is lost


async def test_the_count_of_what_is_missing_stands_where_it_is_missing(tmp_path: Path) -> None:
    line = len(encode_record(frames([b"0"])[0]))
    async with open_recording(tmp_path, head, Limits(waiting_bytes_max=5 * line)) as writer:
        for each in frames([b"0", b"1", b"2", b"3", b"4", b"5", b"6"]):
            writer.put(each)
        await writer.flush()
        writer.put(frames([b"later"])[0])
    kinds = [payload(r) if isinstance(r, Frame) else type(r) for r in Reading(tmp_path)]
    assert kinds == [Started, b"0", b"1", b"2", b"3", b"4", Lost, b"later"]


async def test_a_disk_that_refuses_ends_it_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(RecordingError, match=r"cannot write .*part-000001.*: No space left"):
        async with open_recording(tmp_path, head, Limits(flush_every_s=0)) as writer:
            monkeypatch.setattr(os, "fsync", full)
            writer.put(frames([b"0"])[0])
            await first_failure(writer.run())


async def test_a_refusal_while_stopping_is_told_too(
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
from feeder.recording.files import Limits, open_recording
from tests.feeder.recording.test_files import head, frame_of
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

    found = [each for each in Reading(tmp_path) if isinstance(each, Frame)]
    assert [payload(each) for each in found] == [b"%d" % i for i in range(len(found))]
    assert at_ns - found[-1].at_ns < 1_000_000_000
    assert len(found) > number / 4


def test_members_are_gzip() -> None:
    assert zlib.decompress(files._member(b"lines"), 31) == b"lines"
