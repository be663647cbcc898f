"""How much of the disk a recording may take: what is oldest makes room for what is new.

1. With `bytes_max` the recording never takes more: before a write its oldest files are deleted,
   never the one that is written.
2. With less than `free_bytes_min` free there is no room for anything: others need the disk, too.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import structlog

from feeder.recording.errors import RecordingError

FREE_BYTES_MIN: Final = 256 << 20
FILES_MIN: Final = 8
"""A recording with a limit has about so many files at least, so that little goes at a time."""

_log = structlog.get_logger()


class RecordingRoom:
    """Of a directory with the files `parts`, oldest first. Blocks: for the writer's thread."""

    def __init__(
        self, directory: Path, parts: Iterable[Path], bytes_max: int | None, free_bytes_min: int
    ) -> None:
        """Raises OSError."""
        self._directory = directory
        self._bytes_max = bytes_max
        self._free_bytes_min = free_bytes_min
        self._files = deque((path, path.stat().st_size) for path in parts)
        self._bytes = sum(size for _, size in self._files)
        self.deleted_files = 0
        """Of this run."""

    def is_there(self, wanted_bytes: int) -> bool:
        """Whether the disk has room for so much. Raises RecordingError."""
        try:
            free_bytes = shutil.disk_usage(self._directory).free
        except OSError as error:
            raise RecordingError(
                f"cannot write to {self._directory}: {error.strerror or error}"
            ) from error
        return free_bytes - wanted_bytes >= self._free_bytes_min

    def make(self, wanted_bytes: int, *, keep: Path | None) -> None:
        """Delete the oldest files until so much more fits. Raises RecordingError."""
        if self._bytes_max is None:
            return
        deleted, freed_bytes = 0, 0
        while self._files and self._bytes + wanted_bytes > self._bytes_max:
            path, size = self._files[0]
            if path == keep:
                break
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise RecordingError(
                    f"cannot delete {path}, to keep the recording below its limit: "
                    f"{error.strerror or error}"
                ) from error
            self._files.popleft()
            self._bytes -= size
            deleted, freed_bytes = deleted + 1, freed_bytes + size
        if deleted:
            self.deleted_files += deleted
            _log.info(
                "recording_shortened",
                deleted_files=deleted,
                deleted_bytes=freed_bytes,
                limit_bytes=self._bytes_max,
            )

    def took(self, path: Path, size: int) -> None:
        """So much more was written to `path`, the newest file."""
        if self._files and self._files[-1][0] == path:
            path, before = self._files.pop()
            self._files.append((path, before + size))
        else:
            self._files.append((path, size))
        self._bytes += size
