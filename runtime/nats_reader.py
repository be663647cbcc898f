"""What nats-server sends, looked at in the call that reads the socket.

asyncio's reader keeps what arrives and wakes the task that waits for it, which is a turn of the
loop more: for a book that comes after a pause, 50 of the microseconds until its order. Where bytes
are whole messages and nobody is in the middle of anything else, they need no task. All else goes
the old way: parts of messages, what the server says of itself, whatever is encrypted.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Final, NamedTuple

# As a nats-server writes it, with a subject that anybody can read.
_MESSAGE: Final = re.compile(rb"MSG ([!-~]+) (\d{1,9}) (?:([!-~]+) )?(\d{1,9})\r\n")
_END: Final = len(b"\r\n")


class WholeMessage(NamedTuple):
    """One without headers."""

    subscription: int
    subject: str
    reply: str
    payload: bytes


class EarlyReader(asyncio.StreamReader):
    """Offers to `take` what arrives while `read` waits for it; keeps what that does not take."""

    def __init__(self, take: Callable[[bytes], bool], limit: int) -> None:
        super().__init__(limit=limit, loop=asyncio.get_running_loop())
        self._take = take
        self._waited_for = False

    async def read(self, n: int = -1) -> bytes:
        """As StreamReader's."""
        self._waited_for = True
        try:
            return await super().read(n)
        finally:
            self._waited_for = False

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # loops read bytes
        """As StreamReader's, for what is not taken."""
        if self._waited_for:
            if self._take(data):
                return
            self._waited_for = False  # from here on there is something unread
        super().feed_data(data)


def whole_messages(data: bytes) -> list[WholeMessage]:
    """All that is in `data`; empty where it holds anything else, or a part of one."""
    messages, at, length = [], 0, len(data)
    while at < length:
        found = _MESSAGE.match(data, at)
        if found is None:
            return []
        subject, number, reply, size = found.groups(b"")
        begin = found.end()
        end = begin + int(size)
        at = end + _END
        if at > length:
            return []
        messages.append(
            WholeMessage(int(number), subject.decode(), reply.decode(), data[begin:end])
        )
    return messages
