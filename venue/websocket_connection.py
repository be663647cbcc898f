"""One websocket to the venue, by picows: opened, sent to, its messages handed on, closed.

picows brings frames, in the middle of a read. What is between that and a message is here:

1. A message of several frames is put together, up to FRAME_BYTES_MAX. What breaks the protocol is
   answered with a close frame and is the end of the connection, never an error of ours.
2. A turn's latest ping is answered, unless the venue does not read what we send. Who sends more
   than SMALL_FRAMES_MAX tiny frames in one turn is no venue, and given up.
3. Redirects are not followed, and no proxy is used: what is sent is for the venue alone.
4. Whatever ends the use of a connection ends the connection: its venue gets CLOSE_TIMEOUT_S to
   say good-bye.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import picows
from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport
from picows.version import __version__

from runtime.dialer import Dialer
from venue.errors import ChannelLostError, ConnectionClosedError, one_line
from venue.frame_turns import FrameTurns

OPEN_TIMEOUT_S: Final = 10
CLOSE_TIMEOUT_S: Final = 1
# The market channel's first frame carries whole books of up to 200 tokens, about 10 KB each.
FRAME_BYTES_MAX: Final = 16 << 20
# Tiny is a PONG, or a ping. A read holds a hundred thousand such frames, and cannot be stopped.
SMALL_FRAME_BYTES: Final = 16
SMALL_FRAMES_MAX: Final = 1024

# At level DEBUG the library logs what it reads, and whatever else it logs is in what it raises.
_library_log: Final = logging.getLogger("venue.websocket")
_library_log.setLevel(logging.CRITICAL)
# Firewalls refuse clients that name themselves not at all.
_HEADERS: Final = {"User-Agent": f"picows/{__version__}"}
_TEXT, _BINARY, _CONTINUATION = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION
_CODES: Final = {each.value: each.name.replace("_", " ").lower() for each in WSCloseCode}
_NO_CODE: Final = 1005
_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3})\b")


def _is_news(record: logging.LogRecord) -> bool:
    """Not: over asyncio's TLS the library comes upon the rest of a long page that refuses us while
    it is telling of the refusal, tells of it again, and then cannot: what is logged is that."""
    error = record.exc_info[1] if record.exc_info else None
    return not (
        isinstance(error, asyncio.InvalidStateError) and isinstance(error.__context__, WSError)
    )


logging.getLogger("asyncio").addFilter(_is_news)


class WebSocket(WSListener):
    """An open connection. Its messages wait until `frames.begin`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.frames = FrameTurns(self._pause_reading, self._resume_reading)
        self._closed: ConnectionClosedError | None = None
        self._parts: bytearray | None = None
        """Of a message whose last frame has not come."""
        self._ping: bytes | None = None
        """What is to be answered in the next turn."""
        self._small = 0
        """Tiny frames in this turn."""
        self._writable = asyncio.Event()
        """Also when it is closed."""
        self._writable.set()

    # ---- what is done with it ------------------------------------------------------------------

    async def send(self, text: str) -> None:
        """Returns when there is room for more. Raises ConnectionClosedError."""
        self._check()
        self._transport.send(_TEXT, text)
        if not self._writable.is_set():
            await self._writable.wait()
            self._check()

    async def first_frame(self) -> bytes:
        """For whoever wants no more of it. Raises ConnectionClosedError if none comes."""
        frames: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.frames.begin(frames.put_nowait, lambda: frames.put_nowait(None))
        frame = await frames.get()
        if frame is None:
            raise self.frames.ended or ChannelLostError("nothing came")
        return frame

    async def close(self) -> None:
        """Take nothing any more, and say good-bye."""
        self.frames.stop()
        try:
            if not self._gone.done():
                self._transport.send_close(WSCloseCode.OK)
                await asyncio.wait({self._gone}, timeout=CLOSE_TIMEOUT_S)
        finally:
            self._transport.disconnect(graceful=False)

    def _check(self) -> None:
        if self._closed is None and self._transport.is_close_frame_sent:
            self._end()
        if self._closed is not None:
            raise self._closed

    def _pause_reading(self) -> None:
        self._transport.underlying_transport.pause_reading()

    def _resume_reading(self) -> None:
        self._transport.underlying_transport.resume_reading()

    # ---- what the library calls ----------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self._gone = asyncio.ensure_future(transport.wait_disconnected())
        self._gone.add_done_callback(_seen)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        try:
            self._take_frame(transport, frame)
        finally:
            if frame.last_in_buffer:  # of one in each read that brings any, whatever it is
                self.frames.read_ends()

    def _take_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        # The library reads on for a moment after it has refused something.
        if self._closed is not None:
            return
        kind = frame.msg_type
        if transport.is_close_frame_sent and kind != WSMsgType.CLOSE:
            return
        if frame.payload_size < SMALL_FRAME_BYTES and self._are_too_many():
            self._end(f"given up: more than {SMALL_FRAMES_MAX} tiny frames at once")
            transport.disconnect(graceful=False)
        elif frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._refuse(WSCloseCode.PROTOCOL_ERROR, "reserved bits must be 0")
        elif kind in (_TEXT, _BINARY):
            if self._parts is not None:
                self._refuse(WSCloseCode.PROTOCOL_ERROR, "a message began inside another")
            elif frame.fin:
                self.frames.arrived(frame.get_payload_as_bytes())
            else:
                self._parts = bytearray(frame.get_payload_as_bytes())
        elif kind == _CONTINUATION:
            self._continue(frame)
        elif kind == WSMsgType.PING:
            if self._ping is None:
                self._loop.call_soon(self._answer_ping)
            self._ping = frame.get_payload_as_bytes()
        elif kind == WSMsgType.CLOSE:
            self._take_close(frame.get_payload_as_bytes())

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._end()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _answer_ping(self) -> None:
        ping, self._ping = self._ping, None
        if self._closed is None and self._writable.is_set():
            self._transport.send_pong(ping)

    def _are_too_many(self) -> bool:
        if not self._small:
            self._loop.call_soon(self._begin_turn)
        self._small += 1
        return self._small > SMALL_FRAMES_MAX

    def _begin_turn(self) -> None:
        self._small = 0

    def _continue(self, frame: WSFrame) -> None:
        parts = self._parts
        if parts is None:
            self._refuse(WSCloseCode.PROTOCOL_ERROR, "a message went on that had not begun")
        elif len(parts) + frame.payload_size > FRAME_BYTES_MAX:
            self._refuse(WSCloseCode.MESSAGE_TOO_BIG, f"more than {FRAME_BYTES_MAX} bytes")
        else:
            parts += frame.get_payload_as_memoryview()
            if frame.fin:
                self._parts = None
                self.frames.arrived(bytes(parts))

    def _take_close(self, payload: bytes) -> None:
        code = int.from_bytes(payload[:2]) if payload else _NO_CODE
        self._end(f"received {_close_text(code, payload[2:].decode(errors='replace'))}")
        answer = WSCloseCode(code) if payload else WSCloseCode.OK
        self._transport.send_close(answer, payload[2:])
        self._transport.disconnect()

    def _refuse(self, code: WSCloseCode, reason: str) -> None:
        """The venue has broken the protocol."""
        self._transport.send_close(code, reason)
        self._end()

    def _end(self, why: str = "") -> None:
        """It is closed: what `why` says, or what the library knows of it."""
        if self._closed is None:
            self._closed = ConnectionClosedError(why or _why_closed(self._transport))
            self._writable.set()
            self.frames.close(self._closed)


