"""How simulated processes live and die."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.simulation.loop import (
    Simulation,
    simulated,
)

ROOT = Path(__file__).parents[2]


async def _sleeps(seconds: float) -> None:
    await asyncio.sleep(seconds)


# -- processes -----------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _telling(told: list[str]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        told.append("context")


async def _tells_its_end(told: list[str]) -> None:
    async def child() -> None:
        try:
            await asyncio.sleep(3)
        finally:
            told.append("child")

    task = asyncio.create_task(child())
    try:
        async with _telling(told), asyncio.timeout(60):
            told.append("running")
            await asyncio.gather(task, asyncio.sleep(20))
    except BaseException:
        told.append("except")
        raise
    finally:
        await asyncio.sleep(0)
        told.append("finally")


def test_a_killed_process_runs_nothing_ever_again() -> None:
    with simulated(1) as sim:
        told: list[str] = []
        worker = sim.process("worker")
        worker.start(_tells_its_end(told))

        async def scenario() -> None:
            await asyncio.sleep(1)
            steps = worker.steps
            worker.kill()
            gc.collect()
            await asyncio.sleep(100)
            assert worker.steps == steps
            assert worker.dead and worker.exit_code is None

        sim.run(scenario())
        assert told == ["running"]
        assert not sim.errors
        fingerprint, events = sim.fingerprint, list(sim.events)
    assert (sim.fingerprint, list(sim.events)) == (fingerprint, events)
    assert not sim.errors
    gc.collect()  # an unraisable exception would fail this test


def test_what_lives_at_the_runs_end_is_closed_in_silence(
    recwarn: pytest.WarningsRecorder, capfd: pytest.CaptureFixture[str]
) -> None:
    async def stubborn() -> None:
        while True:
            with contextlib.suppress(BaseException):  # the worst there is
                await asyncio.sleep(1)

    with simulated(1) as sim:
        sim.process("worker").start(_tells_its_end([]))
        sim.process("stubborn").start(stubborn())
        sim.process("unstarted").start(asyncio.sleep(1))
        sim.run(asyncio.sleep(0))
    gc.collect()
    assert not recwarn.list
    assert capfd.readouterr() == ("", "")


async def _counts(told: list[int]) -> None:
    for number in range(10):
        told.append(number)
        await asyncio.sleep(0)


def test_a_process_can_be_killed_at_every_step() -> None:
    ends = []
    for step in range(1, 14):
        with simulated(1) as sim:
            told: list[int] = []
            worker = sim.process("worker")
            worker.start(_counts(told))
            worker.kill_at_step(step)
            sim.run(_sleeps(1))
            ends.append(len(told))
            assert worker.steps == min(step - 1, 11)
            assert (worker.exit_code is None) == (step <= 11)
    assert ends == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10]


def test_a_dead_process_takes_no_tasks_and_tells_its_death() -> None:
    with simulated(1) as sim:
        told: list[str] = []
        worker = sim.process("worker")
        worker.at_death(lambda: told.append("died"))
        worker.start(_sleeps(5))

        async def scenario() -> None:
            worker.kill()
            await worker.ended.wait()
            worker.spawn(_tells_its_end(told))
            worker.call_soon(told.append, "called")
            await asyncio.sleep(10)

        sim.run(scenario())
        assert told == ["died"]
        assert not sim.errors


def test_a_paused_process_holds_what_is_due_and_does_it_in_order_later() -> None:
    with simulated(1) as sim:
        told: list[tuple[str, int]] = []

        async def works() -> None:
            async def child(name: str, delay_s: float) -> None:
                await asyncio.sleep(delay_s)
                told.append((name, round(time.monotonic() - 10_000)))

            await asyncio.gather(child("c", 30), child("a", 1), child("b", 2), child("d", 40))

        worker = sim.process("worker")
        worker.start(works())

        async def scenario() -> None:
            await asyncio.sleep(0.5)
            worker.pause()
            steps = worker.steps
            worker.call_soon(told.append, ("called", 0))
            await asyncio.sleep(34.5)
            assert worker.steps == steps and told == []
            worker.resume()
            await asyncio.sleep(20)

        sim.run(scenario())
    assert told == [("called", 0), ("a", 35), ("b", 35), ("c", 35), ("d", 40)]


def test_a_paused_process_can_be_killed() -> None:
    with simulated(1) as sim:
        told: list[str] = []
        worker = sim.process("worker")
        worker.start(_tells_its_end(told))

        async def scenario() -> None:
            await asyncio.sleep(1)
            worker.pause()
            await asyncio.sleep(10)
            worker.kill()
            worker.resume()
            await asyncio.sleep(100)

        sim.run(scenario())
        assert told == ["running"]


def test_terminate_cancels_main_once_and_lets_it_tidy_up() -> None:
    with simulated(1) as sim:
        told: list[str] = []
        left: list[str] = []

        async def serve() -> None:
            asyncio.create_task(_tells_its_end(left))  # noqa: RUF006 - forgotten on purpose
            try:
                await asyncio.sleep(100)
            finally:
                await asyncio.sleep(5)
                told.append("tidied")

        worker = sim.process("worker")
        worker.start(serve())

        async def scenario() -> None:
            await asyncio.sleep(1)
            worker.terminate()
            await asyncio.sleep(1)
            worker.terminate()
            await worker.ended.wait()

        sim.run(scenario())
        assert told == ["tidied"]
        assert "finally" in left, "what main leaves behind is cancelled, as by asyncio.run"
        assert worker.exit_code == 0
        assert not sim.errors


def test_system_exit_ends_its_process_only() -> None:
    async def refuses() -> None:
        await asyncio.sleep(1)
        raise SystemExit(2)

    async def in_a_task() -> None:
        await asyncio.create_task(refuses())

    with simulated(1) as sim:
        ends = [sim.process("a"), sim.process("b")]
        ends[0].start(refuses())
        ends[1].start(in_a_task())
        sim.run(_sleeps(5))
        assert [each.exit_code for each in ends] == [2, 2]


def test_a_server_answers_the_living_and_finishes_for_the_dead() -> None:
    with simulated(1) as sim:
        server, done = sim.process("server"), []

        async def asks(name: str) -> None:
            answer = asyncio.get_running_loop().create_future()

            def serve() -> None:
                assert sim.current is server
                done.append(("served", name))
                server.call_later(1, answer.set_result, name)

            server.call_later(1, serve)
            done.append(("answered", await answer))

        living, dying = sim.process("living"), sim.process("dying")
        living.start(asks("living"))
        dying.start(asks("dying"))

        async def scenario() -> None:
            await asyncio.sleep(0.5)
            dying.kill()
            await asyncio.sleep(5)

        sim.run(scenario())
    assert sorted(done) == [("answered", "living"), ("served", "dying"), ("served", "living")]


def test_streams_of_chance_do_not_disturb_each_other() -> None:
    with simulated(1) as sim:
        alone = sim.random("a").random()
        assert isinstance(sim, Simulation)
    with simulated(1) as sim:
        sim.random("b").random()
        assert sim.random("a").random() == alone
