from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from runtime.retry import until_reachable


async def test_each_failure_is_one_line_that_says_what_where_and_when_again() -> None:
    tries = 0

    async def attempt() -> str:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ConnectionRefusedError("nobody there")
        return "here"

    with capture_logs() as logs:
        assert await until_reachable("the thing at nowhere:1", attempt) == "here"
    assert [line["event"] for line in logs] == ["not_reachable"] * 2
    assert logs[0]["what"] == "the thing at nowhere:1"
    assert logs[0]["error"] == "ConnectionRefusedError: nobody there"
    assert logs[0]["retry_in_s"] > 0


async def test_an_error_that_no_waiting_mends_is_raised_at_once() -> None:
    async def attempt() -> None:
        raise TypeError("a bug")

    with capture_logs() as logs, pytest.raises(TypeError, match="a bug"):
        await until_reachable("the thing", attempt, retry_on=(OSError,))
    assert logs == []


@pytest.mark.parametrize("error", [None, ConnectionRefusedError("nobody there")])
async def test_a_stop_that_arrives_together_with_an_answer_is_not_lost(
    error: Exception | None,
) -> None:
    """`asyncio.wait_for` of Python 3.11 prefers the answer, and nats-py is built on it."""
    tries = 0

    async def attempt() -> None:
        nonlocal tries
        tries += 1
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def answer_and_stop() -> None:
            answer.set_result(None) if error is None else answer.set_exception(error)
            if tries == 1:
                task.cancel()

        asyncio.get_running_loop().call_soon(answer_and_stop)
        await asyncio.wait_for(answer, 10)

    task = asyncio.create_task(until_reachable("the thing", attempt))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert tries == 1
