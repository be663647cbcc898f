"""A recording of `executor record` as a feed: what workers saw, or what its frames show.

1. Where a run of the recorder has books as they were published, these are the feed, exactly as they
   were; the frames of their series are not played. Whether it has any shows within the run's first
   seconds, which are read ahead; from where some come later, they are what counts.
2. Otherwise frames are played through the feeder's own book keeping (`feeder.recording.replayed`).
3. Books are in order of their receipt. Published ones stand in a recording in the order of their
   publication, so they are held back by LATE_MAX_MS.
4. A payout comes at the time at which the recording has it, as a stream cannot go back, and after
   the market's books; the recorder asks up to a day later, so for so long a market is remembered.
5. What cannot be used is counted, and the rest is used. Memory is bounded by the markets that are
   open, and by those of a day without payouts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from pathlib import Path
from typing import Final

import msgspec

from backtest.feed.events import (
    Exclusion,
    FeedError,
    FeedEvent,
    LeftOut,
    MarketPaid,
    check_payouts,
    event_at_ms,
)
from feeder.core.market.session_table import END_GRACE_MS
from feeder.recording.errors import RecordingError
from feeder.recording.format import (
    Frame,
    Listed,
    Missed,
    Paid,
    Published,
    Record,
    Started,
    payload,
)
from feeder.recording.reader import RecordingReader
from feeder.recording.replayed import FrameReplay, ReplayFault
from functions.core.evidence import Resolution
from protocol.market import DOWN, UP, MarketInfo
from protocol.snapshot import BookSnapshot, ProtocolError, decode_snapshot

FORESIGHT_NS: Final = 10_000_000_000
"""Recorded time that is read ahead where a run begins."""
FORESIGHT_RECORDS_MAX: Final = 10_000
LATE_MAX_MS: Final = 2_000
"""A feeder publishes no book that is older than half of this."""
FUTURE_MAX_MS: Final = 5_000
"""Clocks of two hosts differ by less."""
PAYOUT_WAIT_MAX_MS: Final = 26 * 3_600_000
"""The recorder asks for two hours, and when it is started again for what ended within a day."""
LISTED_MAX: Final = 1_000
"""Places that exclusions are listed by; what is left out elsewhere is counted for the recording."""
_REASONS: Final = {
    ReplayFault.UNREADABLE: LeftOut.UNREADABLE,
    ReplayFault.UNDESCRIBED: LeftOut.UNREADABLE,
    ReplayFault.LOST: LeftOut.LOST,
    ReplayFault.UNPROVEN: LeftOut.UNPROVEN,
    ReplayFault.PLACEHOLDER: LeftOut.PLACEHOLDER,
}


class RecordedFeed:
    """The records of a directory, or of one of its files. Raises FeedError when there is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._left_out = _Tally(str(path))
        try:
            self._reader = RecordingReader(path)
        except RecordingError as error:
            raise FeedError(str(error)) from error

    @property
    def name(self) -> str:
        """Its path."""
        return str(self._path)

    @property
    def exclusions(self) -> list[Exclusion]:
        """What has been left out of what was read so far."""
        reader = self._reader
        damaged = [
            Exclusion(
                why=LeftOut.DAMAGED,
                where=each.file,
                count=1,
                text=f"the last {each.bytes:,} bytes: {each.why}",
            )
            for each in reader.damages
        ]
        if reader.unreadable_lines:
            unreadable = Exclusion(
                why=LeftOut.UNREADABLE,
                where=self.name,
                count=reader.unreadable_lines,
                text=reader.unreadable_line,
            )
            return [*damaged, unreadable, *self._left_out.listed()]
        return [*damaged, *self._left_out.listed()]

    def __iter__(self) -> Iterator[FeedEvent]:
        """From the beginning. Raises FeedError."""
        self._left_out = tally = _Tally(self.name)
        playing = _Playing(tally)
        try:
            self._reader = RecordingReader(self._path)
            for item in _with_foresight(self._reader):
                yield from playing.take(item)
        except RecordingError as error:
            raise FeedError(str(error)) from error
        yield from playing.end()


