"""One connection, byte by byte, on both event loops."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import ssl
import struct
from pathlib import Path

import pytest
import uvloop
from picows import WSTransport

from runtime.dialer import Dialer
from runtime.process import stop_tasks
from tests.support.certificates import contexts
from tests.support.raw_websocket import RawWebsockets, Taker, opened, raw_frame
from venue import websocket_connection
from venue.errors import ChannelLostError, ConnectionClosedError
from venue.websocket_connection import SMALL_FRAMES_MAX, WebSocket, open_websocket

pytestmark = pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy. fixture")
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


@pytest.fixture(params=["asyncio", "uvloop"])
def event_loop_policy(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoopPolicy:
    if request.param == "uvloop":
        return uvloop.EventLoopPolicy()
    return asyncio.DefaultEventLoopPolicy()


@pytest.fixture
def certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The server's, whom both event loops trust."""
    server, trusting = contexts(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "127.0.0.1.crt"))
    # asyncio asks for it by name, and tests share what it is given (`tests/conftest.py`).
    monkeypatch.setattr(ssl, "create_default_context", lambda *_, **__: trusting)
    return server


async def test_messages_are_whole_whatever_frames_and_pieces_they_come_in() -> None:
    wire = [
        raw_frame(b"one"),
        raw_frame(b"t", fin=False) + raw_frame(b"", 0, fin=False) + raw_frame(b"hr", 0, fin=False),
        raw_frame(b"now", PING),
        raw_frame(b"ee", 0),
        raw_frame(b"\xff\x00", BINARY) + raw_frame(b"", PONG) + raw_frame(b""),
        raw_frame(b"x" * 70_000),
    ]
    async with opened() as (websocket, caller):
        taker = Taker(websocket)
        for each in wire:
            for at in range(len(each)) if len(each) < 100 else [0]:
                caller.say(each[at : at + 1] if len(each) < 100 else each)
                await caller.writer.drain()
                await asyncio.sleep(0)
        expected = [b"one", b"three", b"\xff\x00", b"", b"x" * 70_000]
        assert await taker.until(5) == expected
        assert all(type(each) is bytes for each in taker.frames)
        assert await caller.told() == (PONG, b"now")


@pytest.mark.parametrize(
    ("reads", "told"),
    [
        ([raw_frame(b"x")], [1]),
        ([raw_frame(b"x") * 3, raw_frame(b"x")], [3, 4]),
        ([raw_frame(b"x") + raw_frame(b"x")[:2], raw_frame(b"x")[2:] + raw_frame(b"x")], [1, 3]),
        ([raw_frame(b"x") * 2 + raw_frame(b"", PING)], [2]),
        ([raw_frame(b"x") * 2 + raw_frame(b"y", fin=False), raw_frame(b"z", 0)], [2, 3]),
        ([raw_frame(b"x") * 2 + raw_frame(b"", CLOSE) + raw_frame(b"after")], [2]),
        ([raw_frame(b"x") * 2 + raw_frame(b"x", 0) + raw_frame(b"after")], [2]),
        ([raw_frame(b"x") * 3 + raw_frame(b"x", 3)], [2]),  # one is lost with the connection
    ],
)
async def test_the_end_of_each_read_is_told_whatever_it_ends_with(
    reads: list[bytes], told: list[int]
) -> None:
    async with opened() as (websocket, caller):
        taker = Taker(websocket)
        while websocket.frames._queueing:  # noqa: ASYNC110 - nobody says when none waits
            await asyncio.sleep(0)
        taker.told.clear()
        for wire, count in zip(reads, told, strict=True):
            caller.say(wire)
            assert len(await taker.until(count)) == count
            # In the call that brought the last of them: nobody else had a turn.
            assert taker.told[-1] == count
        assert taker.told == told


async def test_what_comes_with_the_handshake_waits_until_it_is_wanted() -> None:
    server = RawWebsockets(first=b"".join(raw_frame(b"%d" % n) for n in range(40)))
    async with opened(server) as (websocket, _):
        await websocket.send("hello")
        taker = Taker(websocket)
        assert taker.frames == []
        assert await taker.until(40) == [b"%d" % n for n in range(40)]
    assert b"\r\nHost: 127.0.0.1:" in server.head
    assert b"\r\nUser-Agent: picows/" in server.head
    assert b"Extensions" not in server.head


