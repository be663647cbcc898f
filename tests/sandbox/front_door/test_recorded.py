"""A decision that is not in the recording has to lie in a gap that the recording tells of."""

from __future__ import annotations

from typing import Final

import msgspec
import pytest

from feeder.recording.format import (
    FORMAT,
    Missed,
    Published,
    Record,
    Started,
    Stopped,
    decided_of,
)
from protocol.decision import Decision, encode_decision
from sandbox.front_door.recorded import unrecorded
from tests.support.message_builders import decision

_S: Final = 10**9


def made(at_s: int) -> Decision:
    return msgspec.structs.replace(decision(), decision_id=f"d-{at_s}", decided_at_ms=at_s * 1_000)


def started(at_s: int, run: str) -> Started:
    return Started(
        at_ns=at_s * _S,
        mono_ns=0,
        format=FORMAT,
        run=run,
        part=1,
        market_ws_url="",
        gamma_url="",
        series=(),
    )


def stopped(at_s: float) -> Stopped:
    return Stopped(at_ns=round(at_s * _S), mono_ns=0)


def recorded(at_s: int) -> Record:
    subject = "decision.x"
    return decided_of(encode_decision(made(at_s)), subject=subject, at_ns=at_s * _S, mono_ns=0)


def book(at_s: float) -> Published:
    return Published(at_ns=round(at_s * _S), mono_ns=0, subject="book.x", text="{}")


def missed(what: str, since_s: int, at_s: int) -> Missed:
    return Missed(
        at_ns=at_s * _S, mono_ns=0, what=what, messages=1, since_ns=since_s * _S, why="away"
    )


WHOLE: Final = [started(1, "a"), book(2), recorded(3), book(9)]


@pytest.mark.parametrize(
    ("records", "told"),
    [
        (WHOLE, False),
        ([*WHOLE[:3], missed("decisions", 4, 6), book(9)], True),
        ([*WHOLE[:3], missed("books", 4, 6), book(9)], False),
        ([*WHOLE[:3], missed("decisions", 6, 8), book(9)], False),
        ([*WHOLE[:3], started(4, "b"), book(6)], True),  # killed, and not yet back by then
        ([*WHOLE[:3], started(4, "a"), book(6)], False),  # the same one's next file
        ([*WHOLE[:3], book(6), started(7, "b"), book(8)], False),
        # Killed before it read what was decided while the last book came; one that stops reads it.
        ([*WHOLE[:3], book(5.2), started(7, "b"), book(8)], True),
        ([*WHOLE[:3], book(5.2), stopped(5.3), started(7, "b"), book(8)], False),
        (WHOLE[:3], False),  # it has ended, and nobody has told it to
    ],
)
def test_what_is_missing_is_told_or_found(records: list[Record], told: bool) -> None:
    line, found = unrecorded([made(3), made(5)], records)
    assert found == ([] if told else [made(5)])
    assert line.startswith("recorded: 1 of 2 logged decisions")
    assert line.endswith(f": {int(told)}")
