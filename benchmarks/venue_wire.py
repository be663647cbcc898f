"""Frames on the simulated venue's sockets at once: past its queues and its tasks.

So a frame can be timed from its write, and be sent faster than the venue itself could write it.
A reader with more than WAITING_BYTES_MAX unread is cut off, as the simulated venue does it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from sandbox.simulator.market_faults import MarketConnection

WAITING_BYTES_MAX: Final = 4096 * 700
"""The venue's 4,096 frames, at 700 bytes each."""


def unmasked(payload: bytes) -> bytes:
    """A text frame of a server (RFC 6455, 5.2), of at most 64 KB."""
    length = len(payload)
    if length < 126:
        return struct.pack("!BB", 0x81, length) + payload
    return struct.pack("!BBH", 0x81, 126, length) + payload


def write_at_once(connection: MarketConnection, wire: bytes, texts: Sequence[str]) -> bool:
    """Write frames, which are `wire` and `texts` alike; False: their reader was cut as too slow.

    Behind what the venue has not written yet they wait in its queue. Who has not subscribed gets
    nothing.
    """
    transport = connection._transport
    if not connection.tokens or transport is None or transport.is_closing():
        return True
    if not connection._waiting.empty():  # a book: what comes after it waits behind it
        for text in texts:
            connection.send(text)
    elif transport.get_write_buffer_size() > WAITING_BYTES_MAX:
        connection.abort()
        return False
    else:
        transport.write(wire)
    return True
