"""Frames of a recording played again: the snapshots that a feeder would publish of them. Pure.

1. Books are the feeder's own, on one line; what is proven, in doubt or a placeholder is for its
   rules to say. A frame that offers something new makes one snapshot, of the frame's time.
2. Nobody can be asked here, and there is no other line. So a book in trouble waits for the next
   `book` in the recording, and its market is dark at once, which one snapshot without books says; a
   feeder would look for help for five seconds first. Connections that end, records that were lost
   and another run leave every book so.
3. (epoch, sequence) of a market grow: an epoch is a connection.
4. A book that is proven late, by the price of a trade that came after it, is of the time of the
   proof: nobody had it before.
5. A market is dropped a little after its end, by the recording's clock. What is left out of it is
   reported by then, so memory is bounded by the markets that run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from feeder.core.book.version_order import Version
from feeder.core.market.market_session import MarketSession
from feeder.core.market.session_table import END_GRACE_MS, SessionTable
from feeder.recording.format import (
    Closed,
    Frame,
    Listed,
    Lost,
    Opened,
    Record,
    Started,
    Unfollowed,
    payload,
)
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot
from venue.wire.market_channel import Malformed, Pong, UnknownEvent, decode_frame

LATE_PROOF_AFTER_NS: Final = 50_000_000
"""A feeder looks so often whether what it lacked to prove a book has come."""
_TICK_NS: Final = 1_000_000_000
_REMEMBERED_NS: Final = 3_600 * 1_000_000_000
"""Ended markets, whose last frames are no news of markets unknown."""
_LINE: Final = 0
_NOTHING: Final[tuple[BookSnapshot, ...]] = ()
_WITHOUT_CHANGES: Final = (Malformed, Pong, UnknownEvent)


class ReplayFault(StrEnum):
    """What of a recording makes no snapshot; the closed set."""

    UNREADABLE = "unreadable"
    """Frames, or parts of them, that cannot be read."""
    UNDESCRIBED = "undescribed"
    """Events of markets that the recording does not describe."""
    LOST = "lost"
    """Records that were never written."""
    UNPROVEN = "unproven"
    """Versions of a market's books that nothing has proven."""
    PLACEHOLDER = "placeholder"
    """Books that only show the empty market's prices."""


class _ReplayedMarket(msgspec.Struct):
    session: MarketSession | None
    """None when its frames are not played."""
    info: MarketInfo
    shown: bool = False
    """Whether its newest snapshot has books."""
    unproven: tuple[Version, Version] | None = None
    """What its books are, while nothing has proven that."""
    look_again_ns: int = 0


