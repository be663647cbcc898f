"""What a worker exports. Labels come from closed sets, bound once; no market ids."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from functions.core.account import ClaimRefusal, pauses
from functions.core.hold import MARKET_DOUBTS, HoldReason
from protocol.decision import Timeline, stages_ns
from runtime.cloudwatch import CloudWatchMetric
from venue.wire.order_answer import RejectReason

# The goal is a hundredth of 500 ms (signal) and 1 s (execution); buckets are dense around it.
_SECONDS: Final = (
    0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05,
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip
_DEVIATION: Final = (0.0, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05)
# The venue took no order, and nothing is wrong: the price was gone. Such orders are `Orders` only.
_MISSED: Final = (RejectReason.NO_MATCH, RejectReason.FOK_NOT_FILLED)
ANSWERS: Final = ("matched", "partly_matched", "delayed", "live", "rejected", "unknown")


class WorkerMetrics:
    """One registry a process."""

    def __init__(self, reasons: Iterable[StrEnum] = ()) -> None:
        """`reasons`: those of the strategies, why they hold."""
        self.registry = CollectorRegistry()
        r = self.registry

        def seconds(name: str, text: str) -> Histogram:
            return Histogram(f"worker_{name}_seconds", text, buckets=_SECONDS, registry=r)

        self.books = Counter("worker_books", "Books handled", registry=r)
        self.conflated = Counter(
            "worker_books_conflated", "Books displaced by a newer one before handling", registry=r
        )
        self.malformed = Counter("worker_books_malformed", "Books that do not decode", registry=r)
        self.busy = Counter(
            "worker_books_busy", "Books of a market that is being warmed or bought", registry=r
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
        self.decide = seconds("decide", "Deciding on one snapshot")
        self.stages = {
            "sign": seconds("sign", "Decision to signed order"),
            "claim": seconds("claim", "Signed order to durable claim"),
            "post": seconds("post", "Claim to the venue's answer"),
            "resolve": seconds("resolve", "Answer to resolved claim"),
        }
        """By the stage's name in `protocol.decision.STAGES`; the stages before have their own."""
        self.tick_to_trade = seconds("tick_to_trade", "Frame at the feeder to order POST")
        self.price_deviation = Histogram(
            "worker_price_deviation_ratio",
            "Average fill price above the signal's price, as a share of it",
            buckets=_DEVIATION,
            registry=r,
        )
        holds = Counter("worker_holds", "Books without a trade, by reason", ["reason"], registry=r)
        self.holds = {reason: holds.labels(reason.value) for reason in (*HoldReason, *reasons)}
        self.strategies_disabled = Counter(
            "worker_strategies_disabled",
            "ALARM: strategies that failed so often that they are asked no more",
            registry=r,
        )
        self.markets_unverified = Gauge(
            "worker_markets_unverified", "Markets that the CLOB has not confirmed yet", registry=r
        )
        self.markets_differing = Gauge(
            "worker_markets_differing", "ALARM: markets that listing and CLOB contradict each other"
            " about; they are not traded", registry=r
        )  # fmt: skip
        # An exported name stays as it is: dashboards read it.
        foreseen = Counter(
            "worker_signals_refused_by_hint", "Signals refused unasked", ["reason"], registry=r
        )
        self.refused_from_cache = {reason: foreseen.labels(reason.value) for reason in ClaimRefusal}
        refused = Counter(
            "worker_claims_refused", "Claims refused by the store, by condition", ["reason"],
            registry=r,
        )  # fmt: skip
        self.claims_refused = {reason: refused.labels(reason.value) for reason in ClaimRefusal}
        answers = Counter("worker_orders", "Orders posted, by answer", ["answer"], registry=r)
        self.answers = {answer: answers.labels(answer) for answer in ANSWERS}
        rejected = Counter(
            "worker_orders_rejected", "Proven rejections, by reason", ["reason"], registry=r
        )
        self.rejected = {reason: rejected.labels(reason.value) for reason in RejectReason}
        paused = Counter(
            "worker_account_pauses", "Pauses that the venue asked for", ["reason"], registry=r
        )
        self.pauses = {
            reason: paused.labels(reason.value) for reason in RejectReason if pauses(reason)
        }
        self.fills = Counter("worker_fills", "Fills applied to claims", registry=r)
        self.fills_foreign = Counter(
            "worker_fills_foreign", "Orders traded that no account of the wallet knows", registry=r
        )
        self.fills_untold = Counter(
            "worker_fills_untold",
            "Orders traded that may be another account's, which cannot be read",
            registry=r,
        )
        self.fills_malformed = Counter(
            "worker_fills_malformed", "Fills that do not decode", registry=r
        )
        self.fills_interrupted = Counter(
            "worker_fills_interrupted", "Times that fills could not be read or stored", registry=r
        )
        self.unpreparable = Counter("worker_orders_unpreparable", "Not buildable", registry=r)
        self.store_errors = Counter("worker_store_errors", "Store calls without result", registry=r)
        self.order_id_mismatch = Counter(
            "worker_order_id_mismatch", "ALARM: an answer not of our order", registry=r
        )
        self.decisions_dropped = Counter(
            "worker_decisions_dropped", "Decision records not published", registry=r
        )
        self.decisions_not_logged = Counter(
            "worker_decisions_not_logged",
            "Published decisions that do not decode, or that the table will never take",
            registry=r,
        )
        self.config_version = Gauge(
            "worker_config_version", "Version of the configuration that is followed", registry=r
        )
        self.orders_in_flight = Gauge("worker_orders_in_flight", "Orders under way", registry=r)
        # Every signal ends as one of these, but for those whose claim got no answer (StoreErrors).
        refused_unasked = (
            *self.refused_from_cache.values(),
            *(self.holds[reason] for reason in MARKET_DOUBTS),
        )
        refused_by_store = tuple(self.claims_refused.values())
        posted = tuple(self.answers.values())
        failed = [counter for reason, counter in self.rejected.items() if reason not in _MISSED]
        self.cloudwatch = (
            CloudWatchMetric("Books", (self.books,)),
            CloudWatchMetric("BookAge", (self.book_age,), "Milliseconds"),
            CloudWatchMetric(
                "Signals", (*refused_unasked, self.unpreparable, *refused_by_store, *posted)
            ),
            CloudWatchMetric("ClaimsRefused", refused_by_store),
            CloudWatchMetric("Orders", posted),
            CloudWatchMetric("OrderErrors", (self.answers["unknown"], *failed)),
            CloudWatchMetric("TickToTrade", (self.tick_to_trade,), "Milliseconds"),
            CloudWatchMetric("StoreErrors", (self.store_errors,)),
            CloudWatchMetric("MarketsDiffering", (self.markets_differing,)),
            CloudWatchMetric("ClocksDiffering", (self.clocks_differing,)),
        )
        """What goes to CloudWatch (infra/alarms.yml)."""

    def observe_order(self, timeline: Timeline) -> None:
        """Once at the end of an order's way: each stage that it has reached.

        From the frame to the POST only where the order has an answer: a claim that was refused has
        its time, too.
        """
        took_ns = stages_ns(timeline)
        for name, histogram in self.stages.items():
            if name in took_ns:
                histogram.observe(took_ns[name] / 1e9)
        if timeline.answered_at_ns:
            ready_ns = timeline.claimed_at_ns - timeline.received_at_ns
            self.tick_to_trade.observe(ready_ns / 1e9)
