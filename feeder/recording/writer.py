"""A recording being written: a directory of files, each a chain of small gzip members.

1. What was put is on the disk, fsynced, `flush_every_s` later plus what the disk takes, as one
   complete gzip member of JSON lines; so a kill costs at most what had waited, and `zcat` reads a
   file that is being written.
2. Nothing is ever appended to a file of an earlier process. Files are ordered by their number, not
   by a clock.
3. Each file has all that is needed to read it: it begins with `Started` and the markets that are
   followed. What the lines are is `feeder.recording.format`.
4. Writing happens in a thread of its own, one batch at a time. What waits for it is bounded; what
   does not fit is counted and leaves a `Lost` line, so it is never missing silently.
5. One process a directory at a time, by a lock that dies with it.
6. A recording may have a limit: its oldest files make room. While the disk is nearly full nothing
   is written, and what comes is counted as lost; once there is room, a new file begins.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import structlog

from feeder.recording.errors import RecordingError, UnusableDirectoryError
from feeder.recording.format import Lost, Record, encode_record
from feeder.recording.part_files import GZIP, part_files, part_name, part_number
from feeder.recording.room import FILES_MIN, FREE_BYTES_MIN, RecordingRoom

# Level 6 takes 16 us for a change of both books and writes 86 bytes of it, 3 takes 7 us and 98.
_LEVEL: Final = 6
_ROTATE_EVERY_S: Final = 3600
_NO_HOUR: Final = -1

_log = structlog.get_logger()


class WriterLimits(msgspec.Struct, frozen=True, kw_only=True):
    """When to write, and how much may wait."""

    flush_every_s: float = 0.25
    """A quarter of the second that a kill may cost; the rest is for a slow disk."""
    batch_bytes_max: int = 4 << 20
    """Lines that are written at once, before their time."""
    waiting_bytes_max: int = 32 << 20
    """Beside as much that is being written."""
    file_bytes_max: int = 256 << 20
    """Compressed; a new file begins after it, and with every hour."""
    total_bytes_max: int | None = None
    """Of all files of the directory, compressed: the oldest are deleted. None: no limit."""
    free_bytes_min: int = FREE_BYTES_MIN
    """With less free on the disk nothing is written."""

    @property
    def rotated_at_bytes(self) -> int:
        """When a new file begins: a limit is kept by deleting whole ones."""
        if self.total_bytes_max is None:
            return self.file_bytes_max
        return min(self.file_bytes_max, self.total_bytes_max // FILES_MIN)


class RecordingWriter:
    """`put` records; `run` writes them. Comes from `open_recording`."""

    def __init__(
        self,
        directory: Path,
        head: Callable[[int], Iterable[Record]],
        limits: WriterLimits,
        room: RecordingRoom,
        first: int,
    ) -> None:
        self._directory = directory
        self._head = head
        self._limits = limits
        self._room = room
        self._paused = False
        """There is no room on the disk."""
        self._first = first
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recording")
        self._writing: asyncio.Future[bool] | None = None
        self._full = asyncio.Event()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._waiting_since_ns = self._writing_since_ns = 0
        self._writing_lines = 0
        self._lost = 0
        self._lost_since_ns = 0
        self._path = directory
        self._file: BinaryIO | None = None
        self._file_bytes = 0
        self._file_hour = 0
        self.lost = 0
        """Records that did not fit, or for which the disk had no room, of this run."""
        self.written_bytes = 0
        """Compressed, of this run."""
        self.files = 0

    @property
    def deleted_files(self) -> int:
        """The oldest ones, which made room, of this run."""
        return self._room.deleted_files

    def put(self, record: Record) -> None:
        """Take a record, or count it as lost when the disk is too far behind, or full."""
        line = encode_record(record)
        lags = self._waiting_bytes + len(line) > self._limits.waiting_bytes_max
        if lags or self._paused:
            if not self._lost and lags:
                _log.warning("recording_lags", waiting_bytes=self._waiting_bytes)
            self._lose(1, record.at_ns)
            return
        self._record_lost(record.at_ns, record.mono_ns)
        self._append(line, record.at_ns)

    async def run(self) -> None:
        """Write until cancelled. Raises RecordingError when the disk refuses."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.flush_every_s):
                    await self._full.wait()
            self._full.clear()
            await self.flush()

    async def open(self) -> None:
        """Begin a file, if the disk has room. Raises UnusableDirectoryError."""
        try:
            await self._submit(self._begin_file(), [])
        except RecordingError as error:
            self._writing = None  # so that `close` does not raise it again
            raise UnusableDirectoryError(str(error)) from error

    async def close(self) -> None:
        """Write what waits. Raises RecordingError, that of an earlier write included."""
        try:
            if self._writing is not None:
                self._settle(await self._writing)
            self._record_lost(time.time_ns(), time.monotonic_ns())
            await self.flush()
        finally:
            self._thread.shutdown(wait=False)
            if self._file is not None:
                with suppress(OSError):  # everything was flushed, or has failed before
                    self._file.close()

    def _lose(self, records: int, at_ns: int) -> None:
        if not self._lost:
            self._lost_since_ns = at_ns
        self._lost += records
        self.lost += records

    def _append(self, line: bytes, at_ns: int) -> None:
        if not self._waiting:
            self._waiting_since_ns = at_ns
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        if self._waiting_bytes >= self._limits.batch_bytes_max:
            self._full.set()

    def _record_lost(self, at_ns: int, mono_ns: int) -> None:
        """Leave a line where records are missing."""
        if self._lost:
            lost = Lost(
                at_ns=at_ns, mono_ns=mono_ns, records=self._lost, since_ns=self._lost_since_ns
            )
            self._lost = 0
            self._append(encode_record(lost), at_ns)

    async def flush(self) -> None:
        """Write what waits now; not while `run` does. Raises RecordingError."""
        if self._paused and not await self._goes_on():
            return
        lines, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if not lines:
            return
        full = self._file_bytes >= self._limits.rotated_at_bytes
        head = self._begin_file() if full or _hour() != self._file_hour else []
        await self._submit(head, lines)

    async def _goes_on(self) -> bool:
        """Whether there is room again: for more than a moment, so that not every one is a line."""
        loop = asyncio.get_running_loop()
        wanted_bytes = self._limits.free_bytes_min // 4
        if not await loop.run_in_executor(self._thread, self._room.is_there, wanted_bytes):
            return False
        self._paused = False
        self._file_hour = _NO_HOUR  # the head of a new file has what was not written meanwhile
        _log.info("recording_goes_on", lost=self._lost)
        return True

    def _begin_file(self) -> list[bytes]:
        """The first lines of the next file."""
        self._file_bytes, self._file_hour = 0, _hour()
        return [encode_record(record) for record in self._head(self._first + self.files)]

    async def _submit(self, head: list[bytes], lines: list[bytes]) -> None:
        loop = asyncio.get_running_loop()
        self._writing_lines, self._writing_since_ns = len(lines), self._waiting_since_ns
        self._writing = loop.run_in_executor(self._thread, self._write, head, lines)
        # Shielded: a batch that waits for the thread must not vanish with a cancellation.
        self._settle(await asyncio.shield(self._writing))

    def _settle(self, written: bool) -> None:
        """After a write; when the disk had no room for it, what comes is lost until there is."""
        self._writing = None
        if written:
            return
        self._paused = True
        if self._writing_lines:
            self._lose(self._writing_lines, self._writing_since_ns)
        _log.warning("recording_paused", free_bytes_wanted=self._limits.free_bytes_min)

    def _write(self, head: list[bytes], lines: list[bytes]) -> bool:
        """In the thread: one member, in the next file when there is a head. False: no room."""
        member = _member(b"".join(head + lines))
        if not self._room.is_there(len(member)):
            return False
        self._room.make(len(member), keep=None if head else self._path)
        try:
            if head:
                if self._file is not None:
                    self._file.close()
                self._path = self._next_path()
                self._file = self._path.open("xb")
                self.files += 1
            assert self._file is not None  # noqa: S101 - `open` begins with a head
            self._file.write(member)
            self._file.flush()
            os.fsync(self._file.fileno())
            if head:
                _sync_directory(self._directory)
        except OSError as error:
            reason = error.strerror or error
            raise RecordingError(f"cannot write {self._path}: {reason}") from error
        self._room.took(self._path, len(member))
        self._file_bytes += len(member)
        self.written_bytes += len(member)
        return True

    def _next_path(self) -> Path:
        return self._directory / part_name(self._first + self.files)


