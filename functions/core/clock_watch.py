"""Whether the clocks agree, as far as the books themselves show it. Pure.

A book's age is the difference of two machines' clocks. It carries three times on its way here:

    published (feeder's clock) ─▶ stored (NATS') ─▶ delivered (ours)

1. No book arrives before it was published. The quickest of many took milliseconds, so what it seems
   to have taken is how far the two clocks are apart.
2. Which of them is wrong: NATS' clock stands between the two.
3. A clock that is ahead looks like books that are late. So it is said as "or", and only when no
   book of the series is young enough.
4. Feeder, NATS and worker on one machine agree, however wrong its clock is. The venue's own time,
   which each book bears, shows that.
5. A series has one feeder at a time, another one another clock. So each series is looked at by
   itself: one whose every book is refused would not show among others.

What is tolerated: a clock that is behind by less than `CLOCK_SKEW_MAX_MS` (`functions.core.gate`).
Machines that keep time by NTP are within a few milliseconds; by as much as a clock is behind, books
look younger than they are, and that must stay small against the age that they may have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from functions.core.gate import CLOCK_SKEW_MAX_MS, VENUE_CLOCK_SKEW_MAX_MS
from protocol.snapshot import BookSnapshot

BOOKS_MIN: Final = 10
"""So many must be late before that means something. Of books from the future one is enough."""
SERIES_MAX: Final = 1_000
"""Names come with the books: the series that shows nothing for longest is forgotten first."""
_MS: Final = 1_000_000
_NEVER: Final = 1 << 62


class ClockTrouble(msgspec.Struct, frozen=True, kw_only=True):
    """Clocks that disagree, in one sentence."""

    text: str
    blocks: bool
    """Whether no book of the series can be traded on."""
    here: bool = False
    """Whether it is this clock that is behind, whatever other series show."""


class ClockWatch:
    """Collects the times of books, of each series by itself, until `conclude` is asked."""

    def __init__(self, book_age_max_ms: int) -> None:
        self._age_max_ms = book_age_max_ms
        self._of: dict[str, _SeriesTimes] = {}
        """Series -> its books since the last conclusion about it, the oldest first."""

    def __len__(self) -> int:
        return len(self._of)

    def set_age_max(self, age_max_ms: int) -> None:
        """For series whose books are watched from now on."""
        self._age_max_ms = age_max_ms

    @property
    def way_s(self) -> float:
        """What the quickest book seems to have taken from its feeder; ask when `conclusive`."""
        return min(each.way_ns for each in self._of.values()) / 1e9

    def note(
        self,
        snapshot: BookSnapshot,
        delivered_at_ns: int,
        stored_at_ns: Callable[[], int | None],
    ) -> None:
        """One book; `stored_at_ns` is only asked for those that are quicker than all before."""
        times = self._of.get(snapshot.market.series) or self._begin(snapshot.market.series)
        times.books += 1
        # All that most books cost, and there are hundreds a second.
        if delivered_at_ns - snapshot.published_at_ns < times.way_ns or not times.timely:
            times.look_closer(snapshot, delivered_at_ns, stored_at_ns)

    def _begin(self, series: str) -> _SeriesTimes:
        if len(self._of) >= SERIES_MAX:
            del self._of[next(iter(self._of))]
        times = self._of[series] = _SeriesTimes(self._age_max_ms)
        return times

    @property
    def conclusive(self) -> bool:
        """Whether the books of any series show anything."""
        return any(each.conclusive for each in self._of.values())

    def conclude(self) -> dict[str, ClockTrouble | None]:
        """What they show, of each series whose books show anything; those begin anew."""
        concluded = {name: each for name, each in self._of.items() if each.conclusive}
        for name in concluded:
            del self._of[name]
        return {name: each.trouble() for name, each in concluded.items()}


class _SeriesTimes:
    """The times of one series' books."""

    def __init__(self, age_max_ms: int) -> None:
        self._age_max_ms = age_max_ms
        self.books = 0
        self.timely = False
        """Whether any book was young enough to be traded on."""
        self.way_ns = self._venue_way_ns = _NEVER
        self._from_nats_ns: int | None = None

    def look_closer(
        self,
        snapshot: BookSnapshot,
        delivered_at_ns: int,
        stored_at_ns: Callable[[], int | None],
    ) -> None:
        """At a book that is quicker than all before, and while none was young enough: is this one,
        and how late does the venue seem?"""
        way_ns = delivered_at_ns - snapshot.published_at_ns
        if way_ns < self.way_ns:
            self.way_ns = way_ns
            stored_ns = stored_at_ns()
            self._from_nats_ns = None if stored_ns is None else delivered_at_ns - stored_ns
        if self.timely:
            return
        age_ns = delivered_at_ns - snapshot.received_at_ns
        venue_way_ns = delivered_at_ns - snapshot.venue_timestamp_ms * _MS
        self._venue_way_ns = min(self._venue_way_ns, venue_way_ns)
        self.timely = (
            -CLOCK_SKEW_MAX_MS * _MS <= age_ns <= self._age_max_ms * _MS
            and -VENUE_CLOCK_SKEW_MAX_MS * _MS
            <= venue_way_ns
            <= (self._age_max_ms + VENUE_CLOCK_SKEW_MAX_MS) * _MS
        )

    @property
    def conclusive(self) -> bool:
        """Whether they show anything."""
        return self.books >= BOOKS_MIN or self.timely or self._behind() is not None

    def trouble(self) -> ClockTrouble | None:
        """What they show; ask when it is `conclusive`."""
        return self._behind() or self._behind_venue() or self._ahead()

    def _behind(self) -> ClockTrouble | None:
        behind_ms = -self.way_ns // _MS
        if behind_ms < CLOCK_SKEW_MAX_MS:  # the gate rounds both times, so this may be enough
            return None
        from_nats_ms = _ms(self._from_nats_ns)
        if from_nats_ms is not None and -from_nats_ms < behind_ms // 2:
            text = f"a feeder's clock is {behind_ms} ms ahead of this one and of NATS'"
            # Also where other books looked young enough: after one from the future none is believed
            # (`functions.handlers.evaluate.BEHIND_BELIEVED_MS`).
            return ClockTrouble(text=f"{text}: its books are refused", blocks=True)
        text = f"this clock is {behind_ms} ms behind the feeder's"
        if from_nats_ms is not None:
            text += f", and {-from_nats_ms} ms behind NATS'"
        text += ", or more: its books are refused"
        return ClockTrouble(text=text, blocks=True, here=True)

    def _behind_venue(self) -> ClockTrouble | None:
        """The venue's own clock is one for all, so a feeder on the same machine hides nothing."""
        behind_ms, from_nats_ms = -self._venue_way_ns // _MS, _ms(self._from_nats_ns)
        if self.timely or behind_ms <= VENUE_CLOCK_SKEW_MAX_MS:
            return None
        text, here = f"this clock is {behind_ms} ms behind the venue's", False
        if from_nats_ms is None:
            text += ", or the venue's is ahead"
        elif -from_nats_ms < behind_ms // 2:
            text += ", and so is NATS'; or the venue's is ahead"
        else:
            text, here = f"{text}, and {-from_nats_ms} ms behind NATS'", True
        return ClockTrouble(text=f"{text}: its books are refused", blocks=True, here=here)

    def _ahead(self) -> ClockTrouble | None:
        way_ms, from_nats_ms = self.way_ns // _MS, _ms(self._from_nats_ns)
        if self.timely:
            return None
        if way_ms <= self._age_max_ms:
            late_ms = self._venue_way_ns // _MS - VENUE_CLOCK_SKEW_MAX_MS
            if late_ms <= self._age_max_ms:
                return None
            text = "the feeder's clock is ahead of the venue's, or what it receives is old"
            return ClockTrouble(text=f"{text}: by {self._venue_way_ns // _MS} ms", blocks=True)
        if from_nats_ms is not None and from_nats_ms < way_ms // 2:
            text = f"a feeder's clock is {way_ms} ms behind this one and NATS', or its books wait"
        else:
            text = f"this clock is {way_ms} ms ahead of the feeder's"
            if from_nats_ms is not None:
                text += f" ({from_nats_ms} ms ahead of NATS')"
            text += ", or books wait that long for this worker"
        return ClockTrouble(text=f"{text}: none is young enough", blocks=True)


def _ms(span_ns: int | None) -> int | None:
    return None if span_ns is None else span_ns // _MS
