"""Which books a decision saw, as text: so that it can be made again from the same ones. Pure.

    s3:98|2:7;3:100-220,225!4:9

The memory's start; its rows, oldest first, as ranges of sequences by epoch; and the book that was
decided on, where it is not the last row: with an empty memory, or when another feeder had begun to
count anew. Each book is (epoch, sequence).
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

import msgspec

from protocol.bounds import COUNT_MAX, VERSIONS_LENGTH_MAX
from strategies.memory import ROWS_MAX, Version


class SeenBooks(msgspec.Struct, frozen=True):
    """Which books a decision saw."""

    rows: tuple[Version, ...]
    """Of the memory, oldest first."""
    start: Version | None
    """Of the memory's start, which may be among the rows or not."""
    decided: Version
    """The book that was decided on: the last row, unless the memory did not have it."""


_VERSIONS: Final = re.compile(
    r"(?:s(?P<start>\d+:\d+)\|)?(?P<rows>[\d:;,-]*)(?:!(?P<decided>\d+:\d+))?", re.ASCII
)
_EPOCH: Final = re.compile(r"(\d+):(\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*)", re.ASCII)


def seen_text(seen: SeenBooks) -> str:
    """As a decision has it; at most VERSIONS_LENGTH_MAX characters."""
    start = "" if seen.start is None else f"s{_version_text(seen.start)}|"
    by_epoch: dict[int, list[int]] = {}
    of, some = -1, list[int]()
    for epoch, sequence in seen.rows:
        if epoch != of:  # seldom: a feeder's books follow each other
            of, some = epoch, by_epoch.setdefault(epoch, [])
        some.append(sequence)
    rows = ";".join([f"{epoch}:{_ranges_text(each)}" for epoch, each in by_epoch.items()])
    newest = seen.rows[-1] if seen.rows else None
    decided = "" if seen.decided == newest else f"!{_version_text(seen.decided)}"
    return f"{start}{rows}{decided}"


def seen_of(text: str) -> SeenBooks:
    """Inverse of `seen_text`. Raises ValueError for what that never makes."""
    parts = _VERSIONS.fullmatch(text)
    if len(text) > VERSIONS_LENGTH_MAX or parts is None:
        raise ValueError(f"not which books were seen: {text[:80]!r}")
    rows: list[Version] = []
    for part in parts["rows"].split(";") if parts["rows"] else ():
        found = _EPOCH.fullmatch(part)
        if found is None:
            raise ValueError(f"not which books were seen: {part[:80]!r}")
        epoch = _count(found[1])
        for each in found[2].split(","):
            first, _, last = each.partition("-")
            begin, end = _count(first), _count(last or first)
            if not 0 <= end - begin < ROWS_MAX - len(rows):
                raise ValueError(f"more versions of books than a memory has: {each[:80]!r}")
            rows += ((epoch, sequence) for sequence in range(begin, end + 1))
    if any(one >= other for one, other in pairwise(rows)):
        raise ValueError(f"versions of books out of order: {text[:80]!r}")
    decided = _version_of(parts["decided"]) or (rows[-1] if rows else None)
    if decided is None:
        raise ValueError("no version of the book that was decided on")
    return SeenBooks(rows=tuple(rows), start=_version_of(parts["start"]), decided=decided)


def _version_text(version: Version) -> str:
    return f"{version[0]}:{version[1]}"


def _ranges_text(sequences: list[int]) -> str:
    ranges, first, last = [], sequences[0], sequences[0] - 1
    for each in sequences:
        if each != last + 1:
            ranges.append(f"{first}" if first == last else f"{first}-{last}")
            first = each
        last = each
    ranges.append(f"{first}" if first == last else f"{first}-{last}")
    return ",".join(ranges)


def _version_of(text: str | None) -> Version | None:
    if text is None:
        return None
    epoch, _, sequence = text.partition(":")
    return _count(epoch), _count(sequence)


def _count(text: str) -> int:
    if len(text) > len(str(COUNT_MAX)) or (count := int(text)) > COUNT_MAX:
        raise ValueError(f"no epoch or sequence: {text[:80]!r}")
    return count
