"""A host name with several addresses, of which some drop or swallow what is sent to them.

All on this machine: 127.0.0.0/8 is one interface, and of IPv6 there is LOOPBACK_6. Does not model
answers that come late. `resolving` patches the resolver of asyncio and uvloop alike, for this
process.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

HOST = "venue.example"
DROPS = "127.0.0.2"
SWALLOWS = "127.0.0.3"
REFUSES = "127.0.0.4"
GOOD = "127.0.0.1"
LOOPBACK_6 = "::1"


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """From now on HOST has these addresses, in this order."""

    async def resolve(host: str, port: int) -> list[tuple[object, ...]]:
        assert host == HOST
        return [_info(each, port) for each in addresses]

    monkeypatch.setattr("runtime.dialer._resolved", resolve)


def _info(address: str, port: int) -> tuple[object, ...]:
    kind = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    if ":" in address:
        return (socket.AF_INET6, *kind, (address, port, 0, 0))
    return (socket.AF_INET, *kind, (address, port))


@contextmanager
def dropping(port: int, address: str = DROPS) -> Iterator[None]:
    """It answers nothing on this port, not even a SYN: its queue of connections is full."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen(0)
        fillers = []
        try:
            for _ in range(8):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex((address, port))
                fillers.append(filler)
            yield
        finally:
            for filler in fillers:
                filler.close()


@asynccontextmanager
async def swallowing(port: int, address: str = SWALLOWS) -> AsyncIterator[list[int]]:
    """It takes connections on this port and says nothing; yields one item for each."""
    taken: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(1)
        while await reader.read(1 << 16):
            pass
        writer.close()

    server = await asyncio.start_server(serve, address, port)
    async with server:
        yield taken