class _Tally:
    """What is left out: counted by reason and place."""

    def __init__(self, elsewhere: str) -> None:
        self._elsewhere = elsewhere
        self._counts: dict[tuple[LeftOut, str], int] = {}
        self._texts: dict[tuple[LeftOut, str], str] = {}

    def add(self, why: LeftOut, where: str, count: int = 1, text: str = "") -> None:
        key = why, where or self._elsewhere
        if key not in self._counts and len(self._counts) >= LISTED_MAX:
            key = why, self._elsewhere
        self._counts[key] = self._counts.get(key, 0) + count
        self._texts.setdefault(key, text)

    def listed(self) -> list[Exclusion]:
        return [
            Exclusion(why=why, where=where, count=count, text=self._texts[why, where])
            for (why, where), count in self._counts.items()
        ]


def _with_foresight(records: Iterable[Record]) -> Iterator[Record | frozenset[str]]:
    """The same, and before each run the series of which its first seconds have published books."""
    ahead: list[Record] = []
    run: str | None = None
    looking, until_ns = False, None
    for record in records:
        if isinstance(record, Started) and record.run != run:
            if looking:
                yield _published_series(ahead)
                yield from ahead
            run, looking, until_ns, ahead = record.run, True, None, []
        if not looking:
            yield record
            continue
        ahead.append(record)
        if until_ns is None and isinstance(record, Frame | Published):
            until_ns = record.at_ns + FORESIGHT_NS
        over = until_ns is not None and record.at_ns >= until_ns
        if over or len(ahead) >= FORESIGHT_RECORDS_MAX:
            yield _published_series(ahead)
            yield from ahead
            looking, ahead = False, []
    if looking:
        yield _published_series(ahead)
        yield from ahead


def _published_series(records: Iterable[Record]) -> frozenset[str]:
    return frozenset(_series_of(each) for each in records if isinstance(each, Published))


def _series_of(record: Published) -> str:
    """By its subject, `book.<series>.<condition id>`."""
    return record.subject.removeprefix("book.").partition(".")[0]


class _OpenMarket(msgspec.Struct):
    """Until it is known what it paid."""

    info: MarketInfo
    newest: tuple[int, int] = (0, 0)
    """(epoch, sequence) of the last snapshot that was taken."""
    received_at_ns: int = 0
    """Of the same."""


