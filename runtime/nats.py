"""NATS at start: connect with patience, refuse a server that would lie, make streams as declared.

nats-server older than 2.12 is refused: it silently ignores parts of a stream's configuration
(per-message TTL, subject transforms, priority groups) that this system is built on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import nats
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from protocol.subjects import StreamSpec
from runtime.retry import until_reachable
from runtime.settings import refuse_to_start

SERVER_VERSION_MIN: Final = (2, 12)
_log = structlog.get_logger()


async def connect(url: str, name: str) -> Client:
    """Connect, waiting with back-off until the server is there, and check its version.

    After that the client reconnects by itself for ever (every 0.25 s); what is published meanwhile
    fails at once instead of being buffered (`pending_size=0` would break pings, so publishers
    check `is_connected`). Exits 2 on a server that is too old.
    """

    async def once() -> Client:
        return await nats.connect(
            url,
            name=name,
            connect_timeout=2,
            reconnect_time_wait=0.25,
            max_reconnect_attempts=-1,
            allow_reconnect=True,
            error_cb=_on_error,
            disconnected_cb=_event("nats_disconnected"),
            reconnected_cb=_event("nats_reconnected"),
        )

    client: Client = await until_reachable(f"NATS at {redact(url)}", once)
    version = client.connected_server_version
    if (version.major, version.minor) < SERVER_VERSION_MIN:
        await client.close()
        refuse_to_start(
            f"NATS_URL: nats-server {version} at {redact(url)} is too old, "
            f"{'.'.join(map(str, SERVER_VERSION_MIN))} or newer is needed"
        )
    return client


async def ensure_stream(js: JetStreamContext, spec: StreamSpec) -> None:
    """Create the stream, or bring it to its declaration. Raises nats errors when it cannot be."""
    config = StreamConfig(
        name=spec.name,
        subjects=list(spec.subjects),
        storage=StorageType.MEMORY if spec.memory else StorageType.FILE,
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.OLD,
        max_age=spec.max_age_s,
        max_msgs_per_subject=spec.max_msgs_per_subject,
        max_bytes=spec.max_bytes,
        num_replicas=1,
    )
    try:
        current = (await js.stream_info(spec.name)).config
    except NotFoundError:
        await js.add_stream(config)
        return
    if any(getattr(current, key) != getattr(config, key) for key in _COMPARED):
        await js.update_stream(config)
        _log.info("stream_updated", stream=spec.name)


_COMPARED: Final = ("subjects", "max_age", "max_msgs_per_subject", "max_bytes")


def redact(url: str) -> str:
    """The URL without user and password."""
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


async def _on_error(error: Exception) -> None:
    _log.warning("nats_error", error=f"{type(error).__name__}: {error}")


def _event(name: str) -> Callable[[], Awaitable[Any]]:
    async def log() -> None:
        _log.info(name)

    return log
