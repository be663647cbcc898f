"""Turns by themselves: what is taken when, told by hand."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from runtime.health import health_server
from runtime.process import stop_tasks
from venue import frame_turns
from venue.errors import ChannelLostError
from venue.frame_turns import FRAMES_AT_ONCE_MAX, FRAMES_WAITING_MAX, FrameTurns


class Bench:
    """Frames and how they are read; `hurry`, `bug`: what the other sides do."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.calls: list[str] = []
        self.told: list[int] = []
        """How many were taken, each time that no other follows."""
        self.hurry = False
        self.bug: int | None = None
        self.broken = False
        self.turns = FrameTurns(
            lambda: self.calls.append("pause"), lambda: self.calls.append("resume")
        )

    def begin(self) -> None:
        self.turns.begin(
            self._take,
            lambda: self.calls.append("end"),
            lambda behind: self.calls.append(f"behind {behind}"),
            lambda: self.hurry,
            self._on_taken,
        )

    def _on_taken(self) -> None:
        if self.broken:
            raise ValueError("a bug")
        self.told.append(len(self.taken))

    def _take(self, frame: bytes) -> None:
        if int(frame) == self.bug:
            raise ValueError("a bug")
        self.taken.append(int(frame))

    def arrive(self, first: int, beyond: int) -> None:
        for number in range(first, beyond):
            self.turns.arrived(b"%d" % number)

    async def open(self) -> None:
        """Begin, and wait until frames are taken as they come."""
        self.begin()
        await self.rest()
        self.calls.clear()
        self.told.clear()

    async def rest(self, turns: int = 10) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_nothing_is_taken_before_it_begins_and_all_in_its_order_then(bench: Bench) -> None:
    bench.arrive(0, 3)
    await bench.rest()
    assert bench.taken == []
    bench.begin()
    assert bench.taken == []
    bench.arrive(3, 4)
    await bench.rest()
    assert bench.taken == [0, 1, 2, 3]


async def test_a_frame_is_taken_in_the_call_that_brings_it_up_to_so_many_a_turn(
    bench: Bench,
) -> None:
    await bench.open()
    bench.arrive(0, 20)
    assert len(bench.taken) == FRAMES_AT_ONCE_MAX
    bench.arrive(20, 21)  # no overtaking
    await bench.rest(1)
    assert bench.taken == [*range(21)]
    await bench.rest()
    for number in range(21, 60):
        bench.arrive(number, number + 1)
        assert bench.taken[-1] == number
        await bench.rest(1)


async def test_many_reads_in_one_turn_share_it(bench: Bench) -> None:
    await bench.open()
    for number in range(40):
        bench.arrive(number, number + 1)
    assert len(bench.taken) == FRAMES_AT_ONCE_MAX
    await bench.rest(1)
    assert len(bench.taken) == 2 * FRAMES_AT_ONCE_MAX
    await bench.rest()
    assert bench.taken == [*range(40)]


async def test_one_frame_a_turn_while_somebody_is_in_a_hurry(bench: Bench) -> None:
    await bench.open()
    bench.hurry = True
    bench.arrive(0, 4)
    for count in range(1, 5):
        assert len(bench.taken) == count
        await bench.rest(1)
    bench.hurry = False
    await bench.rest()
    assert bench.taken == [0, 1, 2, 3]


async def test_the_socket_is_not_read_while_too_many_wait(bench: Bench) -> None:
    await bench.open()
    bench.arrive(0, FRAMES_AT_ONCE_MAX + FRAMES_WAITING_MAX - 1)
    assert bench.calls == []
    bench.arrive(100, 300)
    assert bench.calls == ["pause"]
    await bench.rest(50)
    assert len(bench.taken) == FRAMES_AT_ONCE_MAX + FRAMES_WAITING_MAX - 1 + 200
    assert bench.calls[-2:] == ["resume", "behind False"]
    assert "behind True" in bench.calls


async def test_what_comes_as_soon_as_the_socket_is_read_again_had_to_wait(bench: Bench) -> None:
    await bench.open()
    for first in range(0, 100, 20):
        bench.arrive(first, first + 20)
        await bench.rest(2)  # all is taken, and the socket read again
        assert len(bench.taken) == first + 20
    assert "behind True" in bench.calls
    await bench.rest()
    assert bench.calls[-1] == "behind False"


async def test_a_turn_that_takes_all_that_comes_is_not_behind_after_a_burst(bench: Bench) -> None:
    await bench.open()
    bench.arrive(0, 40)
    for first in range(40, 400, 10):
        await bench.rest(1)
        bench.arrive(first, first + 10)
    await bench.rest()
    assert "behind True" not in bench.calls
    assert bench.taken == [*range(400)]


async def test_a_health_check_is_answered_though_more_frames_come_than_are_ever_taken() -> None:
    """A frame takes some 60 microseconds, so 1,000 of them a sixteenth of a second."""
    taken, paused = 0, False

    def take(_: bytes) -> None:
        nonlocal taken
        taken += 1

    def pause(until: bool) -> None:
        nonlocal paused
        paused = until

    async def read() -> None:
        while True:
            if not paused:
                for _ in range(500):
                    turns.arrived(b"")
            await asyncio.sleep(0)

    turns = FrameTurns(lambda: pause(True), lambda: pause(False))
    turns.begin(take, lambda: None)
    reading = asyncio.create_task(read())
    registry = CollectorRegistry()
    async with (
        asyncio.timeout(20),
        health_server("127.0.0.1", 0, registry, lambda: None) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client,
    ):
        for _ in range(5):
            before = taken
            async with client.get("/healthz") as answer:
                assert answer.status == 200
            assert 0 < taken - before < 1_000
    await stop_tasks(reading)


