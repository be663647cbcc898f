"""How much of the disk a recording takes: its oldest files make room, and a full disk pauses it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest

from feeder.recording.errors import RecordingError
from feeder.recording.format import Frame, Lost, Started, payload
from feeder.recording.reader import RecordingReader
from feeder.recording.room import FREE_BYTES_MIN
from feeder.recording.writer import RecordingWriter, WriterLimits, open_recording
from tests.support.recording_files import frames, head, payloads_in

LIMIT = 16_000
LIMITS = WriterLimits(total_bytes_max=LIMIT)
DRAWN = random.Random(4)
PAYLOADS = [DRAWN.randbytes(400).hex().encode() for _ in range(60)]
"""Which gzip makes little shorter."""


def files_in(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def size_of(directory: Path) -> int:
    return sum(path.stat().st_size for path in files_in(directory))


async def put_each(writer: RecordingWriter, payloads: Iterable[bytes]) -> None:
    for each in frames(payloads):
        writer.put(each)
        await writer.flush()


async def test_the_oldest_files_are_deleted_before_the_limit_is_passed(tmp_path: Path) -> None:
    sizes = []
    async with open_recording(tmp_path, head, LIMITS) as writer:
        for each in frames(PAYLOADS):
            writer.put(each)
            await writer.flush()
            sizes.append(size_of(tmp_path))
        assert writer.deleted_files > 3
    assert max(sizes) <= LIMIT
    assert min(sizes[30:]) > LIMIT // 2  # not more than it takes
    reader = RecordingReader(tmp_path)
    left = payloads_in(reader)
    assert left == PAYLOADS[-len(left) :]
    assert len(left) > 10
    assert reader.deleted_files == writer.deleted_files


async def test_what_an_earlier_run_left_counts_and_goes_first(tmp_path: Path) -> None:
    async with open_recording(tmp_path, head, WriterLimits(file_bytes_max=4_000)) as writer:
        await put_each(writer, PAYLOADS)
    before = size_of(tmp_path)
    assert before > 2 * LIMIT
    async with open_recording(tmp_path, head, LIMITS):
        assert size_of(tmp_path) <= LIMIT
    left = payloads_in(RecordingReader(tmp_path))
    assert left == PAYLOADS[-len(left) :]


async def test_the_file_that_is_written_is_never_deleted(tmp_path: Path) -> None:
    async with open_recording(tmp_path, head, WriterLimits(total_bytes_max=1)) as writer:
        await put_each(writer, PAYLOADS[:3])
        assert len(files_in(tmp_path)) == 1
    assert payloads_in(RecordingReader(tmp_path)) == PAYLOADS[2:3]


async def test_a_file_that_somebody_deleted_is_no_trouble(tmp_path: Path) -> None:
    async with open_recording(tmp_path, head, LIMITS) as writer:
        await put_each(writer, PAYLOADS[:10])
        files_in(tmp_path)[0].unlink()
        await put_each(writer, PAYLOADS[10:])
    assert size_of(tmp_path) <= LIMIT


async def test_a_file_that_cannot_be_deleted_ends_it_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(RecordingError, match=r"cannot delete .*part-000001.*not permitted"):
        async with open_recording(tmp_path, head, LIMITS) as writer:
            await put_each(writer, PAYLOADS)


async def test_a_file_that_is_deleted_while_it_is_read_is_counted(tmp_path: Path) -> None:
    async with open_recording(tmp_path, head, LIMITS) as writer:
        await put_each(writer, PAYLOADS[:10])
    reader = RecordingReader(tmp_path)
    assert (reader.deleted_files, len(reader.files) > 2) == (0, True)
    reader.files[0].unlink()
    assert payloads_in(reader)[-1] == PAYLOADS[9]
    assert reader.deleted_files == 1
    assert RecordingReader(reader.files[-1]).deleted_files == 0  # one file alone


class Disk:
    """What the disk has free; everything else is real."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = FREE_BYTES_MIN * 2
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=self.free))


async def test_a_disk_that_is_nearly_full_pauses_it_and_the_gap_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    async with open_recording(tmp_path, head) as writer:
        await put_each(writer, [b"0"])
        disk.free = FREE_BYTES_MIN
        await put_each(writer, [b"1", b"2"])
        disk.free = FREE_BYTES_MIN + 1_000  # room for a moment is none
        await put_each(writer, [b"3"])
        assert writer.lost == 3
        disk.free = FREE_BYTES_MIN * 2
        await writer.flush()
        await put_each(writer, [b"4"])
        assert writer.files == 2
    records = list(RecordingReader(tmp_path))
    said = [payload(each) if isinstance(each, Frame) else type(each) for each in records]
    assert said == [Started, b"0", Started, Lost, b"4"]
    (lost,) = [each for each in records if isinstance(each, Lost)]
    assert (lost.records, lost.since_ns) == (3, 2)


async def test_it_begins_on_a_full_disk_and_writes_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    disk.free = 0
    async with open_recording(tmp_path, head) as writer:
        await put_each(writer, [b"0"])
        assert not files_in(tmp_path)
        disk.free = FREE_BYTES_MIN * 2
        await writer.flush()
        await put_each(writer, [b"1"])
    records = list(RecordingReader(tmp_path))
    said = [payload(each) if isinstance(each, Frame) else type(each) for each in records]
    assert said == [Started, Lost, b"1"]


async def test_a_disk_that_stays_full_leaves_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    async with open_recording(tmp_path, head) as writer:
        await put_each(writer, [b"0"])
        disk.free = 0
        writer.put(frames([b"1"])[0])
    assert payloads_in(RecordingReader(tmp_path)) == [b"0"]
    assert writer.lost == 1
