"""A websocket of the venue: opened, written to, given up. Both channels live on one."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect

OPEN_TIMEOUT_S: Final = 10
SEND_TIMEOUT_S: Final = 5
CLOSE_TIMEOUT_S: Final = 1
# The market channel's first frame carries whole books of up to 200 tokens, about 10 KB each.
FRAME_BYTES_MAX: Final = 16 << 20
# Frames that wait in the client while the loop is busy; beyond that the socket is not read.
FRAMES_WAITING_MAX: Final = 32

# At level DEBUG the library logs frames, and the user channel's first one holds credentials.
_frames_log: Final = logging.getLogger("venue.websocket")
_frames_log.setLevel(logging.WARNING)


class ChannelLostError(ConnectionError):
    """A connection came to its end, or we gave it up; the text says why."""


def open_websocket(url: str) -> connect:
    """`async with open_websocket(url) as websocket`. Raises OSError, TimeoutError or
    WebSocketException when it cannot be opened."""
    return connect(
        url,
        compression=None,
        proxy=None,
        open_timeout=OPEN_TIMEOUT_S,
        close_timeout=CLOSE_TIMEOUT_S,
        ping_interval=None,  # the venue wants text PINGs
        max_size=FRAME_BYTES_MAX,
        max_queue=FRAMES_WAITING_MAX,
        logger=_frames_log,
    )


async def send(websocket: ClientConnection, message: dict[str, object] | str) -> None:
    """Raises TimeoutError when the venue does not read, ConnectionClosed when it is gone."""
    text = message if isinstance(message, str) else msgspec.json.encode(message).decode()
    async with asyncio.timeout(SEND_TIMEOUT_S):
        await websocket.send(text)
