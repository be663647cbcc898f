"""The loop by itself, on real sockets: what any channel of the venue can rely on."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs
from websockets.asyncio.server import Request, Response, ServerConnection, serve

from runtime.process import stop_tasks
from tests.support.certificates import contexts
from tests.support.scripted_market_channel import WireVenue
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
from venue import frame_turns, websocket, websocket_connection
from venue.errors import ChannelLostError, ConnectionClosedError
from venue.websocket import Channel, ChannelTimes
from venue.websocket_connection import open_websocket

QUICK = ChannelTimes(upkeep_every_s=0.01)
HELLO = '{"hello":1}'


class Probe(Channel):
    """Says hello, and notes everything that happens to it."""

    def __init__(self, url: str, times: ChannelTimes = QUICK) -> None:
        super().__init__(url, f"probe at {url}", self._frame, times)
        self.frames: asyncio.Queue[bytes] = asyncio.Queue()
        self.times: list[int] = []
        self.events: list[str] = []
        self.error: Exception | None = None
        self.may_connect = True
        self.give_up = ""
        self.broken = False

    def wanted(self) -> bool:
        return self.may_connect

    async def on_open(self) -> None:
        self.events.append("open")
        await self.send(HELLO)

    def _frame(self, payload: bytes, received_at_ns: int) -> None:
        if self.broken:
            raise ValueError("a bug")
        self.times.append(received_at_ns)
        self.frames.put_nowait(payload)

    async def upkeep(self, now_s: float) -> None:
        assert abs(now_s - time.monotonic()) < 5
        if reason := self.give_up:
            self.give_up = ""
            raise ChannelLostError(reason)

    def on_lost(self, error: Exception) -> Exception:
        self.error = error
        self.events.append("lost")
        return ChannelLostError(f"as the probe says it: {error}")

    def on_close(self) -> None:
        self.events.append("close")


@pytest.fixture
async def venue() -> AsyncIterator[WireVenue]:
    async with WireVenue().open() as opened:
        yield opened


@asynccontextmanager
async def running(probe: Probe) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(probe.run())
    try:
        async with asyncio.timeout(30):
            yield task
    finally:
        await stop_tasks(task)


async def until(fact: Callable[[], bool]) -> None:
    while not fact():  # noqa: ASYNC110 - the probe offers nothing to wait on
        await asyncio.sleep(0.002)


async def test_the_first_message_goes_first_and_every_frame_arrives_byte_for_byte(
    venue: WireVenue,
) -> None:
    probe = Probe(venue.url, ChannelTimes(ping_every_s=0, upkeep_every_s=0.001))
    async with running(probe):
        caller = await venue.caller()
        assert await caller.next() == {"hello": 1}
        assert await caller.next() == "PING"
        before_ns = time.time_ns()
        for text in ("[]", "PONG", "ö", ""):
            await caller.send(text)
        received = [await probe.frames.get() for _ in range(4)]
    assert received == [b"[]", b"PONG", "ö".encode(), b""]
    assert probe.data_frames == 3
    assert before_ns <= probe.times[0] <= probe.times[3] <= time.time_ns()


async def test_a_burst_leaves_everybody_a_turn_and_a_long_one_means_being_behind(
    venue: WireVenue,
) -> None:
    class Counting(Probe):
        turns = 0
        hurry = False

        def _frame(self, payload: bytes, received_at_ns: int) -> None:
            seen.append((self.turns, self.behind))

        async def on_open(self) -> None:
            self.counting = asyncio.create_task(self._count())

        async def _count(self) -> None:
            while True:
                self.turns += 1
                await asyncio.sleep(0)

    seen: list[tuple[int, bool]] = []
    probe = Counting(venue.url)
    probe._others_first = lambda: probe.hurry
    async with running(probe):
        caller = await venue.caller()
        for _ in range(200):  # they are read at once
            await caller.send("[]")
        await until(lambda: len(seen) == 200)
        probe.hurry = True
        for _ in range(200):
            await caller.send("[]")
        await until(lambda: len(seen) == 400)
        probe.counting.cancel()
    in_one_turn = Counter(turn for turn, _ in seen[200:])
    assert max(in_one_turn.values()) == 1
    in_one_turn = Counter(turn for turn, _ in seen[:200])
    assert max(in_one_turn.values()) <= frame_turns.FRAMES_AT_ONCE_MAX
    behind = [behind for _, behind in seen]
    assert True in behind
    assert behind.index(True) >= frame_turns.BEHIND_FRAMES
    assert not probe.behind


async def test_what_the_client_has_not_read_yet_counts_as_waiting(venue: WireVenue) -> None:
    class Watched(Probe):
        def _frame(self, payload: bytes, received_at_ns: int) -> None:
            seen.append(self.behind)

    seen: list[bool] = []
    probe = Watched(venue.url)
    async with running(probe):
        caller = await venue.caller()
        for _ in range(400):  # more than the sockets hold; the client reads 25 of them at once
            await caller.send("x" * 10_000)
        await until(lambda: len(seen) == 400 and not probe.behind)
    assert seen.count(True) >= 200


async def test_nothing_is_connected_until_it_is_wanted(venue: WireVenue) -> None:
    probe = Probe(venue.url)
    probe.may_connect = False
    async with running(probe):
        await asyncio.sleep(0.05)  # this is about what it does NOT do
        probe.nudge()
        await asyncio.sleep(0.05)
        assert venue.callers_waiting == 0
        probe.may_connect = True
        probe.nudge()
        assert await (await venue.caller()).next() == {"hello": 1}
    assert probe.events == ["open", "close"]


async def test_any_frame_ends_the_silence_and_its_lack_the_connection(venue: WireVenue) -> None:
    times = ChannelTimes(ping_every_s=0.02, silence_max_s=0.3, upkeep_every_s=0.01)
    async with running(probe := Probe(venue.url, times)):
        caller = await venue.caller()
        await caller.next()
        begun_s = time.monotonic()
        while time.monotonic() - begun_s < 0.6:  # twice the silence that would end it
            assert await caller.next() == "PING"
            await caller.send("PONG")
        assert probe.events == ["open"]
        await caller.gone()
        await venue.caller()
    assert "nothing received for" in str(probe.error)


async def test_a_connection_that_was_short_is_replaced_with_back_off_and_one_that_lasted_at_once(
    venue: WireVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = Probe(venue.url)
    with capture_logs() as logs:
        async with running(probe):
            await (await venue.caller()).hang_up()
            caller = await venue.caller()
            await until(lambda: [line["event"] for line in logs] == ["not_reachable"])
            monkeypatch.setattr(websocket, "STABLE_S", 0)
            await caller.hang_up()
            await (await venue.caller()).next()
    assert [line["event"] for line in logs] == ["not_reachable", "channel_lost"]
    assert logs[0]["what"] == logs[1]["channel"] == f"probe at {venue.url}"
    assert all("ChannelLostError: as the probe says it: " in line["error"] for line in logs)
    assert isinstance(probe.error, ConnectionClosedError)
    assert probe.events == ["open", "lost", "close", "open", "lost", "close", "open", "close"]


async def test_upkeep_may_give_the_connection_up_and_is_done_when_nudged(
    venue: WireVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "STABLE_S", 0)
    async with running(probe := Probe(venue.url, ChannelTimes(upkeep_every_s=60))):
        caller = await venue.caller()
        await caller.next()
        await until(lambda: probe._nudged.is_set() is False)
        probe.give_up = "it is old"
        probe.nudge()
        await caller.gone()
        await venue.caller()
    assert str(probe.error) == "it is old"


async def test_no_frame_is_taken_before_it_is_opened_nor_after_it_is_given_up(
    venue: WireVenue,
) -> None:
    class Flooded(Probe):
        async def on_open(self) -> None:
            await super().on_open()
            await asyncio.sleep(0.02)  # what is sent by now waits
            self.events.append("opened")

        def _frame(self, payload: bytes, received_at_ns: int) -> None:
            if self.events[-1] != "frame":
                self.events.append("frame")
            if payload == b"200":
                self.give_up = "enough"
                self.nudge()

    async with running(probe := Flooded(venue.url, ChannelTimes(upkeep_every_s=60))):
        caller = await venue.caller()
        for number in range(1000):
            await caller.send(str(number))
        await caller.gone()
    assert probe.events[:5] == ["open", "opened", "frame", "lost", "close"]
    assert 200 <= probe.data_frames < 999


async def test_a_venue_that_does_not_read_does_not_hold_the_sender_for_ever(
    venue: WireVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "SEND_TIMEOUT_S", 0.05)

    class Talker(Probe):
        async def upkeep(self, now_s: float) -> None:
            await self.send("x" * 4_000_000)

    async with running(probe := Talker(venue.url)):
        caller = await venue.caller()
        caller._websocket.transport.pause_reading()
        await until(lambda: "lost" in probe.events)
    assert isinstance(probe.error, TimeoutError)


async def test_nothing_can_be_sent_without_a_connection(venue: WireVenue) -> None:
    with pytest.raises(ChannelLostError, match="not connected"):
        await Probe(venue.url).send("hello")


async def test_an_error_of_ours_is_not_taken_for_a_loss(venue: WireVenue) -> None:
    probe = Probe(venue.url)
    probe.broken = True
    async with running(probe) as task:
        caller = await venue.caller()
        await caller.send("[]")
        with pytest.raises(ValueError, match="a bug"):
            await task
    assert probe.events == ["open", "close"]


async def test_an_error_of_ours_is_no_loss_even_if_the_connection_is_lost_too(
    venue: WireVenue,
) -> None:
    """A frame may come while something is sent, and nobody looks at what became of it before that
    ends."""

    class Late(Probe):
        async def upkeep(self, now_s: float) -> None:
            await until(lambda: self._websocket is None or self._websocket.frames.ended is not None)
            raise ChannelLostError("not sent")

    probe = Late(venue.url)
    probe.broken = True
    async with running(probe) as task:
        caller = await venue.caller()
        await caller.send("[]")
        with pytest.raises(ValueError, match="a bug"):
            await task
    assert probe.events == ["open", "close"]


async def test_cancelling_closes_the_connection_whatever_it_does(venue: WireVenue) -> None:
    class Stuck(Probe):
        async def on_open(self) -> None:
            await super().on_open()
            await asyncio.sleep(60)

    for kind in (Probe, Stuck):
        async with running(probe := kind(venue.url)):
            caller = await venue.caller()
            await caller.next()
        await caller.gone()
        assert probe.events == ["open", "close"]
        with pytest.raises(ChannelLostError, match="not connected"):
            await probe.send("hello")


@pytest.mark.parametrize("bad", [DROPS, REFUSES])
async def test_a_broken_address_before_the_good_one_holds_nothing_up(
    venue: WireVenue, bad: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, bad, GOOD)
    probe = Probe(venue.url.replace(GOOD, HOST))
    with dropping(urlsplit(venue.url).port or 0):
        async with running(probe):
            async with asyncio.timeout(8):  # less than OPEN_TIMEOUT_S
                caller = await venue.caller()
            assert await caller.next() == {"hello": 1}


async def test_an_address_that_swallows_what_is_sent_costs_one_try(
    venue: WireVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket_connection, "OPEN_TIMEOUT_S", 0.3)
    resolving(monkeypatch, SWALLOWS, GOOD)
    probe = Probe(venue.url.replace(GOOD, HOST))
    async with swallowing(urlsplit(venue.url).port or 0) as taken:
        with capture_logs() as logs:
            async with running(probe):
                for _ in range(3):
                    caller = await venue.caller()
                    assert await caller.next() == {"hello": 1}
                    await caller.send("[]")
                    await probe.frames.get()
                    await caller.hang_up()
    assert len(taken) == 1
    assert logs[0]["error"] == "TimeoutError: not open within 0.3 s"


@pytest.mark.parametrize("words", [[], ["[]"]])
async def test_an_address_that_swallows_what_follows_the_handshake_is_left(
    venue: WireVenue, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, or after it has said something."""
    resolving(monkeypatch, SWALLOWS, GOOD)
    opened = 0

    async def swallows(connection: ServerConnection) -> None:
        nonlocal opened
        opened += 1
        for word in words:
            await connection.send(word)
        await connection.wait_closed()

    times = ChannelTimes(ping_every_s=0.1, silence_max_s=0.3, upkeep_every_s=0.01)
    probe = Probe(venue.url.replace(GOOD, HOST), times)
    async with serve(swallows, SWALLOWS, urlsplit(venue.url).port or 0), running(probe):
        caller = await venue.caller()
        assert await caller.next() == {"hello": 1}
        assert "nothing received for" in str(probe.error)
    assert opened == 1


