"""Encryption that was promised, and addresses that do not work: real servers, and one that listens
to what it is told. Each with both event loops."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop
from nats.errors import FlushTimeoutError, StaleConnectionError
from nats.js.errors import ServiceUnavailableError
from pydantic import SecretStr
from structlog.testing import capture_logs

from runtime.nats import close, connect, connect_once, jetstream_complaint
from runtime.nats_client import NatsClient, NotEncryptedError
from runtime.nats_settings import Login
from tests.support.certificates import certificate, contexts
from tests.support.servers import NatsServer
from tests.support.unreachable_addresses import (
    DROPS,
    GOOD,
    HOST,
    REFUSES,
    SWALLOWS,
    dropping,
    resolving,
    swallowing,
)

LOGIN = Login("feeder", SecretStr("hunter2"))
LOOPS = [asyncio.run, uvloop.run]
Run = Callable[[Coroutine[Any, Any, None]], None]


class Listener:
    """A nats-server that offers what a test says, and keeps what it is told in the clear.

    Speaks just enough to be connected to. Does not model TLS, subscriptions or messages.
    """

    def __init__(self, **info: object) -> None:
        self.info = {"server_id": "X", "version": "2.15.1", "max_payload": 1 << 20, **info}
        self.told = b""
        self.connections = 0
        self.garbage: list[bytes] = []
        """What the next connections are answered, one each, in place of INFO and PONG."""
        self._writers: list[asyncio.StreamWriter] = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        if self.garbage:
            writer.write(self.garbage.pop(0))
            await writer.drain()
            writer.write_eof()
            await reader.read()
            writer.close()
            return
        writer.write(f"INFO {json.dumps(self.info)}\r\n".encode())
        while line := await reader.readline():
            self.told += line
            if line == b"PING\r\n":
                writer.write(b"PONG\r\n")
        writer.close()

    def names(self, *addresses: str) -> None:
        """Tell whoever is connected which servers there are."""
        self.info["connect_urls"] = addresses
        for writer in self._writers:
            writer.write(f"INFO {json.dumps(self.info)}\r\n".encode())

    def says(self, words: bytes) -> None:
        """Tell whoever is connected."""
        for writer in self._writers:
            writer.write(words)

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.close()

    @asynccontextmanager
    async def open(
        self, host: str = GOOD, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._serve, host, port, ssl=tls)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            self.hang_up()


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not fact():  # noqa: ASYNC110 - nats-py offers nothing to wait on
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("run", LOOPS)
@pytest.mark.parametrize("scheme", ["tls", "TLS"])
@pytest.mark.parametrize("offer", [{}, {"tls_required": False}, {"auth_required": True}])
def test_a_server_without_tls_is_told_nothing_where_tls_is_wanted(
    run: Run, scheme: str, offer: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    async def refused() -> None:
        listener = Listener(**offer)
        async with listener.open() as port:
            with pytest.raises(NotEncryptedError):
                await connect_once(f"{scheme}://127.0.0.1:{port}", "test", LOGIN)
            with pytest.raises(SystemExit) as ended:
                await connect(f"{scheme}://feeder:hunter2@127.0.0.1:{port}", "test")
        assert ended.value.code == 2
        assert listener.connections >= 2
        assert listener.told == b""

    run(refused())
    line = capsys.readouterr().err
    assert line.startswith("cannot start: NATS_URL: tls:// is wanted, and the server at 127.0.0.1:")
    assert line.count("\n") == 1
    assert "hunter2" not in line


async def test_a_plain_websocket_is_refused_where_an_encrypted_one_is_wanted() -> None:
    listener = Listener()
    async with listener.open() as port:
        with pytest.raises(Exception, match=r"SSL|ssl|WRONG_VERSION"):
            await connect_once(f"wss://127.0.0.1:{port}", "test", LOGIN)
    assert b"hunter2" not in listener.told


@pytest.mark.parametrize("run", LOOPS)
@pytest.mark.parametrize("scheme", ["tls", "nats"])
def test_whatever_was_encrypted_once_stays_so_at_another_of_the_clusters_servers(
    run: Run, scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = certificate(tmp_path, HOST)
    config = tmp_path / "nats.conf"
    config.write_text(f'tls {{ cert_file: "{cert}", key_file: "{key}" }}')
    _, trusted = contexts(tmp_path, HOST)
    monkeypatch.setattr(NatsClient, "ssl_context", property(lambda _: trusted))

    async def reconnects() -> None:
        plain = Listener()
        async with plain.open() as port:
            with NatsServer(tmp_path / "jetstream", config) as server:
                url = server.url.replace("nats://", f"{scheme}://")
                with capture_logs() as logs:
                    client = await connect_once(url, "test", LOGIN)
                    assert client.is_connected
                    # As the cluster would name it.
                    await client._process_info({"connect_urls": [f"127.0.0.1:{port}"]})
                    await asyncio.to_thread(server.stop)
                    await until(lambda: not client.is_connected)
                    await client.publish("somewhere", b"a secret of ours")
                    await until(lambda: plain.connections >= 3)
                    await asyncio.to_thread(server.start)
                    await until(lambda: client.is_connected)
                    await close(client)
        assert plain.told == b""
        told = [line for line in logs if line["event"] == "nats_not_encrypted"]
        assert len(told) == 1
        assert f"127.0.0.1:{port}" in told[0]["error"]

    run(reconnects())


@pytest.mark.parametrize("run", LOOPS)
def test_a_server_that_stops_offering_tls_is_told_nothing_and_closing_sends_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = certificate(tmp_path, HOST)
    config = tmp_path / "nats.conf"
    config.write_text(f'tls {{ cert_file: "{cert}", key_file: "{key}" }}')
    _, trusted = contexts(tmp_path, HOST)
    monkeypatch.setattr(NatsClient, "ssl_context", property(lambda _: trusted))

    async def stops() -> None:
        with NatsServer(tmp_path / "jetstream", config) as server:
            client = await connect_once(server.url.replace("nats", "tls"), "test", LOGIN)
            port = int(server.url.rpartition(":")[2])
        plain = Listener()
        async with plain.open(port=port):
            await until(lambda: plain.connections >= 2)
            await client.publish("somewhere", b"a secret of ours")
            with suppress(OSError, RuntimeError):  # nats-py tries to send what waits
                await close(client)
        assert plain.told == b""

    run(stops())


@pytest.mark.parametrize("run", LOOPS)
def test_encryption_that_a_server_leaves_to_us_is_taken(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = certificate(tmp_path, HOST)
    config = tmp_path / "nats.conf"
    config.write_text(f'allow_non_tls: true\ntls {{ cert_file: "{cert}", key_file: "{key}" }}\n')
    _, trusted = contexts(tmp_path, HOST)
    monkeypatch.setattr(NatsClient, "ssl_context", property(lambda _: trusted))

    async def connects() -> None:
        with NatsServer(tmp_path / "jetstream", config) as server:
            for scheme, encrypted in (("tls", True), ("nats", False)):
                client = await connect_once(server.url.replace("nats", scheme), "test")
                writer = client._transport._io_writer
                assert (writer.get_extra_info("ssl_object") is not None) is encrypted
                await client.flush()
                await close(client)

    run(connects())


@pytest.mark.parametrize("run", LOOPS)
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_websockets_are_encrypted_where_it_is_wanted_and_the_clusters_others_are_websockets_too(
    run: Run, scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = certificate(tmp_path, HOST)
    tls = f'tls {{ cert_file: "{cert}", key_file: "{key}" }}' if scheme == "wss" else "no_tls: true"
    config = tmp_path / "nats.conf"
    config.write_text(f'websocket {{ host: "127.0.0.1", port: -1, {tls} }}')
    _, trusted = contexts(tmp_path, HOST)
    monkeypatch.setattr(NatsClient, "ssl_context", property(lambda _: trusted))

    async def connects() -> None:
        with NatsServer(tmp_path / "jetstream", config) as server:
            found = re.search(
                r"websocket clients on wss?://127\.0\.0\.1:(\d+)", "".join(server.log)
            )
            assert found
            client = await connect_once(f"{scheme}://127.0.0.1:{found[1]}", "test", LOGIN)
            await client.flush()
            assert client._was_encrypted is (scheme == "wss")
            await client._process_info({"connect_urls": ["127.0.0.2:1", f"127.0.0.1:{found[1]}"]})
            assert {each.uri.scheme for each in client._server_pool} == {scheme}
            await client.force_reconnect()
            await until(lambda: client.is_connected)
            await client.flush()
            await close(client)

    run(connects())


@pytest.mark.parametrize("run", LOOPS)
@pytest.mark.parametrize("first", [DROPS, REFUSES, SWALLOWS])
def test_an_address_that_does_not_work_keeps_nobody_from_the_server(
    run: Run, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, first, GOOD)

    async def connects() -> None:
        with NatsServer(tmp_path / "jetstream") as server:
            port = int(server.url.rpartition(":")[2])
            with dropping(port):
                async with swallowing(port) as taken, asyncio.timeout(30):
                    client = await connect_once(f"nats://{HOST}:{port}", "test")
                    for _ in range(2):
                        await client.force_reconnect()
                        await until(lambda: client.is_connected)
                    await client.flush()
                    await close(client)
        assert len(taken) == (first == SWALLOWS)

    run(connects())


INFO = b'INFO {"server_id":"X","version":"2.15.1","max_payload":1048576}\r\n'


@pytest.mark.parametrize("run", LOOPS)
def test_whatever_answers_a_reconnect_another_one_follows(run: Run) -> None:
    answers = [
        *(b"", b"HTTP/1.1 503 x\r\n", b"INFO\r\n", b"INFO []\r\n", b"INFO null\r\n", b"INFO {\r\n"),
        *(b"INFO \xff\r\n", b"<html>" + b"x" * 200_000, b'INFO {"connect_urls":7}\r\n'),
        *(b'INFO {"connect_urls":["[::1:4222",7,"","h:99999"]}\r\n', b"\x00" * 300 + b"\r\n"),
        *(INFO + b"-ERR\r\n", INFO + b"-ERR '\xff'\r\n", INFO + b"x" * 300_000, INFO + b"PO"),
    ]

    async def reconnects() -> None:
        listener = Listener()
        async with listener.open() as port:
            client = await connect_once(f"nats://127.0.0.1:{port}", "test")
            client.options["reconnect_time_wait"] = 0.01
            listener.garbage = list(answers)
            listener.hang_up()
            await until(lambda: not listener.garbage and client.is_connected)
            assert listener.connections == len(answers) + 2
            await client.flush()
            await close(client)

    run(reconnects())


@pytest.mark.parametrize("run", LOOPS)
def test_a_server_that_names_others_wrongly_is_connected_to_all_the_same(run: Run) -> None:
    async def connects() -> None:
        listener = Listener(connect_urls=["[::1:4222", 7, "", "h:99999", "h:x", "a/b:1", "h:4222"])
        async with listener.open() as port:
            client = await connect_once(f"nats://127.0.0.1:{port}", "test")
            assert [each.netloc for each in client.discovered_servers] == ["h:4222"]
            await close(client)

    run(connects())


async def test_servers_that_the_cluster_names_no_longer_are_forgotten() -> None:
    listener = Listener()
    other = Listener()
    async with listener.open() as port, other.open() as other_port:

        def pool() -> set[int | None]:
            return {each.port for each in client.servers}

        client = await connect_once(f"nats://127.0.0.1:{port}", "test")
        listener.names("127.0.0.2:1", "127.0.0.2:2")
        await until(lambda: pool() == {port, 1, 2})
        listener.names("127.0.0.2:2", f"127.0.0.1:{other_port}")
        await until(lambda: pool() == {port, 2, other_port})
        await client._process_info({})  # names none: says nothing of them
        await client._process_info({"connect_urls": []})
        assert pool() == {port, 2, other_port}
        # The one of NATS_URL stays, and so does the one that it is connected to.
        for server in client._server_pool:
            if server.uri.port == other_port:
                client._current_server = server
        await client._process_info({"connect_urls": ["127.0.0.2:3"]})
        assert pool() == {port, other_port, 3}
        await close(client)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("feeder:hunter2", {"user": "feeder", "pass": "hunter2"}),
        ("feeder%40home:hunter%232%2F%25", {"user": "feeder@home", "pass": "hunter#2/%"}),
        ("feeder:", {"user": "feeder", "pass": ""}),
        ("hunter2", {"auth_token": "hunter2"}),
        ("hunter%3A2", {"auth_token": "hunter:2"}),
    ],
)
async def test_whoever_the_url_says_that_we_are_we_are_to_the_clusters_others_too(
    given: str, told: dict[str, str]
) -> None:
    first, second = Listener(auth_required=True), Listener(auth_required=True)
    async with second.open() as port:
        async with first.open() as first_port:
            first.info["connect_urls"] = [f"127.0.0.1:{port}"]
            client = await connect_once(f"nats://{given}@127.0.0.1:{first_port}", "test")
        await until(lambda: client.is_connected and second.connections == 1)
        for listener in (first, second):
            command = listener.told.split(b"\r\n")[0].removeprefix(b"CONNECT ")
            assert told.items() <= json.loads(command).items()
        assert all(server.username is None for server in client.servers)  # libraries show URLs
        no_jetstream = ServiceUnavailableError(code=503, err_code=10039)
        assert str(jetstream_complaint(client, no_jetstream)).startswith("NATS_URL: ")
        await close(client)


@pytest.mark.parametrize("how", ["stale", "flush"])
async def test_an_address_over_which_nothing_comes_any_more_is_left(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, SWALLOWS, GOOD)
    swallows, good = Listener(), Listener()
    async with good.open() as port, swallows.open(SWALLOWS, port):
        client = await connect_once(f"nats://{HOST}:{port}", "test")
        assert (swallows.connections, good.connections) == (1, 0)
        if how == "stale":
            await client._process_op_err(StaleConnectionError())  # pings without an answer
        else:
            monkeypatch.setattr(client, "_send_ping", lambda _: asyncio.sleep(0))
            with pytest.raises(FlushTimeoutError):
                await client.flush(timeout=0.01)  # type: ignore[arg-type]  # takes any number
            monkeypatch.undo()
            resolving(monkeypatch, SWALLOWS, GOOD)
            await client.force_reconnect()
        await until(lambda: client.is_connected and good.connections == 1)
        assert swallows.connections == 1
        await close(client)


async def test_what_was_flushed_the_server_has_taken() -> None:
    listener = Listener()
    async with listener.open() as port:
        client = await connect_once(f"nats://127.0.0.1:{port}", "test")
        await client.subscribe("config.*")
        await client.publish("config.a", b"7")
        await client.flush()
        assert listener.told.endswith(b"\r\nSUB config.*  1\r\nPUB config.a  1\r\n7\r\nPING\r\n")
        await close(client)


@pytest.mark.parametrize(
    "words",
    [
        *(b"-ERR 'Authorization Violation'", b"-ERR 'maximum connections exceeded'"),
        *(b"-ERR 'Invalid Subscription'", b"-ERR ''", b"-ERR '\xff'", b"-ERR 'User JWT Expired'"),
        b"HMSG inbox 1 17 19\r\nNATS/1.0 \xff\xff \xff\r\n\r\n{}",  # nats-py stops to read
    ],
)
async def test_no_word_of_a_server_ends_a_client(words: bytes) -> None:
    listener = Listener()
    async with listener.open() as port:
        client = await connect_once(f"nats://127.0.0.1:{port}", "test")
        client.options["reconnect_time_wait"] = 0.01
        await client.subscribe("inbox")
        listener.says(words + b"\r\n")
        await until(lambda: listener.connections == 2 and client.is_connected)
        await client.flush()
        await close(client)


async def test_a_word_about_permissions_ends_no_connection() -> None:
    listener = Listener()
    async with listener.open() as port:
        client = await connect_once(f"nats://127.0.0.1:{port}", "test")
        listener.says(b"-ERR 'Permissions Violation for Publish to \"x\"'\r\n")
        await client.flush()
        assert (client.is_connected, listener.connections) == (True, 1)
        await close(client)


async def test_what_is_stored_with_a_strange_subject_or_headers_is_a_message_like_any_other() -> (
    None
):
    listener = Listener()
    async with listener.open() as port:
        client = await connect_once(f"nats://127.0.0.1:{port}", "test")
        inbox = await client.subscribe("inbox")
        await client.flush()
        listener.says(b"MSG fill.\xff\xfe 1 $JS.ACK.\xff 2\r\n{}\r\n")
        for headers in (b"NATS/1.0\r\nStatus: 404\r\n\r\n", b"NATS/1.0 \xff\xff \xff\r\n\r\n"):
            length = len(headers)
            where = b"HMSG fill.x 1 $JS.ACK.a %d %d\r\n" % (length, length + 2)
            listener.says(where + headers + b"{}\r\n")
        for _ in range(3):
            message = await inbox.next_msg(timeout=20)
            assert (message.data, message.headers) == (b"{}", None)
            assert message.subject in ("fill.x", "fill.\ufffd\ufffd")
        assert listener.connections == 1
        await close(client)
