"""A recording on disk: a directory of files, each a chain of small gzip members of JSON lines.

1. What was put is on the disk, fsynced, `flush_every_s` later plus what the disk takes, as one
   complete gzip member; so a kill costs at most what had waited, and `zcat` reads a file that is
   being written. A member that was cut (the torn tail) fails its checksum and is left out.
2. Nothing is ever appended to a file of an earlier process. Files are ordered by their number, not
   by a clock: `part-000001-20261122T190000Z.jsonl.gz`.
3. Each file tells all that is needed to read it: it begins with `Started` and the markets that are
   followed. What the lines are is `feeder.recording.format`.
4. Writing happens in a thread of its own, one batch at a time. What waits for it is bounded; what
   does not fit is counted and leaves a `Lost` line, so it is never missing silently.
5. One process a directory at a time, by a lock that dies with it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import structlog

from feeder.recording.format import (
    FORMAT,
    LineError,
    Lost,
    Record,
    Started,
    decode_record,
    encode_record,
)

_NAME: Final = re.compile(r"part-(\d{6,})-\d{8}T\d{6}Z\.jsonl\.gz")
_GZIP: Final = 31
"""zlib's window bits that mean a gzip header and trailer."""
# Level 6 takes 16 us for a change of both books and writes 86 bytes of it, 3 takes 7 us and 98.
_LEVEL: Final = 6
_READ_BYTES: Final = 1 << 18
_MEMBER_BYTES_MAX: Final = 256 << 20
"""The writer's batches are far smaller; a file that claims more is no recording of ours."""
_ROTATE_EVERY_S: Final = 3600

_log = structlog.get_logger()


class RecordingError(Exception):
    """A recording that cannot be begun, written or read; the text is one sentence with the path."""


class UnusableDirectoryError(RecordingError):
    """There is nothing wrong with the disk: another directory has to be given."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """When to write, and how much may wait."""

    flush_every_s: float = 0.25
    """A quarter of the second that a kill may cost; the rest is for a slow disk."""
    batch_bytes_max: int = 4 << 20
    """Lines that are written at once, before their time."""
    waiting_bytes_max: int = 32 << 20
    """Beside as much that is being written."""
    file_bytes_max: int = 256 << 20
    """Compressed; a new file begins after it, and with every hour."""


class Writer:
    """`put` records; `run` writes them. Comes from `open_recording`."""

    def __init__(
        self, directory: Path, head: Callable[[int], Iterable[Record]], limits: Limits, first: int
    ) -> None:
        self._directory = directory
        self._head = head
        self._limits = limits
        self._first = first
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recording")
        self._writing: asyncio.Future[None] | None = None
        self._full = asyncio.Event()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._lost = 0
        self._lost_since_ns = 0
        self._path = directory
        self._file: BinaryIO | None = None
        self._file_bytes = 0
        self._file_hour = 0
        self.lost = 0
        """Records that did not fit, of this run."""
        self.written_bytes = 0
        """Compressed, of this run."""
        self.files = 0

    def put(self, record: Record) -> None:
        """Take a record, or count it as lost when the disk is too far behind."""
        line = encode_record(record)
        if self._waiting_bytes + len(line) > self._limits.waiting_bytes_max:
            if not self._lost:
                self._lost_since_ns = record.at_ns
                _log.warning("recording_lags", waiting_bytes=self._waiting_bytes)
            self._lost += 1
            self.lost += 1
            return
        self._confess(record.at_ns, record.mono_ns)
        self._append(line)

    async def run(self) -> None:
        """Write until cancelled. Raises RecordingError when the disk refuses."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.flush_every_s):
                    await self._full.wait()
            self._full.clear()
            await self.flush()

    async def open(self) -> None:
        """Begin a file. Raises UnusableDirectoryError."""
        try:
            await self._submit(self._begin_file(), [])
        except RecordingError as error:
            self._writing = None  # told here
            raise UnusableDirectoryError(str(error)) from error

    async def close(self) -> None:
        """Write what waits. Raises RecordingError, that of an earlier write included."""
        try:
            if self._writing is not None:
                await self._writing
            self._confess(time.time_ns(), time.monotonic_ns())
            await self.flush()
        finally:
            self._thread.shutdown(wait=False)
            if self._file is not None:
                with suppress(OSError):  # everything was flushed, or has failed before
                    self._file.close()

    def _append(self, line: bytes) -> None:
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        if self._waiting_bytes >= self._limits.batch_bytes_max:
            self._full.set()

    def _confess(self, at_ns: int, mono_ns: int) -> None:
        """Leave a line where records are missing."""
        if self._lost:
            lost = Lost(
                at_ns=at_ns, mono_ns=mono_ns, records=self._lost, since_ns=self._lost_since_ns
            )
            self._lost = 0
            self._append(encode_record(lost))

    async def flush(self) -> None:
        """Write what waits now; not while `run` does. Raises RecordingError."""
        lines, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if not lines:
            return
        full = self._file_bytes >= self._limits.file_bytes_max
        head = self._begin_file() if full or _hour() != self._file_hour else []
        await self._submit(head, lines)

    def _begin_file(self) -> list[bytes]:
        """The first lines of the next file."""
        self._file_bytes, self._file_hour = 0, _hour()
        self.files += 1
        return [encode_record(record) for record in self._head(self._first + self.files - 1)]

    async def _submit(self, head: list[bytes], lines: list[bytes]) -> None:
        loop = asyncio.get_running_loop()
        self._writing = loop.run_in_executor(self._thread, self._write, head, lines)
        # Shielded: a batch that waits for the thread must not vanish because we are told to stop.
        await asyncio.shield(self._writing)
        self._writing = None

    def _write(self, head: list[bytes], lines: list[bytes]) -> None:
        """In the thread: one member, in the next file when there is a head."""
        member = _member(b"".join(head + lines))
        try:
            if head:
                if self._file is not None:
                    self._file.close()
                self._path = self._next_path()
                self._file = self._path.open("xb")
            assert self._file is not None  # noqa: S101 - `open` begins with a head
            self._file.write(member)
            self._file.flush()
            os.fsync(self._file.fileno())
            if head:
                _sync_directory(self._directory)
        except OSError as error:
            reason = error.strerror or error
            raise RecordingError(f"cannot write {self._path}: {reason}") from error
        self._file_bytes += len(member)
        self.written_bytes += len(member)

    def _next_path(self) -> Path:
        number = self._first + self.files - 1
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        return self._directory / f"part-{number:06}-{moment}.jsonl.gz"


