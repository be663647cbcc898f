"""nats-py's client over simulated connections, and how those fail.

Part of `tests.simulation.jetstream`, which says what is modelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from nats.aio.client import ServerVersion
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import ConnectionClosedError, NoServersError

from runtime.nats_client import HandledSubscription, NatsClient
from tests.simulation.loop import Process

if TYPE_CHECKING:
    from tests.simulation.jetstream import SimNats

SERVER_VERSION: Final = "2.15.1"
RECONNECT_WAIT_S: Final = 0.25
PENDING_MAX: Final = 2 * 1024 * 1024


@dataclass
class NatsFaults:
    """Chances are per message, in each direction."""

    latency_s: tuple[float, float] = (0.0001, 0.001)
    drop: float = 0.0
    duplicate: float = 0.0
    late: float = 0.0
    """Overtaken by what is sent after it."""
    late_s: tuple[float, float] = (0.01, 2.0)
    disconnect: float = 0.0
    """The connection breaks, and everything under way on it is lost."""
    disconnect_s: tuple[float, float] = (0.1, 5.0)

    def off(self) -> None:
        """Only latency stays."""
        self.drop = self.duplicate = self.late = self.disconnect = 0.0


class Connection:
    """One TCP connection: in order, until it breaks."""

    def __init__(self, server: SimNats, client: SimClient) -> None:
        self.server = server
        self.client = client
        self.server_process = server.process
        self.alive = True
        self.subjects: dict[int, str] = {}
        self._arrives_ns = {"up": 0, "down": 0}

    def up(self, command: tuple[Any, ...]) -> None:
        """From the client to the server."""
        self._travel("up", self.server_process, self.server.receive, (self, command))

    def down(
        self, sid: int, subject: str, reply: str, data: bytes, headers: dict[str, str] | None
    ) -> None:
        """From the server to the client."""
        message = (sid, subject, reply, data, headers)
        self._travel("down", self.client.process, self.client.receive, (self, *message))

    def _travel(
        self, way: str, process: Process, arrive: Callable[..., None], args: tuple[Any, ...]
    ) -> None:
        if not self.alive:
            return
        faults, rng = self.server.faults, self.server.rng
        sim = self.server.sim
        low, high = faults.latency_s
        latency_ns = int((low + (high - low) * rng.random()) * 1e9)
        if way == "down" or args[1][0] == "pub":
            chance = rng.random()
            if chance < faults.disconnect:
                self.server.disconnect(self.client, rng.uniform(*faults.disconnect_s))
                return
            chance -= faults.disconnect
            if chance < faults.drop:
                sim.record("nats-drop", self.client.name, way)
                return
            chance -= faults.drop
            if 0 <= chance < faults.duplicate:
                sim.record("nats-duplicate", self.client.name, way)
                again_s = latency_ns / 1e9 + rng.uniform(*faults.late_s)
                process.call_later(again_s, arrive, *args)
            chance -= faults.duplicate
            if 0 <= chance < faults.late:
                sim.record("nats-late", self.client.name, way)
                late_s = latency_ns / 1e9 + rng.uniform(*faults.late_s)
                process.call_later(late_s, arrive, *args)
                return
        now_ns = sim.loop.now_ns
        at_ns = max(now_ns + latency_ns, self._arrives_ns[way] + 1)
        self._arrives_ns[way] = at_ns
        process.call_later((at_ns - now_ns) / 1e9, arrive, *args)


class SimClient(NatsClient):
    """Our client over a `Connection` instead of a socket."""

    def __init__(self, server: SimNats, name: str) -> None:
        super().__init__()
        self.name = name
        self.process = server.sim.current
        self.connection: Connection | None = None
        self.unreachable_until_ns = 0
        self._server = server
        self._max_pending_size = PENDING_MAX
        self._outbox: list[tuple[Any, ...]] = []
        self._kicked = False
        self._error_cb = self._tell_error

    async def _tell_error(self, error: Exception) -> None:
        """When nobody else listens: refused connections are the simulation's own doing, but what a
        subscriber's callback raises would vanish in nats-py's log."""
        if not isinstance(error, OSError):
            what = {"message": "a subscriber's callback failed", "exception": error}
            self._server.sim.loop.call_exception_handler(what)

    @property
    def connected_server_version(self) -> ServerVersion:
        return ServerVersion(SERVER_VERSION)

    async def connect(  # type: ignore[override]
        self,
        servers: Any = "",
        *,
        name: str | None = None,
        error_cb: Callable[[Exception], Awaitable[None]] | None = None,
        disconnected_cb: Callable[[], Awaitable[None]] | None = None,
        reconnected_cb: Callable[[], Awaitable[None]] | None = None,
        closed_cb: Callable[[], Awaitable[None]] | None = None,
        **options: Any,
    ) -> None:
        """One try, whatever `max_reconnect_attempts` says. Raises NoServersError."""
        self.process = self._server.sim.current
        self.name = name or self.name
        self.options = options
        if error_cb is not None:
            self._error_cb = error_cb
        self._disconnected_cb, self._reconnected_cb = disconnected_cb, reconnected_cb
        self._closed_cb = closed_cb
        await asyncio.sleep(self._server.rng.uniform(*self._server.faults.latency_s))
        try:
            self.connection = self._server.accept(self)
        except ConnectionRefusedError as error:
            await self._error_cb(error)
            raise NoServersError from None
        self._status = NatsClient.CONNECTED

    # -- sending ---------------------------------------------------------------------------------

    async def _send_publish(
        self,
        subject: str,
        reply: str,
        payload: bytes,
        payload_size: int,
        headers: dict[str, Any] | None,
    ) -> None:
        self.stats["out_msgs"] += 1
        self._pending_data_size += payload_size
        self._send(("pub", subject, reply, bytes(payload), dict(headers) if headers else None))

    def publish_nowait(
        self, subject: str, payload: bytes, reply: str = "", *, more: bool = False
    ) -> None:
        if self.is_closed:
            raise ConnectionClosedError
        self.stats["out_msgs"] += 1
        self._pending_data_size += len(payload)
        self._send(("pub", subject, reply, bytes(payload), None))
        if not (more or self._server.sim.over):
            self._flush_outbox()

    async def _send_subscribe(self, sub: Subscription) -> None:
        if sub.queue:
            raise NotImplementedError("queue groups")
        if self.is_connected:  # otherwise the reconnect subscribes
            self._send(("sub", sub._id, sub.subject))

    async def _send_unsubscribe(self, sid: int, limit: int = 0) -> None:
        if limit:
            raise NotImplementedError("auto-unsubscribe")
        self._send(("unsub", sid))

    def _send(self, command: tuple[Any, ...]) -> None:
        self._outbox.append(command)
        if not self._kicked and self.is_connected and not self._server.sim.over:
            self._kicked = True
            self.process.call_soon(self._flush_outbox)

    def _flush_outbox(self) -> None:
        self._kicked = False
        connection = self.connection
        if connection is None or not connection.alive:
            return
        outbox, self._outbox = self._outbox, []
        self._pending_data_size = 0
        for command in outbox:
            connection.up(command)

    async def _flush_pending(self, force_flush: bool = False) -> None:
        if not self._server.sim.over:
            self._flush_outbox()

    async def flush(self, timeout: int = 10) -> None:
        """Does not wait for the server's answer."""
        await self._flush_pending()

    # -- receiving -------------------------------------------------------------------------------

    def receive(
        self,
        connection: Connection,
        sid: int,
        subject: str,
        reply: str,
        data: bytes,
        headers: dict[str, str] | None,
    ) -> None:
        """One message, in the client's process."""
        sub = self._subs.get(sid)
        if connection is not self.connection or not connection.alive or sub is None:
            return
        self.stats["in_msgs"] += 1
        sub._received += 1
        headers = dict(headers) if headers else None
        message = Msg(self, subject=subject, reply=reply, data=data, headers=headers, _sid=sid)
        if isinstance(sub, HandledSubscription):
            try:
                sub.handler(message)
            except Exception as error:  # noqa: BLE001 - as the client does
                self.process.spawn(self._error_cb(error))
            return
        if sub._future is not None:
            if not sub._future.done():
                sub._future.set_result(message)
            return
        sub._pending_size += len(data)
        sub._pending_queue.put_nowait(message)

    # -- the connection's life -------------------------------------------------------------------

    def lost(self, connection: Connection) -> None:
        """The connection broke, in the client's process."""
        if connection is self.connection and self._status == NatsClient.CONNECTED:
            self._status = NatsClient.RECONNECTING
            self.connection = None
            self._reconnection_task = self.process.spawn(self._reconnect())

    async def _reconnect(self) -> None:
        if self._disconnected_cb is not None:
            await self._disconnected_cb()
        while not self.is_closed:
            await asyncio.sleep(RECONNECT_WAIT_S * self._server.rng.uniform(0.5, 1.5))
            try:
                self.connection = self._server.accept(self)
            except ConnectionRefusedError as error:
                await self._error_cb(error)
                continue
            for sid, sub in self._subs.items():
                self.connection.up(("sub", sid, sub.subject))
            self.stats["reconnects"] += 1
            self._status = NatsClient.CONNECTED
            self._flush_outbox()
            if self._reconnected_cb is not None:
                await self._reconnected_cb()
            self._tell_reconnected()
            return

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        if self.connection is not None and not self._server.sim.over:
            self._flush_outbox()
            self.connection.up(("close",))
        await super()._close(status, do_cbs)
        self.connection = None
