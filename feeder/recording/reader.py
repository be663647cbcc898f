"""A recording read back: its files in order, their complete gzip members, their lines.

1. A recording that is being written may be read: what is complete is there. A member that was cut
   (the torn tail) fails its checksum and is left out, as is what follows it in its file.
2. A line that is no record of this format costs itself only.
3. A member that inflates to more than the writer makes is damage: a bomb is not inflated.
4. A recording with a limit (`feeder.recording.room`) loses its oldest files, even while it is read.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from feeder.recording.errors import LineError, RecordingError
from feeder.recording.format import FORMAT, Record, Started, decode_record
from feeder.recording.part_files import GZIP, part_files, part_number

_READ_BYTES: Final = 1 << 18
_MEMBER_BYTES_MAX: Final = 256 << 20
"""The writer's batches are far smaller; a file that claims more is no recording of ours."""
_FRAME: Final = b'{"kind":"frame"'
"""How the writer's lines of frames begin."""


class Damage(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a file that cannot be read."""

    file: str
    offset: int
    bytes: int
    why: str


class RecordingReader:
    """Iterate over the records of a directory, or of one file, in the order they were written.

    The figures beside count what was iterated over so far. Raises RecordingError, here or while
    iterating. `without_frames` leaves the venue's frames out, which are nearly all of a recording.
    `tell` is called now and then with the share that was read, from 0 to 1.
    """

    def __init__(
        self,
        path: Path,
        *,
        without_frames: bool = False,
        tell: Callable[[float], None] | None = None,
    ) -> None:
        try:
            found = [path] if path.is_file() else part_files(path)
        except OSError as error:
            raise RecordingError(f"cannot read {path}: {error.strerror or error}") from error
        if not found:
            raise RecordingError(f"{path}: no recording: it has no file named part-*.jsonl.gz")
        self.path = path
        self.files = found
        self._without_frames = without_frames
        self._tell = tell
        self._size = 0 if tell is None else sum(map(_size_of, found))
        self.compressed_bytes = 0
        self.line_bytes = 0
        self.damages: list[Damage] = []
        self.deleted_files = 0
        """The oldest ones, which made room for newer ones; of one file alone, that is not asked."""
        if path != found[0]:
            self.deleted_files = part_number(found[0]) - 1
        self.unreadable_lines = 0
        self.unreadable_line = ""
        """Where the first one is, and why."""

    def __iter__(self) -> Iterator[Record]:
        begun = False
        for path in self.files:
            number = 0
            if not begun and path != self.files[-1] and path != self.path and not path.exists():
                self.deleted_files += 1  # meanwhile
                continue
            for member in self._members(path):
                self.line_bytes += len(member)
                if self._tell is not None and self._size:
                    # More than there was at the beginning: it is still being written.
                    self._tell(min(self.compressed_bytes / self._size, 1.0))
                for line in io.BytesIO(member):  # one by one: a member may be millions of them
                    number += 1
                    if self._without_frames and line.startswith(_FRAME):
                        continue
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
            if path.is_fifo():  # nobody may ever write to it
                raise RecordingError(f"cannot read {path}: a pipe, not a file")
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


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # whoever reads it says why


def _inflated(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """(content, offset of its end) of each complete member. Raises zlib.error at the first that is
    none."""
    inflate, parts, size, data = zlib.decompressobj(GZIP), [], 0, b""
    while data or (data := file.read(_READ_BYTES)):
        parts.append(inflate.decompress(data, _MEMBER_BYTES_MAX))
        size += len(parts[-1])
        if size >= _MEMBER_BYTES_MAX or inflate.unconsumed_tail:
            raise zlib.error(f"more than {_MEMBER_BYTES_MAX} bytes in one piece")
        data = inflate.unused_data
        if inflate.eof:
            yield b"".join(parts), file.tell() - len(data)
            inflate, parts, size = zlib.decompressobj(GZIP), [], 0
