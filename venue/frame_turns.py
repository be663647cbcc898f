"""Frames on their way from a read of the socket to whoever takes them.

1. A frame is taken in the very call that brings it, if none waits and this turn of the event loop
   has had fewer than FRAMES_AT_ONCE_MAX: no queue and no task stands between.
2. All others wait, in order, and each turn has so many of them, or one if somebody is in a hurry:
   whoever sends, renews or pings must not stand still while more comes than can be taken.
3. A read cannot be stopped halfway, and may bring thousands. From FRAMES_WAITING_MAX on the socket
   is not read until all are taken, so that a venue that sends too much has to wait.
4. The end of the connection comes after the frames that came before it. What `take` raises, and
   `stop`, are an end at once. No frame is taken before `begin`.
5. Whoever takes frames is told when no other follows in the same call: when a read has no more, and
   when as many are taken as a turn has, whatever ended it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from venue.errors import ChannelLostError

FRAMES_AT_ONCE_MAX: Final = 16
FRAMES_WAITING_MAX: Final = 32
FRAMES_HELD_MAX: Final = 1 << 17
"""A read holds as many only if they are no frames of the venue's: a few bytes each."""
BEHIND_FRAMES: Final = 64
"""So many frames taken without having them all is more than a burst."""
# A socket that is read again brings what it has by the second turn, on any event loop.
_TURNS_OF_A_READ: Final = 2


class FrameTurns:
    """Of one connection. Whoever reads the socket calls `arrived`, `read_ends` and `close`."""

    def __init__(self, pause_reading: Callable[[], None], resume_reading: Callable[[], None]):
        self.ended: BaseException | None = None
        """Why no frame is taken any more."""
        self._loop = asyncio.get_running_loop()
        self._pause_reading, self._resume_reading = pause_reading, resume_reading
        self._paused = False
        self._waiting: deque[bytes] = deque()
        self._queueing = True
        """Whether frames wait for their turn, whoever brings them."""
        self._taken = 0
        """In this turn."""
        self._in_a_row = 0
        """Taken since a turn sufficed for all that had come."""
        self._looks = _TURNS_OF_A_READ
        """So many more turns may show that the socket has more."""
        self._closed: Exception | None = None
        self._on_end: Callable[[], None] = lambda: None
        self._on_taken: Callable[[], None] = lambda: None

    def begin(
        self,
        take: Callable[[bytes], None],
        on_end: Callable[[], None],
        on_behind: Callable[[bool], None] = lambda _: None,
        others_first: Callable[[], bool] = lambda: False,
        on_taken: Callable[[], None] = lambda: None,
    ) -> None:
        """From now on `take` gets each frame, and those that wait. `on_end` is called once, when
        `ended` says why; `on_behind` when more frames come than are taken, and when no more do.
        `others_first`: whether somebody is in a hurry, and is to have a turn after each frame.
        `on_taken` is called when no frame follows in this call, perhaps without one before."""
        self._take, self._on_end = take, on_end
        self._on_behind, self._others_first = on_behind, others_first
        self._on_taken = on_taken
        self._loop.call_soon(self._go_on if self.ended is None else on_end)

    def arrived(self, frame: bytes) -> None:
        """Take the frame, now or when it is its turn."""
        taken = self._taken
        try:
            if self._queueing or (taken and (taken >= FRAMES_AT_ONCE_MAX or self._others_first())):
                self._queue(frame)
                return
            self._taken = taken + 1
            if not taken:
                self._loop.call_soon(self._next_turn)
            self._take(frame)
        except BaseException as error:  # noqa: BLE001 - whoever asks for `ended` raises it
            self._end(error)

    def read_ends(self) -> None:
        """What arrives next is of another read."""
        try:
            self._on_taken()
        except BaseException as error:  # noqa: BLE001 - as above
            self._end(error)

    def close(self, why: Exception) -> None:
        """Nothing more will arrive: an end, as soon as all is taken."""
        if self._closed is None:
            self._closed = why
            if not self._queueing:
                self.read_ends()  # what that raises is the end, and no lost connection
                self._end(why)

    def stop(self) -> None:
        """Take nothing any more; nobody is told."""
        self._on_end = lambda: None
        self._end(ChannelLostError("given up"))

    def _queue(self, frame: bytes) -> None:
        if self.ended is not None:
            return
        waiting = self._waiting
        waiting.append(frame)
        if len(waiting) == FRAMES_WAITING_MAX:
            self._paused = True
            self._pause_reading()
        elif len(waiting) > FRAMES_HELD_MAX:
            self._end(ChannelLostError(f"more than {FRAMES_HELD_MAX} frames at once"))
        if not self._queueing:
            self._queueing, self._in_a_row, self._looks = True, self._taken, _TURNS_OF_A_READ
            self._loop.call_soon(self._go_on)
            self._on_taken()

    def _next_turn(self) -> None:
        self._taken = 0

    def _go_on(self) -> None:
        """One turn for what waits, until a read of the socket brings no more than a turn takes."""
        taken = self._take_turn()
        if self.ended is not None:
            return
        if self._waiting:
            self._looks = _TURNS_OF_A_READ
            self._in_a_row += taken
            if self._in_a_row >= BEHIND_FRAMES:
                self._on_behind(True)
        elif self._closed is not None:
            self._end(self._closed)
            return
        elif self._looks:
            self._looks -= 1
            self._read_on()
        else:
            self._queueing, self._taken = False, taken
            self._loop.call_soon(self._next_turn)
            self._on_behind(False)
            return
        self._loop.call_soon(self._go_on)

    def _take_turn(self) -> int:
        waiting, taken = self._waiting, 0
        try:
            while waiting and taken < FRAMES_AT_ONCE_MAX:
                taken += 1
                self._take(waiting.popleft())
                if waiting and self._others_first():
                    break
        except BaseException as error:  # noqa: BLE001 - as above
            self._end(error)
        self.read_ends()
        return taken

    def _read_on(self) -> None:
        if self._paused:
            self._paused = False
            self._resume_reading()

    def _end(self, why: BaseException) -> None:
        if self.ended is None:
            self.ended, self._queueing = why, True
            self._waiting.clear()
            self._read_on()  # else the end of the connection itself is never seen
            self._on_end()
