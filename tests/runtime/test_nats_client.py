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
from pydantic import SecretStr
from structlog.testing import capture_logs

from runtime.nats import close, connect, connect_once
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
        self._writers: list[asyncio.StreamWriter] = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        writer.write(f"INFO {json.dumps(self.info)}\r\n".encode())
        while line := await reader.readline():
            self.told += line
            if line == b"PING\r\n":
                writer.write(b"PONG\r\n")
        writer.close()

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
    async with asyncio.timeout(10):
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
                async with swallowing(port) as taken, asyncio.timeout(6):
                    client = await connect_once(f"nats://{HOST}:{port}", "test")
                    for _ in range(2):
                        await client.force_reconnect()
                        await until(lambda: client.is_connected)
                    await client.flush()
                    await close(client)
        assert len(taken) == (first == SWALLOWS)

    run(connects())
