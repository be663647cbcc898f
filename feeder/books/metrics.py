"""The feeder's Prometheus metrics. Labels come from closed sets, bound once; no market ids.

What is counted with every frame is added up in a plain number, which costs a tenth of a Prometheus
counter, and handed on whenever the metrics are read: so what is read is always all of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric

from feeder.core.book.token_book import Trouble
from feeder.core.leases import Change
from feeder.core.market.market_session import LINES
from protocol.series import Series
from runtime.cloudwatch import CloudWatchMetric
from venue.wire.market_channel import (
    BookEvent,
    Event,
    FrameFault,
    LastTradeEvent,
    Pong,
    PriceChangeEvent,
    TickSizeChangeEvent,
    UnknownEvent,
)

# A book leaves within a fraction of a millisecond; what is older waited for an ack or a retry.
_BOOK_AGE_SECONDS: Final = (
    0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0,
)  # fmt: skip
_EVENTS: Final[dict[type[Event], str]] = {
    BookEvent: "book",
    PriceChangeEvent: "price_change",
    LastTradeEvent: "last_trade_price",
    TickSizeChangeEvent: "tick_size_change",
    UnknownEvent: "unknown",
    Pong: "pong",
}
PUBLISH_FAULTS: Final = (
    "disconnected", "error", "no_stream", "not_leased", "refused", "stale", "timeout",
)  # fmt: skip
LEASE_FAULTS: Final = ("bad_table", "conflict", "error", "timeout")
"""The table was damaged and replaced; another feeder wrote first; NATS refused, or was silent."""
BOOK_REQUEST_RESULTS: Final = ("taken", "refused", "newer", "nothing_new", "failed")
"""It mended a book; could not; shows that a line is late; shows that it is not; brought no book."""
GAMMA_FAULTS: Final = ("unreachable", "bad_answer", "bad_market")


class FrameCounter:
    """Counts what comes with every frame. Of one thread."""

    __slots__ = ("_counter", "_since")

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._since = 0

    def inc(self, amount: int = 1) -> None:
        """One more, or so many."""
        self._since += amount

    def hand_on(self) -> None:
        """Give the metric what has come since."""
        since, self._since = self._since, 0
        self._counter.inc(since)


class FrameCounters:
    """All of a registry: hands them on before anything is read."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counters: list[FrameCounter] = []
        registry.register(self)  # before all others, and so it is asked first

    def collect(self) -> Iterable[Metric]:
        """Nothing of its own."""
        for counter in self._counters:
            counter.hand_on()
        return ()

    def of(self, counter: Counter) -> FrameCounter:
        """Count by this from now on."""
        self._counters.append(FrameCounter(counter))
        return self._counters[-1]


class SeriesMetrics:
    """The counters of one series."""

    def __init__(self, updates: FrameCounter, published: Counter, conflated: FrameCounter) -> None:
        self.updates = updates
        self.published = published
        self.conflated = conflated


class FeederMetrics:
    """One registry a process."""

    def __init__(self, series: Iterable[Series]) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        counted = FrameCounters(r)

        def by(name: str, text: str, label: str, values: Iterable[str]) -> dict[str, Counter]:
            counter = Counter(f"feeder_{name}", text, [label], registry=r)
            return {value: counter.labels(value) for value in values}

        def plain(name: str, text: str) -> Counter:
            return Counter(f"feeder_{name}", text, registry=r)

        names = [each.name for each in series]
        updates = by("book_updates", "Books replaced or levels changed", "series", names)
        published = by("snapshots_published", "Snapshots acknowledged", "series", names)
        conflated = by("conflated", "Updates that a newer one replaced", "series", names)
        self.series = {
            name: SeriesMetrics(
                counted.of(updates[name]), published[name], counted.of(conflated[name])
            )
            for name in names
        }
        self.book_age = Histogram(
            "feeder_book_age_seconds",
            "Frame received to snapshot encoded",
            buckets=_BOOK_AGE_SECONDS,
            registry=r,
        )
        events = by("events", "Events received, by type", "type", _EVENTS.values())
        self.events = {kind: counted.of(events[name]) for kind, name in _EVENTS.items()}
        rejected = by(
            "frames_rejected", "Frames, or parts of them, rejected, by cause", "cause", FrameFault
        )
        self.rejected = {fault: rejected[fault.value] for fault in FrameFault}
        self.ignored = plain(
            "changes_ignored", "Changes of a book without a snapshot, or of no followed token"
        )
        suspect = by("books_suspect", "Books that became unusable, by cause", "cause", Trouble)
        self.suspect = {trouble: suspect[trouble.value] for trouble in Trouble}
        lines = [str(line) for line in range(LINES)]
        opened = by("connections", "Market channel connections opened, by line", "line", lines)
        self.connections = [opened[line] for line in lines]
        lost = by("reconnects", "Market channel connections lost, by line", "line", lines)
        self.reconnects = [lost[line] for line in lines]
        self.adopted = plain("books_adopted", "Books in trouble that took over the other line's")
        # An exported name stays as it is: dashboards read it.
        self.book_requests = by(
            "book_looks", "Look-ups of a book, by result", "result", BOOK_REQUEST_RESULTS
        )
        self.gamma_requests = plain("gamma_requests", "Requests to the Gamma API")
        self.gamma_failures = by(
            "gamma_failures", "Look-ups that failed, by cause", "cause", GAMMA_FAULTS
        )
        self.fees_assumed = plain(
            "fees_assumed", "Markets whose listing has fees and does not say which"
        )
        self.without_market = Gauge(
            "feeder_series_without_market",
            "Series of which no running market has been followed for long",
            registry=r,
        )
        self.publish_failures = by(
            "publish_failures", "Snapshots not acknowledged, by cause", "cause", PUBLISH_FAULTS
        )
        changes = by("lease_changes", "Leases got and given up, by kind", "kind", Change)
        self.lease_changes = {change: changes[change.value] for change in Change}
        self.lease_failures = by(
            "lease_failures", "Tries to renew that did not succeed, by cause", "cause", LEASE_FAULTS
        )
        self.lease_tables_begun = plain(
            "lease_tables_begun", "Lease tables made because there was none, or it was lost"
        )
        self.leases_held = Gauge("feeder_leases_held", "Series that are ours", registry=r)
        self.followed = Gauge("feeder_markets_followed", "Markets followed", registry=r)
        self.ready = Gauge("feeder_markets_ready", "Markets with a book to show", registry=r)
        self.dark = Gauge("feeder_markets_dark", "Markets of which no book can be had", registry=r)
        self.unseen = Gauge(
            "feeder_markets_unseen",
            "Running markets of which neither channel nor book requests tell anything",
            registry=r,
        )
        self.darkened = plain("markets_darkened", "Times that a market went dark")
        self.connected = Gauge(
            "feeder_connected", "Market channel connections that are open", registry=r
        )
        self.cloudwatch = (
            CloudWatchMetric("SnapshotsPublished", tuple(published.values())),
            CloudWatchMetric("MarketsReady", (self.ready,)),
            CloudWatchMetric("MarketsDark", (self.dark,)),
            CloudWatchMetric("ChannelsOpen", (self.connected,)),
        )
        """What goes to CloudWatch (infra/alarms.yml)."""
