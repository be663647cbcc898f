"""The connection to NATS, which the console does not need to be of use."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from nats.aio.client import Client


class NatsNow:
    """Connected in the background; afterwards the client reconnects by itself."""

    def __init__(self, where: str, client: Client | None = None) -> None:
        self.where = where
        self.client = client
        """None: it was never connected yet."""
        self._came = asyncio.Event()
        if client is not None:
            self._came.set()

    async def connected(self) -> Client:
        """The client, once it has been connected for the first time."""
        await self._came.wait()
        assert self.client is not None  # noqa: S101 - set before the event
        return self.client

    async def connect(self, attempt: Callable[[], Awaitable[Client]]) -> None:
        """Wait for `attempt`, which waits for the server."""
        self.client = await attempt()
        self._came.set()

    def problem(self) -> str:
        """A sentence; empty while it is connected."""
        if self.client is not None and self.client.is_connected:
            return ""
        return f"not connected to NATS at {self.where}: books and decisions do not come"
