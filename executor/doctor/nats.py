"""NATS: reachable, new enough, with the streams as they are declared."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import Final

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import APIError

from executor.doctor.finding import Finding, fail, ok, warn
from functions.core.gate import CLOCK_SKEW_MAX_MS
from protocol.subjects import BOOKS, DECISIONS, FILLS, StreamSpec
from runtime.addresses import origins
from runtime.nats import (
    REQUEST_TIMEOUT_S,
    LoginRefusedError,
    StreamMismatchError,
    close,
    connect_once,
    inspect_stream,
    jetstream_complaint,
    version_complaint,
)
from runtime.nats_client import NotEncryptedError
from runtime.nats_settings import NatsSettings

CONNECT_TIMEOUT_S: Final = 6
PAYLOAD_MIN_BYTES: Final = 65_536
"""A book of forty levels a side takes a few thousand; by default a server takes a million."""
STREAMS: Final = (BOOKS, DECISIONS, FILLS)


class _Description(msgspec.Struct):
    ts: datetime | None = None


_decode_description: Final = msgspec.json.Decoder(_Description).decode


async def check(settings: NatsSettings) -> list[Finding]:
    """Reachability and version, then a finding for each stream."""
    where, replicas = origins(settings.nats_url), settings.stream_replicas
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
        streams = (_stream(client, spec, replicas) for spec in STREAMS)
        found = [_version(client, where), *_longest_message(client)]
        return [*found, *await asyncio.gather(_clock(client), *streams)]
    finally:
        await close(client)


def _version(client: Client, where: str) -> Finding:
    if complaint := version_complaint(client):
        return fail("NATS", f"{where}: {complaint}", "upgrade nats-server")
    return ok("NATS", f"{where}: {str(client.connected_server_version).strip('<>')}")


def _longest_message(client: Client) -> list[Finding]:
    """What is longer the server refuses, each time: nothing where it takes our messages."""
    if client.max_payload >= PAYLOAD_MIN_BYTES:
        return []
    text = f"the server takes {client.max_payload} bytes, {PAYLOAD_MIN_BYTES} are needed"
    return [fail("longest message", text, "raise max_payload in the server's configuration")]


async def _clock(client: Client) -> Finding:
    """NATS' clock and ours, to the millisecond: a stream's description says when it was made."""
    what = "clock against NATS'"
    try:
        asked_ns = time.time_ns()
        subject = f"$JS.API.STREAM.INFO.{BOOKS.name}"
        answer = await client.request(subject, b"", timeout=REQUEST_TIMEOUT_S)
        answered_ns = time.time_ns()
        described_at = _decode_description(answer.data).ts
    except (NatsError, OSError, msgspec.MsgspecError) as error:
        why = f"{type(error).__name__}: {error}".rstrip(": ")
        return warn(what, f"not compared: {why}", "see the findings about the streams")
    if described_at is None:
        return ok(what, f"not compared: there is no stream {BOOKS.name} yet to ask about")
    their_ns = int(described_at.timestamp() * 1e9)
    behind_ms = max(0, their_ns - answered_ns) // 1_000_000
    ahead_ms = max(0, asked_ns - their_ns) // 1_000_000
    text = f"ours is {behind_ms} ms behind" if behind_ms else f"ours is {ahead_ms} ms ahead"
    if max(behind_ms, ahead_ms) <= CLOCK_SKEW_MAX_MS:
        return ok(what, text if behind_ms or ahead_ms else "they agree")
    return fail(
        what, text, "synchronise both machines' clocks (NTP): a book's age is their difference"
    )


async def _stream(client: Client, spec: StreamSpec, replicas: int) -> Finding:
    what = f"stream {spec.name}"
    try:
        js = client.jetstream(timeout=REQUEST_TIMEOUT_S)
        differing = await inspect_stream(js, spec, replicas)
    except StreamMismatchError as error:
        text, _, do = str(error).rpartition(": ")
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