@asynccontextmanager
async def open_recording(
    directory: Path,
    head: Callable[[int], Iterable[Record]],
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> AsyncIterator[Writer]:
    """A recording to write to while the context lasts; `writer.run()` has to run beside.

    `head(part)` are the first lines of a file, the first being its `Started`. Raises
    UnusableDirectoryError when the directory holds anything else, is being recorded into or cannot
    be written, RecordingError when that happens later.
    """
    lock, first = _claim(directory)
    try:
        writer = Writer(directory, head, limits, first)
        try:
            await writer.open()
            yield writer
        finally:
            await writer.close()
    finally:
        os.close(lock)


class Damage(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a file that cannot be read."""

    file: str
    offset: int
    bytes: int
    why: str


class Reading:
    """Iterate over the records of a directory, or of one file, in the order they were written.

    A recording that is being written may be read: what is there is told. The figures beside count
    what was iterated over so far. Raises RecordingError, here or while iterating.
    """

    def __init__(self, path: Path) -> None:
        try:
            found = [path] if path.is_file() else sorted(_parts(path), key=_number)
        except OSError as error:
            raise RecordingError(f"cannot read {path}: {error.strerror or error}") from error
        if not found:
            raise RecordingError(f"{path}: no recording: it has no file named part-*.jsonl.gz")
        self.path = path
        self.files = found
        self.compressed_bytes = 0
        self.line_bytes = 0
        self.damages: list[Damage] = []
        self.unreadable_lines = 0
        self.unreadable_line = ""
        """Where the first one is, and why."""

    def __iter__(self) -> Iterator[Record]:
        begun = False
        for path in self.files:
            number = 0
            for member in self._members(path):
                self.line_bytes += len(member)
                for line in member.splitlines():
                    number += 1
                    record = self._record(path, number, line)
                    if not begun and not isinstance(record, Started):
                        raise RecordingError(f"{path}: not a recording: no line says so")
                    begun = True
                    if record is not None:
                        yield record
        if not begun:
            raise RecordingError(f"{self.path}: no recording: there is no complete line in it")

    def _record(self, path: Path, number: int, line: bytes) -> Record | None:
        try:
            record = decode_record(line)
        except LineError as error:
            self.unreadable_lines += 1
            self.unreadable_line = self.unreadable_line or f"{path.name}, line {number}: {error}"
            return None
        if isinstance(record, Started) and record.format != FORMAT:
            raise RecordingError(f"{path}: format {record.format}, only {FORMAT} is known here")
        return record

    def _members(self, path: Path) -> Iterator[bytes]:
        """The complete members of a file; what comes after them is a damage."""
        try:
            with path.open("rb") as file:
                start = 0
                try:
                    for member, end in _inflated(file):
                        self.compressed_bytes += end - start
                        start = end
                        yield member
                    size, why = file.tell(), "a write was cut, or is under way"
                except zlib.error as error:
                    size, why = os.fstat(file.fileno()).st_size, str(error)
        except OSError as error:
            raise RecordingError(f"cannot read {path}: {error.strerror or error}") from error
        if size > start:
            self.damages.append(Damage(file=path.name, offset=start, bytes=size - start, why=why))


def _inflated(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """(content, offset of its end) of each complete member. Raises zlib.error at the first that is
    none."""
    inflate, parts, size, data = zlib.decompressobj(_GZIP), [], 0, b""
    while data or (data := file.read(_READ_BYTES)):
        parts.append(inflate.decompress(data, _MEMBER_BYTES_MAX))
        size += len(parts[-1])
        if size >= _MEMBER_BYTES_MAX or inflate.unconsumed_tail:
            raise zlib.error(f"more than {_MEMBER_BYTES_MAX} bytes in one piece")
        data = inflate.unused_data
        if inflate.eof:
            yield b"".join(parts), file.tell() - len(data)
            inflate, parts, size = zlib.decompressobj(_GZIP), [], 0


def _member(lines: bytes) -> bytes:
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return deflate.compress(lines) + deflate.flush()


def _parts(directory: Path) -> list[Path]:
    return [path for path in directory.iterdir() if _NAME.fullmatch(path.name)]


def _number(path: Path) -> int:
    found = _NAME.fullmatch(path.name)
    return int(found[1]) if found else 0


def _claim(directory: Path) -> tuple[int, int]:
    """(the lock's file descriptor, the next file's number) of a directory that is ours alone."""
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
        parts = _parts(directory)
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
    return lock, max(map(_number, parts), default=0) + 1


def _sync_directory(directory: Path) -> None:
    """A new file's name survives a loss of power only with its directory."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _hour() -> int:
    return int(time.time()) // _ROTATE_EVERY_S
