"""Lines to pipes, terminals and files that are full, closed, or read by nobody."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import select
import socket
import threading
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
    assert WAIT_MS / 1000 <= took_s < 20  # that moment for each would be 100 s
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
            assert took_s < 20
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


def read_all(reader: int, data: bytearray) -> None:
    while chunk := os.read(reader, 1 << 12):
        data += chunk


def test_long_lines_of_several_threads_are_not_mixed(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = pipe
    output = output_to(writer, monkeypatch)
    data = bytearray()
    reading = threading.Thread(target=read_all, args=(reader, data))
    reading.start()
    lines = [letter * (5 * select.PIPE_BUF) for letter in "abcd"]
    writing = [
        threading.Thread(target=lambda line=line: [output.write(line) for _ in range(50)])
        for line in lines
    ]
    for thread in writing:
        thread.start()
    for thread in writing:
        thread.join()
    os.close(writer)
    if output._own is not None and output._own[1] != writer:
        os.close(output._own[1])
    reading.join()
    written = data.decode().splitlines()
    assert set(written) == set(lines)
    assert len(written) == 200 - output.lost


def test_a_line_in_the_middle_of_another_one_of_its_own_thread_comes_after_it(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a signal's handler or a destructor may write one."""
    reader, writer = pipe
    output = output_to(writer, monkeypatch)
    write, inner = os.write, ["inner"]

    def interrupted(descriptor: int, data: memoryview) -> int:
        if inner:
            assert output.write(inner.pop()) is None
        return write(descriptor, data)

    monkeypatch.setattr("runtime.output.os.write", interrupted)
    assert output.write("x" * 5_000) is None
    assert os.read(reader, 1 << 16) == b"x" * 5_000 + b"\ninner\n"


def test_a_process_that_was_forked_in_the_middle_of_a_line_can_write(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = pipe
    output = output_to(writer, monkeypatch)
    with held_by_another_thread(output):
        child = os.fork()
        if not child:
            os._exit(0 if output.write("child") is None else 1)
        assert os.waitpid(child, 0)[1] == 0
    assert os.read(reader, 100) == b"child\n"


def test_a_line_that_does_not_come_to_its_end_is_not_waited_for_for_long(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = output_to(pipe[1], monkeypatch)
    with held_by_another_thread(output):
        began_s = time.monotonic()
        assert output.write(LINE) == "another line does not come to its end"
        assert time.monotonic() - began_s < 20
    assert output.lost == 1
    assert output.write(LINE) is None


@contextlib.contextmanager
def held_by_another_thread(output: Output) -> Iterator[None]:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with output._lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        yield
    finally:
        done.set()
        thread.join()
