"""The user feeder's Prometheus metrics. Labels come from closed sets; no ids."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from runtime.cloudwatch import CloudWatchMetric
from venue.wire.trades import UserFault
from venue.wire.user_channel import OrderChange

EVENT_KINDS: Final = ("trade", "order", "unknown", "pong", "rejected")
SKIP_REASONS: Final = ("maker",)
PUBLISH_FAULTS: Final = ("disconnected", "no_stream", "timeout", "error")
FETCH_FAULTS: Final = ("unreachable", "refused", "bad_answer")


class UserMetrics:
    """One registry a process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self._event_at_s = float("nan")

        def by(name: str, text: str, label: str, values: Iterable[str]) -> dict[str, Counter]:
            counter = Counter(f"feeder_user_{name}", text, [label], registry=r)
            return {value: counter.labels(value.lower()) for value in values}

        def plain(name: str, text: str) -> Counter:
            return Counter(f"feeder_user_{name}", text, registry=r)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"feeder_user_{name}", text, registry=r)

        self.events = by("events", "Events received, by kind", "kind", EVENT_KINDS)
        self.orders = by("order_events", "Order events, by what they report", "change", OrderChange)
        self.skipped = by(
            "trades_skipped", "Trades that are no fill of ours", "reason", SKIP_REASONS
        )
        self.rejected = by("rejected", "Events and trades rejected, by cause", "cause", UserFault)
        self.unknown_statuses = plain(
            "trades_unknown_status", "Trades at a status that is not known, taken as MATCHED"
        )
        self.published = plain("fills_published", "Fills acknowledged by the stream")
        self.duplicates = plain("fills_duplicate", "Of these, fills that the stream already had")
        self.publish_failures = by(
            "publish_failures", "Publishes not acknowledged, by cause", "cause", PUBLISH_FAULTS
        )
        self.dropped = plain("fills_dropped", "Fills dropped from a full backlog, to be fetched")
        self.waiting = gauge("fills_waiting", "Fills that wait for the stream's acknowledgement")
        self.connections = plain("connections", "User channel connections opened")
        self.reconnects = plain("reconnects", "User channel connections lost")
        self.refused = plain(
            "refused", "Connections that the venue closed right after the credentials"
        )
        self.refetches = plain("refetches", "Times that all trades owed were fetched")
        self.fetched = plain("trades_fetched", "Trades that look-ups brought, sound or not")
        self.fetch_failures = by(
            "fetch_failures", "Look-ups that failed, by cause", "cause", FETCH_FAULTS
        )
        age = gauge("last_event_age_seconds", "Since the last order or trade; NaN before any")
        age.set_function(lambda: time.time() - self._event_at_s)
        self.cloudwatch = (
            CloudWatchMetric("FillsPublished", (self.published,)),
            CloudWatchMetric("FillsWaiting", (self.waiting,)),
            CloudWatchMetric("ChannelLosses", (self.reconnects,)),
        )
        """What goes to CloudWatch (infra/alarms.yml)."""

    def saw_event(self) -> None:
        """An order or a trade came over the channel."""
        self._event_at_s = time.time()