@asynccontextmanager
async def open_websocket(url: str, dialer: Dialer | None = None) -> AsyncIterator[WebSocket]:
    """`async with open_websocket(url) as websocket`. Raises OSError, TimeoutError included, when it
    cannot be opened.

    `dialer` remembers from one time to the next which addresses are of no use. Tell it that this
    one is `proven` when something comes from it.
    """
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            websocket = await _opened(url, dialer or Dialer())
    except TimeoutError as error:
        raise TimeoutError(str(error) or f"not open within {OPEN_TIMEOUT_S} s") from error
    try:
        yield websocket
    finally:
        await websocket.close()


async def _opened(url: str, dialer: Dialer) -> WebSocket:
    sock: socket.socket | None = None

    async def dial(at: picows.WSParsedURL) -> socket.socket:
        nonlocal sock
        sock = await dialer.connect(at.host, at.port)
        try:
            sock.getpeername()
        except OSError:  # reset by now: the library would connect it again, and not where we chose
            sock.close()
            raise
        return sock

    websocket = WebSocket()
    opened = False
    try:
        _, listener = await picows.ws_connect(
            lambda _request, _response: websocket,
            url,
            websocket_handshake_timeout=None,  # ours is for finding the address, too
            logger_name=_library_log,
            enable_auto_pong=False,
            max_frame_size=FRAME_BYTES_MAX,
            extra_headers=_HEADERS,
            max_redirects=0,
            socket_factory=dial,
            use_aiofastnet=False,  # the event loop's own TLS, as everywhere else
        )
        # The library does not raise when the venue ends the connection in the handshake.
        opened = listener is websocket
    except WSError as error:
        # A proxy's status may be one that the library does not know, or without its name.
        status = _STATUS.match(getattr(error, "raw_header", None) or b"")
        if status and status[1] != b"101":
            why = f"server rejected WebSocket connection: HTTP {status[1].decode()}"
        else:
            why = one_line(f"no websocket: {error}")
        raise ChannelLostError(why) from error
    finally:
        # Whoever gives up in the handshake leaves a connection behind that the library still holds.
        if sock is not None and not opened:
            websocket.frames.stop()
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
    if not opened:
        raise ConnectionClosedError("closed during the handshake")
    return websocket


def _seen(gone: asyncio.Future[None]) -> None:
    """What it ended with is told otherwise: else the event loop prints a traceback of it."""
    if not gone.cancelled():
        gone.exception()


def _close_text(code: int, reason: str) -> str:
    kind = _CODES.get(code, "no code" if code == _NO_CODE else "of its own")
    return f"{code} ({kind}) {reason}".rstrip()


def _why_closed(transport: WSTransport) -> str:
    closing = transport.close_handshake
    if closing is None or closing.sent is None:
        return "no close frame received or sent"
    sent = _close_text(int(closing.sent.code), closing.sent.reason or "")  # type: ignore[call-overload]
    return f"sent {sent}; no close frame received"
