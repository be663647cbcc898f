"""NATS at start: connect with patience, refuse a server that would lie, make streams as declared.

nats-server older than 2.12 is refused: it silently ignores parts of a stream's configuration
(per-message TTL, subject transforms, priority groups) that this system is built on.

A login that is refused is waited for like a server that is not there: a password may be rotated at
the server and in the environment one after the other. No text here shows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final
from urllib.parse import unquote, urlsplit

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoServersError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from protocol.subjects import StreamSpec
from runtime.addresses import origins
from runtime.line_throttle import LineThrottle
from runtime.nats_client import NatsClient, NotEncryptedError
from runtime.nats_settings import Login
from runtime.process import stop_tasks
from runtime.retry import until_reachable
from runtime.settings import refuse_to_start

SERVER_VERSION_MIN: Final = (2, 12)
RECONNECT_WAIT_S: Final = 0.25
REQUEST_TIMEOUT_S: Final = 2
CLOSE_TIMEOUT_S: Final = 1
# nats-server's texts for a wrong password, a user it does not know, and none where one is wanted
# (server/errors.go: ErrAuthentication). nats-py passes them on as text when a connection begins.
_LOGIN_REFUSED: Final = "authorization violation"
_SUBJECTS_OVERLAP: Final = 10065  # JSStreamSubjectOverlapErr
_REPLICAS_NOT_SUPPORTED: Final = 10074  # JSStreamReplicasNotSupportedErr: not a cluster
# JSNotEnabledForAccountErr, JSNotEnabledErr (nats-server, server/errors.json).
_NO_JETSTREAM: Final = frozenset({10039, 10076})
_UNREADABLE: Final = (
    *(ValueError, TypeError, LookupError, AttributeError),
    *(ArithmeticError, RecursionError),
)
_log = structlog.get_logger()


class LoginRefusedError(NatsError):
    """The server does not let this user in."""


class UnreadableAnswerError(NatsError):
    """An answer that is none of JetStream's: anybody who may publish can be the first to answer."""


class StreamMismatchError(RuntimeError):
    """A stream of that name exists and cannot be turned into what is declared."""


async def connect(url: str, name: str, login: Login | None = None) -> NatsClient:
    """Connect, waiting with back-off until the server lets us in, and check its version.

    After that the client reconnects by itself for ever (every 0.25 s). While it is disconnected
    nats-py buffers what is published, up to 2 MB: a publisher to whom that is worthless checks
    `is_connected` first. Exits 2 on a server that is too old, and on one that offers no TLS where
    the URL wants it.
    """
    where = f"NATS at {origins(url)}"

    async def attempt() -> NatsClient:
        try:
            return await connect_once(url, name, login)
        except NotEncryptedError as error:
            refuse_to_start(f"NATS_URL: {error}, or use nats://")

    client = await until_reachable(where, attempt)
    if complaint := version_complaint(client):
        await client.close()
        refuse_to_start(f"NATS_URL: {origins(url)}: {complaint}")
    return client


def version_complaint(client: Client) -> str | None:
    """What is wrong with the connected server's version."""
    version = client.connected_server_version
    try:
        too_old = (version.major, version.minor) < SERVER_VERSION_MIN
    except ValueError:  # not a semantic version: a build we know nothing about
        too_old = True
    if not too_old:
        return None
    wanted = ".".join(map(str, SERVER_VERSION_MIN))
    return f"{str(version).strip('<>')} is too old, {wanted} or newer is needed"