@pytest.mark.parametrize(
    ("wire", "code", "word"),
    [
        (bytes([0x81, 0x81]) + b"mask" + b"x", 1002, "masked"),
        (raw_frame(b"x", bits=4), 1002, "reserved"),
        (raw_frame(b"x", 3), 1002, "opcode"),
        (raw_frame(b"x", 0), 1002, "had not begun"),
        (raw_frame(b"x", fin=False) + raw_frame(b"y"), 1002, "inside another"),
        (raw_frame(b"x", PING, fin=False), 1002, "fragmented"),
        (raw_frame(b"x" * 126, PING), 1002, "control frame"),
        (bytes([0x81, 127]) + b"\xff" * 8, 1002, "length"),
        (bytes([0x81, 127]) + (1001).to_bytes(8), 1002, "length"),
        (bytes([0x81, 126]) + (1001).to_bytes(2), 1009, "exceeding"),
        (raw_frame(b"x" * 600, fin=False) + raw_frame(b"x" * 401, 0), 1009, "1000 bytes"),
        (raw_frame((999).to_bytes(2), CLOSE), 1002, "close code"),
        (raw_frame(b"x", CLOSE), 1002, "close code"),
        (raw_frame((1000).to_bytes(2) + b"\xff", CLOSE), 1007, "UTF-8"),
    ],
)
async def test_what_breaks_the_protocol_is_refused_and_an_end(
    wire: bytes, code: int, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket_connection, "FRAME_BYTES_MAX", 1000)
    async with opened() as (websocket, caller):
        taker = Taker(websocket)
        caller.say(raw_frame(b"good"))
        await taker.until(1)
        caller.say(wire + raw_frame(b"bad"))
        told, reason = await caller.told_close()
        caller.say(raw_frame(b"bad"))
        why = await taker.end()
        assert told == code
        assert word.lower() in reason.lower()
        assert why == f"sent {code} ({websocket_connection._CODES[code]}) {reason}; " + (
            "no close frame received"
        )
        assert taker.frames == [b"good"]
        with pytest.raises(ConnectionClosedError, match=f"sent {code}"):
            await websocket.send("hello")


@pytest.mark.parametrize(
    ("payload", "answered", "why"),
    [
        ((1001).to_bytes(2) + b"bye", (1001, "bye"), "received 1001 (going away) bye"),
        ((4001).to_bytes(2) + "ö".encode(), (4001, "ö"), "received 4001 (of its own) ö"),
        (b"", (1000, ""), "received 1005 (no code)"),
    ],
)
async def test_a_close_is_answered_and_said_after_the_frames_before_it(
    payload: bytes, answered: tuple[int, str], why: str
) -> None:
    async with opened() as (websocket, caller):
        before = [b"%d" % n for n in range(50)]
        wire = b"".join(map(raw_frame, before)) + raw_frame(payload, CLOSE) + raw_frame(b"after")
        caller.say(wire)
        assert await caller.told_close() == answered
        assert await caller.reader.read() == b""
        with pytest.raises(ConnectionClosedError, match="received"):
            await websocket.send("hello")
        taker = Taker(websocket)
        assert await taker.end() == why
        assert taker.frames == before


@pytest.mark.parametrize("reset", [True, False])
async def test_an_end_without_a_word_in_the_middle_of_a_frame_is_a_loss(reset: bool) -> None:
    async with opened() as (websocket, caller):
        taker = Taker(websocket)
        caller.say(raw_frame(b"whole") + raw_frame(b"x" * 500)[:300])
        await taker.until(1)
        if reset:
            caller.hang_up()
        else:
            caller.writer.close()
        assert await taker.end() == "no close frame received or sent"
        assert taker.frames == [b"whole"]


async def test_good_bye_is_said_and_waited_for() -> None:
    async with RawWebsockets().open() as server:
        async with open_websocket(server.url):
            caller = await server.caller()
            answering = asyncio.create_task(caller.told_close())
            answering.add_done_callback(lambda _: caller.say(raw_frame((1000).to_bytes(2), CLOSE)))
        assert await answering == (1000, "")
        assert await caller.reader.read() == b""


async def test_a_venue_that_says_no_good_bye_is_left_in_bounded_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket_connection, "CLOSE_TIMEOUT_S", 0.05)
    async with RawWebsockets().open() as server, asyncio.timeout(2):
        async with open_websocket(server.url) as websocket:
            caller = await server.caller()
            caller.say(raw_frame(b"x") * 100)
        assert websocket._transport.underlying_transport.is_closing()
        await caller.told_close()
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await caller.told()


