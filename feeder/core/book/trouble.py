"""Why a book cannot be used, and what became of a snapshot."""

from __future__ import annotations

from enum import StrEnum


class Trouble(StrEnum):
    """Why a book cannot be used; the closed set behind a metric's label."""

    NO_SNAPSHOT = "no_snapshot"
    """Nothing received yet on this connection."""
    TOP_MISMATCH = "top_mismatch"
    """The venue goes on saying another best bid or ask than ours: a delta was missed."""
    CHECKSUM = "checksum"
    """The venue's hashes go on being of another book than ours."""
    CROSSED = "crossed"
    """Bids stay at or above asks."""
    TICK_SIZE_CHANGE = "tick_size_change"
    """A new price grid: the venue is about to send a fresh book."""
    BAD_FRAME = "bad_frame"
    """A frame was rejected that did or may have changed this book."""
    FROZEN = "frozen"
    """Others have seen newer versions: this line has stopped delivering."""
    OVERFLOW = "overflow"
    """More deltas came than are buffered for a snapshot that does not come."""


class SnapshotResult(StrEnum):
    """What became of a snapshot."""

    TAKEN = "taken"
    """It is the book now; one of the channel may be unproven."""
    OLDER = "older"
    """Older than the book or the very same; the book is as before."""
    REFUSED = "refused"
    """It does not verify, or is too old to be brought up to date; the book is as before."""
