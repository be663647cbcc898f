"""What is known of a running system from what it publishes: books, decisions, positions, latencies.

Fed by `book.>` and `decision.>`, so it sees what any observer of the real system could see.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter, deque
from collections.abc import Iterable
from typing import Final

from protocol.decision import Decision, Timeline
from protocol.snapshot import BookSnapshot

STAGES: Final = (
    ("feeder", "received_at_ns", "published_at_ns"),
    ("stream", "published_at_ns", "delivered_at_ns"),
    ("decide", "delivered_at_ns", "decided_at_ns"),
    ("sign", "decided_at_ns", "signed_at_ns"),
    ("claim", "signed_at_ns", "claimed_at_ns"),
    ("POST", "claimed_at_ns", "answered_at_ns"),
    ("resolve", "answered_at_ns", "resolved_at_ns"),
    ("tick to POST", "received_at_ns", "claimed_at_ns"),
    ("tick to answer", "received_at_ns", "answered_at_ns"),
)
_RATE_WINDOW_S: Final = 5.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Position:
    """One filled order. Money in USD, sizes in shares."""

    slug: str
    outcome: str
    token_id: str
    size: float
    spend: float
    fee: float
    value: float | None
    """At the best bid, or at the payout once resolved; None when neither is known."""
    resolved: bool

    @property
    def profit(self) -> float | None:
        """After fees."""
        return None if self.value is None else self.value - self.spend - self.fee


class Picture:
    """The newest of everything, and short memories of what happened."""

    def __init__(self) -> None:
        self.books: dict[str, BookSnapshot] = {}
        self.decisions: deque[Decision] = deque(maxlen=200)
        self.executed: dict[str, Decision] = {}  # by order id
        self.reasons: Counter[str] = Counter()
        self.payouts: dict[str, float] = {}  # token id -> USD a share
        self.malformed: deque[str] = deque(maxlen=20)
        self._book_times_s: deque[float] = deque(maxlen=20_000)
        self.book_count = 0
        self.decision_count = 0

    def on_book(self, snapshot: BookSnapshot) -> None:
        """A snapshot was published."""
        self.books[snapshot.market.condition_id] = snapshot
        self.book_count += 1
        self._book_times_s.append(time.monotonic())

    def on_decision(self, decision: Decision) -> None:
        """A decision was published."""
        self.decision_count += 1
        self.decisions.append(decision)
        self.reasons[f"{decision.result}: {decision.reason}"] += 1
        if decision.result == "executed":
            self.executed[decision.order_id] = decision

    def current_books(self, now_ms: int) -> list[BookSnapshot]:
        """Books of windows that have begun and not ended, soonest end first."""
        live = [
            book
            for book in self.books.values()
            if book.market.start_ms <= now_ms < book.market.end_ms
        ]
        return sorted(live, key=lambda book: (book.market.end_ms, book.market.slug))

    def books_per_s(self) -> float:
        """Snapshots published in the last seconds."""
        now = time.monotonic()
        while self._book_times_s and now - self._book_times_s[0] > _RATE_WINDOW_S:
            self._book_times_s.popleft()
        return len(self._book_times_s) / _RATE_WINDOW_S

    def positions(self) -> list[Position]:
        """Filled orders, oldest first, at their present value."""
        found = []
        for decision in self.executed.values():
            if decision.state != "open" or not decision.filled_size_e6:
                continue
            size = decision.filled_size_e6 / 1e6
            payout = self.payouts.get(decision.token_id)
            # Nobody bids: nobody would pay anything for it.
            price = payout if payout is not None else self._best_bid(decision)
            found.append(
                Position(
                    slug=decision.slug,
                    outcome=decision.outcome,
                    token_id=decision.token_id,
                    size=size,
                    spend=decision.filled_spend_e6 / 1e6,
                    fee=decision.fee_e6 / 1e6,
                    value=None if price is None else size * price,
                    resolved=payout is not None,
                )
            )
        return found

    def stage_ms(self) -> dict[str, tuple[float, float, float]]:
        """(p50, p99, max) in milliseconds of each stage over the executed orders."""
        result = {}
        for name, start, end in STAGES:
            spans = _spans_ms((order.timeline for order in self.executed.values()), start, end)
            if spans:
                result[name] = percentiles(spans)
        return result

    def _best_bid(self, decision: Decision) -> float | None:
        snapshot = self.books.get(decision.condition_id)
        if snapshot is None:
            return None
        bid = next(
            book.best_bid_e4 for book in snapshot.books if book.token_id == decision.token_id
        )
        return 0.0 if bid is None else bid / 1e4


def _spans_ms(timelines: Iterable[Timeline], start: str, end: str) -> list[float]:
    return [
        (getattr(line, end) - getattr(line, start)) / 1e6
        for line in timelines
        if getattr(line, end) and getattr(line, start)
    ]


def percentiles(values: list[float]) -> tuple[float, float, float]:
    """(p50, p99, max), nearest rank. `values` must not be empty."""
    ordered = sorted(values)

    def rank(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return rank(0.5), rank(0.99), ordered[-1]
