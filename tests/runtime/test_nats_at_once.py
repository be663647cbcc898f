"""Publishing without waiting, and handling a message as it is read. With both event loops."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from nats.aio.msg import Msg
from nats.errors import (
    BadSubjectError,
    ConnectionClosedError,
    ConnectionDrainingError,
    MaxPayloadError,
    OutboundBufferLimitError,
)
from nats.protocol.parser import AWAITING_MSG_PAYLOAD
from structlog.testing import capture_logs

from runtime.nats import connect_once
from runtime.nats_client import NatsClient
from tests.support.certificates import certificate, contexts
from tests.support.servers import NatsServer

LOOPS = [asyncio.run, uvloop.run]
Run = Callable[[Coroutine[Any, Any, None]], None]
INFO = b'INFO {"server_id":"X","version":"2.15.1","max_payload":1048576}\r\n'


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[NatsClient]:
    client = await connect_once(url, "test")
    client.options["reconnect_time_wait"] = 0.01
    try:
        yield client
    finally:
        async with asyncio.timeout(5):
            await client.close()


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not fact():  # noqa: ASYNC110 - nats-py offers nothing to wait on
            await asyncio.sleep(0.002)


@asynccontextmanager
async def wired() -> AsyncIterator[tuple[NatsClient, socket.socket]]:
    """A client, and the server's end of its connection."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        connecting = loop.create_task(
            connect_once(f"nats://127.0.0.1:{listening.getsockname()[1]}", "test")
        )
        peer, _ = await loop.sock_accept(listening)
    with peer:
        await loop.sock_sendall(peer, INFO)
        told = b""
        while not told.endswith(b"PING\r\n"):
            told += await loop.sock_recv(peer, 1024)
        await loop.sock_sendall(peer, b"PONG\r\n")
        client = await connecting
        try:
            yield client, peer
        finally:
            client.options["allow_reconnect"] = False
            await client.close()


def arrived(peer: socket.socket) -> bytes:
    """What is there without anybody having had a turn since."""
    try:
        return peer.recv(65536)
    except BlockingIOError:
        return b""


@pytest.mark.parametrize("run", LOOPS)
def test_what_is_published_is_written_before_anybody_else_has_a_turn(run: Run) -> None:
    async def publishes() -> None:
        async with wired() as (client, peer):
            client.publish_nowait("a", b"book", "inbox")
            assert arrived(peer) == b"PUB a inbox 4\r\nbook\r\n"
            assert client.stats["out_msgs"] == 1
            assert client.stats["out_bytes"] == 4
            # What another one has left for the flusher goes first.
            await client.publish("a", b"1")
            client.publish_nowait("a", b"2")
            assert arrived(peer) == b"PUB a  1\r\n1\r\nPUB a  1\r\n2\r\n"
            assert client.pending_data_size == 0

    run(publishes())


@pytest.mark.parametrize("run", LOOPS)
def test_more_is_written_with_the_next_one_and_without_a_next_one_all_the_same(run: Run) -> None:
    async def publishes() -> None:
        async with wired() as (client, peer):
            client.publish_nowait("a", b"1", more=True)
            assert arrived(peer) == b""
            client.publish_nowait("a", b"2")
            assert arrived(peer) == b"PUB a  1\r\n1\r\nPUB a  1\r\n2\r\n"
            client.publish_nowait("a", b"3", more=True)
            with pytest.raises(MaxPayloadError):
                client.publish_nowait("a", bytes(client.max_payload + 1))
            async with asyncio.timeout(5):
                told = await asyncio.get_running_loop().sock_recv(peer, 1024)
            assert told == b"PUB a  1\r\n3\r\n"

    run(publishes())


