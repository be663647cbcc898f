"""What a worker exports: of the books here, of each account in `functions.account_metrics`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from prometheus_client import CollectorRegistry, Gauge

from functions.account_metrics import SECONDS_BUCKETS, AccountFamilies, AccountMetrics
from functions.core.hold import HoldReason
from runtime.cloudwatch import CloudWatchMetric
from runtime.loop_metrics import LoopCounter, LoopHistogram


class WorkerMetrics:
    """One registry a process. Books are counted once, however many accounts look at them."""

    def __init__(self, accounts: Mapping[str, Iterable[StrEnum]]) -> None:
        """`accounts`: by name, the reasons of their strategies, why these hold."""
        self.registry = CollectorRegistry()
        r = self.registry

        def seconds(name: str, text: str) -> LoopHistogram:
            name = f"worker_{name}_seconds"
            return LoopHistogram(name, text, buckets=SECONDS_BUCKETS, registry=r)

        self.books = LoopCounter("worker_books", "Books handled", registry=r)
        self.conflated = LoopCounter(
            "worker_books_conflated", "Books displaced by a newer one before handling", registry=r
        )
        self.malformed = LoopCounter(
            "worker_books_malformed", "Books that do not decode", registry=r
        )
        self.book_age = seconds("book_age", "Age of a book when it is decided on")
        self.book_way_min = Gauge(
            "worker_book_way_min_seconds",
            "What the quickest book of ten seconds seems to have taken from the feeder to here; "
            "below zero: this clock is behind",
            registry=r,
        )
        self.clocks_differing = Gauge(
            "worker_clocks_differing",
            "ALARM: series whose books show clocks that are apart, or are all late",
            registry=r,
        )
        self.decode = seconds("decode", "Decoding one snapshot")
        self.markets_unverified = Gauge(
            "worker_markets_unverified", "Markets that the CLOB has not confirmed yet", registry=r
        )
        self.markets_differing = Gauge(
            "worker_markets_differing", "ALARM: markets that listing and CLOB contradict each other"
            " about; they are not traded", registry=r
        )  # fmt: skip
        self.orders_in_flight = Gauge("worker_orders_in_flight", "Orders under way", registry=r)
        families = AccountFamilies(r)
        self.accounts = {
            account: AccountMetrics(families, account, reasons)
            for account, reasons in accounts.items()
        }
        of = tuple(self.accounts.values())
        self.cloudwatch = (
            CloudWatchMetric("Books", (self.books,)),
            CloudWatchMetric("BookAge", (self.book_age,), "Milliseconds", of_group=True),
            CloudWatchMetric("Signals", tuple(each for one in of for each in one.signals)),
            CloudWatchMetric(
                "ClaimsRefused", tuple(each for one in of for each in one.refused_by_store)
            ),
            CloudWatchMetric("Orders", tuple(each for one in of for each in one.posted)),
            CloudWatchMetric("OrderErrors", tuple(each for one in of for each in one.order_errors)),
            CloudWatchMetric("TickToTrade", tuple(one.tick_to_trade for one in of), "Milliseconds"),
            CloudWatchMetric("StoreErrors", tuple(one.store_errors for one in of)),
            CloudWatchMetric(
                "StrategyErrors", tuple(one.holds[HoldReason.STRATEGY_ERROR] for one in of)
            ),
            CloudWatchMetric("StrategiesDisabled", tuple(one.strategies_disabled for one in of)),
            CloudWatchMetric("AccountsInTrouble", tuple(one.in_trouble for one in of)),
            CloudWatchMetric("MarketsDiffering", (self.markets_differing,)),
            CloudWatchMetric("ClocksDiffering", (self.clocks_differing,)),
        )
        """What goes to CloudWatch (infra/alarms.yml), of all accounts together."""