class FrameReplay:
    """`take` every record in order.

    `wanted` says which markets' frames are played, `report` gets (what, where, how often, more of
    it): each fault at a market's slug, or at "" where none can be named.
    """

    def __init__(
        self,
        wanted: Callable[[MarketInfo], bool],
        report: Callable[[ReplayFault, str, int, str], None],
    ) -> None:
        self._wanted = wanted
        self._report = report
        self._table = SessionTable(())
        self._markets: dict[str, _ReplayedMarket] = {}
        self._played = 0
        """How many of them are played."""
        self._doubtful: dict[str, _ReplayedMarket] = {}
        """Those with an unproven version."""
        self._ended: dict[str, int] = {}
        """Condition id -> when it was dropped."""
        self._run = ""
        self._epoch = 1
        self._last_ns = 0
        self._next_tick_ns = 0

    def take(self, record: Record) -> Sequence[BookSnapshot]:
        """What is published by this record, oldest first."""
        before_ns, self._last_ns = self._last_ns, record.at_ns
        if isinstance(record, Frame):
            if not 0 <= self._next_tick_ns - record.at_ns <= _TICK_NS:  # a clock may be set back
                self._tick(record.at_ns)
            return self._take_frame(record) if self._played else _NOTHING
        if isinstance(record, Listed):
            self._tick(record.at_ns)
            self._list(record.market, record.at_ns // 1_000_000)
        elif isinstance(record, Unfollowed):
            self._tick(record.at_ns)
        elif isinstance(record, Started):
            if record.run != self._run:  # what the run before had ended with its last record
                self._run = record.run
                return self._forget_books(before_ns)
        elif isinstance(record, Opened | Closed):
            return self._forget_books(record.at_ns)
        elif isinstance(record, Lost):
            self._report(ReplayFault.LOST, "", record.records, "")
            return self._forget_books(max(record.since_ns, before_ns))
        return _NOTHING

    def leave(self, series: str) -> None:
        """Play no more frames of this series' markets."""
        for condition_id, market in self._markets.items():
            if market.info.series == series and market.session is not None:
                market.session, market.unproven = None, None
                self._doubtful.pop(condition_id, None)
                self._played -= 1

    def go_above(self, epoch: int) -> None:
        """What is played after the present connection is newer than this epoch."""
        self._epoch = max(self._epoch, epoch)

    # ---- markets -------------------------------------------------------------------------------

    def _list(self, info: MarketInfo, now_ms: int) -> None:
        if info.end_ms + END_GRACE_MS < now_ms:
            self._ended[info.condition_id] = now_ms * 1_000_000
            return
        known = self._markets.get(info.condition_id)
        if not self._wanted(info):
            if known is None:
                self._markets[info.condition_id] = _ReplayedMarket(None, info)
            return
        self._table.follow(info, now_ms)
        session = next(each for each in self._table if each.info.condition_id == info.condition_id)
        if known is not None and known.session is session:
            return
        self._table.connected(_LINE, session.views[_LINE].books, now_ms)
        self._markets[info.condition_id] = _ReplayedMarket(session, info)
        self._played += known is None or known.session is None

    def _tick(self, at_ns: int) -> None:
        """Drop what has ended."""
        self._next_tick_ns = at_ns + _TICK_NS
        now_ms = at_ns // 1_000_000
        self._table.drop_ended(now_ms)
        for condition_id, market in list(self._markets.items()):
            if market.info.end_ms + END_GRACE_MS < now_ms:
                if market.unproven is not None:
                    self._report(ReplayFault.UNPROVEN, market.info.slug, 1, "")
                self._played -= market.session is not None
                del self._markets[condition_id]
                self._doubtful.pop(condition_id, None)
                self._ended[condition_id] = at_ns
        for condition_id, dropped_ns in list(self._ended.items()):
            if at_ns - dropped_ns > _REMEMBERED_NS:
                del self._ended[condition_id]

    def _forget_books(self, at_ns: int) -> Sequence[BookSnapshot]:
        """Something was missed: until their next `book` nothing is known of any book."""
        self._epoch += 1
        self._table.connected(_LINE, self._table.tokens(), at_ns // 1_000_000)
        found = [
            self._outcome(market, at_ns, offered=False)
            for market in self._markets.values()
            if market.session is not None
        ]
        return [each for each in found if each is not None]

    # ---- frames --------------------------------------------------------------------------------

    def _take_frame(self, record: Frame) -> Sequence[BookSnapshot]:
        at_ns, table = record.at_ns, self._table
        found = self._proven_late(at_ns) if self._doubtful else []
        touched: dict[str, bool] = {}
        """Market -> whether it has something new to show."""
        for event in decode_frame(payload(record)):
            if isinstance(event, _WITHOUT_CHANGES):
                if isinstance(event, Malformed):
                    touched |= self._distrust(event, at_ns)
                continue
            condition_id = event.market
            market = self._markets.get(condition_id)
            if market is None or market.session is None:
                if market is None and condition_id not in self._ended:
                    self._report(ReplayFault.UNDESCRIBED, "", 1, f"market {condition_id[:80]}")
                continue
            applied = table.apply(_LINE, event, at_ns)
            for malformed in applied.malformed:
                self._report(ReplayFault.UNREADABLE, market.info.slug, 1, malformed.reason[:300])
            if applied.updates or applied.troubles:
                touched[condition_id] = applied.offer or touched.get(condition_id, False)
        for condition_id, offered in touched.items():
            snapshot = self._outcome(self._markets[condition_id], at_ns, offered=offered)
            if snapshot is not None:
                found.append(snapshot)
        return found

    def _distrust(self, event: Malformed, at_ns: int) -> dict[str, bool]:
        """Which markets the malformed part of a frame may have changed."""
        known = self._markets.get(event.market or "")
        where = "" if known is None else known.info.slug
        self._report(ReplayFault.UNREADABLE, where, 1, event.reason[:300])
        self._table.distrust(_LINE, event, at_ns // 1_000_000)
        named = self._markets if event.market is None else {event.market: known}
        return {
            condition_id: False
            for condition_id, market in named.items()
            if market is not None and market.session is not None
        }

    def _proven_late(self, at_ns: int) -> list[BookSnapshot]:
        """What can be shown now, although no frame has brought it."""
        found = []
        for market in list(self._doubtful.values()):
            session = market.session
            if session is None or at_ns < market.look_again_ns:
                continue
            market.look_again_ns = at_ns + LATE_PROOF_AFTER_NS
            session.doubt_overdue(at_ns // 1_000_000)
            view = session.views[_LINE]
            offered = view.proven and session.take_offer(_LINE, at_ns // 1_000_000)
            if offered:
                view.received_at_ns = at_ns
            snapshot = self._outcome(market, at_ns, offered=offered)
            if snapshot is not None:
                found.append(snapshot)
        return found

    def _outcome(
        self, market: _ReplayedMarket, at_ns: int, *, offered: bool
    ) -> BookSnapshot | None:
        """The market's next snapshot, if there is one; counts what makes none."""
        session = market.session
        assert session is not None  # noqa: S101 - whoever calls has looked
        snapshot = self._table.snapshot(session, at_ns, self._epoch) if offered else None
        if snapshot is not None:
            market.shown = True
        elif market.shown and session.take_dark(at_ns // 1_000_000, at_once=True):
            market.shown = False
            snapshot = self._table.snapshot(session, at_ns, self._epoch)
        view = session.views[_LINE]
        if market.unproven is not None and (not view.usable or view.versions != market.unproven):
            self._report(ReplayFault.UNPROVEN, market.info.slug, 1, "")
            market.unproven = None
        if view.usable and not view.proven:
            if market.unproven is None:
                market.look_again_ns = at_ns + LATE_PROOF_AFTER_NS
            market.unproven = view.versions
            self._doubtful[session.info.condition_id] = market
        else:
            market.unproven = None
            self._doubtful.pop(session.info.condition_id, None)
            first, second = view.pair
            if snapshot is None and view.usable and (first.is_placeholder or second.is_placeholder):
                self._report(ReplayFault.PLACEHOLDER, market.info.slug, 1, "")
        return snapshot