async def test_more_than_is_taken_waits_at_the_venue() -> None:
    async with opened() as (websocket, caller):
        count, size = 2_000, 20_000  # 40 MB, far more than sockets hold
        caller.say(raw_frame(b"x" * size) * count)
        left = 0
        while (now := caller.writer.transport.get_write_buffer_size()) != left:
            left = now
            await asyncio.sleep(0.05)  # until it moves no more: this is about what it does NOT do
        held = sum(map(len, websocket.frames._waiting))
        assert left > 10_000_000
        assert held < 10_000_000
        assert len(await Taker(websocket).until(count)) == count


async def test_pings_of_a_venue_that_reads_nothing_take_no_memory() -> None:
    async with opened() as (websocket, caller):
        taker = Taker(websocket)
        caller.writer.transport.pause_reading()
        caller.say(raw_frame(b"x" * 125, PING) * 100_000 + raw_frame(b"last"))
        await taker.until(1)
        assert websocket._transport.underlying_transport.get_write_buffer_size() < 1_000_000


@pytest.mark.parametrize("tiny", [raw_frame(b"", each) for each in (TEXT, PING, PONG)])
async def test_a_flood_of_tiny_frames_is_no_venue_and_given_up(tiny: bytes) -> None:
    async with opened() as (websocket, caller):
        taker = Taker(websocket)
        caller.say(raw_frame(b"good") + tiny * (4 * SMALL_FRAMES_MAX))
        assert await taker.end() == f"given up: more than {SMALL_FRAMES_MAX} tiny frames at once"
        assert len(taker.frames) in (1, 1 + SMALL_FRAMES_MAX - 1)
        with pytest.raises(ConnectionClosedError, match="given up"):
            await websocket.send("hello")
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await caller.told_close()


async def test_parts_of_a_message_are_no_way_around_it() -> None:
    async with opened() as (websocket, caller):
        taker = Taker(websocket)
        caller.say(raw_frame(b"x", fin=False) + raw_frame(b"", 0, fin=False) * 4 * SMALL_FRAMES_MAX)
        assert "given up" in await taker.end()


async def test_tiny_frames_add_up_within_a_turn_only_and_its_latest_ping_is_answered() -> None:
    async with opened() as (websocket, caller):
        taker = Taker(websocket)
        for number in range(2 * SMALL_FRAMES_MAX // 100):
            caller.say(raw_frame(b"", PING) * 99 + raw_frame(b"%d" % number, PING))
            assert await caller.told() == (PONG, b"%d" % number)
        assert taker.websocket.frames.ended is None


async def test_who_waits_to_send_is_told_of_the_end() -> None:
    async with opened() as (websocket, caller):
        caller.writer.transport.pause_reading()
        sending = asyncio.create_task(websocket.send("x" * 20_000_000))
        await asyncio.sleep(0.02)
        assert not sending.done()
        caller.hang_up()
        with pytest.raises(ConnectionClosedError):
            await asyncio.wait_for(sending, 2)


async def test_giving_up_while_it_opens_closes_the_socket() -> None:
    ended = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        opening.cancel()
        await reader.read()
        ended.set()
        writer.close()

    async def never() -> None:
        async with open_websocket(url):
            raise AssertionError

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        opening = asyncio.create_task(never())
        async with asyncio.timeout(2):
            await ended.wait()
        await stop_tasks(opening)
    assert opening.cancelled()


async def test_giving_up_as_it_opens_closes_what_has_brought_many_frames(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once so many wait the socket is not read, and so its end not seen."""
    opened_: list[WebSocket] = []
    connected = WebSocket.on_ws_connected

    def and_cancel(self: WebSocket, transport: WSTransport) -> None:
        connected(self, transport)
        opened_.append(self)
        opening.cancel()

    async def never() -> None:
        async with open_websocket(server.url):
            raise AssertionError

    monkeypatch.setattr(WebSocket, "on_ws_connected", and_cancel)
    async with RawWebsockets(first=raw_frame(b"x") * 60).open() as server, asyncio.timeout(2):
        opening = asyncio.create_task(never())
        caller = await server.caller()
        assert await caller.reader.read() == b""
        await stop_tasks(opening)
        await opened_[0]._gone
        caller.hang_up()


async def test_a_connection_that_is_reset_before_the_handshake_is_not_made_again_by_the_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It knows of no turns of addresses, and leaves the socket open."""
    sock = socket.socket()

    async def reset(*_: object) -> socket.socket:
        with socket.create_server(("127.0.0.1", 0)) as server:
            sock.connect(server.getsockname())
            there, _ = server.accept()
            there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            there.close()
        return sock

    monkeypatch.setattr(Dialer, "connect", reset)
    async with RawWebsockets().open() as server:
        with pytest.raises(OSError, match="not connected"):
            async with open_websocket(server.url):
                pass
        assert server.head == b""
    assert sock.fileno() == -1


GOOD_ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: bm90IHRoZSByaWdodCBvbmU=\r\n\r\n"
)


async def test_no_answer_but_the_right_one_opens_anything() -> None:
    """Cut or damaged at every byte; and none has the right key."""
    damaged = [GOOD_ANSWER[:at] for at in range(len(GOOD_ANSWER))]
    for at in range(len(GOOD_ANSWER)):
        for wrong in (0x00, 0x0A, 0xFF):
            damaged.append(GOOD_ANSWER[:at] + bytes([wrong]) + GOOD_ANSWER[at + 1 :])  # noqa: PERF401
    damaged += [b"x" * 100_000, b"HTTP/1.1 503 \r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n<html>"]
    server = RawWebsockets(answer=b"")
    async with server.open() as listening:
        for answer in damaged:
            server._answer = answer
            with pytest.raises(OSError) as raised:
                async with open_websocket(listening.url):
                    pass
            assert len(str(raised.value)) < 400
            assert str(raised.value).isascii()


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (b"HTTP/1.1 403 Forbidden", "HTTP 403"),
        (b"HTTP/1.1 403", "HTTP 403"),
        (b"HTTP/1.1 521 ", "HTTP 521"),
        (b"HTTP/1.0 502 Bad Gateway", "HTTP 502"),
    ],
)
async def test_a_refusal_is_told_by_its_status_whoever_gave_it(head: bytes, why: str) -> None:
    """Also those that are no standard's: a proxy before the venue has its own."""
    async with RawWebsockets(answer=head + b"\r\nServer: x\r\n\r\n<html>").open() as server:
        with pytest.raises(ChannelLostError) as raised:
            async with open_websocket(server.url):
                pass
    assert str(raised.value) == f"server rejected WebSocket connection: {why}"