async def connect_once(url: str, name: str, login: Login | None = None) -> NatsClient:
    """One connection, of any version. Raises the reason, after two quick tries.

    LoginRefusedError when it is who we are, NotEncryptedError when the server offers no TLS.
    """
    client = NatsClient()
    reason: Exception | None = None
    was_connected, reported_refusal = False, False
    errors = LineThrottle()  # the server may answer each message with one

    async def on_error(error: Exception) -> None:
        nonlocal reason, reported_refusal
        if reason is None or not _is_refused_login(reason):
            reason = error
        # While (re)connecting every try ends here, and `until_reachable` or the two events below
        # report it in one line each. But for a password that was changed at the server meanwhile,
        # or encryption that was turned off there.
        if client.is_connected:
            if (unlogged := errors.admit()) is not None:
                what = f"{type(error).__name__}: {error}"
                _log.warning("nats_error", error=what, unlogged_before=unlogged)
        elif was_connected and _is_refused_login(error) and not reported_refusal:
            reported_refusal = True
            _log.warning("nats_error", error=_login_refused(url, login))
        elif was_connected and isinstance(error, NotEncryptedError) and not reported_refusal:
            reported_refusal = True
            _log.error("nats_not_encrypted", error=str(error))

    async def on_disconnected() -> None:
        if not client.is_closed:  # also called when we close
            _log.warning("nats_disconnected", url=origins(url))

    async def on_reconnected() -> None:
        nonlocal reported_refusal
        reported_refusal = False
        _log.info("nats_reconnected", url=origins(url))

    user = login.user if login else None
    password = login.password.get_secret_value() if login else None
    token = None
    told = urlsplit(url)
    if login is None and told.username is not None:
        # As options: what stands in the URL nats-py does not decode, does not tell servers that the
        # cluster names, and shows with the URL.
        client.login_in_url = True
        if told.password is None:
            token = unquote(told.username)
        else:
            user, password = unquote(told.username), unquote(told.password)
    try:
        await client.connect(
            # With its scheme in small letters: nats-py takes TLS:// for a host.
            told._replace(netloc=told.netloc.rpartition("@")[2]).geturl(),
            name=name,
            user=user,
            password=password,
            token=token,
            connect_timeout=2,
            reconnect_time_wait=RECONNECT_WAIT_S,  # type: ignore[arg-type]  # takes any number
            # With -1 `connect` itself would try for ever, in silence (nats-py 2.16).
            max_reconnect_attempts=1,
            # A server that hangs is noticed within ten seconds; by default it takes minutes.
            ping_interval=5,
            max_outstanding_pings=2,
            error_cb=on_error,
            disconnected_cb=on_disconnected,
            reconnected_cb=on_reconnected,
        )
    except NoServersError as error:
        # The server writes its refusal and hangs up with our PING unread: on a busy machine the
        # kernel's reset overtakes the refusal.
        cut = isinstance(reason, ConnectionError) and client._server_info.get("auth_required")
        if reason is not None and (cut or _is_refused_login(reason)):
            raise LoginRefusedError(_login_refused(url, login)) from None
        raise reason or error from None
    was_connected = True
    client.options["max_reconnect_attempts"] = -1
    return client


def _is_refused_login(error: Exception) -> bool:
    return _LOGIN_REFUSED in str(error).lower()


def _login_refused(url: str, login: Login | None) -> str:
    if login is not None:
        return f"NATS_USER {login.user} or its NATS_PASSWORD is not the server's"
    if "@" in urlsplit(url).netloc:
        return "the user or the password in NATS_URL is not the server's"
    return "the server wants to know who we are: set NATS_USER and NATS_PASSWORD"


@contextmanager
def jetstream_answers() -> Iterator[None]:
    """Around nats-py's calls of JetStream, and nothing of ours that could be a defect.

    Raises UnreadableAnswerError in place of what nats-py's reading of an answer raises.
    """
    try:
        yield
    except _UNREADABLE as error:
        what = f"{type(error).__name__}: {error}"
        raise UnreadableAnswerError(f"not an answer of JetStream's: {what}") from error


async def ensure_stream(js: JetStreamContext, spec: StreamSpec, replicas: int = 1) -> None:
    """Create the stream, or bring it to its declaration, with so many replicas.

    Whoever declares last wins: processes that disagree about STREAM_REPLICAS change a stream back
    and forth with each of their starts and each loss of a stream, logged as `stream_updated` each
    time. Nothing is lost by it but the copies, so nothing here referees; one deployment has one
    value. Going from 1 to 3 copies what is there while the stream goes on.

    Raises nats errors when it cannot be done now, StreamMismatchError when it never can be.
    """
    config = _declared(spec, replicas)
    try:
        with jetstream_answers():
            try:
                current = (await js.stream_info(spec.name)).config
            except NotFoundError:
                await js.add_stream(config)
                _log.info("stream_created", stream=spec.name)
                return
            if _differences(current, config, spec):
                await js.update_stream(config)
                _log.info("stream_updated", stream=spec.name)
    except APIError as error:
        if error.err_code == _SUBJECTS_OVERLAP:
            raise _taken(spec, await _holder(js, spec) or "another one") from None
        if error.err_code != _REPLICAS_NOT_SUPPORTED:
            raise
        raise StreamMismatchError(
            f"STREAM_REPLICAS: stream {spec.name} cannot have {replicas} replicas on a nats-server "
            "that is not in a cluster: set it to 1, or NATS_URL to a cluster of three"
        ) from None


