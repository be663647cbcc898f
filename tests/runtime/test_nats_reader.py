"""What is taken in the call that reads, and what the parser gets."""

from __future__ import annotations

import asyncio

import pytest

from runtime.nats_reader import EarlyReader, whole_messages


def test_whole_messages_are_found_with_and_without_a_reply() -> None:
    data = b"MSG a.x 1 2\r\nhi\r\nMSG a.y 12 back 0\r\n\r\n"
    assert whole_messages(data) == [(1, "a.x", "", b"hi"), (12, "a.y", "back", b"")]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PING\r\n",
        b"MSG a 1 2\r\nh",
        b"MSG a 1 2\r\nhi\r",
        b"MSG a 1",
        b"SG a 1 2\r\nhi\r\n",
        b"MSG a one 2\r\nhi\r\n",
        b"MSG a 1 -2\r\nhi\r\n",
        b"MSG a 1 " + b"9" * 5_000 + b"\r\nhi\r\n",
        b"MSG \xff 1 2\r\nhi\r\n",
        b"MSG a 1 b c 2\r\nhi\r\n",
        b"HMSG a 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n",
    ],
)
def test_where_anything_else_stands_behind_or_before_one_nothing_is_found(data: bytes) -> None:
    assert whole_messages(data) == []
    if data:
        assert whole_messages(b"MSG a 1 2\r\nhi\r\n" + data) == []


async def test_only_what_comes_while_it_is_waited_for_and_nothing_is_unread_is_offered() -> None:
    offered: list[bytes] = []

    def take(data: bytes) -> bool:
        offered.append(data)
        return data.startswith(b"taken")

    reader = EarlyReader(take, 1024)
    reader.feed_data(b"early")  # nobody waits
    assert await reader.read(100) == b"early"
    reading = asyncio.ensure_future(reader.read(100))
    await asyncio.sleep(0)
    reader.feed_data(b"taken 1")
    reader.feed_data(b"kept, ")
    reader.feed_data(b"taken 2")  # it would overtake what is unread
    assert await reading == b"kept, taken 2"
    assert offered == [b"taken 1", b"kept, "]
    reading = asyncio.ensure_future(reader.read(100))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    reader.feed_data(b"taken 3")
    reader.feed_eof()
    assert await reader.read(100) == b"taken 3"
    assert await reader.read(100) == b""
    assert reader.at_eof()