class _Playing:
    """One reading of a recording."""

    def __init__(self, tally: _Tally) -> None:
        self._tally = tally
        self._markets: dict[str, _OpenMarket] = {}
        self._refused: dict[str, MarketInfo] = {}
        """Markets that are not Up or Down."""
        self._published: set[str] = set()
        """Series of which the present run has published books."""
        self._replay = FrameReplay(self._wants, self._report)
        self._heap: list[tuple[int, int, FeedEvent]] = []
        """(its time, its number, what waits for its turn)."""
        self._number = 0
        self._given_ms = 0
        """Of the newest event that was given."""

    def take(self, item: Record | frozenset[str]) -> Iterator[FeedEvent]:
        """What can be given by now."""
        if isinstance(item, frozenset):
            self._published = set(item)
            for series in item:
                self._replay.leave(series)
            return
        now_ms = item.at_ns // 1_000_000
        if isinstance(item, Published):
            self._take_published(item)
        elif isinstance(item, Paid):
            self._take_paid(item, now_ms)
        elif isinstance(item, Missed):
            if item.what == "books":
                self._tally.add(LeftOut.LOST, "", item.messages or 1, item.why)
        else:
            if isinstance(item, Listed):
                self._note(item.market, now_ms)
            for snapshot in self._replay.take(item):
                self._put(snapshot)
        yield from self._due(now_ms - (LATE_MAX_MS if self._published else 0))

    def end(self) -> Iterator[FeedEvent]:
        """The rest."""
        while self._heap:
            yield heappop(self._heap)[2]

    # ---- order ---------------------------------------------------------------------------------

    def _put(self, event: BookSnapshot | MarketPaid) -> None:
        at_ms = event_at_ms(event)
        if isinstance(event, BookSnapshot):
            market = self._markets.get(event.market.condition_id)
            if at_ms < self._given_ms or market is None:
                self._tally.add(LeftOut.OUT_OF_ORDER, event.market.slug)
                return
        self._number += 1
        heappush(self._heap, (at_ms, self._number, event))

    def _due(self, until_ms: int) -> Iterator[FeedEvent]:
        heap = self._heap
        while heap and heap[0][0] <= until_ms:
            self._given_ms, _, event = heappop(heap)
            yield event

    # ---- books ---------------------------------------------------------------------------------

    def _take_published(self, record: Published) -> None:
        try:
            snapshot = decode_snapshot(payload(record))
        except ProtocolError as error:
            self._tally.add(LeftOut.UNREADABLE, "", text=f"{record.subject[:200]}: {error}")
            return
        info = snapshot.market
        if info.series not in self._published:
            self._published.add(info.series)
            self._replay.leave(info.series)
        self._replay.go_above(snapshot.epoch)
        self._note(info, record.at_ns // 1_000_000)
        if info.condition_id in self._refused:
            return
        at_ms = snapshot.received_at_ns // 1_000_000
        market, order = self._markets.get(info.condition_id), (snapshot.epoch, snapshot.sequence)
        if (
            market is None
            or order <= market.newest
            or snapshot.received_at_ns < market.received_at_ns
            or at_ms > min(record.at_ns // 1_000_000 + FUTURE_MAX_MS, info.end_ms + END_GRACE_MS)
        ):
            self._tally.add(LeftOut.OUT_OF_ORDER, info.slug)
            return
        market.newest, market.received_at_ns = order, snapshot.received_at_ns
        self._put(snapshot)

    def _report(self, fault: ReplayFault, where: str, count: int, text: str) -> None:
        if fault is ReplayFault.UNDESCRIBED:
            text = f"an event of a market that is not described: {text}"
        self._tally.add(_REASONS[fault], where, count, text)

    # ---- markets -------------------------------------------------------------------------------

    def _wants(self, info: MarketInfo) -> bool:
        """Whether its frames are played."""
        return info.series not in self._published and info.condition_id not in self._refused

    def _note(self, info: MarketInfo, now_ms: int) -> None:
        """A market is described."""
        known = self._markets.get(info.condition_id)
        if known is not None:
            known.info = info
            return
        self._forget_old(now_ms)
        if info.condition_id in self._refused or info.end_ms + END_GRACE_MS < now_ms:
            return
        if {outcome.name for outcome in info.outcomes} != {UP, DOWN}:
            self._refused[info.condition_id] = info
            names = " and ".join(outcome.name for outcome in info.outcomes)
            self._tally.add(LeftOut.NOT_UP_DOWN, info.slug, text=f"its outcomes are {names}")
            return
        self._markets[info.condition_id] = _OpenMarket(info)

    def _take_paid(self, record: Paid, now_ms: int) -> None:
        market = self._markets.get(record.condition_id)
        if market is None:
            return  # it is known already, or no book of it is here
        info, payouts_e6 = market.info, record.payouts_e6
        if payouts_e6.keys() != {outcome.token_id for outcome in info.outcomes}:
            self._tally.add(LeftOut.UNREADABLE, info.slug, text="its payout is of other tokens")
            return
        try:
            check_payouts(payouts_e6.values())
        except ValueError as error:
            self._tally.add(LeftOut.UNREADABLE, info.slug, text=str(error))
            return
        del self._markets[record.condition_id]
        self._put(
            MarketPaid(
                condition_id=record.condition_id,
                slug=info.slug,
                at_ms=max(now_ms, info.end_ms + END_GRACE_MS, self._given_ms),
                resolution=Resolution(payouts_e6=payouts_e6, source=record.source),
            )
        )

    def _forget_old(self, now_ms: int) -> None:
        """Of what ended so long ago nobody will say any more what it paid."""
        for condition_id, market in list(self._markets.items()):
            if market.info.end_ms + PAYOUT_WAIT_MAX_MS < now_ms:
                del self._markets[condition_id]
        for condition_id, info in list(self._refused.items()):
            if info.end_ms + PAYOUT_WAIT_MAX_MS < now_ms:
                del self._refused[condition_id]
