"""Leases that feeders lost for lack of time: nothing was done to them or to nats-server."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

Span: TypeAlias = tuple[float, float]
"""(from, to) in epoch seconds."""
_EVENT: Final = b'"lease_lost"'


class _Line(msgspec.Struct):
    event: str
    timestamp: datetime


_decode: Final = msgspec.json.Decoder(_Line).decode


def losses(log_dir: Path) -> Iterator[float]:
    """When each lease was lost (epoch seconds), by the logs of the feeders."""
    for log in log_dir.glob("feeder-*.log*"):
        with log.open("rb") as lines:
            for line in lines:
                if _EVENT in line:
                    with suppress(msgspec.DecodeError):  # cut where its feeder was killed
                        yield _decode(line).timestamp.timestamp()


def unexplained(losses_s: Iterator[float], since_s: float, explained: Collection[Span]) -> int:
    """How many of them were after `since_s`, and in none of the spans."""
    return sum(
        at_s >= since_s and not any(begin <= at_s <= end for begin, end in explained)
        for at_s in losses_s
    )
