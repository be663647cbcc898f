"""Whether a websocket of the venue's can be opened and says something (`executor doctor`)."""

from __future__ import annotations

import asyncio
from typing import Final

from venue.errors import ConnectionClosedError, VenueError, VenueUnreachableError, one_line
from venue.websocket_connection import open_websocket
from venue.wire.subscriptions import PING

FIRST_WORD_TIMEOUT_S: Final = 5.0


class ChannelClosedError(VenueError):
    """The venue closed a connection instead of saying anything."""


async def first_word(url: str, subscription: str) -> None:
    """Open a connection, subscribe, and wait for the first frame, a PONG at least.

    Raises VenueUnreachableError when it cannot be opened or says nothing, ChannelClosedError when
    the venue closes it: each with one line that begins with the URL and repeats nothing of what was
    sent.
    """
    try:
        async with open_websocket(url) as websocket, asyncio.timeout(FIRST_WORD_TIMEOUT_S):
            await websocket.send(subscription)
            await websocket.send(PING)
            await websocket.first_frame()
    except ConnectionClosedError:
        raise ChannelClosedError(f"{url}: closed by the venue before it said anything") from None
    except OSError as error:  # TimeoutError is an OSError
        why = f"{type(error).__name__}: {error}" if str(error) else "connected, but silent"
        raise VenueUnreachableError(one_line(f"{url}: {why}")) from None
