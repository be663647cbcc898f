"""What becomes of a received frame: decoded, applied to the session table, counted, offered.

Nothing is awaited between a frame's arrival and its offer to the publisher. A market that changes
again in the next frame of the same read of the socket is offered once, after both: else its first
book would be on its way, and the newest one wait for the acknowledgement. It waits for no other
frame: not for another market's, nor for what a trade ends with, which are whole books of what is
known by then. Whatever is odd is counted, and logged at most every ten seconds; nothing a venue
sends raises.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

import structlog

from feeder.books.metrics import FeederMetrics
from feeder.core.book.token_book import Trouble
from feeder.core.market.market_session import MarketSession
from feeder.core.market.session_table import SessionTable
from runtime.line_throttle import LineThrottle
from venue.wire.market_channel import (
    Event,
    Malformed,
    Pong,
    PriceChangeEvent,
    UnknownEvent,
    decode_frame,
)

REJECTION_LOG_EVERY_S: Final = 10
UNKNOWN_TYPES_LOGGED_MAX: Final = 20
# By so many frames one line may lag behind the other. Longer ones, whole books of many markets,
# are rare; these take less than 1 MB usually, 20 MB where each is as long as it may be, and 55 MB
# at the very most, where they are nonsense in small pieces.
FRAMES_REMEMBERED: Final = 256
FRAME_REMEMBERED_BYTES_MAX: Final = 12_288
# Of a `price_change`: its market, and that changes follow, which is all but the changes themselves.
_HEAD_BYTES: Final = len('{"market":"0x"') + 64 + len(',"price_changes"')

_WITHOUT_CHANGES: Final = (Malformed, Pong, UnknownEvent)

_log = structlog.get_logger()


class FrameIntake:
    """`offer` gets each market that has something new; `nudge` is called when books need help.
    Whoever calls `take` calls `offer_held` before anybody else has a turn."""

    def __init__(
        self,
        table: SessionTable,
        metrics: FeederMetrics,
        offer: Callable[[MarketSession], None],
        nudge: Callable[[], None],
    ) -> None:
        self._table = table
        self._metrics = metrics
        self._offer = offer
        self._nudge = nudge
        self._rejections = LineThrottle(REJECTION_LOG_EVERY_S)
        self._unknown_types: set[str] = set()
        # The same bytes are the same event objects: that is how the session table knows that both
        # lines have brought one frame.
        self._decoded: dict[bytes, Sequence[Event]] = {}
        self._held: MarketSession | None = None
        """It has something new, and perhaps the next frame has more."""
        self._held_by = b""
        """The frame that brought it; one that may have more begins like it."""

    def take(self, line: int, payload: bytes, received_at_ns: int) -> None:
        """One frame of a line, received at `received_at_ns` (epoch)."""
        if self._held is not None and payload[:_HEAD_BYTES] != self._held_by[:_HEAD_BYTES]:
            self.offer_held()  # before this is decoded: it is another market's, or no change
        metrics, table = self._metrics, self._table
        changed: dict[MarketSession, None] = {}
        for event in self._decoded.pop(payload, None) or self._decode(payload):
            if not isinstance(event, PriceChangeEvent) and isinstance(event, _WITHOUT_CHANGES):
                self._take_other(line, event, received_at_ns // 1_000_000)
                continue
            metrics.events[event.__class__].inc()
            applied = table.apply(line, event, received_at_ns)
            session = applied.session
            if session is not None and applied.updates:
                metrics.series[session.info.series].updates.inc(applied.updates)
                if applied.offer:
                    changed[session] = None
            if applied.ignored:
                metrics.ignored.inc(applied.ignored)
            if applied.troubles:
                self.count_troubles(applied.troubles)
            for malformed in applied.malformed:
                self._report_malformed(malformed)
        # Only now: one frame may bring both books of a market.
        for session in changed:
            if session is self._held:
                metrics.series[session.info.series].conflated.inc()
                continue
            if self._held is not None:
                self.offer_held()
            self._held, self._held_by = session, payload

    def offer_held(self) -> None:
        """No other frame follows at once."""
        held, self._held = self._held, None
        if held is not None:
            self._offer(held)

    def _decode(self, payload: bytes) -> Sequence[Event]:
        """The events of a frame that comes first, kept for the line that brings it second."""
        events, decoded = decode_frame(payload), self._decoded
        if len(payload) <= FRAME_REMEMBERED_BYTES_MAX:
            if len(decoded) >= FRAMES_REMEMBERED:  # the other line has lost some, or brings nothing
                decoded.clear()
            decoded[payload] = events
        return events

    def _take_other(self, line: int, event: Malformed | Pong | UnknownEvent, now_ms: int) -> None:
        if isinstance(event, Malformed):
            self.count_troubles(self._table.distrust(line, event, now_ms))
            self._report_malformed(event)
            return
        self._metrics.events[event.__class__].inc()
        if isinstance(event, UnknownEvent):
            self._report_unknown(event)

    def count_troubles(self, troubles: Collection[Trouble]) -> None:
        """Books became unusable."""
        for trouble in troubles:
            self._metrics.suspect[trouble].inc()
        if troubles:
            self._nudge()

    def _report_malformed(self, malformed: Malformed) -> None:
        self._metrics.rejected[malformed.fault].inc()
        if (unlogged := self._rejections.admit()) is not None:
            _log.warning("frame_rejected", error=malformed.reason, unlogged_before=unlogged)

    def _report_unknown(self, event: UnknownEvent) -> None:
        known, event_type = self._unknown_types, event.event_type[:80]
        if event_type not in known and len(known) < UNKNOWN_TYPES_LOGGED_MAX:
            known.add(event_type)
            _log.info("unknown_event_type", event_type=event_type)
