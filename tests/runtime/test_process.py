from __future__ import annotations

import asyncio

import pytest

from runtime.process import first_failure, stop_tasks


async def deaf(times: int, heard: list[int]) -> None:
    """Loses its first cancellations, as `asyncio.wait_for` of Python 3.11 may."""
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            heard.append(1)
            if len(heard) > times:
                raise


async def test_a_task_that_loses_a_cancellation_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("runtime.process.CANCEL_AGAIN_S", 0.01)
    heard: list[int] = []
    task = asyncio.create_task(deaf(2, heard))
    await asyncio.sleep(0)  # it runs
    async with asyncio.timeout(5):
        await stop_tasks(task)
    assert task.cancelled()
    assert len(heard) == 3


async def test_a_task_that_never_stops_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.process.CANCEL_AGAIN_S", 0.001)
    heard: list[int] = []
    task = asyncio.create_task(deaf(10, heard))
    await asyncio.sleep(0)
    await stop_tasks(task)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_one_loop_that_fails_ends_all_with_its_exception() -> None:
    stopped: list[str] = []

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append("endless")

    async def failing() -> None:
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        await first_failure(endless(), failing())
    assert stopped == ["endless"]


async def test_a_loop_that_ends_is_a_failure_too() -> None:
    async def ending() -> None:
        return None

    with pytest.raises(RuntimeError, match="ending"):
        await first_failure(ending(), asyncio.Event().wait())  # type: ignore[arg-type]
