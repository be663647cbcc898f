"""Which deltas buffered during a doubt a snapshot lacks, and the book that they make.

1. What is proposed here proves nothing: the caller verifies the outcome by what the venue states.
2. Frames may have come twice or out of order; the venue's timestamps and hashes say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import TypeAlias

from feeder.core.book.ladder import Sides, parse_level
from venue.wire.market_channel import PriceChange

BufferedChange: TypeAlias = tuple[int, PriceChange]
"""(the venue's timestamp, a delta)."""


def changes_after(
    buffered: Sequence[BufferedChange], version: tuple[int, str], *, by_hash: bool
) -> Iterator[Sequence[BufferedChange]]:
    """The deltas that may follow a snapshot of this version, in order; the likeliest proposal
    first, two at most.

    Those of its very millisecond may be in it or not. One with its hash says so: what follows is
    lacking. Else, where hashes can be checked (`by_hash`), the caller finds out.
    """
    timestamp_ms, name = version
    ordered = _in_order([each for each in buffered if each[0] >= timestamp_ms])
    newer = [each for each in ordered if each[0] > timestamp_ms]
    equal = ordered[: len(ordered) - len(newer)]
    same = [at for at, (_, change) in enumerate(equal) if change.hash == name]
    if name and same:
        equal = equal[same[-1] + 1 :]
    elif not by_hash or not all(change.hash for _, change in ordered[-1:]):
        equal = []
    if equal:
        yield equal + newer
    yield newer


def with_changes(snapshot: Sides, changes: Sequence[BufferedChange]) -> Sides:
    """The snapshot with these deltas, which were checked when they came."""
    sides = snapshot
    for _, change in changes:
        sides = sides.with_level(change.side, parse_level(change.price, change.size))
    return sides


def _in_order(buffered: Sequence[BufferedChange]) -> list[BufferedChange]:
    """By the venue's time, without duplicates; within a millisecond as they came."""
    ordered: list[BufferedChange] = []
    seen: set[BufferedChange] = set()
    for each in sorted(buffered, key=itemgetter(0)):
        # The venue repeats whole frames. Their hash alone says nothing: a book may return to a
        # state of the same millisecond.
        if not (each[1].hash and each in seen):
            seen.add(each)
            ordered.append(each)
    return ordered
