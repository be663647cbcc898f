"""Whole lines to stderr and stdout, which may be full, closed, or read by nobody.

Logs and metrics are said beside the work, so a line that cannot be written is counted and given
up: writing never raises, and never waits for long. Only an answer (`write_answer`) waits for its
reader.

1. A pipe that nobody reads is full after 64 KB and would block whoever writes. A line waits
   WAIT_MS for room, the next ones not at all until there is some again.
2. A pipe or a terminal is opened a second time for that (`/proc/self/fd`), because O_NONBLOCK on
   the descriptor that was given would be set for everybody who shares it. Where that is not
   allowed, a write that is no longer than PIPE_BUF follows a poll, which can only block if another
   process fills the pipe in between.
3. A line of at most PIPE_BUF bytes is never mixed with those of other processes (pipe(7)). One that
   broke off in the middle is ended before the next one begins.
4. Threads write one after the other, each a whole line. What a signal's handler or a destructor
   writes in the middle of a line of its own thread comes after that line.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
import threading
from typing import Any, Final, Literal

from runtime.addresses import origins

WAIT_MS: Final = 50
"""For a reader that is slow. It stops the event loop, so it is spent once, not with every line."""

LOCK_MAX_S: Final = 0.5
"""For another thread's line, which may wait for its reader with each of its parts."""
INTERRUPTIONS_MAX: Final = 16

COMPLAINT_MAX: Final = 2_000
"""Characters. A line on a terminal, not a page of a stranger's HTML."""
_STDERR_NUMBER: Final = 2


class Output:
    """`write` lines to `sys.stderr` or `sys.stdout`, whatever stands there at the moment."""

    def __init__(self, name: Literal["stderr", "stdout"]) -> None:
        self._name = name
        self.lost = 0
        """Lines that could not be written so far."""
        self._lock, self._pid = threading.RLock(), os.getpid()
        self._writing = False
        self._interruptions: list[str] = []
        """Lines that came in the middle of one."""
        self._stalled = False
        self._torn = False
        self._own: tuple[tuple[int, int, int], int] | None = None
        """Whose descriptor it is, and our own of the same."""

    def write(self, line: str) -> str | None:
        """Write a line; its end is added. Returns why that was not possible."""
        if self._pid != os.getpid():  # forked, perhaps while another thread was writing
            self._lock, self._pid, self._writing = threading.RLock(), os.getpid(), False
        if not self._lock.acquire(timeout=LOCK_MAX_S):
            self.lost += 1
            return "another line does not come to its end"
        try:
            if self._writing:  # by whoever has the lock: this very thread
                return self._interrupting(line)
            self._writing = True
            try:
                reason = self._tried(line)
                while self._interruptions:
                    self._tried(self._interruptions.pop(0))
                return reason
            finally:
                self._writing = False
        finally:
            self._lock.release()

    def _interrupting(self, line: str) -> str | None:
        if len(self._interruptions) < INTERRUPTIONS_MAX:
            self._interruptions.append(line)
            return None
        self.lost += 1
        return "too many lines in the middle of one"

    def _tried(self, line: str) -> str | None:
        try:
            self._write(getattr(sys, self._name), line)
        except Exception as error:  # noqa: BLE001 - whatever stands in a stream's place may raise it
            self.lost += 1
            reason = error.strerror if isinstance(error, OSError) else None
            return reason or f"{type(error).__name__}: {error}"
        return None

    def _write(self, stream: Any, line: str) -> None:
        try:
            descriptor = stream.fileno()
        except (OSError, AttributeError):  # no file: a test's, or None where it was never open
            stream.write(f"{line}\n")
            stream.flush()
            return
        # What a terminal's or a log's encoding lacks is none of our worries: it is UTF-8.
        left = memoryview(f"{line}\n".encode("utf-8", "backslashreplace"))
        if self._torn:
            left = memoryview(b"\n" + left)
        target = self._not_blocking(descriptor)
        asks_first = target == descriptor  # our own never blocks, and nearly always there is room
        while left:
            if asks_first:
                self._wait_for_room(target)
            part = left[: select.PIPE_BUF]
            try:
                written = os.write(target, part)
            except BlockingIOError:
                self._wait_for_room(target)
                written = os.write(target, part)
            self._stalled = False
            left = left[written:]
            self._torn = bool(left)

    def _wait_for_room(self, target: int) -> None:
        room = select.poll()
        room.register(target, select.POLLOUT)
        if not room.poll(0 if self._stalled else WAIT_MS):
            self._stalled = True
            raise BlockingIOError("nobody reads it")

    def _not_blocking(self, descriptor: int) -> int:
        """A descriptor of the same pipe or terminal that is ours alone; of a file, its own."""
        status = os.fstat(descriptor)
        if not (stat.S_ISFIFO(status.st_mode) or stat.S_ISCHR(status.st_mode)):
            return descriptor
        key = os.getpid(), status.st_dev, status.st_ino
        if self._own is None or self._own[0] != key:
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            try:
                self._own = key, os.open(f"/proc/self/fd/{descriptor}", flags)
            except OSError:  # a pipe of another user, no /proc
                self._own = key, descriptor
        return self._own[1]


STDERR: Final = Output("stderr")
STDOUT: Final = Output("stdout")


def hold_descriptors() -> None:
    """Where stdin, stdout or stderr was closed at start the next socket would have its number: a
    library's complaint would go into it, and libuv aborts when it closes such a one."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR_NUMBER:
        pass
    os.close(descriptor)


def write_answer(answer: str | bytes) -> OSError | None:
    """All of what a person or a script has asked for to stdout, which is waited for as long as it
    takes: a pager reads slowly. Returns why that was not possible; bytes are written as they are.

    Around Python's buffer, which would fail once more when the process ends.
    """
    stream = sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    data = answer.encode(encoding, "backslashreplace") if isinstance(answer, str) else answer
    try:
        try:
            descriptor = stream.fileno()
        except (OSError, AttributeError):  # no file: a test's, or None where it was never open
            if stream is not None:
                stream.write(data.decode(encoding))
            return None if stream is not None else OSError(errno.EBADF, os.strerror(errno.EBADF))
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(descriptor, left) :]
            except BlockingIOError:  # whoever gave it has made it so
                room = select.poll()
                room.register(descriptor, select.POLLOUT)
                room.poll()
    except OSError as error:
        return error
    return None


def one_line(text: str) -> str:
    """Text from anywhere as one line that moves no cursor: runs of white space and of what cannot
    be printed become a space, halves of characters their escape."""
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def complain(text: str) -> None:
    """One line on stderr for the person who started this process, cut to COMPLAINT_MAX; of a URL
    only scheme, host and port."""
    line = origins(one_line(text))
    STDERR.write(line if len(line) <= COMPLAINT_MAX else f"{line[:COMPLAINT_MAX]} ...")
