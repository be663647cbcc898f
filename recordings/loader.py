"""Recorded books of one market: both tokens, about one snapshot a second, as level changes.

A file is gzip'd JSON lines. The first line is the header (`Header`), every other line one moment:

    [milliseconds since the window's start, first outcome, second outcome]

An outcome is null (no snapshot of that token at that moment), or its changes since its previous
snapshot, [[bid price, size, price, size, ...], [the same for asks]], starting from an empty book;
size "0" removes a level. The second outcome may be 1: the mirror image of the first one's changes
(a bid at p is an ask at 1 - p), which is almost always so, because both books of the real venue
are the same orders seen from two sides. Prices and sizes are exact decimal strings.

What the recording does not have: levels beyond the best 20 of a side (a level that leaves the view
looks like a removed one), and what happened between two snapshots.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from protocol.units import parse_price_e4, parse_size_e6

FORMAT: Final = 1
BUNDLED: Final = Path(__file__).parent


class BundledRecordingError(ValueError):
    """A file that is not a recording; the text names file and line."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """First line of a file."""

    format: int
    slug: str
    condition_id: str
    outcomes: tuple[str, str]
    start_ms: int
    end_ms: int
    payouts: tuple[str, str]
    source: str


Side: TypeAlias = Literal["BUY", "SELL"]
OutcomeChanges: TypeAlias = tuple[list[str], list[str]]


class Moment(msgspec.Struct, frozen=True, array_like=True):
    """One line, as it stands in the file."""

    at_ms: int
    first: OutcomeChanges | None
    second: OutcomeChanges | Literal[1] | None


class LevelChange(msgspec.Struct, frozen=True):
    """A level's new aggregate size; 0 removes it."""

    outcome: Literal[0, 1]
    side: Side
    price_e4: int
    size_e6: int


class Step(msgspec.Struct, frozen=True):
    """All changes of one moment: removals first, so that a book never looks crossed by them."""

    at_ms: int
    """Since the start of the window; negative before it."""
    changes: tuple[LevelChange, ...]


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """One market. The lines are decoded as they are needed: all of them at once are large."""

    header: Header
    lines: tuple[bytes, ...]

    @property
    def payouts(self) -> tuple[Decimal, Decimal]:
        """USD a share of each outcome paid."""
        first, second = self.header.payouts
        return Decimal(first), Decimal(second)

    def steps(self) -> Iterator[Step]:
        """Every moment in order of time. Raises BundledRecordingError."""
        for number, line in enumerate(self.lines, start=2):
            try:
                yield _step(_moment_decoder.decode(line))
            except (msgspec.MsgspecError, ValueError) as error:
                raise BundledRecordingError(
                    f"{self.header.slug}: line {number}: {error}"
                ) from error


def bundled() -> tuple[Path, ...]:
    """The files that come with the project, oldest market first."""
    return tuple(sorted(BUNDLED.glob("*.jsonl.gz")))


def load(path: Path) -> Recording:
    """Read one file. Raises BundledRecordingError; a file that cannot be read raises OSError."""
    try:
        with gzip.open(path) as file:
            first, *lines = file.read().splitlines()
        header = msgspec.json.decode(first, type=Header)
    except (ValueError, EOFError, gzip.BadGzipFile) as error:
        raise BundledRecordingError(f"{path.name}: not a recording: {error}") from error
    if header.format != FORMAT:
        raise BundledRecordingError(f"{path.name}: format {header.format}, expected {FORMAT}")
    return Recording(header=header, lines=tuple(lines))


_moment_decoder = msgspec.json.Decoder(Moment)


def _step(moment: Moment) -> Step:
    changes = [] if moment.first is None else list(_changes(0, moment.first))
    if moment.second == 1:
        changes += [
            LevelChange(1, "SELL" if c.side == "BUY" else "BUY", 10_000 - c.price_e4, c.size_e6)
            for c in changes
        ]
    elif moment.second is not None:
        changes += _changes(1, moment.second)
    changes.sort(key=lambda change: change.size_e6 != 0)
    return Step(at_ms=moment.at_ms, changes=tuple(changes))


def _changes(outcome: Literal[0, 1], sides: OutcomeChanges) -> Iterable[LevelChange]:
    bids, asks = sides
    both: tuple[tuple[Side, list[str]], ...] = (("BUY", bids), ("SELL", asks))
    for side, flat in both:
        for price, size in zip(flat[::2], flat[1::2], strict=True):
            yield LevelChange(outcome, side, parse_price_e4(price), parse_size_e6(size))
