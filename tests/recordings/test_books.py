"""A recording's snapshots, against a building that has no tricks."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from protocol.book import PUBLISHED_LEVELS_MAX, Level
from recordings.books import snapshots_of
from recordings.loader import BundledRecordingError, Recording, bundled, load

HEADER = {
    "format": 1,
    "slug": "btc-updown-15m-1",
    "condition_id": "0x01",
    "outcomes": ["Up", "Down"],
    "start_ms": 100_000,
    "end_ms": 1_000_000,
    "payouts": ["1", "0"],
    "source": "a test",
}
Sides = list[tuple[Level, ...]]


def recording_of(folder: Path, *lines: object) -> Recording:
    path = folder / "a.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(json.dumps(e) for e in (HEADER, *lines)).encode()))
    return load(path)


def naive(recording: Recording) -> list[tuple[int, int, int, Sides]]:
    """(sequence, time, tick, sides) of every snapshot: dictionaries that are sorted each time."""
    books: list[dict[str, dict[int, int]]] = [{"BUY": {}, "SELL": {}} for _ in range(2)]
    snapshots, tick_e4 = [], 100
    for sequence, step in enumerate(recording.steps(), start=1):
        for change in step.changes:
            side = books[change.outcome][change.side]
            side[change.price_e4] = change.size_e6
            if not change.size_e6:
                del side[change.price_e4]
            if change.price_e4 % 100:
                tick_e4 = 10
        sides = [
            tuple(sorted(book[side].items(), reverse=side == "BUY")[:PUBLISHED_LEVELS_MAX])
            for book in books
            for side in ("BUY", "SELL")
        ]
        if step.changes:
            at_ms = recording.header.start_ms + step.at_ms
            snapshots.append((sequence, at_ms, tick_e4, sides))
    return snapshots


def quick(recording: Recording) -> list[tuple[int, int, int, Sides]]:
    return [
        (
            snapshot.sequence,
            snapshot.received_at_ns // 1_000_000,
            snapshot.market.tick_size_e4,
            [side for book in snapshot.books for side in (book.bids, book.asks)],
        )
        for snapshot in snapshots_of(recording)
    ]


# Among its moments are all kinds: mirrored ones, of one token, and of two that differ; and a price
# that needs the finer tick.
@pytest.mark.parametrize("slug", ["btc-updown-15m-1790596800", "btc-updown-15m-1790592300"])
def test_a_bundled_market_has_the_books_of_a_naive_building(slug: str) -> None:
    (path,) = (path for path in bundled() if path.name.startswith(slug))
    recording = load(path)
    assert quick(recording) == naive(recording)


def test_tokens_that_part_and_meet_again(tmp_path: Path) -> None:
    many = [text for cent in range(1, 49) for text in (f"{cent / 100:.2f}", "5")]
    recording = recording_of(
        tmp_path,
        [-5, [many, ["0.5", "1", "0.51", "2"]], 1],
        [1, [["0.48", "0"], []], None],  # the second token's book is no longer the image
        [2, [["0.47", "7"], ["0.5", "0"]], 1],  # ... and changes alike
        [3, [[], []], [[], ["0.52", "0"]]],  # ... until it is again
        [4, [[], []], 1],
        [5, [["0.47", "0", "0.47", "8"], ["0.515", "1"]], 1],
        [6, None, [["0.3", "1"], []]],
        [7, [[], ["0.7", "1"]], None],
    )
    assert quick(recording) == naive(recording)
    assert [snapshot.sequence for snapshot in snapshots_of(recording)] == [1, 2, 3, 4, 6, 7, 8]


@pytest.mark.parametrize(
    "line", [[1], [2, [["0.5"], []], None], [2, [["1.5", "1"], []], 1], [2, [["0.5", "-1"], []], 1]]
)
def test_a_broken_line_is_named_after_the_books_before_it(tmp_path: Path, line: object) -> None:
    snapshots = snapshots_of(recording_of(tmp_path, [-5, [["0.4", "1"], []], 1], line))
    assert next(snapshots).sequence == 1
    with pytest.raises(BundledRecordingError, match="btc-updown-15m-1: line 3"):
        next(snapshots)