async def test_a_long_page_that_refuses_is_told_once_and_an_error_of_ours_still_logged(
    certified: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    page = b"HTTP/1.1 403 Forbidden\r\n\r\n" + b"x" * 40_000
    async with RawWebsockets(answer=page).open(certified) as server:
        with pytest.raises(ChannelLostError, match="HTTP 403"):
            async with open_websocket(server.url):
                pass
        await asyncio.sleep(0)
    assert caplog.text == ""
    bug = {"message": "a bug", "exception": asyncio.InvalidStateError()}
    asyncio.get_running_loop().call_exception_handler(bug)
    assert "a bug" in caplog.text


async def test_damage_at_any_byte_is_an_end_or_another_frame_and_never_more() -> None:
    wire = raw_frame(b"a" * 130) + raw_frame(b"b" * 3, PING) + raw_frame(b"c")
    harmed = [
        wire[:at] + bytes([wire[at] ^ flip]) + wire[at + 1 :]
        for at in (*range(6), *range(130, len(wire)))
        for flip in (0x01, 0x0F, 0x40, 0x80, 0xFF)
    ]
    async with RawWebsockets().open() as server:
        for each in harmed:
            async with open_websocket(server.url) as websocket:
                caller = await server.caller()
                taker = Taker(websocket)
                caller.say(each)
                caller.writer.close()
                await taker.end()
            assert len(taker.frames) <= 3


async def test_nothing_that_is_sent_or_received_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with opened() as (websocket, caller):
            await websocket.send("my secret")
            taker = Taker(websocket)
            caller.say(raw_frame(b"your secret") + raw_frame(b"secret", 3))
            await taker.end()
        del websocket, taker
        gc.collect()
    assert "secret" not in caplog.text
    assert "never retrieved" not in caplog.text
    assert not [each for each in caplog.records if each.name.startswith("venue.websocket")]


async def test_over_tls_all_that_comes_at_once_has_its_turns_and_a_cut_is_a_loss(
    certified: ssl.SSLContext,
) -> None:
    async with opened(context=certified) as (websocket, caller):
        frames = [b"%05d" % n * 100 for n in range(3000)]
        caller.say(b"".join(map(raw_frame, frames)) + raw_frame(b"cut")[:3])
        taker = Taker(websocket)
        assert await taker.until(3000) == frames
        await websocket.send("hello")
        assert await caller.told() == (TEXT, b"hello")
        caller.hang_up()
        assert await taker.end() == "no close frame received or sent"
