"""Which version of a token's book is the newer one.

1. The venue names a version by (timestamp, hash). A busy book has several in one millisecond, and
   a hash has no order; a book may even come back to one. But every line brings the versions of a
   millisecond in the same order: the *path*. Where on it a line is says which one is ahead.
2. A version that a whole book has brought (`GET /book`, the first one of a connection) is taken to
   be ahead until a line comes through it: a book leaves out what was before it.
3. Of each token only the newest millisecond is remembered, and `PATH_MAX` versions of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

PATH_MAX: Final = 256
_AHEAD: Final = 1 << 60


class Version(msgspec.Struct, frozen=True, gc=False):
    """Of one token's book; NO_BOOK while that cannot be used."""

    timestamp_ms: int
    hash: str
    place: int
    """On the path of its millisecond."""
    whole: bool = False
    """Whether a whole book has brought it, or a line that left some out: they may come late."""

    def same_as(self, other: Version) -> bool:
        """Whether the venue gives both one name."""
        return self.timestamp_ms == other.timestamp_ms and self.hash == other.hash


NO_BOOK: Final = Version(0, "", 0)


class _Path:
    __slots__ = ("first", "hashes", "opening", "timestamp_ms")

    def __init__(self) -> None:
        self.timestamp_ms = -1
        self.hashes: list[str] = []
        self.first = 0
        """The place of the first one that is remembered."""
        self.opening = NO_BOOK
        """The version that it begins with."""

    def begin(self, timestamp_ms: int, digest: str) -> Version:
        self.timestamp_ms, self.hashes, self.first = timestamp_ms, [digest], 0
        self.opening = Version(timestamp_ms, digest, 0)
        return self.opening

    def entered(self, timestamp_ms: int, digest: str) -> Version:
        """Where a line is that comes from another millisecond; nearly always at the opening, so
        that the versions of both lines are one object."""
        if timestamp_ms > self.timestamp_ms:
            return self.begin(timestamp_ms, digest)
        if timestamp_ms != self.timestamp_ms:
            return Version(timestamp_ms, digest, 0)
        if digest == self.opening.hash and not self.first:
            return self.opening
        return self.gone_on(-1, digest)

    def gone_on(self, place: int, digest: str) -> Version:
        """Where a line is that was at this place."""
        found = self.find(digest, place)
        if found is None:
            return Version(self.timestamp_ms, digest, self.append(digest))
        return Version(self.timestamp_ms, digest, found, found > place + 1)

    def append(self, digest: str) -> int:
        self.hashes.append(digest)
        if len(self.hashes) > PATH_MAX:
            del self.hashes[0]
            self.first += 1
        return self.first + len(self.hashes) - 1

    def find(self, digest: str, after: int) -> int | None:
        """The next place of a hash, None if there is none."""
        try:
            return self.first + self.hashes.index(digest, max(after + 1 - self.first, 0))
        except ValueError:
            return None

    def last(self, digest: str) -> int:
        """The last place of a hash, _AHEAD if there is none."""
        for index in range(len(self.hashes) - 1, -1, -1):
            if self.hashes[index] == digest:
                return self.first + index
        return _AHEAD


class VersionOrder:
    """Of one market's tokens."""

    __slots__ = ("_paths",)

    def __init__(self, token_ids: Iterable[str]) -> None:
        self._paths = {token_id: _Path() for token_id in token_ids}

    def moved(
        self, token_id: str, before: Version, timestamp_ms: int, digest: str, whole: bool = False
    ) -> Version:
        """Where a line is that has gone on from `before`, or has got a whole book instead."""
        if timestamp_ms == before.timestamp_ms and digest == before.hash:
            return before
        if whole:
            return self.seen(token_id, timestamp_ms, digest)
        path = self._paths[token_id]
        if timestamp_ms != before.timestamp_ms or timestamp_ms < path.timestamp_ms:
            return path.entered(timestamp_ms, digest)
        if timestamp_ms > path.timestamp_ms:
            path.begin(timestamp_ms, digest)
        place = self._place(token_id, before)
        if place >= _AHEAD:
            return Version(timestamp_ms, digest, place + 1)
        # The line of a whole book may be late, and walk up to where that was already.
        return path.gone_on(-1 if before.whole else place, digest)

    def seen(self, token_id: str, timestamp_ms: int, digest: str) -> Version:
        """A version that a whole book has brought."""
        path = self._paths[token_id]
        at_newest = timestamp_ms == path.timestamp_ms
        return Version(timestamp_ms, digest, path.last(digest) if at_newest else _AHEAD, True)

    def older(self, token_id: str, one: Version, other: Version) -> bool:
        """Whether `one` is from before `other`; not if that is not known."""
        if one.timestamp_ms != other.timestamp_ms:
            return one.timestamp_ms < other.timestamp_ms
        return one.hash != other.hash and self._place(token_id, one) < self._place(token_id, other)

    def _place(self, token_id: str, version: Version) -> int:
        path = self._paths[token_id]
        if version.place < _AHEAD or version.timestamp_ms != path.timestamp_ms:
            return version.place
        last = path.last(version.hash)
        return last if last < _AHEAD else version.place