@pytest.mark.parametrize("run", LOOPS)
def test_to_a_server_that_does_not_read_no_more_is_kept_than_nats_py_would_and_in_order(
    run: Run, tmp_path: Path
) -> None:
    async def publishes() -> None:
        with NatsServer(tmp_path) as server:
            async with connected(server.url) as publisher, connected(server.url) as subscriber:
                heard: list[int] = []
                await subscriber.handle("a", lambda message: heard.append(int(message.data[:8])))
                await subscriber.flush()
                server.pause()
                padding, sent = bytes(100_000), 0
                with pytest.raises(OutboundBufferLimitError):
                    while True:
                        publisher.publish_nowait("a", b"%08d" % sent + padding)
                        sent += 1
                        if sent % 10 == 0:
                            await asyncio.sleep(0)  # for the flusher
                assert publisher.pending_data_size <= publisher._max_pending_size
                refused = sent
                server.resume()
                while True:
                    try:
                        publisher.publish_nowait("a", b"%08d" % sent)
                    except OutboundBufferLimitError:
                        await asyncio.sleep(0.001)
                        continue
                    sent += 1
                    if sent == refused + 10:
                        break
                await publisher.publish("a", b"%08d" % sent)
                await until(lambda: len(heard) > sent)
                assert heard == list(range(sent + 1))

    run(publishes())


@pytest.mark.parametrize("run", LOOPS)
def test_what_is_published_while_disconnected_goes_first_and_handlers_stay(
    run: Run, tmp_path: Path
) -> None:
    async def reconnects() -> None:
        with NatsServer(tmp_path) as server:
            async with connected(server.url) as client:
                heard: list[bytes] = []
                await client.handle("a", lambda message: heard.append(message.data))
                await client.flush()
                await asyncio.to_thread(server.kill)
                await until(lambda: not client.is_connected)
                client.publish_nowait("a", b"1")
                client.publish_nowait("a", b"2", more=True)
                with pytest.raises(OutboundBufferLimitError):
                    for _ in range(3):
                        client.publish_nowait("a", bytes(client.max_payload))
                client._pending[:] = client._pending[:2]
                client._pending_data_size = sum(map(len, client._pending))
                await asyncio.to_thread(server.start)
                await until(lambda: client.is_connected)
                client.publish_nowait("a", b"3")
                await until(lambda: len(heard) >= 3)
                assert heard == [b"1", b"2", b"3"]

    run(reconnects())


