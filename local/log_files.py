"""The log of one process: whole lines, in files whose size and number are bounded.

A log that cannot be written (disk full, directory gone) stops neither the process that speaks nor
whoever writes down what it says: lines are counted as lost, which is said once, and once more when
lines can be written again.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from local.setback import QUIET_S, Setback

FILE_BYTES_MAX: Final = 16 << 20
FILES_MAX: Final = 4
"""`worker-1.log` and the three before it: `worker-1.log.1` is the newest of them."""
_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


class LogFile:
    """`write` lines to `path`. Raises nothing."""

    def __init__(
        self,
        path: Path,
        say: Callable[[str], None] = lambda _: None,
        *,
        file_bytes_max: int | None = None,
        files_max: int = FILES_MAX,
        quiet_s: float = QUIET_S,
    ) -> None:
        self.path = path
        self._file_bytes_max = file_bytes_max
        """None: one file, of any size."""
        self._files_max = files_max
        self._descriptor: int | None = None
        self._size_bytes = 0
        self.lost = 0
        """Lines that could not be written."""
        self._told_lost = 0
        self._setback = Setback(say, quiet_s)

    def write(self, line: bytes) -> None:
        """Append one line; its end is added where it is missing."""
        try:
            self._write(line if line.endswith(b"\n") else line + b"\n")
        except OSError as error:
            self.lost += 1
            self._setback.failed(
                f"cannot write {self.path}: {error.strerror or error}; all else goes on"
            )
            self.close()
        else:
            self._setback.worked(self._recovered)

    def _recovered(self) -> str:
        lost, self._told_lost = self.lost - self._told_lost, self.lost
        return f"{self.path} is written again; lines lost meanwhile: {lost}"

    def close(self) -> None:
        """The next line opens it again."""
        if self._descriptor is not None:
            with suppress(OSError):  # what it has to say, the write has said
                os.close(self._descriptor)
            self._descriptor = None

    def tail(self, bytes_max: int = 64 << 10) -> list[str]:
        """The last lines of the newest file. Raises OSError."""
        with self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - bytes_max))
            return file.read(bytes_max).decode("utf-8", "replace").splitlines()

    def _write(self, line: bytes) -> None:
        descriptor = self._open()
        if self._is_full(len(line)):
            self.close()
            self._rotate()
            descriptor = self._open()
        written = os.write(descriptor, line)
        if written < len(line):  # the disk became full in the middle of it
            os.ftruncate(descriptor, self._size_bytes)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size_bytes += written

    def _is_full(self, more_bytes: int) -> bool:
        most = self._file_bytes_max
        return most is not None and self._size_bytes > 0 and self._size_bytes + more_bytes > most

    def _open(self) -> int:
        if self._descriptor is not None:
            return self._descriptor
        descriptor = os.open(self.path, _FLAGS, 0o600)
        try:
            about = os.fstat(descriptor)
            self._size_bytes = about.st_size if stat.S_ISREG(about.st_mode) else 0
            # Whoever wrote the last line may have been killed in the middle of it.
            if self._size_bytes and os.pread(descriptor, 1, self._size_bytes - 1) != b"\n":
                self._size_bytes += os.write(descriptor, b"\n")
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return descriptor

    def _rotate(self) -> None:
        for number in range(self._files_max - 1, 0, -1):
            older = self.path.with_name(f"{self.path.name}.{number}")
            newer = self.path.with_name(
                f"{self.path.name}.{number - 1}" if number > 1 else self.path.name
            )
            with suppress(FileNotFoundError):
                newer.replace(older)