async def inspect_stream(
    js: JetStreamContext, spec: StreamSpec, replicas: int = 1
) -> list[str] | None:
    """The settings that `ensure_stream` would update, None where it would create the stream.

    Changes nothing. Raises as `ensure_stream` does.
    """
    with jetstream_answers():
        try:
            current = (await js.stream_info(spec.name)).config
        except NotFoundError:
            differing = None
        else:
            differing = _differences(current, _declared(spec, replicas), spec)
        if (differing is None or "subjects" in differing) and (holder := await _holder(js, spec)):
            raise _taken(spec, holder)
        return differing


async def _holder(js: JetStreamContext, spec: StreamSpec) -> str | None:
    """Another stream that holds a subject of this one."""
    for subject in spec.subjects:
        with suppress(NotFoundError):
            if (name := await js.find_stream_name_by_subject(subject)) != spec.name:
                return name
    return None


def _taken(spec: StreamSpec, holder: str) -> StreamMismatchError:
    return StreamMismatchError(
        f"NATS_URL: there, stream {holder} holds {' '.join(spec.subjects)}, or a part of it, which "
        f"stream {spec.name} is to hold: delete it, or use another nats-server or account"
    )


def _declared(spec: StreamSpec, replicas: int) -> StreamConfig:
    return StreamConfig(
        name=spec.name,
        subjects=list(spec.subjects),
        storage=StorageType.MEMORY if spec.memory else StorageType.FILE,
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.OLD,
        max_age=spec.max_age_s,
        max_msgs_per_subject=spec.max_msgs_per_subject,
        max_bytes=spec.max_bytes,
        duplicate_window=spec.duplicate_window_s,
        num_replicas=replicas,
    )


def _differences(current: StreamConfig, config: StreamConfig, spec: StreamSpec) -> list[str]:
    """What must be updated. Fills in what is the server's choice; raises StreamMismatchError."""
    for key in _FIXED:
        if getattr(current, key) != getattr(config, key):
            raise StreamMismatchError(
                f"stream {spec.name} has {key}={getattr(current, key)} instead of "
                f"{getattr(config, key).value}: delete it (nats stream rm {spec.name})"
            )
    if not spec.duplicate_window_s:
        # The server's own choice, which must not be longer than messages live.
        config.duplicate_window = min(current.duplicate_window or 0, spec.max_age_s)
    return [key for key in _UPDATABLE if getattr(current, key) != getattr(config, key)]


_FIXED: Final = ("storage", "retention")  # nats-server refuses to change them
_UPDATABLE: Final = (
    "subjects",
    "discard",
    "max_age",
    "max_msgs_per_subject",
    "max_bytes",
    "duplicate_window",
    "num_replicas",
)


async def close(client: Client) -> None:
    """Close in bounded time, whatever the server does and nats-py makes of it.

    Without a server nats-py raises when something waits to be sent, and it takes cancellations for
    its own: so in a task of its own, of which only the end matters.
    """
    closing = asyncio.create_task(client.close())
    await asyncio.wait({closing}, timeout=CLOSE_TIMEOUT_S)
    await stop_tasks(closing)
    try:
        closing.result()
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - nobody can do more
        _log.info("nats_not_closed_in_order", error=f"{type(error).__name__}: {error}")


async def declare_stream(client: Client, spec: StreamSpec, replicas: int = 1) -> None:
    """`ensure_stream` for a start: what only a person can mend exits 2, the rest is raised."""
    try:
        await ensure_stream(client.jetstream(timeout=REQUEST_TIMEOUT_S), spec, replicas)
    except StreamMismatchError as error:
        refuse_to_start(str(error))
    except APIError as error:
        if complaint := jetstream_complaint(client, error):
            refuse_to_start(complaint)
        raise


def jetstream_complaint(client: Client, error: APIError) -> str | None:
    """That there is no JetStream for us, on a line that begins with the variable; None where
    `error` is another one, or may pass: where a cluster has lost its JetStream servers, say."""
    if error.err_code in _NO_JETSTREAM:
        in_url = isinstance(client, NatsClient) and client.login_in_url
        variable = "NATS_USER" if client.options.get("user") and not in_url else "NATS_URL"
        return (
            f"{variable}: the user's account on this nats-server has no JetStream: enable it in the"
            " server's configuration"
        )
    # Nobody has answered. A server that has JetStream says so when it is connected to.
    info = client._server_info
    nobody = isinstance(error, ServiceUnavailableError) and error.err_code is None
    if nobody and not info.get("jetstream") and not info.get("cluster"):
        return "NATS_URL: this nats-server runs without JetStream: start it with --jetstream"
    return None
