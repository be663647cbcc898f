"""Where decoded events are counted, whichever way they came; what remains is fills.

Order events are counted and go no further. Trades are the evidence for what was bought, an order's
`size_matched` only repeats it, and its status is an open set; a trade that went missing is
found by the next fetch or by reconciliation.

Only trades in which we are the taker go on, on whichever side: whose a trade is says the order id,
and to leave one of ours out for its side would hide an exposure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import structlog

from feeder.fills.metrics import UserMetrics
from protocol.fill import Fill
from runtime.line_throttle import LineThrottle
from venue.wire.market_channel import Pong, UnknownEvent
from venue.wire.trades import Rejection, VenueTrade
from venue.wire.user_channel import OrderEvent, UserEvent

REJECTION_LOG_EVERY_S: Final = 10
UNKNOWN_TYPES_LOGGED_MAX: Final = 20

_log = structlog.get_logger()


class Intake:
    """Counts events, reports the odd ones, and lets the fills through."""

    def __init__(self, metrics: UserMetrics) -> None:
        self._metrics = metrics
        self._rejections = LineThrottle(REJECTION_LOG_EVERY_S)
        self._statuses = LineThrottle(REJECTION_LOG_EVERY_S)
        self._unknown_types: set[str] = set()

    def from_channel(self, events: Iterable[UserEvent]) -> Iterator[Fill]:
        """Events of the channel."""
        for event in events:
            self._metrics.events[_kind(event)].inc()
            if isinstance(event, VenueTrade | OrderEvent):
                self._metrics.saw_event()
            yield from self._sound(event)

    def from_history(self, events: Iterable[UserEvent]) -> Iterator[Fill]:
        """Trades of a lookup."""
        for event in events:
            self._metrics.fetched.inc()
            yield from self._sound(event)

    def _sound(self, event: UserEvent) -> Iterator[Fill]:
        if isinstance(event, VenueTrade):
            yield from self._own_trade(event)
        elif isinstance(event, OrderEvent):
            self._metrics.orders[event.change].inc()
        elif isinstance(event, Rejection):
            self._report_rejection(event)
        elif isinstance(event, UnknownEvent):
            self._report_unknown(event)

    def _own_trade(self, trade: VenueTrade) -> Iterator[Fill]:
        if trade.as_maker:
            self._metrics.skipped["maker"].inc()
        else:
            if trade.unknown_status is not None:
                self._report_unknown_status(trade)
            yield trade.fill

    def _report_unknown_status(self, trade: VenueTrade) -> None:
        self._metrics.unknown_statuses.inc()
        if (unlogged := self._statuses.admit()) is not None:
            _log.warning(
                "unknown_trade_status",
                trade=trade.fill.trade_id,
                status=trade.unknown_status,
                unlogged_before=unlogged,
            )

    def _report_rejection(self, rejection: Rejection) -> None:
        self._metrics.rejected[rejection.fault].inc()
        if (unlogged := self._rejections.admit()) is not None:
            _log.warning(
                "user_event_rejected",
                cause=rejection.fault,
                error=rejection.text,
                unlogged_before=unlogged,
            )

    def _report_unknown(self, event: UnknownEvent) -> None:
        known = self._unknown_types
        if event.event_type not in known and len(known) < UNKNOWN_TYPES_LOGGED_MAX:
            known.add(event.event_type)
            _log.info("unknown_event_type", event_type=event.event_type[:80])


def _kind(event: UserEvent) -> str:
    if isinstance(event, VenueTrade):
        return "trade"
    if isinstance(event, OrderEvent):
        return "order"
    if isinstance(event, Rejection):
        return "rejected"
    return "pong" if isinstance(event, Pong) else "unknown"
