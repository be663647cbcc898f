from __future__ import annotations

import pytest

from local.last_words import WORDS_MAX, in_words, is_trouble, why_ended
from runtime.log import line_of


def logged(level: str, event: str, **fields: object) -> bytes:
    return line_of(level, {"event": event, **fields}).encode()


def test_an_event_is_told_in_words() -> None:
    assert in_words(logged("error", "run_failed", error="no answer")) == "run failed: no answer"
    assert in_words(logged("critical", "stop_given_up", after_s=10)) == "stop given up"
    crashed = logged("critical", "crashed", exc_info=ValueError("it is broken"))
    assert in_words(crashed) == "crashed: ValueError: it is broken"


def test_a_refused_configuration_is_told_as_it_stands() -> None:
    line = b"cannot start: SERIES: names as btc-15m are wanted\n"
    assert is_trouble(line)
    assert in_words(line) == "SERIES: names as btc-15m are wanted"


@pytest.mark.parametrize(
    "line",
    [
        logged("info", "worker_started"),
        logged("warning", "stream_updated", error="critical"),
        b"[17] 2026/11/29 20:00:00.000000 [INF] Server is ready\n",
        b"\n",
    ],
    ids=lambda line: str(len(line)),  # a time in it would be another one in each process
)
def test_what_is_routine_is_no_reason(line: bytes) -> None:
    assert not is_trouble(line)


@pytest.mark.parametrize(
    "line",
    [
        logged("error", "e"),
        logged("critical", "c"),
        b"[17] 2026/11/29 20:00:00.000000 [FTL] no space\n",
        b"Segmentation fault",
    ],
    ids=lambda line: str(len(line)),  # a time in it would be another one in each process
)
def test_what_is_bad_may_be_the_reason(line: bytes) -> None:
    assert is_trouble(line)


@pytest.mark.parametrize(
    "line", [b"{broken", b"[" * 100_000, b"\xff\x1b[2J\r", b'{"event": 7}', b"{}"]
)
def test_whatever_a_process_says_becomes_one_line(line: bytes) -> None:
    words = in_words(line)
    assert words.isprintable()
    assert len(words) <= WORDS_MAX + 4


def test_of_a_url_only_its_host_is_told() -> None:
    assert "hunter2" not in in_words(logged("error", "e", error="https://h.example/hunter2: 401"))


def test_an_end_is_a_code_or_a_signal() -> None:
    assert why_ended(-9, "") == "SIGKILL"
    assert why_ended(1, "crashed: ValueError") == "exit code 1: crashed: ValueError"
    assert why_ended(-250, "") == "signal 250"
