from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
from nats.js.api import StorageType
from pydantic import SecretStr
from structlog.testing import capture_logs

from protocol.subjects import BOOKS, DECISIONS, FILLS, StreamSpec
from runtime.nats import (
    LoginRefusedError,
    StreamMismatchError,
    close,
    connect,
    connect_once,
    declare_stream,
    ensure_stream,
    inspect_stream,
)
from runtime.nats_settings import Login
from tests.support.servers import NatsServer

WORD = "e5b4c3d2a1"


@asynccontextmanager
async def server_that_says(version: str) -> AsyncIterator[str]:
    """Speaks just enough of the client protocol to be connected to: INFO, and PONG for PING.

    Does not model subscriptions, messages or JetStream.
    """
    info = json.dumps({"server_id": "X", "version": version, "max_payload": 1 << 20})

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"INFO {info}\r\n".encode())
        while line := await reader.readline():
            if line == b"PING\r\n":
                writer.write(b"PONG\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("version", ["2.9.10", "2.11.99", "1.4.1", "not-a-version"])
async def test_an_old_server_is_refused_in_one_line(
    version: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with server_that_says(version) as url:
        with pytest.raises(SystemExit) as refused:
            await connect(url, "test")
    assert refused.value.code == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "NATS_URL" in line
    assert version in line
    assert "2.12 or newer" in line


@pytest.mark.parametrize("version", ["2.12.0", "2.12.0-RC.1", "2.15.1", "3.0.0"])
async def test_a_new_server_is_accepted(version: str) -> None:
    async with server_that_says(version) as url:
        client = await connect(url, "test")
        assert client.is_connected
        await client.close()


async def test_a_server_that_is_not_there_is_reported_and_waited_for(
    nats_server: NatsServer,
) -> None:
    nats_server.stop()
    with capture_logs() as logs:
        connecting = asyncio.create_task(connect(nats_server.url, "test"))
        async with asyncio.timeout(30):
            while not logs:  # noqa: ASYNC110 - logging offers nothing to wait on
                await asyncio.sleep(0.01)
        nats_server.start()
        client = await connecting
    assert client.is_connected
    await client.close()
    first = logs[0]
    assert first["event"] == "not_reachable"
    assert first["what"] == f"NATS at {nats_server.url}"
    assert "refused" in first["error"].lower() or "connect" in first["error"].lower()
    assert {line["event"] for line in logs} == {"not_reachable"}


async def test_a_lost_server_is_reconnected_to_without_a_flood_of_lines(
    nats_server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    with capture_logs() as logs:
        client = await connect(nats_server.url, "test")
        nats_server.stop()
        async with asyncio.timeout(30):
            while client.is_connected:  # noqa: ASYNC110 - nats-py offers nothing to wait on
                await asyncio.sleep(0.01)
        await asyncio.sleep(1)  # several failing tries: this is about what they do NOT log
        nats_server.start()
        async with asyncio.timeout(30):
            while not client.is_connected:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
            await client.flush()
        await client.close()
    assert [line["event"] for line in logs if line["event"] != "nats_error"] == [
        "nats_disconnected",
        "nats_reconnected",
    ]
    assert len(logs) <= 3  # and at most the one error that ended the connection
    assert caplog.text == ""  # nor a traceback of nats-py's for each try


@pytest.fixture
def asking_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A nats-server that wants to know who is there."""
    config = tmp_path / "nats.conf"
    config.write_text(f"authorization {{ users: [{{ user: feeder, password: {WORD} }}] }}")
    with NatsServer(tmp_path / "jetstream", config) as server:
        yield server


async def test_whoever_is_known_is_let_in(asking_server: NatsServer) -> None:
    client = await connect(asking_server.url, "test", Login("feeder", SecretStr(WORD)))
    assert client.is_connected
    await client.close()


@pytest.mark.parametrize(
    "word", ["a#b@c/d:e?f%g", "100%41", "white space, plus+", "[{ü∂'&=;$!~^|`<>}]", "a%", "://@://"]
)
async def test_a_password_of_any_characters_is_let_in_by_url_and_by_variables_and_is_never_shown(
    word: str, tmp_path: Path
) -> None:
    config = tmp_path / "nats.conf"
    config.write_text(f'authorization {{ users: [{{ user: "us@r", password: "{word}" }}] }}')
    with NatsServer(tmp_path / "jetstream", config) as server, capture_logs() as logs:
        in_url = server.url.replace("//", f"//us%40r:{quote(word, safe='')}@")
        for url, login in ((in_url, None), (server.url, Login("us@r", SecretStr(word)))):
            client = await connect_once(url, "test", login)
            await client.force_reconnect()
            async with asyncio.timeout(30):
                while not (client.is_connected and client.stats["reconnects"]):  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.01)
            assert word not in repr((client.servers, client.connected_url))
            await close(client)
        with pytest.raises(LoginRefusedError) as refused:
            await connect_once(in_url.replace("us%40r:", "us%40r:x"), "test")
    for shown in (str(logs), str(refused.value), "".join(server.log)):
        assert word not in shown
        assert quote(word, safe="") not in shown


@pytest.mark.parametrize(
    ("url_user", "login", "told"),
    [
        ("", Login("feeder", SecretStr("x" + WORD)), "NATS_USER feeder or its NATS_PASSWORD"),
        ("", Login("nobody", SecretStr(WORD)), "NATS_USER nobody or its NATS_PASSWORD"),
        ("", None, "set NATS_USER and NATS_PASSWORD"),
        (f"feeder:x{WORD}@", None, "the user or the password in NATS_URL"),
    ],
)
async def test_whoever_is_not_known_waits_and_says_so_in_one_line_a_try(
    asking_server: NatsServer, url_user: str, login: Login | None, told: str
) -> None:
    url = asking_server.url.replace("//", f"//{url_user}")
    with capture_logs() as logs:
        connecting = asyncio.create_task(connect(url, "test", login))
        async with asyncio.timeout(30):
            while not logs:  # noqa: ASYNC110 - logging offers nothing to wait on
                await asyncio.sleep(0.01)
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)
    assert {line["event"] for line in logs} == {"not_reachable"}
    assert logs[0]["what"] == f"NATS at {asking_server.url}"
    assert told in logs[0]["error"]
    assert WORD not in str(logs)


async def test_a_password_that_was_changed_meanwhile_is_told_once(
    asking_server: NatsServer, tmp_path: Path
) -> None:
    config = tmp_path / "nats.conf"
    first = config.read_text()
    with capture_logs() as logs:
        client = await connect(asking_server.url, "test", Login("feeder", SecretStr(WORD)))
        asking_server.stop()
        config.write_text(first.replace(WORD, "another1"))
        asking_server.start()
        async with asyncio.timeout(30):
            while not any("NATS_PASSWORD" in str(line) for line in logs):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.6)  # two tries more, of which it must NOT tell
        asking_server.stop()
        config.write_text(first)
        asking_server.start()
        async with asyncio.timeout(30):
            while not client.is_connected:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
        await client.close()
    told = [line for line in logs if "NATS_PASSWORD" in str(line)]
    assert len(told) == 1
    assert WORD not in str(logs)


async def test_three_replicas_on_a_server_without_a_cluster_is_one_line_and_exit_2(
    nats_server: NatsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    client = await connect(nats_server.url, "test")
    for spec in (BOOKS, FILLS):
        if spec is FILLS:  # there already, with one
            await ensure_stream(client.jetstream(), spec)
        with pytest.raises(SystemExit) as refused:
            await declare_stream(client, spec, replicas=3)
        assert refused.value.code == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert line.startswith("cannot start: STREAM_REPLICAS: ")
    await client.close()


@pytest.mark.parametrize("there_already", [False, True])
async def test_subjects_that_another_stream_holds_are_one_line_and_exit_2(
    there_already: bool, nats_server: NatsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    client = await connect(nats_server.url, "test")
    js = client.jetstream()
    for name, spec, subject in (
        ("OTHERS", BOOKS, "book.*.*"),
        ("HERS", FILLS, "fill.>"),
        ("ALL", DECISIONS, "decision.x"),
    ):
        if there_already:  # without what the other one holds
            storage = StorageType.MEMORY if spec.memory else StorageType.FILE
            await js.add_stream(name=spec.name, subjects=["elsewhere.*"], storage=storage)
        await js.add_stream(name=name, subjects=[subject])
        with pytest.raises(StreamMismatchError, match=name):
            await inspect_stream(js, spec)
        with pytest.raises(SystemExit) as refused:
            await declare_stream(client, spec)
        assert refused.value.code == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert line.startswith("cannot start: NATS_URL: ")
        assert f"stream {name} " in line
        assert spec.subjects[0] in line
        if there_already:
            await js.delete_stream(spec.name)
    await client.close()


async def test_a_stream_is_created_verified_and_brought_to_its_declaration(
    nats_server: NatsServer,
) -> None:
    client = await connect(nats_server.url, "test")
    js = client.jetstream()
    for spec in (BOOKS, DECISIONS, FILLS):
        await ensure_stream(js, spec)
        await ensure_stream(js, spec)
        config = (await js.stream_info(spec.name)).config
        assert config.subjects == list(spec.subjects)
        assert config.max_age == spec.max_age_s
        assert config.max_msgs_per_subject == spec.max_msgs_per_subject
        assert config.max_bytes == spec.max_bytes
        assert config.duplicate_window == (spec.duplicate_window_s or config.duplicate_window)
        assert config.storage == (StorageType.MEMORY if spec.memory else StorageType.FILE)

    with capture_logs() as logs:
        await ensure_stream(js, msgspec.structs.replace(BOOKS, max_age_s=7))
        await ensure_stream(js, BOOKS)
        await ensure_stream(js, BOOKS)
    assert [line["event"] for line in logs] == ["stream_updated", "stream_updated"]
    assert (await js.stream_info(BOOKS.name)).config.max_age == BOOKS.max_age_s
    await client.close()


async def test_a_stream_that_cannot_become_what_is_declared_is_an_error_that_says_so(
    nats_server: NatsServer,
) -> None:
    client = await connect(nats_server.url, "test")
    on_file: StreamSpec = msgspec.structs.replace(BOOKS, memory=False)
    await ensure_stream(client.jetstream(), on_file)
    with pytest.raises(StreamMismatchError, match="BOOKS has storage=file instead of memory"):
        await ensure_stream(client.jetstream(), BOOKS)
    await client.close()


@pytest.mark.parametrize("waited_s", [0.0, 0.05, 0.4])
@pytest.mark.parametrize("gone", ["stopped", "paused", "there"])
async def test_closing_ends_in_order_whatever_waits_to_be_sent(
    nats_server: NatsServer, gone: str, waited_s: float
) -> None:
    client = await connect(nats_server.url, "test")
    inbox = await client.subscribe("inbox")
    reading = asyncio.create_task(inbox.next_msg(timeout=30))
    if gone == "stopped":
        await asyncio.to_thread(nats_server.stop)
    elif gone == "paused":
        nats_server.pause()
    await asyncio.sleep(waited_s)  # which part of reconnecting it is, nobody can await
    for _ in range(100):
        await client.publish("subject", b"x" * 1_000)
    async with asyncio.timeout(30):
        await close(client)
    reading.cancel()
    await asyncio.wait({reading})
