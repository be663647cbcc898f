"""TCP connections to a host that has several addresses, of which some may not work.

asyncio and uvloop try one address after the other, each for as long as the kernel does: with a
broken IPv6 the good address is never reached before the caller gives up. aiohttp, httpx and
aiobotocore help themselves; websockets and nats-py do not.

1. An address gets ADDRESS_AHEAD_S before the next one is tried beside it (RFC 8305). Which library
   runs the loop does not matter: uvloop has no such option.
2. An address that takes connections of which nothing comes (a tunnel that swallows large packets)
   is tried last the next time, until a connection to it is `proven`.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

from aiohappyeyeballs import start_connection

ADDRESS_AHEAD_S: Final = 0.25


class Dialer:
    """Of one host. Its caller bounds the time."""

    def __init__(self) -> None:
        self._unproven: dict[Any, None] = {}
        """Addresses that were connected to and not proven since, the latest last."""
        self._latest: Any = None

    async def connect(self, host: str, port: int) -> socket.socket:
        """A connected socket, which does not block and sends at once. Raises OSError."""
        infos = await _resolved(host, port)
        ranks = {address: rank for rank, address in enumerate(self._unproven, 1)}
        infos.sort(key=lambda info: ranks.get(info[4], 0))
        try:
            sock = await start_connection(infos, happy_eyeballs_delay=ADDRESS_AHEAD_S)
        except RuntimeError as error:  # what uvloop makes of some errors of the network
            raise OSError(f"{host}: {error}") from error
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._latest = sock.getpeername()
        kept = [each for each in self._unproven if any(each == info[4] for info in infos)]
        self._unproven = dict.fromkeys(each for each in kept if each != self._latest)
        self._unproven[self._latest] = None
        return sock

    def proven(self) -> None:
        """The latest connection was of use."""
        self._unproven.pop(self._latest, None)


async def _resolved(host: str, port: int) -> list[Any]:
    """As `getaddrinfo` returns it, never empty. Raises OSError."""
    loop = asyncio.get_running_loop()
    try:
        infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:  # what the codec of host names makes of empty or long labels
        raise OSError(f"not a host name: {host[:80]!r}") from None
    if not infos:
        raise OSError(f"no address of {host}")
    return list(infos)