@asynccontextmanager
async def open_recording(
    directory: Path,
    head: Callable[[int], Iterable[Record]],
    limits: WriterLimits = WriterLimits(),  # noqa: B008 - frozen
) -> AsyncIterator[RecordingWriter]:
    """A recording to write to while the context lasts; `writer.run()` has to run beside.

    `head(part)` are the first lines of a file, the first being its `Started`. Raises
    UnusableDirectoryError when the directory holds anything else, is being recorded into or cannot
    be written, RecordingError when that happens later.
    """
    lock, parts = _claim(directory)
    try:
        room = _room(directory, parts, limits)
        first = max(map(part_number, parts), default=0) + 1
        writer = RecordingWriter(directory, head, limits, room, first)
        try:
            await writer.open()
            yield writer
        finally:
            await writer.close()
    finally:
        os.close(lock)


def _member(lines: bytes) -> bytes:
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, GZIP)
    return deflate.compress(lines) + deflate.flush()


def _room(directory: Path, parts: list[Path], limits: WriterLimits) -> RecordingRoom:
    try:
        return RecordingRoom(directory, parts, limits.total_bytes_max, limits.free_bytes_min)
    except OSError as error:
        raise UnusableDirectoryError(
            f"cannot record into {directory}: {error.strerror or error}"
        ) from error


def _claim(directory: Path) -> tuple[int, list[Path]]:
    """(the lock's file descriptor, the files there) of a directory that is ours alone."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except FileExistsError as error:
        raise UnusableDirectoryError(
            f"cannot record into {directory}: it is not a directory"
        ) from error
    except OSError as error:
        raise UnusableDirectoryError(
            f"cannot record into {directory}: {error.strerror or error}"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        parts = part_files(directory)
        foreign = sorted(path.name for path in set(directory.iterdir()) - set(parts))
    except OSError as error:
        os.close(lock)
        busy = isinstance(error, BlockingIOError)
        why = "another process does so" if busy else error.strerror or error
        raise UnusableDirectoryError(f"cannot record into {directory}: {why}") from error
    if foreign:
        os.close(lock)
        raise UnusableDirectoryError(
            f"cannot record into {directory}: it holds something else ({foreign[0]})"
        )
    return lock, parts


def _sync_directory(directory: Path) -> None:
    """A new file's name survives a loss of power only with its directory."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _hour() -> int:
    return int(time.time()) // _ROTATE_EVERY_S