async def test_the_end_comes_after_the_frames_before_it_and_once(bench: Bench) -> None:
    await bench.open()
    bench.arrive(0, 40)
    bench.turns.close(ConnectionResetError("gone"))
    bench.turns.close(OSError("again"))
    assert bench.turns.ended is None
    await bench.rest()
    assert bench.taken == [*range(40)]
    assert isinstance(bench.turns.ended, ConnectionResetError)
    assert bench.calls.count("end") == 1
    bench.arrive(40, 41)
    await bench.rest()
    assert bench.taken == [*range(40)]


async def test_an_end_that_comes_while_nothing_waits_is_told_at_once(bench: Bench) -> None:
    await bench.open()
    bench.turns.close(ConnectionResetError("gone"))
    assert bench.calls == ["end"]


@pytest.mark.parametrize("bug", [3, 30])
async def test_what_takes_a_frame_and_fails_gets_no_other(bench: Bench, bug: int) -> None:
    """In the call that brings it, and in a later turn."""
    await bench.open()
    bench.bug = bug
    bench.arrive(0, 60)
    await bench.rest()
    assert bench.taken == [*range(bug)]
    assert isinstance(bench.turns.ended, ValueError)
    assert bench.calls.count("end") == 1


async def test_whoever_takes_frames_is_told_when_a_read_has_no_more(bench: Bench) -> None:
    await bench.open()
    bench.arrive(0, 3)
    assert (bench.taken, bench.told) == ([0, 1, 2], [])
    bench.turns.read_ends()
    assert bench.told == [3]


async def test_whoever_takes_frames_is_told_before_others_have_a_turn_in_the_middle_of_a_read(
    bench: Bench,
) -> None:
    await bench.open()
    bench.arrive(0, 20)
    assert bench.told == [FRAMES_AT_ONCE_MAX]
    bench.arrive(20, 40)
    bench.turns.read_ends()
    assert bench.told == [FRAMES_AT_ONCE_MAX] * 2
    for taken in (2 * FRAMES_AT_ONCE_MAX, 40):
        await bench.rest(1)
        assert bench.told[-1] == taken


async def test_whoever_takes_frames_is_told_after_each_while_somebody_is_in_a_hurry(
    bench: Bench,
) -> None:
    await bench.open()
    bench.hurry = True
    bench.arrive(0, 3)
    assert bench.told == [1]
    for taken in (2, 3):
        await bench.rest(1)
        assert bench.told[-1] == taken


@pytest.mark.parametrize("bug", [3, 20])
async def test_whoever_fails_at_a_frame_is_told_that_no_other_follows(
    bench: Bench, bug: int
) -> None:
    """In the call that brings it, and in a later turn."""
    await bench.open()
    bench.bug = bug
    bench.arrive(0, 30)
    bench.turns.read_ends()
    await bench.rest()
    assert bench.told[-1] == bug


@pytest.mark.parametrize("count", [1, FRAMES_AT_ONCE_MAX + 1])
async def test_whoever_fails_when_he_is_told_gets_no_other(bench: Bench, count: int) -> None:
    """At the end of a read, and when a turn has had enough."""
    await bench.open()
    bench.broken = True
    bench.arrive(0, count)
    bench.turns.read_ends()
    bench.arrive(count, count + 1)
    await bench.rest()
    assert isinstance(bench.turns.ended, ValueError)
    assert bench.calls.count("end") == 1
    assert len(bench.taken) == min(count, FRAMES_AT_ONCE_MAX)


async def test_whoever_fails_when_a_read_ends_with_the_connection_is_not_taken_for_its_end(
    bench: Bench,
) -> None:
    """Else the bug would be a lost connection, and nobody would hear of it."""
    await bench.open()
    bench.broken = True
    bench.arrive(0, 1)
    bench.turns.close(ConnectionResetError("gone"))
    bench.turns.read_ends()
    assert isinstance(bench.turns.ended, ValueError)
    assert bench.calls == ["end"]


@pytest.mark.parametrize("waiting", [False, True])
async def test_whoever_cannot_say_whether_he_is_in_a_hurry_is_an_end(
    bench: Bench, waiting: bool
) -> None:
    def broken() -> bool:
        raise ValueError("a bug")

    await bench.open()
    if waiting:
        bench.arrive(0, 20)
    bench.turns._others_first = broken
    bench.arrive(20, 22)
    await bench.rest()
    assert isinstance(bench.turns.ended, ValueError)
    assert bench.calls.count("end") == 1


async def test_nothing_is_taken_once_it_is_stopped_and_nobody_told(bench: Bench) -> None:
    await bench.open()
    bench.arrive(0, 40)
    bench.turns.stop()
    bench.arrive(40, 41)
    await bench.rest()
    assert bench.taken == [*range(FRAMES_AT_ONCE_MAX)]
    assert "end" not in bench.calls


async def test_the_socket_is_read_again_when_nothing_is_taken_any_more(
    bench: Bench,
) -> None:
    """Else nobody sees that the connection itself comes to its end."""
    bench.arrive(0, 40)
    assert bench.calls == ["pause"]
    bench.turns.stop()
    assert bench.calls == ["pause", "resume"]


@pytest.mark.parametrize("begun", [True, False])
async def test_more_than_can_be_held_is_a_loss(
    bench: Bench, begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_turns, "FRAMES_HELD_MAX", 100)
    if begun:
        await bench.open()
    bench.arrive(0, 200)
    assert isinstance(bench.turns.ended, ChannelLostError)
    if not begun:
        bench.begin()
    await bench.rest()
    assert bench.calls.count("end") == 1
    assert len(bench.taken) == (FRAMES_AT_ONCE_MAX if begun else 0)
