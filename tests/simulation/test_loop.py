"""The simulation's own rules: time, chance, order, and how processes die."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import secrets
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
import structlog

from tests.simulation.loop import (
    EPOCH_MS,
    DeadlockError,
    LivelockError,
    simulated,
)

ROOT = Path(__file__).parents[2]


async def _sleeps(seconds: float) -> None:
    await asyncio.sleep(seconds)


# -- time and chance -----------------------------------------------------------------------------


def test_time_is_virtual_and_every_clock_shows_it() -> None:
    started = time.perf_counter()
    with simulated(1) as sim:

        async def scenario() -> None:
            wall, monotonic = time.time(), time.monotonic()
            assert wall == pytest.approx(EPOCH_MS / 1000, abs=0.01)
            await asyncio.sleep(86_400)
            assert time.time() - wall == pytest.approx(86_400, abs=0.01)
            assert time.monotonic() - monotonic == pytest.approx(86_400, abs=0.01)
            assert time.time_ns() // 1_000_000 == sim.now_ms
            assert asyncio.get_running_loop().time() == time.monotonic() == time.perf_counter()

        sim.run(scenario())
    assert time.perf_counter() - started < 5
    assert abs(time.time() - EPOCH_MS / 1000) > 60, "the real clock is back"


def test_timeouts_fire_in_loops_that_never_wait() -> None:
    async def spins() -> None:
        while True:  # noqa: ASYNC110 - what is tested
            await asyncio.sleep(0)

    async def scenario() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await spins()

    with simulated(1) as sim:
        sim.run(scenario())
    with simulated(1, steps_max=1_000) as sim, pytest.raises(LivelockError, match="spins"):
        sim.run(spins())


def _draws() -> list[object]:
    return [
        random.random(),
        random.SystemRandom().random(),
        uuid.uuid4(),
        secrets.token_hex(8),
        secrets.randbits(64),
        secrets.randbelow(10**9),
        os.urandom(8),
    ]


def test_chance_is_the_seeds_and_is_given_back() -> None:
    random.seed(7)
    expected = random.random()
    random.seed(7)
    drawn = []
    for seed in (1, 1, 2):
        with simulated(seed):
            drawn.append(_draws())
    assert drawn[0] == drawn[1]
    assert all(one != other for one, other in zip(drawn[1], drawn[2], strict=True))
    assert random.random() == expected
    assert os.urandom(8) != os.urandom(8)
    assert gc.isenabled()


def test_logs_are_kept_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    with simulated(1) as sim:

        async def works() -> None:
            structlog.get_logger().warning("strange", count=3)

        sim.process("worker").start(works())
        sim.run(_sleeps(1))
    [(at_ms, process, level, fields)] = sim.logs
    assert (process, level, fields) == ("worker", "warning", {"event": "strange", "count": 3})
    assert at_ms >= EPOCH_MS
    assert capfd.readouterr() == ("", "")


def test_nothing_scheduled_is_a_deadlock_that_names_who_waits() -> None:
    async def waits_for_ever() -> None:
        await asyncio.Event().wait()

    with simulated(1) as sim, pytest.raises(DeadlockError, match="waits_for_ever"):
        sim.run(waits_for_ever())


def test_executor_calls_run_inline() -> None:
    with simulated(1) as sim:
        assert sim.run(asyncio.to_thread(lambda: 42)) == 42


def test_what_nobody_handled_is_told() -> None:
    async def fails() -> None:
        raise ValueError("oh")

    with simulated(1) as sim:
        sim.process("worker").start(fails())
        sim.run(_sleeps(1))
        sim.process("port").call_soon(lambda: 1 / 0)
        sim.run(_sleeps(1))
    assert [(each.process, type(each.exception)) for each in sim.errors] == [
        ("port", ZeroDivisionError),
        ("worker", ValueError),
    ]


# -- order ---------------------------------------------------------------------------------------


def _interleaving(seed: int) -> tuple[list[str], str]:
    told: list[str] = []

    async def works(name: str) -> None:
        for number in range(5):
            told.append(f"{name}{number}")
            await asyncio.sleep(0)

    with simulated(seed) as sim:
        for name in "abc":
            sim.process(name).start(works(name))
        sim.run(_sleeps(1))
        return told, sim.fingerprint


def test_seeds_explore_interleavings_of_processes_but_never_reorder_one() -> None:
    runs = [_interleaving(seed) for seed in range(20)]
    assert len({tuple(told) for told, _ in runs}) > 15
    assert len({fingerprint for _, fingerprint in runs}) > 15
    for told, _ in runs:
        assert [each for each in told if each[0] == "a"] == ["a0", "a1", "a2", "a3", "a4"]
    assert _interleaving(3) == runs[3]


def test_callbacks_of_one_process_keep_their_order() -> None:
    told: list[int] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        for number in range(10):
            loop.call_soon(told.append, number)
        for number in range(10, 20):
            loop.call_later(1, told.append, number)
        await asyncio.sleep(2)

    with simulated(5) as sim:
        sim.run(scenario())
    assert told == list(range(20))


_TRACE = """
import asyncio, random, uuid
from tests.simulation.loop import simulated

async def child(name, order):
    await asyncio.sleep(random.random() / 1000)
    order.append(name)

async def works(sim, order):
    for number in range(20):
        tasks = {asyncio.create_task(child(f"{number}-{each}", order)) for each in range(5)}
        while tasks:
            done, tasks = await asyncio.wait(tasks, timeout=0.0005)
            for task in done:  # a set: its order must not differ
                sim.record("done", task.get_name())
        for task in {asyncio.create_task(asyncio.sleep(9)) for _ in range(5)}:
            task.cancel()
            sim.record("cancelled", task.get_name())
        sim.record(str(uuid.uuid4()))

with simulated(11) as sim:
    order = []
    for name in ("a", "b", "c"):
        sim.process(name).start(works(sim, order))
    sim.run(asyncio.sleep(10))
    print(sim.fingerprint, order, sim.errors)
"""


def test_a_run_is_the_same_in_every_process_and_for_every_hash_seed() -> None:
    outputs = set()
    for hash_seed in ("0", "1", "4711"):
        ran = subprocess.run(  # noqa: S603 - ourselves
            [sys.executable, "-c", _TRACE],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=50,
            check=True,
        )
        outputs.add(ran.stdout)
    [output] = outputs
    assert output.endswith("[]\n")
