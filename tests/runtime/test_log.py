"""One event is one line, whatever it is about, and whoever says it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from runtime import log
from runtime.log import LINE_MAX, configure_logging, line_of
from runtime.output import Output

ROOT = Path(__file__).parents[2]


class Lines(Output):
    """Keeps lines, or refuses them."""

    def __init__(self) -> None:
        super().__init__("stderr")
        self.kept: list[str] = []
        self.full = False

    def write(self, line: str) -> str | None:
        if self.full:
            self.lost += 1
            return "No space left on device"
        self.kept.append(line)
        return None

    @property
    def last(self) -> dict[str, Any]:
        return dict(json.loads(self.kept[-1]))


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """The log of this process as it is in a service."""
    kept = Lines()
    monkeypatch.setattr(log, "STDERR", kept)
    monkeypatch.setattr(log, "_said_lost", 0)
    root, config = logging.getLogger(), structlog.get_config()
    handlers, level, raising = root.handlers, root.level, logging.raiseExceptions
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    configure_logging(service="test")
    yield kept
    logging.captureWarnings(False)
    root.handlers, logging.raiseExceptions = handlers, raising
    root.setLevel(level)
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    structlog.configure(**config)


def test_an_event_is_one_line_of_json_with_what_is_bound(lines: Lines) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        structlog.get_logger().warning("happened", count=3, ratio=0.5, names=["a"], nothing=None)
    line = lines.last
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "service": "test",
        "request_id": "r-1",
        "event": "happened",
        "count": 3,
        "ratio": 0.5,
        "names": ["a"],
        "nothing": None,
        "level": "warning",
    }


def test_a_log_that_cannot_be_written_is_counted_and_said_later(lines: Lines) -> None:
    said = structlog.get_logger()
    said.info("before")
    assert "log_lines_lost" not in lines.last
    lines.full = True
    for _ in range(3):
        said.error("lost")
    lines.full = False
    said.info("after")
    assert lines.last["log_lines_lost"] == 3
    said.info("later")
    assert "log_lines_lost" not in lines.last


class Bad:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


class BadError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "value",
    [
        Bad(),
        [Bad()],
        {Bad(): Bad()},
        BadError(),
        CIRCLE,
        DEEP,
        {"a": CIRCLE},
        float("nan"),
        float("-inf"),
        10**6_000,
        {1, 2},
        b"\x00\xff",
        object(),
        "\ud800",
        "x" * 10_000_000,
        ["x" * 10_000] * 10_000,
        {f"{number}" * 100: "\U0001f600" * 5_000 for number in range(500)},
        "a\nb\r\x00\x1b[31m\x7f\x9b\u2028\u202e\ud83d",
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_value_breaks_a_line(lines: Lines, value: Any) -> None:
    structlog.get_logger().error("odd", value=value, **{"k" * 5_000: value})
    [line] = lines.kept
    assert line.isascii()
    assert line.isprintable()
    assert len(line) <= LINE_MAX
    json.dumps(json.loads(line), ensure_ascii=False).encode()  # no half of a character
    assert lines.last["event"] == "odd"


def test_the_text_of_the_venue_stays_legible(lines: Lines) -> None:
    structlog.get_logger().error("odd", text='größer "quoted" \ud800')
    assert lines.last["text"] == 'größer "quoted" \\ud800'


def test_a_traceback_is_within_its_line_with_both_ends(lines: Lines) -> None:
    def deeper(left: int) -> None:
        if left:
            deeper_still(left)
        raise ConnectionError("the last word\n" + "\ud800")

    def deeper_still(left: int) -> None:
        try:
            deeper(left - 1)
        except ConnectionError as error:
            raise ConnectionError("again") from error

    try:
        deeper(60)
    except ConnectionError:
        structlog.get_logger().critical("failed", exc_info=True)
    assert len(lines.kept[0]) <= LINE_MAX
    assert lines.last["exception"].startswith("Traceback")
    assert "left out" in lines.last["exception"]
    assert lines.last["exception"].endswith("ConnectionError: again")
    structlog.get_logger().critical("failed", exc_info=BadError())
    assert "BadError" in lines.last["exception"]


def test_what_a_library_says_is_one_line(lines: Lines) -> None:
    expired = OSError("the token has expired")
    logging.getLogger("botocore.credentials").warning("Refreshing failed", exc_info=expired)
    line = lines.last
    assert (line["event"], line["level"]) == ("library", "warning")
    assert (line["logger"], line["text"]) == ("botocore.credentials", "Refreshing failed")
    assert line["exception"].endswith("OSError: the token has expired")
    logging.getLogger("odd").error("%d of %s", *["no number"])
    assert lines.last["text"] == "%d of %s"
    logging.getLogger("odd").log(45, "between the levels")
    assert lines.last["level"] == "error"
    logging.getLogger("quiet").info("nothing to see")
    warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert lines.last["logger"] == "py.warnings"
    assert len(lines.kept) == 4


PROGRAM = """
import asyncio, sys, threading
from runtime.log import configure_logging
configure_logging(service="test")
class Fails:
    def __del__(self):
        raise RuntimeError("in a destructor")
def fail(where):
    raise RuntimeError(where)
async def main():
    asyncio.create_task(coroutine())
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(fail, "in a callback")
    await asyncio.sleep(0.01)
async def coroutine():
    fail("in a task")
Fails()
thread = threading.Thread(target=fail, args=("in a thread",))
thread.start()
thread.join()
asyncio.run(main())
import gc; gc.collect()
fail("in the end")
"""


def test_what_nobody_caught_is_one_line_each_and_exit_1() -> None:
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False
    )
    said = [json.loads(line) for line in done.stderr.splitlines()]
    ends = [each["exception"].rpartition("RuntimeError: ")[2] for each in said]
    where = ("a destructor", "a thread", "a callback", "a task", "the end")
    assert sorted(ends) == sorted(f"in {each}" for each in where)
    assert said[-1]["event"] == "crashed"
    assert done.returncode == 1


def test_a_process_whose_stderr_is_unread_goes_on() -> None:
    program = (
        "import structlog\n"
        "from runtime.log import configure_logging\n"
        "configure_logging(service='test')\n"
        "for _ in range(3_000):\n"
        "    structlog.get_logger().warning('again', text='x' * 100)\n"
        "print('done', flush=True)\n"
    )
    reader, writer = os.pipe()
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-c", program],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=writer,
            check=False,
            timeout=60,
        )
        assert (done.returncode, done.stdout) == (0, b"done\n")
        assert all(json.loads(line) for line in os.read(reader, 1 << 20).splitlines())
    finally:
        os.close(reader)
        os.close(writer)


def test_a_line_is_bounded_even_when_nothing_of_it_can_be_shown() -> None:
    line = line_of("error", {f"key-{number}": "\ud800" * 3_000 for number in range(2_000)})
    assert len(line) <= LINE_MAX
    assert json.loads(line)["cut"] == "the line was too long"
