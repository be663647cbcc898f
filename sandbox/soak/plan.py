"""What fails during a soak, and when: seeded.

Some faults of frames go on all the time, a few a second; every FAULT_EVERY_S something larger
happens to a connection, to `GET /book`, to a feeder or to the nats-server.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from random import Random
from typing import Final

import msgspec

from sandbox.simulator.faults import Faults

FAULT_EVERY_S: Final = 3.0


class SoakFault(StrEnum):
    """What happens; NONE is there to compare with."""

    NONE = "nothing"
    FREEZE = "a connection freezes, PONG goes on"
    HALF_OPEN = "a connection is half-open"
    CUT = "a connection is cut"
    CUT_MIDFRAME = "a connection is cut in a frame"
    CLOSED_1009 = "a connection is closed with 1009"
    BOOK_ERROR = "GET /book answers 500"
    BOOK_HANG = "GET /book hangs"
    BOOK_LAG = "GET /book lags by 2 s"
    BOOK_CORRUPTED = "GET /book lies"
    FEEDER_KILLED = "a feeder is killed"
    FEEDER_STOPPED = "a feeder is suspended"
    FEEDER_ENDED = "a feeder is stopped in order"
    NATS_KILLED = "nats-server is killed"
    NATS_STOPPED = "nats-server is suspended"


_WEIGHTS: Final = {
    SoakFault.NONE: 3,
    SoakFault.FREEZE: 6,
    SoakFault.HALF_OPEN: 3,
    SoakFault.CUT: 4,
    SoakFault.CUT_MIDFRAME: 2,
    SoakFault.CLOSED_1009: 2,
    SoakFault.BOOK_ERROR: 2,
    SoakFault.BOOK_HANG: 2,
    SoakFault.BOOK_LAG: 2,
    SoakFault.BOOK_CORRUPTED: 2,
    SoakFault.FEEDER_KILLED: 3,
    SoakFault.FEEDER_STOPPED: 3,
    SoakFault.FEEDER_ENDED: 2,
    SoakFault.NATS_KILLED: 1,
    SoakFault.NATS_STOPPED: 1,
}
SPELLS: Final[dict[SoakFault, dict[str, float | int]]] = {
    SoakFault.BOOK_ERROR: {"book_error": 1.0},
    SoakFault.BOOK_HANG: {"book_hang": 1.0},
    SoakFault.BOOK_LAG: {"book_lag_ms": 2_000},
    SoakFault.BOOK_CORRUPTED: {"book_corrupted": 0.5},
}
"""Faults of `GET /book` that last until the next fault."""


def background() -> Faults:
    """What goes wrong with frames all the time, per frame and connection."""
    return Faults(
        market_lost=0.0003,
        market_duplicated=0.001,
        market_duplicated_ms=6,
        market_hash_ahead=0.002,
        market_reordered=0.0003,
        market_corrupted=0.0002,
        market_wrong_hash=0.0002,
        market_stale_book=0.0003,
        market_no_book=0.02,
        market_late_book=0.02,
        late_trade_ms=88,
    )


def with_spell(fault: SoakFault) -> Faults:
    """The background, and what this fault adds to it until the next one."""
    return msgspec.structs.replace(background(), **SPELLS.get(fault, {}))


def faults(seed: int) -> Iterator[SoakFault]:
    """One after the other, without end."""
    random = Random(f"{seed}/soak")
    while True:
        yield random.choices(tuple(_WEIGHTS), tuple(_WEIGHTS.values()))[0]
