from __future__ import annotations

import asyncio
import gc
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from runtime.process import first_failure, stop_tasks

ROOT = Path(__file__).parents[2]
PIPE = asyncio.subprocess.PIPE


async def fails(text: str) -> None:
    raise ConnectionError(text)


async def runs() -> None:
    await asyncio.Event().wait()


async def test_the_first_failure_ends_the_others_and_is_raised() -> None:
    ended = asyncio.Event()

    async def tidies_up() -> None:
        try:
            await runs()
        finally:
            ended.set()

    with pytest.raises(ConnectionError, match="gone"):
        await first_failure(tidies_up(), fails("gone"))
    assert ended.is_set()


async def test_a_loop_that_ends_is_an_error_too() -> None:
    with pytest.raises(RuntimeError, match="ended"):
        await first_failure(asyncio.sleep(0), runs())


async def test_a_second_failure_leaves_no_traceback_behind() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: complaints.append(about))
    with pytest.raises(ConnectionError):
        await first_failure(fails("one"), fails("two"))
    gc.collect()
    assert complaints == []


async def test_a_cancellation_that_gets_lost_is_repeated() -> None:
    async def deaf_once() -> None:
        try:
            await runs()
        except asyncio.CancelledError:
            await runs()

    task = asyncio.create_task(deaf_once())
    await asyncio.sleep(0)
    await stop_tasks(task)
    assert task.cancelled()


PROGRAM = """
import asyncio, sys, threading, time
from runtime import process
from runtime.log import configure_logging
configure_logging(service="test")
process.END_MAX_S = 0.5
async def deaf():
    for _ in range(2):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass
async def serve():
    print("started", flush=True)
    try:
        {running}
    finally:
        print("tidying", flush=True)
        {tidying}
        print("tidied", flush=True)
process.STOP_MAX_S = {most_s}
print(process.run_service(serve()), flush=True)
{after}
"""


@asynccontextmanager
async def service(
    running: str = "await asyncio.Event().wait()",
    tidying: str = "pass",
    after: str = "sys.exit(0)",
    most_s: float = 10,
) -> AsyncIterator[asyncio.subprocess.Process]:
    program = PROGRAM.format(running=running, tidying=tidying, after=after, most_s=most_s)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program), cwd=ROOT, stdout=PIPE, stderr=PIPE
    )
    try:
        async with asyncio.timeout(30):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def heard(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


def events(stderr: bytes) -> list[str]:
    return [json.loads(line)["event"] for line in stderr.splitlines()]


async def test_a_second_signal_does_not_cut_short_the_tidying_up() -> None:
    async with service(tidying="await asyncio.sleep(0.3)") as process:
        assert await heard(process) == "started"
        process.terminate()
        assert await heard(process) == "tidying"
        process.terminate()
        process.send_signal(signal.SIGINT)
        stdout, stderr = await process.communicate()
    assert (stdout, stderr, process.returncode) == (b"tidied\n0\n", b"", 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_after_the_event_loop_is_gone_kills_nobody(number: signal.Signals) -> None:
    async with service(after="time.sleep(0.3); sys.exit(0)") as process:
        assert await heard(process) == "started"
        process.terminate()
        assert [await heard(process) for _ in range(3)] == ["tidying", "tidied", "0"]
        process.send_signal(number)
        assert (await process.communicate())[1] == b""
        assert process.returncode == 0


async def test_what_the_tidying_up_meets_is_one_line_and_still_a_stop_in_order() -> None:
    async with service(tidying="raise ConnectionResetError('Connection lost')") as process:
        assert await heard(process) == "started"
        process.terminate()
        stdout, stderr = await process.communicate()
    assert (stdout, process.returncode) == (b"tidying\n0\n", 0)
    assert events(stderr) == ["stopped_with_error"]


@pytest.mark.parametrize(
    "hangs",
    ["await asyncio.Event().wait()", "threading.Event().wait()", "time.sleep(30)"],
)
async def test_a_stop_that_hangs_is_given_up(hangs: str) -> None:
    async with service(tidying=hangs, most_s=0.5) as process:
        assert await heard(process) == "started"
        process.terminate()
        _, stderr = await process.communicate()
    assert process.returncode == 1
    assert events(stderr) == ["stop_given_up"]


async def test_a_thread_that_nobody_can_stop_holds_up_nobody() -> None:
    async with service(running="await asyncio.to_thread(time.sleep, 60)") as process:
        assert await heard(process) == "started"
        process.terminate()
        _, stderr = await process.communicate()
    assert (process.returncode, stderr) == (0, b"")


async def test_a_librarys_task_that_takes_its_cancellation_for_another_holds_up_nobody() -> None:
    running = """asyncio.create_task(deaf())
        await asyncio.Event().wait()"""
    async with service(running=running) as process:
        assert await heard(process) == "started"
        process.terminate()
        stdout, stderr = await process.communicate()
    assert (stdout, stderr, process.returncode) == (b"tidying\ntidied\n0\n", b"", 0)


async def test_a_failure_without_a_signal_is_one_line_and_exit_1() -> None:
    async with service(running="raise RuntimeError('a defect')") as process:
        _, stderr = await process.communicate()
    assert process.returncode == 1
    assert events(stderr) == ["crashed"]


async def test_a_cancellation_without_a_signal_is_no_stop() -> None:
    async with service(running="raise asyncio.CancelledError") as process:
        stdout, stderr = await process.communicate()
    assert stdout.endswith(b"1\n")
    assert events(stderr) == ["ended_by_cancellation"]


@pytest.mark.parametrize("limit", [10, 12, 16, 40])
async def test_too_few_descriptors_are_one_line_and_exit_2(limit: int) -> None:
    program = PROGRAM.format(running="pass", tidying="pass", after="", most_s=10)
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", f'ulimit -n {limit}; exec "$@"', "sh", sys.executable, "-c", program),
        cwd=ROOT,
        stdout=PIPE,
        stderr=PIPE,
    )
    async with asyncio.timeout(30):
        _, stderr = await process.communicate()
    assert process.returncode == 2
    [line] = stderr.decode().splitlines()
    assert line.startswith(f"cannot start: ulimit -n: {limit} ")


async def test_a_process_whose_descriptors_are_closed_runs_and_stops() -> None:
    program = PROGRAM.format(
        running="await asyncio.open_connection(*sys.argv[1:])",
        tidying="pass",
        after="sys.exit(0)",
        most_s=10,
    )
    heard_from = asyncio.Event()

    async def hear(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard_from.set()
        writer.close()

    async with await asyncio.start_server(hear, "127.0.0.1", 0) as server, asyncio.timeout(30):
        address = [str(part) for part in server.sockets[0].getsockname()]
        closed = await asyncio.create_subprocess_exec(
            *("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", program, *address),
            cwd=ROOT,
        )
        await heard_from.wait()
        assert await closed.wait() == 0
