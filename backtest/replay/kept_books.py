"""The published books that a decision may name, while a recording is read; nothing older.

1. Of every book what a memory keeps of it (five levels), until its market has ended: a decision
   names at most 257 books, the oldest from the market's beginning.
2. The whole book for `WHOLE_KEPT_S`: a decision is made on one that is seconds old, but may come to
   the recording late.
3. At most `MARKETS_MAX` markets, `ROWS_MAX` and `WHOLE_MAX` books a market (the oldest go first),
   and `ALL_ROWS_MAX` and `WHOLE_BYTES_MAX` of all markets, however long the recording is.
4. Clocks are set: spans are measured by the recorder's clock that nobody sets, and whether a market
   has ended by the time of the books.
"""

from __future__ import annotations

from collections import deque
from typing import Final, TypeAlias

import msgspec

from functions.core.fencing import MARKETS_MAX
from functions.core.market_memories import row_of
from protocol.snapshot import BookSnapshot, decode_snapshot
from strategies.memory import BookRow, MarketMemory, Version
from strategies.seen_books import SeenBooks

WHOLE_KEPT_S: Final = 60
WHOLE_MAX: Final = 20_000
"""Of a market: ten times as many as the busiest one has in that time."""
ROWS_MAX: Final = 200_000
"""Of a market: five times as many as a busy quarter of an hour has."""
ALL_ROWS_MAX: Final = 1_000_000
"""Three times as many as eight busy series have."""
WHOLE_BYTES_MAX: Final = 512 << 20
ENDED_KEPT_MS: Final = 120_000
"""Decisions on a market may come to the recording a little after its end."""
_Packed: TypeAlias = tuple[int, int, int, tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]
_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(_Packed).decode


class FoundBooks(msgspec.Struct, frozen=True):
    """What a decision saw."""

    snapshot: BookSnapshot
    """The book that was decided on, as it was published."""
    memory: MarketMemory


class MissingBooks(msgspec.Struct, frozen=True):
    """Which of the books that a decision names are not there."""

    versions: tuple[Version, ...]
    before: bool
    """Whether all of them are older than what the recording has of their market."""
    late: bool = False
    """Whether the book that was decided on was there, and is not kept any more."""


class _Market(msgspec.Struct):
    end_ms: int
    begun_ns: int
    """When the first of its books was recorded (epoch)."""
    interrupted: bool
    """Whether the recorder may have missed books of it before that."""
    first: Version
    """The oldest in the recording."""
    rows: dict[Version, bytes | None] = {}
    """None: a book that no memory keeps."""
    order: deque[Version] = msgspec.field(default_factory=deque)
    """As `rows` came: the first of a large dict is not found quickly."""
    whole: dict[Version, bytes] = {}
    kept: deque[tuple[int, Version]] = msgspec.field(default_factory=deque)
    """When each of `whole` was recorded, by the clock that nobody sets."""


class KeptBooks:
    """By market and version."""

    def __init__(self) -> None:
        self._markets: dict[str, _Market] = {}
        self._rows = self._whole_bytes = 0
        self._interrupted = False

    def __len__(self) -> int:
        return self._rows

    def note_run(self) -> None:
        """A recorder begins: what it has not of a market is from before it."""
        self._interrupted = False

    def note_gap(self, since_ns: int) -> None:
        """The recorder missed something after `since_ns` (epoch): a market that begins in the
        recording from then on may have lost books, and not only those from before the recording."""
        self._interrupted = True
        for market in self._markets.values():
            market.interrupted |= market.begun_ns >= since_ns

    def keep(self, snapshot: BookSnapshot, payload: bytes, at_ns: int, passed_ns: int) -> None:
        """Keep one that was just read, at `at_ns` (epoch), after `passed_ns` of the recording."""
        version = snapshot.epoch, snapshot.sequence
        market = self._markets.get(snapshot.market.condition_id)
        if market is None:
            market = self._begin(snapshot, version, at_ns)
        row = row_of(snapshot)
        market.first = min(market.first, version)
        if version not in market.rows:
            market.order.append(version)
            self._rows += 1
        market.rows[version] = None if row is None else _packed(row)
        if len(market.order) > ROWS_MAX or self._rows > ALL_ROWS_MAX:
            del market.rows[market.order.popleft()]
            self._rows -= 1
        self._whole_bytes += len(payload) - len(market.whole.get(version, b""))
        market.whole[version] = payload
        market.kept.append((passed_ns, version))
        while market.kept and (
            len(market.kept) > WHOLE_MAX
            or self._whole_bytes > WHOLE_BYTES_MAX
            or passed_ns - market.kept[0][0] > WHOLE_KEPT_S * 10**9
        ):
            self._whole_bytes -= len(market.whole.pop(market.kept.popleft()[1], b""))

    def missing(self, condition_id: str, seen: SeenBooks) -> set[Version]:
        """Which of those that a decision names are not there."""
        named = {seen.decided, *seen.rows, *((seen.start,) if seen.start else ())}
        market = self._markets.get(condition_id)
        return named if market is None else named - market.rows.keys()

    def find(self, condition_id: str, seen: SeenBooks) -> FoundBooks | MissingBooks:
        """What a decision saw, or what is not there of it."""
        market, missing = self._markets.get(condition_id), self.missing(condition_id, seen)
        if market is None or missing:
            before = market is not None and max(missing) < market.first and not market.interrupted
            return MissingBooks(tuple(sorted(missing)), before)
        payload = market.whole.get(seen.decided)
        if payload is None:
            return MissingBooks((seen.decided,), before=False, late=True)
        rows = [_row(market.rows[version]) for version in seen.rows]
        start = None if seen.start is None else _row(market.rows[seen.start])
        kept = [row for row in rows if row is not None]
        return FoundBooks(decode_snapshot(payload), MarketMemory.of(kept, start))

    def _begin(self, snapshot: BookSnapshot, version: Version, at_ns: int) -> _Market:
        now_ms = snapshot.published_at_ns // 1_000_000
        for each in [
            condition_id
            for condition_id, market in self._markets.items()
            if market.end_ms + ENDED_KEPT_MS < now_ms
        ]:
            self._drop(each)
        if len(self._markets) >= MARKETS_MAX:
            self._drop(next(iter(self._markets)))
        market = _Market(snapshot.market.end_ms, at_ns, self._interrupted, version)
        self._markets[snapshot.market.condition_id] = market
        return market

    def _drop(self, condition_id: str) -> None:
        market = self._markets.pop(condition_id)
        self._rows -= len(market.rows)
        self._whole_bytes -= sum(map(len, market.whole.values()))


def _packed(row: BookRow) -> bytes:
    return _pack((row.at_ms, row.epoch, row.sequence, row.bids, row.asks))


def _row(packed: bytes | None) -> BookRow | None:
    return None if packed is None else BookRow(*_unpack(packed))
