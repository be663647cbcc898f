"""TCP connections to a host that has several addresses, of which some may not work.

asyncio and uvloop try one address after the other, each for as long as the kernel does: with a
broken IPv6 the good address is never reached before the caller gives up. aiohttp, httpx and
aiobotocore help themselves; picows and nats-py do not.

1. An address gets ADDRESS_AHEAD_S before the next one is tried beside it (RFC 8305), less where a
   host has many: all are tried within ALL_TRIED_S. Families take turns. Which library runs the loop
   does not matter: uvloop has no such option.
2. An address that was tried and has not `proven` itself since is tried last the next time: one that
   drops what is sent to it, and one that takes connections of which nothing comes (a tunnel that
   swallows large packets).
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from typing import Any, Final

from aiohappyeyeballs import start_connection

ADDRESS_AHEAD_S: Final = 0.25
ALL_TRIED_S: Final = 1.0


class Dialer:
    """Of one host and port. Its caller bounds the time."""

    def __init__(self) -> None:
        self._unproven: dict[Any, None] = {}
        """Addresses that were tried and not proven since, the latest last."""
        self._latest: Any = None
        """What the latest connection is to."""

    async def connect(self, host: str, port: int) -> socket.socket:
        """A connected socket, which does not block and sends at once. Raises OSError."""
        infos = await _resolved(host, port)
        addresses = {info[4] for info in infos}
        self._unproven = {each: None for each in self._unproven if each in addresses}
        addressed: dict[socket.socket, Any] = {}

        def begin(info: Any) -> socket.socket:
            # Now, not at the end: whoever gives up in between is to begin with another next time.
            self._tried(info[4])
            sock = socket.socket(*info[:3])
            addressed[sock] = info[4]
            return sock

        try:
            sock = await start_connection(
                self._ranked(infos),
                happy_eyeballs_delay=min(ADDRESS_AHEAD_S, ALL_TRIED_S / len(infos)),
                interleave=0,  # it would undo the ranks
                socket_factory=begin,
            )
        except RuntimeError as error:  # what uvloop makes of some errors of the network
            raise OSError(f"{host}: {error}") from error
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._latest = addressed[sock]
        self._tried(self._latest)
        return sock

    def proven(self) -> None:
        """The latest connection is of use."""
        self._unproven.pop(self._latest, None)

    def doubt(self) -> None:
        """The latest connection is of no use any more: nothing comes over it."""
        self._tried(self._latest)

    def _tried(self, address: Any) -> None:
        self._unproven.pop(address, None)
        self._unproven[address] = None

    def _ranked(self, infos: list[Any]) -> list[Any]:
        """Whoever was not tried in vain first, by turns of the families, each in the resolver's
        order; then the others, the latest last."""
        ranks = {address: rank for rank, address in enumerate(self._unproven, 1)}
        of_family: Counter[int] = Counter()
        turns = []
        for info in infos:
            turns.append((ranks.get(info[4], 0), of_family[info[0]]))
            of_family[info[0]] += 1
        return [infos[at] for at in sorted(range(len(infos)), key=turns.__getitem__)]


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
