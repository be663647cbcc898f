"""What a token's book was: by the hash that was sent of it, or by when it was so.

A version holds the JSON of both sides, which exists anyway because the hash is over it: keeping one
costs a tuple, and its memory (about 45 bytes a level). Nothing is kept unless it is asked for.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final, NamedTuple

import msgspec

from protocol.book import Level
from protocol.units import parse_price_e4, parse_size_e6

LAGGING_VERSIONS_MAX: Final = 2048
"""Of one token, while `book_lag_ms` is set: a lag that needs more of them is shorter than asked."""


class BookVersion(NamedTuple):
    """All that goes into the hash of a token's book and may change."""

    timestamp_ms: int
    bids_json: str
    asks_json: str
    tick_size_e4: int
    last_trade_e4: int | None

    def levels(self) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """(bids, asks), all levels, best first."""
        return _best_first(self.bids_json), _best_first(self.asks_json)


class VersionLog:
    """The last versions of one token's book whose hash was sent to anybody."""

    __slots__ = ("_by_hash", "_keep")

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._by_hash: OrderedDict[str, BookVersion] = OrderedDict()

    def add(self, version_hash: str, version: BookVersion) -> None:
        """Note the version behind a hash."""
        self._by_hash[version_hash] = version
        if len(self._by_hash) > self._keep:
            self._by_hash.popitem(last=False)

    def get(self, version_hash: str) -> BookVersion | None:
        """The version of a hash, None when it was never sent, or too long ago."""
        return self._by_hash.get(version_hash)

    def clear(self) -> None:
        """Forget them all."""
        self._by_hash.clear()


class Past:
    """The last versions of one token's book by the time until which they held."""

    __slots__ = ("_versions",)

    def __init__(self) -> None:
        self._versions: deque[tuple[int, BookVersion]] = deque(maxlen=LAGGING_VERSIONS_MAX)

    def add(self, now_ms: int, version: BookVersion) -> None:
        """The book was so until now."""
        self._versions.append((now_ms, version))

    def at(self, at_ms: int) -> BookVersion | None:
        """The book as it was (or the oldest that is known); None when it has been as it is."""
        while self._versions and self._versions[0][0] <= at_ms:
            self._versions.popleft()
        return self._versions[0][1] if self._versions else None


class _WireLevel(msgspec.Struct):
    price: str
    size: str


_decode_side: Final = msgspec.json.Decoder(list[_WireLevel]).decode


def _best_first(side_json: str) -> tuple[Level, ...]:
    levels = reversed(_decode_side(side_json))
    return tuple((parse_price_e4(level.price), parse_size_e6(level.size)) for level in levels)