@pytest.mark.parametrize("run", LOOPS)
@pytest.mark.parametrize("scheme", ["tls", "ws"])
def test_encrypted_and_over_a_websocket_it_arrives_as_well(
    run: Run, scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = certificate(tmp_path, "127.0.0.1")
    config = tmp_path / "nats.conf"
    websocket = 'websocket { host: "127.0.0.1", port: -1, no_tls: true }'
    encrypted = f'tls {{ cert_file: "{cert}", key_file: "{key}" }}'
    config.write_text(encrypted if scheme == "tls" else websocket)
    trusted: ssl.SSLContext = contexts(tmp_path, "127.0.0.1")[1]
    trusted.check_hostname = False
    monkeypatch.setattr(NatsClient, "ssl_context", property(lambda _: trusted))

    async def publishes() -> None:
        with NatsServer(tmp_path / "jetstream", config) as server:
            found = re.search(r"clients on (ws://127\.0\.0\.1:\d+)", "".join(server.log))
            url = found[1] if found else server.url.replace("nats", "tls")
            async with connected(url) as client:
                heard: list[bytes] = []
                await client.handle("a", lambda message: heard.append(message.data))
                sent = [b"%d" % number * 5_000 for number in range(40)]
                for number, payload in enumerate(sent):
                    if number % 3:
                        client.publish_nowait("a", payload)
                    else:
                        await client.publish("a", payload)
                await until(lambda: len(heard) == len(sent))
                assert heard == sent

    run(publishes())


async def test_what_cannot_be_published_is_refused_as_nats_py_does(
    nats_server: NatsServer,
) -> None:
    async with connected(nats_server.url) as client:
        for subject, reply in (("", ""), ("a b", ""), ("a\r\nPUB b 0", ""), ("a", "b\r\n")):
            with pytest.raises(BadSubjectError):
                client.publish_nowait(subject, b"", reply)
        for subject in ("", "a..b", "a b"):
            with pytest.raises(BadSubjectError):
                await client.handle(subject, lambda _: None)
        with pytest.raises(MaxPayloadError):
            client.publish_nowait("a", bytes(client.max_payload + 1))
        assert client.stats["out_msgs"] == 0
        client._status = NatsClient.DRAINING_PUBS
        with pytest.raises(ConnectionDrainingError):
            client.publish_nowait("a", b"")
        with pytest.raises(ConnectionDrainingError):
            await client.handle("a", lambda _: None)
        client._status = NatsClient.CONNECTED
    with pytest.raises(ConnectionClosedError):
        client.publish_nowait("a", b"")
    with pytest.raises(ConnectionClosedError):
        await client.handle("a", lambda _: None)


async def test_without_a_flusher_nothing_is_left_for_it(nats_server: NatsServer) -> None:
    async with connected(nats_server.url) as client:
        assert client._flusher_task is not None
        client._flusher_task.cancel()
        await asyncio.sleep(0)
        heard: list[bytes] = []
        await client.handle("a", lambda message: heard.append(message.data))
        client.publish_nowait("a", b"1", more=True)
        assert client._flush_queue is not None
        assert client._flush_queue.empty()
        await client.publish("a", b"2")
        await until(lambda: heard == [b"1", b"2"])


@pytest.mark.parametrize("run", LOOPS)
def test_messages_of_one_read_are_handled_before_any_task_has_a_turn(run: Run) -> None:
    async def handles() -> None:
        async with wired() as (client, peer):
            heard: list[tuple[str, str, bytes, dict[str, str] | None]] = []
            turns: list[int] = []

            def take(message: Msg) -> None:
                if not heard:
                    asyncio.get_running_loop().call_soon(lambda: turns.append(len(heard)))
                heard.append((message.subject, message.reply, message.data, message.headers))

            subscription = await client.handle("a.*", take)
            peer.sendall(
                b"MSG a.x 1 2\r\nhi\r\nMSG a.y 1 back 0\r\n\r\n"
                b"HMSG a.z 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"
                b"MSG fill.\xff 1 $JS.ACK.x 1\r\n!\r\n"
            )
            await until(lambda: bool(turns))
            assert heard == [
                ("a.x", "", b"hi", None),
                ("a.y", "back", b"", None),
                ("a.z", "", b"", {"Status": "503"}),
                ("fill.\ufffd", "$JS.ACK.x", b"!", None),
            ]
            assert turns == [4]
            assert subscription.delivered == 4
            assert subscription.pending_msgs == 0
            assert (client.stats["in_msgs"], client.stats["in_bytes"]) == (4, 3)

    run(handles())


@pytest.mark.parametrize("run", LOOPS)
def test_whole_messages_are_handled_in_the_call_that_reads_and_parts_in_their_order(
    run: Run,
) -> None:
    async def handles() -> None:
        async with wired() as (client, peer):
            heard: list[tuple[bytes, bool]] = []

            def take(message: Msg) -> None:
                heard.append((message.data, asyncio.current_task() is None))

            await client.handle("a", take)
            queued = await client.subscribe("b")

            async def sent(data: bytes, heard_then: int) -> None:
                peer.sendall(data)
                await until(lambda: len(heard) == heard_then)

            await sent(b"MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\n", 2)
            await sent(b"MSG a 1 1\r\n3\r\nMSG a 1 1\r\n", 3)  # the parser waits for the rest
            await sent(b"4\r\n", 4)
            await sent(b"MSG a 1 1\r\n5\r\nMSG b 2 1\r\nb\r\nMSG a 1 1\r\n6\r\n", 6)
            assert (await queued.next_msg(1)).data == b"b"
            await sent(b"PING\r\nMSG a 1 1\r\n7\r\n", 7)
            await sent(b"MSG a 1 1\r\n8\r\n", 8)
            early = {b"1", b"2", b"8"}
            assert heard == [(b"%d" % n, b"%d" % n in early) for n in range(1, 9)]
            assert client.stats["in_msgs"] == 9

    run(handles())


@pytest.mark.parametrize("run", LOOPS)
def test_a_payload_that_looks_like_a_message_is_none(run: Run) -> None:
    async def handles() -> None:
        async with wired() as (client, peer):
            heard: list[bytes] = []
            await client.handle("a", lambda message: heard.append(message.data))
            looks = b"MSG a 1 1\r\nx\r\n"
            payload = looks * 2
            peer.sendall(b"MSG a 1 %d\r\n" % len(payload))
            await until(lambda: client._ps.state == AWAITING_MSG_PAYLOAD)
            peer.sendall(looks)  # into a buffer that is empty, and then into one that is not
            await until(lambda: len(client._ps.buf) == len(looks))
            peer.sendall(looks)
            await until(lambda: len(client._ps.buf) == 2 * len(looks))
            assert heard == []
            peer.sendall(b"\r\n")
            await until(lambda: bool(heard))
            assert heard == [payload]

    run(handles())


@pytest.mark.parametrize("run", LOOPS)
def test_what_comes_while_an_error_is_told_does_not_overtake(run: Run) -> None:
    async def handles() -> None:
        async with wired() as (client, peer):
            heard: list[bytes] = []
            told, go_on = asyncio.Event(), asyncio.Event()

            async def telling(_: Exception) -> None:
                told.set()
                await go_on.wait()

            def fail(message: Msg) -> None:
                heard.append(message.data)
                if message.data == b"1":
                    raise ValueError("a defect of ours")

            client._error_cb = telling
            await client.handle("a", fail)
            peer.sendall(b"+OK\r\nMSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\n")
            await told.wait()
            peer.sendall(b"MSG a 1 1\r\n3\r\n")
            turn = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(0.01, turn.set_result, None)
            await turn
            assert heard == [b"1"]
            go_on.set()
            await until(lambda: len(heard) == 3)
            assert heard == [b"1", b"2", b"3"]

    run(handles())


@pytest.mark.parametrize("run", LOOPS)
def test_what_a_handler_ends_is_not_handled_further_in_the_same_read(run: Run) -> None:
    async def handles() -> None:
        async with wired() as (client, peer):
            heard: list[bytes] = []

            def take(message: Msg) -> None:
                heard.append(message.data)
                client._remove_sub(1)

            await client.handle("a", take)
            await client.handle("b", lambda message: heard.append(message.data))
            peer.sendall(b"MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\nMSG b 2 1\r\n3\r\n")
            await until(lambda: b"3" in heard)
            assert heard == [b"1", b"3"]

    run(handles())


async def test_what_a_handler_raises_is_told_and_the_next_message_comes(
    nats_server: NatsServer,
) -> None:
    async with connected(nats_server.url) as client:
        heard: list[bytes] = []

        def fail(message: Msg) -> None:
            heard.append(message.data)
            if len(heard) == 1:
                raise ValueError("a defect of ours")

        await client.handle("a", fail)
        with capture_logs() as logs:
            client.publish_nowait("a", b"1")
            client.publish_nowait("a", b"2")
            await until(lambda: len(heard) == 2)
        assert [line["error"] for line in logs] == ["ValueError: a defect of ours"]
        assert client.stats["reconnects"] == 0


async def test_after_unsubscribing_and_beyond_its_limit_nothing_is_handled(
    nats_server: NatsServer,
) -> None:
    async with connected(nats_server.url) as client:
        heard: list[bytes] = []
        ended = await client.handle("a", lambda message: heard.append(message.data))
        limited = await client.handle("b", lambda message: heard.append(message.data))
        drained = await client.handle("c", lambda message: heard.append(message.data))
        await ended.unsubscribe()
        await limited.unsubscribe(limit=2)
        client.publish_nowait("c", b"c")
        await drained.drain()
        for number in range(4):
            client.publish_nowait("a", b"a")
            client.publish_nowait("b", b"%d" % number)
            client.publish_nowait("c", b"too late")
        await client.flush()
        assert heard == [b"c", b"0", b"1"]
        assert client._subs == {}
