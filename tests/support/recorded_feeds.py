"""Recordings as feeds, for tests: written, read, and compared."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from backtest.feed.events import FeedEvent, LeftOut
from backtest.feed.recorded import RecordedFeed
from feeder.recording.format import Record
from protocol.book import Proof
from protocol.snapshot import BookSnapshot
from recordings.loader import Recording, bundled, load
from tests.support.recordings import write_records

PART = "part-{:06}-20260928T000000Z.jsonl.gz"


def first_minutes() -> Recording:
    """Of a bundled market."""
    whole = load(bundled()[0])
    return msgspec.structs.replace(whole, lines=whole.lines[:280])


def feed_of(directory: Path, *parts: Iterable[Record]) -> RecordedFeed:
    for number, part in enumerate(parts, start=1):
        write_records(directory / PART.format(number), part)
    return RecordedFeed(directory)


def books(events: Iterable[FeedEvent]) -> list[BookSnapshot]:
    return [each for each in events if isinstance(each, BookSnapshot)]


def shown(events: Iterable[FeedEvent]) -> list[BookSnapshot]:
    return [each for each in books(events) if each.proof is not Proof.NONE]


def levels(snapshots: Iterable[BookSnapshot]) -> list[object]:
    return [(s.received_at_ns, [(b.bids, b.asks) for b in s.books]) for s in snapshots]


def left_out(feed: RecordedFeed) -> dict[tuple[LeftOut, str], int]:
    return {(each.why, each.where): each.count for each in feed.exclusions}


def is_gap(each: BookSnapshot, at_ns: int) -> bool:
    return each.proof is Proof.NONE and each.received_at_ns == at_ns
