"""What goes wrong on a market-channel connection: to a frame of it, or to all of it.

Each fault has one name, in `Faults` as a chance, here as a deed to one connection at one time:

    first, second = venue.market_feed.connections   # in the order in which they were opened
    first.inject("market_lost", token=up)           # the next price_change with this token
    first.inject("market_late_book", after=3)       # the next book comes after three more frames
    first.inject("market_lost", event="last_trade_price")
    first.freeze(), .thaw(), .half_open(), .cut(), .cut_midframe(), .close_1009()

1. At most one fault happens to a frame on a connection; what was injected goes before chances.
2. Chances are drawn for each connection on its own, in the order of their numbers, so one draw
   never hits two connections; only `market_hash_ahead` hits all of them (see `broadcast`). Those of
   frames are drawn per frame while they are not 0, those of connections once a second.
3. Each is counted in `chance.injected` and noted in `injections` when it is done. What is held back
   counts when it is held.
4. What has befallen a connection stays with it until it ends, also when all faults are ended.

Not modelled: a peer whose kernel is gone, too. After `half_open` the kernel still acknowledges what
it receives, until its buffer is full; after HALF_OPEN_S_MAX it forgets the connection.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any, Final, NamedTuple, Protocol

import msgspec
from aiohttp import WSCloseCode, web

from protocol.units import SIZE_SCALE, parse_size_e6
from sandbox.simulator.fan_out import Notice, Subscriber
from sandbox.simulator.faults import Chance, Faults
from sandbox.simulator.text import size_text

INJECTIONS_MAX: Final = 10_000
HALF_OPEN_S_MAX: Final = 120
PONG: Final = "PONG"
BY_REST: Final = -1
"""In place of a connection's number, for a fault of `GET /book`."""

BOOK: Final = "book"
PRICE_CHANGE: Final = "price_change"
ANY: Final = ""

LOST: Final = "market_lost"
DUPLICATED: Final = "market_duplicated"
REORDERED: Final = "market_reordered"
CORRUPTED: Final = "market_corrupted"
WRONG_HASH: Final = "market_wrong_hash"
HASH_AHEAD: Final = "market_hash_ahead"
LATE_TRADE: Final = "late_trade_ms"
STALE_BOOK: Final = "market_stale_book"
NO_BOOK: Final = "market_no_book"
LATE_BOOK: Final = "market_late_book"
FROZEN: Final = "market_frozen"
HALF_OPEN: Final = "market_half_open"
CUT: Final = "market_cut"
CLOSED_1009: Final = "market_closed_1009"
CUT_MIDFRAME: Final = "market_cut_midframe"

