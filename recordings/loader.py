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

import zlib
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import msgspec

from protocol.units import parse_price_e4, parse_size_e6

FORMAT: Final = 1
BUNDLED: Final = Path(__file__).parent
_GZIP: Final = 31
"""zlib's window bits that mean a gzip header and trailer."""


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

    def moments(self) -> Iterator[Moment]:
        """Every line in order of time. Raises BundledRecordingError."""
        decode = _moment_decoder.decode
        for number, line in enumerate(self.lines, start=1):
            try:
                yield decode(line)
            except (msgspec.MsgspecError, ValueError) as error:
                raise self.broken(number, error) from error

    def steps(self) -> Iterator[Step]:
        """Every moment's changes in order of time. Raises BundledRecordingError."""
        for number, moment in enumerate(self.moments(), start=1):
            try:
                step = _step(moment)
            except ValueError as error:
                raise self.broken(number, error) from error
            yield step

    def broken(self, number: int, error: Exception) -> BundledRecordingError:
        """What is wrong with a moment; the first one is number 1."""
        return BundledRecordingError(f"{self.header.slug}: line {number + 1}: {error}")


def bundled() -> tuple[Path, ...]:
    """The files that come with the project, oldest market first."""
    return tuple(sorted(BUNDLED.glob("*.jsonl.gz")))


def load(path: Path) -> Recording:
    """Read one file. Raises BundledRecordingError; a file that cannot be read raises OSError."""
    recording, damage = load_readable(path)
    if damage:
        raise BundledRecordingError(f"{path.name}: not a recording: {damage}")
    return recording


def load_readable(path: Path) -> tuple[Recording, str]:
    """One file as far as it can be read, and why not further; "" where it is whole.

    Raises BundledRecordingError where not even the header can be read, or where all can be and is
    not what was written; OSError.
    """
    lines, damage = _lines(path)
    if not lines:
        raise BundledRecordingError(f"{path.name}: not a recording: {damage or 'it is empty'}")
    return Recording(header=_header(path, lines[0]), lines=tuple(lines[1:])), damage


def load_header(path: Path) -> tuple[Header, int | None]:
    """A file's header, and the time of its first moment since the window's start, without the rest
    of it; None where it has no moment that can be read.

    Raises BundledRecordingError; OSError.
    """
    lines, damage = _lines(path, first=2)
    if not lines:
        raise BundledRecordingError(f"{path.name}: not a recording: {damage or 'it is empty'}")
    header = _header(path, lines[0])
    try:
        return header, _moment_decoder.decode(lines[1]).at_ms
    except (IndexError, ValueError):
        return header, None


_READ_BYTES: Final = 1 << 14
_FINE_BYTES: Final = 64
_FILE_BYTES_MAX: Final = 256 << 20
"""Of a market's lines; the bundled ones have less than 1 MB. A file that claims more is none."""
_WRONG_SUM: Final = "incorrect data check"


def _lines(path: Path, first: int | None = None) -> tuple[list[bytes], str]:
    """The complete lines (the first ones), and what is wrong with what follows them.

    Raises BundledRecordingError where all is there, but not what was written.
    """
    data, damage = bytearray(), ""
    try:
        for piece in _inflated(path):
            data += piece
            if len(data) > _FILE_BYTES_MAX:
                damage = f"more than {_FILE_BYTES_MAX >> 20} MB"
                break
            if first is not None and data.count(b"\n") >= first:
                break
    except (EOFError, zlib.error) as error:
        damage = str(error)
        if _WRONG_SUM in damage:  # which of the lines is wrong nobody can say
            raise BundledRecordingError(
                f"{path.name}: not a recording: its checksum is of another content"
            ) from error
    *lines, rest = data.split(b"\n")
    if rest and not damage:
        lines.append(rest)
    return [bytes(line) for line in lines[:first]], damage


def _inflated(path: Path) -> Iterator[bytes]:
    """What a gzip file holds, up to the place of a damage. Raises EOFError, zlib.error, OSError."""
    inflate, begun = zlib.decompressobj(_GZIP), False
    with path.open("rb") as file:
        while data := file.read(_READ_BYTES):
            while data:
                before = inflate.copy()
                try:
                    piece = inflate.decompress(data)
                except zlib.error:
                    yield from _finely(before, data)
                    raise
                yield piece
                begun, data = True, inflate.unused_data
                if inflate.eof:
                    inflate, begun = zlib.decompressobj(_GZIP), False
                    data = data.lstrip(b"\0")  # some writers fill a block with them
    if begun:
        raise EOFError("it was cut: the end-of-stream marker is missing")


def _finely(inflate: Any, data: bytes) -> Iterator[bytes]:
    """As far as it goes: where a piece cannot be inflated, what stands before the damage can."""
    for start in range(0, len(data), _FINE_BYTES):
        try:
            yield inflate.decompress(data[start : start + _FINE_BYTES])
        except zlib.error:
            return


def _header(path: Path, line: bytes) -> Header:
    try:
        header = msgspec.json.decode(line, type=Header)
    except ValueError as error:
        raise BundledRecordingError(f"{path.name}: not a recording: {error}") from error
    if header.format != FORMAT:
        raise BundledRecordingError(f"{path.name}: format {header.format}, expected {FORMAT}")
    return header


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
