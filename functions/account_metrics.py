"""What a worker exports of each of its accounts, under the label `strategy` (the account's name).

Labels come from closed sets, bound once; no market ids. The accounts are those of STRATEGIES, so
their number is bounded, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from functions.core.account import ClaimRefusal, pauses
from functions.core.hold import MARKET_DOUBTS, HoldReason
from protocol.decision import STAGES, Timeline
from runtime.loop_metrics import LoopCounter, LoopHistogram
from venue.wire.order_answer import RejectReason

# The goal is a hundredth of 500 ms (signal) and 1 s (execution); buckets are dense around it.
SECONDS_BUCKETS: Final = (
    0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05,
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip
_DEVIATION: Final = (0.0, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05)
# The venue took no order, and nothing is wrong: the price was gone. Such orders are `Orders` only.
_MISSED: Final = (RejectReason.NO_MATCH, RejectReason.FOK_NOT_FILLED)
ANSWERS: Final = ("matched", "partly_matched", "delayed", "live", "rejected", "unknown")
_LABEL: Final = "strategy"


class AccountFamilies:
    """The metrics of all accounts of one registry, by label."""

    def __init__(self, registry: CollectorRegistry) -> None:
        r = registry

        def counter(name: str, text: str, *labels: str) -> LoopCounter:
            return LoopCounter(f"worker_{name}", text, [_LABEL, *labels], registry=r)

        def seconds(name: str, text: str) -> LoopHistogram:
            return LoopHistogram(
                f"worker_{name}_seconds", text, [_LABEL], buckets=SECONDS_BUCKETS, registry=r
            )

        self.busy = counter(
            "books_busy", "Books of a market that is being warmed or bought by this account"
        )
        self.decide = seconds("decide", "Deciding on one snapshot")
        self.stages = {
            "sign": seconds("sign", "Decision to signed order"),
            "claim": seconds("claim", "Signed order to durable claim"),
            "post": seconds("post", "Claim to the venue's answer"),
            "resolve": seconds("resolve", "Answer to resolved claim"),
        }
        self.tick_to_trade = seconds("tick_to_trade", "Frame at the feeder to order POST")
        self.price_deviation = LoopHistogram(
            "worker_price_deviation_ratio",
            "Average fill price above the signal's price, as a share of it",
            [_LABEL],
            buckets=_DEVIATION,
            registry=r,
        )
        self.holds = counter("holds", "Books without a trade, by reason", "reason")
        self.strategies_disabled = counter(
            "strategies_disabled",
            "ALARM: strategies that failed so often that they are asked no more",
        )
        # An exported name stays as it is: dashboards read it.
        self.refused_from_cache = counter(
            "signals_refused_by_hint", "Signals refused unasked", "reason"
        )
        self.claims_refused = counter(
            "claims_refused", "Claims refused by the store, by condition", "reason"
        )
        self.answers = counter("orders", "Orders posted, by answer", "answer")
        self.rejected = counter("orders_rejected", "Proven rejections, by reason", "reason")
        self.pauses = counter("account_pauses", "Pauses that the venue asked for", "reason")
        self.fills = counter("fills", "Fills applied to claims")
        self.fills_foreign = counter(
            "fills_foreign", "Orders traded that no account of the wallet knows"
        )
        self.fills_untold = counter(
            "fills_untold", "Orders traded that may be another account's, which cannot be read"
        )
        self.fills_malformed = counter("fills_malformed", "Fills that do not decode")
        self.fills_interrupted = counter(
            "fills_interrupted", "Times that fills could not be read or stored"
        )
        self.unpreparable = counter("orders_unpreparable", "Not buildable")
        self.store_errors = counter("store_errors", "Store calls without result")
        self.order_id_mismatch = counter("order_id_mismatch", "ALARM: an answer not of our order")
        self.decisions_dropped = counter("decisions_dropped", "Decision records not published")
        self.decisions_not_logged = counter(
            "decisions_not_logged",
            "Published decisions that do not decode, or that the table will never take",
        )
        self.in_trouble = Gauge(
            "worker_account_in_trouble",
            "ALARM: 1 while this account cannot trade, or cannot know what it has traded",
            [_LABEL],
            registry=r,
        )
        self.config_version = Gauge(
            "worker_config_version",
            "Version of the configuration that is followed",
            [_LABEL],
            registry=r,
        )


class AccountMetrics:
    """Of one account."""

    def __init__(self, of: AccountFamilies, account: str, reasons: Iterable[StrEnum] = ()) -> None:
        """`reasons`: those of its strategy, why it holds."""
        self.busy = of.busy.labels(account)
        self.decide = of.decide.labels(account)
        self.stages = {name: each.labels(account) for name, each in of.stages.items()}
        """By the stage's name in `protocol.decision.STAGES`; the stages before have their own."""
        self._observed = [
            (begin, end, self.stages[name]) for name, begin, end in STAGES if name in self.stages
        ]
        self.tick_to_trade = of.tick_to_trade.labels(account)
        self.price_deviation = of.price_deviation.labels(account)
        self.holds = {
            reason: of.holds.labels(account, reason.value) for reason in (*HoldReason, *reasons)
        }
        self.strategies_disabled = of.strategies_disabled.labels(account)
        self.refused_from_cache = {
            reason: of.refused_from_cache.labels(account, reason.value) for reason in ClaimRefusal
        }
        self.claims_refused = {
            reason: of.claims_refused.labels(account, reason.value) for reason in ClaimRefusal
        }
        self.answers = {answer: of.answers.labels(account, answer) for answer in ANSWERS}
        self.rejected = {
            reason: of.rejected.labels(account, reason.value) for reason in RejectReason
        }
        self.pauses = {
            reason: of.pauses.labels(account, reason.value)
            for reason in RejectReason
            if pauses(reason)
        }
        self.fills = of.fills.labels(account)
        self.fills_foreign = of.fills_foreign.labels(account)
        self.fills_untold = of.fills_untold.labels(account)
        self.fills_malformed = of.fills_malformed.labels(account)
        self.fills_interrupted = of.fills_interrupted.labels(account)
        self.unpreparable = of.unpreparable.labels(account)
        self.store_errors = of.store_errors.labels(account)
        self.order_id_mismatch = of.order_id_mismatch.labels(account)
        self.decisions_dropped = of.decisions_dropped.labels(account)
        self.decisions_not_logged = of.decisions_not_logged.labels(account)
        self.in_trouble = of.in_trouble.labels(account)
        self.config_version = of.config_version.labels(account)

    def observe_order(self, timeline: Timeline) -> None:
        """Once at the end of an order's way: each stage that it has reached.

        From the frame to the POST only where the order has an answer: a claim that was refused has
        its time, too.
        """
        for begin, end, histogram in self._observed:
            begin_ns, end_ns = getattr(timeline, begin), getattr(timeline, end)
            if begin_ns and end_ns:
                histogram.observe((end_ns - begin_ns) / 1e9)
        if timeline.answered_at_ns:
            ready_ns = timeline.claimed_at_ns - timeline.received_at_ns
            self.tick_to_trade.observe(ready_ns / 1e9)

    @property
    def refused_by_store(self) -> tuple[Counter, ...]:
        """Claims that the store refused."""
        return tuple(self.claims_refused.values())

    @property
    def posted(self) -> tuple[Counter, ...]:
        """Orders that were posted."""
        return tuple(self.answers.values())

    @property
    def signals(self) -> tuple[Counter, ...]:
        """Every signal ends as one of these, but for those whose claim got no answer."""
        return (
            *self.refused_from_cache.values(),
            *(self.holds[reason] for reason in MARKET_DOUBTS),
            self.unpreparable,
            *self.refused_by_store,
            *self.posted,
        )

    @property
    def order_errors(self) -> tuple[Counter, ...]:
        """Orders of which something is wrong."""
        failed = (counter for reason, counter in self.rejected.items() if reason not in _MISSED)
        return (self.answers["unknown"], *failed)
