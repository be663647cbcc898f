"""What strikes during a soak, and when: seeded.

Some faults of frames go on all the time, a few a second; every STRIKE_EVERY_S something larger
happens to a connection, to `GET /book`, to a feeder or to the nats-server.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from random import Random
from typing import Final

import msgspec

from sandbox.simulator.faults import Faults

STRIKE_EVERY_S: Final = 3.0


class Strike(StrEnum):
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
    FEEDER_ENDED = "a feeder is told to stop"
    NATS_KILLED = "nats-server is killed"
    NATS_STOPPED = "nats-server is suspended"


_WEIGHTS: Final = {
    Strike.NONE: 3,
    Strike.FREEZE: 6,
    Strike.HALF_OPEN: 3,
    Strike.CUT: 4,
    Strike.CUT_MIDFRAME: 2,
    Strike.CLOSED_1009: 2,
    Strike.BOOK_ERROR: 2,
    Strike.BOOK_HANG: 2,
    Strike.BOOK_LAG: 2,
    Strike.BOOK_CORRUPTED: 2,
    Strike.FEEDER_KILLED: 3,
    Strike.FEEDER_STOPPED: 3,
    Strike.FEEDER_ENDED: 2,
    Strike.NATS_KILLED: 1,
    Strike.NATS_STOPPED: 1,
}
SPELLS: Final[dict[Strike, dict[str, float | int]]] = {
    Strike.BOOK_ERROR: {"book_error": 1.0},
    Strike.BOOK_HANG: {"book_hang": 1.0},
    Strike.BOOK_LAG: {"book_lag_ms": 2_000},
    Strike.BOOK_CORRUPTED: {"book_corrupted": 0.5},
}
"""Faults of `GET /book` that last until the next strike."""


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


def with_spell(strike: Strike) -> Faults:
    """The background, and what this strike adds to it until the next one."""
    return msgspec.structs.replace(background(), **SPELLS.get(strike, {}))


def strikes(seed: int) -> Iterator[Strike]:
    """One after the other, without end."""
    random = Random(f"{seed}/soak")
    while True:
        yield random.choices(tuple(_WEIGHTS), tuple(_WEIGHTS.values()))[0]
