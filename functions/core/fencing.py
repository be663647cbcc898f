"""Which snapshot of a market is the newest this worker has seen; the others are superseded.

A feeder that lost its lease, was suspended and resumed may go on publishing for a moment, and
JetStream may deliver twice or out of order. `epoch` and `sequence` order them: a later feeder has
the higher epoch, and within an epoch the sequence grows.

1. What is admitted is newer than all that was admitted before it, so whatever a worker decides on
   or keeps for later is the newest it has seen.
2. A version is believed for `BELIEF_MS`. Then *anything* is admitted: a NATS that lost everything
   while a clock went back may bring a feeder whose epoch is lower for ever. What is delivered again
   after so long is older than any worker may act on (`MAX_BOOK_AGE_MS` is at most as much), so its
   age refuses it.
3. Memory is bounded by `MARKETS_MAX`: the market that has been silent longest is forgotten first.

A worker only knows what it has seen itself: while another one got the newer feeder's books, a late
one of the older feeder is admitted here. It is proven and fresh nevertheless, or it is refused for
that; the fence shortens that moment, the lease ends it.
"""

from __future__ import annotations

from typing import Final

from protocol.snapshot import BookSnapshot

BELIEF_MS: Final = 10_000
MARKETS_MAX: Final = 1_000


class Fence:
    """The newest version of each market. Times: milliseconds of a clock that never goes back."""

    def __init__(self) -> None:
        # condition id -> (epoch, sequence, when it was admitted), the longest silent first
        self._newest: dict[str, tuple[int, int, int]] = {}

    def admits(self, snapshot: BookSnapshot, now_ms: int) -> bool:
        """Note the snapshot and say True, or False when a newer one (or itself) has been noted."""
        condition_id, epoch = snapshot.market.condition_id, snapshot.epoch
        seen = self._newest.get(condition_id)
        if seen is not None:
            if (
                (epoch < seen[0] or (epoch == seen[0] and snapshot.sequence <= seen[1]))
                and now_ms - seen[2] < BELIEF_MS
            ):  # fmt: skip
                if epoch == seen[0]:  # the same feeder has been heard again, if with an older book
                    self._newest[condition_id] = (epoch, seen[1], now_ms)
                return False
            del self._newest[condition_id]  # to be the last again
        elif len(self._newest) >= MARKETS_MAX:
            del self._newest[next(iter(self._newest))]
        self._newest[condition_id] = (epoch, snapshot.sequence, now_ms)
        return True

    def fenced(self, snapshot: BookSnapshot) -> bool:
        """Whether a later feeder has spoken about its market since this snapshot was admitted.

        A newer snapshot of the *same* feeder fences nothing: books change all the time, and what
        may have changed while an order is made is bounded by its limit price and the book's age.
        """
        seen = self._newest.get(snapshot.market.condition_id)
        return seen is not None and seen[0] > snapshot.epoch