async def test_the_name_of_the_host_stays_what_it_is_for_tls(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    resolving(monkeypatch, REFUSES, GOOD)
    asked: list[str] = []
    server, trusted = contexts(tmp_path, HOST)
    server.sni_callback = lambda _, name, __: asked.append(name)
    monkeypatch.setattr(ssl, "create_default_context", lambda *_, **__: trusted)

    async def answers(connection: ServerConnection) -> None:
        await connection.send(f"for {connection.request.headers['Host']}")
        await connection.wait_closed()

    async with serve(answers, GOOD, 0, ssl=server) as listening:
        (port,) = {each.getsockname()[1] for each in listening.sockets}
        async with open_websocket(f"wss://{HOST}:{port}/ws/user") as opened:
            assert await opened.first_frame() == f"for {HOST}:{port}".encode()
        resolving_other = f"wss://other.example:{port}/"
        monkeypatch.setattr("tests.support.unreachable_addresses.HOST", "other.example")
        with pytest.raises(ssl.SSLCertVerificationError, match=r"other\.example"):
            async with open_websocket(resolving_other):
                pass
    assert asked == [HOST, "other.example"]


async def test_a_redirect_is_not_followed_and_is_a_loss_like_any_other(venue: WireVenue) -> None:
    async def moved(connection: ServerConnection, _: Request) -> Response:
        response = connection.respond(301, "moved")
        response.headers["Location"] = venue.url
        return response

    async def never(_: ServerConnection) -> None:
        raise AssertionError

    async with serve(never, GOOD, 0, process_request=moved) as listening:
        (port,) = {each.getsockname()[1] for each in listening.sockets}
        with capture_logs() as logs:
            async with running(Probe(f"ws://{GOOD}:{port}/")):
                await until(lambda: bool(logs))
    assert "HTTP 301" in logs[0]["error"]
    assert venue.callers_waiting == 0
