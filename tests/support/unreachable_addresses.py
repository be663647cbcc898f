"""A host name with several addresses, of which some drop or swallow what is sent to them.

All on this machine: 127.0.0.0/8 is one interface. Does not model IPv6 itself, nor answers that come
late. `resolving` patches the resolver of asyncio and uvloop alike, for this process.
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


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """From now on HOST has these addresses, in this order."""

    async def resolve(host: str, port: int) -> list[tuple[object, ...]]:
        assert host == HOST
        tcp = socket.IPPROTO_TCP
        return [(socket.AF_INET, socket.SOCK_STREAM, tcp, "", (each, port)) for each in addresses]

    monkeypatch.setattr("runtime.dialer._resolved", resolve)


@contextmanager
def dropping(port: int) -> Iterator[None]:
    """DROPS answers nothing on this port, not even a SYN: its queue of connections is full."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((DROPS, port))
        listening.listen(0)
        fillers = []
        try:
            for _ in range(8):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex((DROPS, port))
                fillers.append(filler)
            yield
        finally:
            for filler in fillers:
                filler.close()


@asynccontextmanager
async def swallowing(port: int) -> AsyncIterator[list[int]]:
    """SWALLOWS takes connections on this port and says nothing; yields one item for each."""
    taken: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(1)
        while await reader.read(1 << 16):
            pass
        writer.close()

    server = await asyncio.start_server(serve, SWALLOWS, port)
    async with server:
        yield taken
