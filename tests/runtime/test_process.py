from __future__ import annotations

import asyncio
import gc
import os
import signal
from typing import Any

import pytest

from runtime.process import _until_signalled, first_failure, stop_tasks


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


async def test_a_second_signal_does_not_cut_short_the_tidying_up() -> None:
    started, tidying, tidy = asyncio.Event(), asyncio.Event(), asyncio.Event()
    done: list[str] = []

    async def serve() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            tidying.set()
            await tidy.wait()
            done.append("tidied")

    loop = asyncio.get_running_loop()
    service = asyncio.create_task(_until_signalled(serve()))
    try:
        await started.wait()  # the handlers stand before `serve` runs
        os.kill(os.getpid(), signal.SIGTERM)
        await tidying.wait()
        second = asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR1, second.set)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGUSR1)
        await second.wait()  # signals are delivered in order: the second one has been seen
        tidy.set()
        assert await service == 0
    finally:
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            loop.remove_signal_handler(signum)
    assert done == ["tidied"]
