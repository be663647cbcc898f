"""NATS: reachable, new enough, with the streams as they are declared."""

from __future__ import annotations

import asyncio
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import APIError

from executor.doctor.finding import Finding, fail, ok, warn
from protocol.subjects import BOOKS, DECISIONS, FILLS, StreamSpec
from runtime.nats import (
    REQUEST_TIMEOUT_S,
    LoginRefusedError,
    StreamMismatchError,
    close,
    connect_once,
    inspect_stream,
    jetstream_complaint,
    redact,
    version_complaint,
)
from runtime.nats_client import NotEncryptedError
from runtime.nats_settings import NatsSettings

CONNECT_TIMEOUT_S: Final = 6
STREAMS: Final = (BOOKS, DECISIONS, FILLS)


async def check(settings: NatsSettings) -> list[Finding]:
    """Reachability and version, then a finding for each stream."""
    where, replicas = redact(settings.nats_url), settings.stream_replicas
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            client = await connect_once(settings.nats_url, "doctor", settings.nats_login())
    except LoginRefusedError as error:
        return [fail("NATS", f"{where}: {error}", "take user and password from the server's own")]
    except NotEncryptedError as error:
        return [fail("NATS", f"{where}: {error}", "set TLS up at the server, or use nats://")]
    except (NatsError, OSError, ValueError) as error:  # TimeoutError is an OSError
        why = f"{type(error).__name__}: {error}".rstrip(": ")
        return [fail("NATS", f"{where}: {why}", "start nats-server there, or set NATS_URL")]
    try:
        return [
            _version(client, where),
            *[await _stream(client, spec, replicas) for spec in STREAMS],
        ]
    finally:
        await close(client)


def _version(client: Client, where: str) -> Finding:
    if complaint := version_complaint(client):
        return fail("NATS", f"{where}: {complaint}", "upgrade nats-server")
    return ok("NATS", f"{where}: {str(client.connected_server_version).strip('<>')}")


async def _stream(client: Client, spec: StreamSpec, replicas: int) -> Finding:
    what = f"stream {spec.name}"
    try:
        js = client.jetstream(timeout=REQUEST_TIMEOUT_S)
        differing = await inspect_stream(js, spec, replicas)
    except StreamMismatchError as error:
        text, _, do = str(error).partition(": ")
        return fail(what, text, do)
    except (NatsError, OSError) as error:
        complaint = jetstream_complaint(client, error) if isinstance(error, APIError) else None
        if complaint is not None:
            text, _, do = complaint.rpartition(": ")
            return fail(what, text, do)
        why = f"{type(error).__name__}: {error}".rstrip(": ")
        return fail(what, why, "run nats-server with --jetstream, and see that it answers")
    if differing is None:
        return warn(what, "not there yet", "nothing: the feeder and the workers create it at start")
    if differing:
        return warn(
            what,
            f"not as declared: {', '.join(differing)}",
            "nothing, if you did not change it: the next start of a process updates it",
        )
    return ok(what, "as declared")
