"""Lines to pipes, terminals and files that are full, closed, or read by nobody."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import socket
import time
import tty
from collections.abc import Iterator

import pytest

from runtime.output import WAIT_MS, Output

LINE = "x" * 199


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def output_to(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> Output:
    stream = io.TextIOWrapper(io.FileIO(descriptor, "w", closefd=False), write_through=True)
    monkeypatch.setattr("runtime.output.sys.stderr", stream)
    return Output("stderr")


def fill(output: Output, lines: int = 2_000) -> tuple[int, float]:
    """How many lines were written, and the seconds that all of it took."""
    began_s = time.monotonic()
    reasons = [output.write(LINE) for _ in range(lines)]
    return reasons.count(None), time.monotonic() - began_s


def test_a_pipe_that_nobody_reads_takes_what_it_holds_and_blocks_nobody(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = pipe
    output = output_to(writer, monkeypatch)
    written, took_s = fill(output)
    assert 0 < written < 2_000
    assert output.lost == 2_000 - written
    assert WAIT_MS / 1000 <= took_s < 2
    assert os.get_blocking(writer)  # it is shared with whoever gave it
    assert os.read(reader, 1 << 20) == f"{LINE}\n".encode() * written
    assert output.write("there is room again") is None
    assert os.read(reader, 1 << 20) == b"there is room again\n"


def test_a_terminal_and_a_socket_that_nobody_reads_block_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leader, follower = pty.openpty()
    tty.setraw(follower)
    near, far = socket.socketpair()
    with near, far:
        for descriptor in (follower, near.fileno()):
            written, took_s = fill(output_to(descriptor, monkeypatch))
            assert 0 < written < 2_000
            assert took_s < 2
    os.close(leader)
    os.close(follower)


def test_a_pipe_that_its_owner_made_non_blocking_loses_whole_lines_only(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = pipe
    os.set_blocking(writer, False)
    written, _ = fill(output_to(writer, monkeypatch))
    assert os.read(reader, 1 << 20) == f"{LINE}\n".encode() * written


def test_a_reader_that_is_gone_is_a_reason_and_no_error(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = pipe
    os.close(reader)
    output = output_to(writer, monkeypatch)
    assert output.write(LINE) == "Broken pipe"
    assert output.lost == 1


def test_a_full_disk_is_a_reason_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    assert output_to(full, monkeypatch).write(LINE) == "No space left on device"
    os.close(full)


class Odd:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def fileno(self) -> int:
        raise self.error


@pytest.mark.parametrize("stream", [None, "closed", Odd(RuntimeError("odd")), Odd(ValueError())])
def test_no_stream_a_closed_or_an_odd_one_is_a_reason_and_no_error(
    stream: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    if stream == "closed":
        closed = io.StringIO()
        closed.close()
        stream = closed
    monkeypatch.setattr("runtime.output.sys.stderr", stream)
    output = Output("stderr")
    assert output.write(LINE)
    assert output.lost == 1


def test_what_a_stream_cannot_encode_is_written_all_the_same(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = pipe
    assert output_to(writer, monkeypatch).write("half \ud800 ö") is None
    assert os.read(reader, 100) == "half \\ud800 ö\n".encode()


def test_a_line_that_broke_off_is_ended_before_the_next_one(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = pipe
    output = output_to(writer, monkeypatch)
    assert output.write("y" * (1 << 20))
    torn = os.read(reader, 1 << 20)
    assert set(torn) == {ord("y")}
    assert output.write("whole") is None
    assert os.read(reader, 1 << 20) == b"\nwhole\n"