EVENT_OF: Final = {
    LOST: PRICE_CHANGE,
    DUPLICATED: PRICE_CHANGE,
    REORDERED: PRICE_CHANGE,
    CORRUPTED: PRICE_CHANGE,
    WRONG_HASH: PRICE_CHANGE,
    STALE_BOOK: PRICE_CHANGE,
    NO_BOOK: BOOK,
    LATE_BOOK: BOOK,
    CUT_MIDFRAME: ANY,
}
"""The event that a fault befalls, unless `inject` is given another."""
_DRAWN: Final = tuple((name, event) for name, event in EVENT_OF.items() if event != ANY)
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on with no time: closing sends RST."""


class Injection(NamedTuple):
    """One fault, as it was done."""

    kind: str
    connection: int
    """Its number, or BY_REST."""
    market: str
    """Condition id, or "" when it is about all markets of the connection."""
    at_ns: int
    """By `time.monotonic_ns`."""


class Injections:
    """The last faults that were done, and the count of all of them. Each wakes the notice."""

    def __init__(self, chance: Chance, notice: Notice) -> None:
        self.log: deque[Injection] = deque(maxlen=INJECTIONS_MAX)
        self._chance = chance
        self._notice = notice

    def note(self, kind: str, connection: int, market: str) -> None:
        """Count a fault, and note when it was."""
        self._chance.injected[kind] += 1
        self.log.append(Injection(kind, connection, market, time.monotonic_ns()))
        self._notice.changed()


class FaultyVenue(Protocol):
    """What a connection needs of its venue."""

    faults: Faults
    chance: Chance
    injections: Injections

    def book_text(self, token_id: str) -> str:
        """The `book` frame of a token now."""


class _Scripted(NamedTuple):
    name: str
    event: str
    token: str | None
    after: int


class _Held:
    """A frame that waits for `after` more frames of its market."""

    __slots__ = ("after", "market", "text")

    def __init__(self, text: str, after: int) -> None:
        self.text = text
        self.market = market_of(text)
        self.after = after


class MarketConnection(Subscriber):
    """A connection of the market channel, which may lie to its reader."""

    def __init__(
        self,
        host: FaultyVenue,
        ws: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        number: int,
    ) -> None:
        super().__init__(ws, transport, number)
        self._host = host
        self._script: list[_Scripted] = []
        self._held: list[_Held] = []
        self.frozen = False
        self.deaf = False
        """Half-open."""

    # ---- to the whole connection

    def freeze(self) -> None:
        """From now on no data, neither old nor new; PING is answered, the socket stays open."""
        self._host.injections.note(FROZEN, self.number, "")
        self.frozen = True
        self._forget()

    def thaw(self) -> None:
        """End `freeze`; what was not sent meanwhile is never sent."""
        self.frozen = False

    def half_open(self) -> None:
        """From now on nothing is read and nothing written, and no end is announced."""
        self._host.injections.note(HALF_OPEN, self.number, "")
        self.deaf = True
        self._forget()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(HALF_OPEN_S_MAX, self.abort)

    def cut(self) -> None:
        """End it at once, without a closing handshake."""
        self._host.injections.note(CUT, self.number, "")
        self.abort()

    def cut_midframe(self) -> None:
        """Reset it in the middle of its next frame."""
        self.inject(CUT_MIDFRAME)

    def close_1009(self) -> None:
        """Close it with code 1009, after the frames that wait."""
        self._host.injections.note(CLOSED_1009, self.number, "")
        self._enqueue(self._say_too_big)

    def second(self) -> None:
        """Draw the chances of one second."""
        if self.frozen or self.deaf:
            return
        for name, deed in (
            (FROZEN, self.freeze),
            (HALF_OPEN, self.half_open),
            (CUT, self.cut),
            (CLOSED_1009, self.close_1009),
            (CUT_MIDFRAME, self.cut_midframe),
        ):
            if self._drawn(name):
                deed()
                return

    async def _say_too_big(self) -> None:
        await self._ws.close(code=WSCloseCode.MESSAGE_TOO_BIG, message=b"message too big")

    def _forget(self) -> None:
        self._held.clear()
        super()._forget()

    # ---- to a frame

    def inject(
        self, name: str, *, token: str | None = None, event: str | None = None, after: int = 1
    ) -> None:
        """Let a fault of EVENT_OF befall the next frame of its event that is about the token.

        A frame that is held back is sent after `after` more frames of its market. Raises
        ValueError for a fault that is none of a frame.
        """
        if name not in EVENT_OF:
            raise ValueError(f"{name!r} does not befall frames; there are: {', '.join(EVENT_OF)}")
        wanted = EVENT_OF[name] if event is None else event
        self._script.append(_Scripted(name, wanted, token, after))

    def send(self, text: str) -> None:
        """Queue a frame, or what becomes of it."""
        if self.deaf or (self.frozen and text != PONG):
            return
        event = event_of(text)
        if event == ANY:
            self._enqueue(text)
            return
        scripted = self._next_scripted(event, text)
        if scripted is not None:
            self._befall(scripted, text)
            return
        for name, befallen in _DRAWN:
            if befallen == event and self._drawn(name):
                self._befall(_Scripted(name, event, None, 1), text)
                return
        self._pass(text)

    def _next_scripted(self, event: str, text: str) -> _Scripted | None:
        for number, each in enumerate(self._script):
            if each.event in (event, ANY) and (each.token is None or each.token in text):
                return self._script.pop(number)
        return None

    def _drawn(self, name: str) -> bool:
        rate = getattr(self._host.faults, name)
        return bool(rate) and self._host.chance.draw(name, rate)

    def _befall(self, fault: _Scripted, text: str) -> None:
        name, _, token, after = fault
        self._host.injections.note(name, self.number, market_of(text))
        if name == DUPLICATED:
            self._pass(text)
            self._repeat(text)
        elif name in (CORRUPTED, WRONG_HASH):
            self._pass(mangled(name, text, token, self._host.chance.stream(f"{name}/how")))
        elif name == STALE_BOOK:
            old = self._host.book_text(token or asset_of(text))
            self._pass(text)
            self._held.append(_Held(old, after))
        elif name == CUT_MIDFRAME:
            self._enqueue(lambda: self._cut_midframe(text))
        else:
            befallen, left = parted(text, token)
            if left:
                self._pass(left)
            if name in (REORDERED, LATE_BOOK):
                self._held.append(_Held(befallen, after))

    def _repeat(self, text: str) -> None:
        within_ms = self._host.faults.market_duplicated_ms
        later_ms = self._host.chance.stream(f"{DUPLICATED}/how").randint(0, within_ms)
        if later_ms:
            asyncio.get_running_loop().call_later(later_ms / 1000, self._again, text)
        else:
            self._pass(text)

    def _again(self, text: str) -> None:
        if not (self.frozen or self.deaf):
            self._pass(text)

    def _pass(self, text: str) -> None:
        self._enqueue(text)
        if not self._held:
            return
        market = market_of(text)
        for held in tuple(self._held):
            if held.market == market:
                held.after -= 1
                if held.after == 0:
                    self._held.remove(held)
                    self._enqueue(held.text)

    async def _cut_midframe(self, text: str) -> None:
        """Write a header that promises all of a frame, half of the frame, and reset."""
        transport, payload = self._transport, text.encode()
        if transport is None:
            return
        header = b"\x81\x7f" + len(payload).to_bytes(8)
        transport.write(header + payload[: len(payload) // 2])
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                while transport.get_write_buffer_size():  # noqa: ASYNC110 - nothing else says so
                    await asyncio.sleep(0.001)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.abort()

    async def close(self) -> None:
        """As for others, but who is half-open gets no word of it."""
        if self.deaf:
            self.abort()
        else:
            await super().close()


def event_of(text: str) -> str:
    """What a frame is about, "" when it is no data."""
    if text.startswith("["):
        return BOOK if len(text) > len("[]") else ANY
    return _field(text, '"event_type":"') if text.startswith("{") else ANY


def market_of(text: str) -> str:
    """Condition id of a frame, of its first book when there are several."""
    return _field(text, '"market":"')


def asset_of(text: str) -> str:
    """The first token of a frame."""
    return _field(text, '"asset_id":"')


def _field(text: str, name: str) -> str:
    at = text.find(name)
    return "" if at < 0 else text[at + len(name) : text.find('"', at + len(name))]


def parted(text: str, token: str | None) -> tuple[str, str]:
    """(what of a frame is about the token, the rest or ""); only arrays of books are parted."""
    if token is None or not text.startswith("["):
        return text, ""
    books = msgspec.json.decode(text)
    mine = [book for book in books if book["asset_id"] == token]
    rest = [book for book in books if book["asset_id"] != token]
    return _encode(mine), _encode(rest) if rest else ""


def mangled(name: str, text: str, token: str | None, random: Random) -> str:
    """The frame with one wrong size (CORRUPTED) or one wrong hash (WRONG_HASH) of the token.

    The first one of a frame that several tokens share, when no token is named. A book without
    levels, and a frame without a size or hash, stays as it is.
    """
    frame = msgspec.json.decode(text)
    entries: list[dict[str, Any]] = frame if isinstance(frame, list) else [frame]
    entries = [part for entry in entries for part in entry.get("price_changes", [entry])]
    entry = next(e for e in entries if token is None or e["asset_id"] == token)
    if name == WRONG_HASH:
        if "hash" in entry:
            entry["hash"] = f"{random.getrandbits(160):040x}"
    else:
        sized = next(iter([*entry["bids"], *entry["asks"]]), None) if "bids" in entry else entry
        if sized is not None and "size" in sized:
            wrong_e6 = parse_size_e6(sized["size"]) + random.randint(1, 100 * SIZE_SCALE)
            sized["size"] = size_text(wrong_e6)
    return _encode(frame)


def _encode(frame: object) -> str:
    return msgspec.json.encode(frame).decode()


async def every_second(connections: Callable[[], list[MarketConnection]]) -> None:
    """Draw the chances of connections until cancelled."""
    while True:
        await asyncio.sleep(1)
        for connection in tuple(connections()):
            connection.second()
