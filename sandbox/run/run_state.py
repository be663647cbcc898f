"""What is known of a running system: books, decisions, positions, settlements, alarms, latencies.

Fed by `book.>` and `decision.>`, by reading the account and the ledger, and by the scheduled
functions' metrics, so it sees what any observer of the real system could see.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Final

from functions.core.claim import Claim, ClaimState
from protocol.decision import Decision, Timeline
from protocol.snapshot import BookSnapshot
from sandbox.percentiles import percentiles

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
class PositionRow:
    """One order that bought something. Money in USD, sizes in shares."""

    account: str
    slug: str
    outcome: str
    token_id: str
    size: float
    spend: float
    fee: float
    value: float | None
    """At the best bid, or what it paid once settled; None when neither is known."""
    settled: bool

    @property
    def profit(self) -> float | None:
        """After fees."""
        return None if self.value is None else self.value - self.spend - self.fee


class RunState:
    """The newest of everything, and short memories of what happened."""

    def __init__(self, accounts: Iterable[str]) -> None:
        self.accounts = tuple(accounts)
        self.books: dict[str, BookSnapshot] = {}
        self.decisions: deque[Decision] = deque(maxlen=200)
        self.executed: dict[str, Decision] = {}  # by order id
        self.reasons: Counter[str] = Counter()
        self.live: list[Claim] = []
        self.ended: list[Claim] = []
        self.alarms: dict[str, int] = {}  # what the scheduled functions alarm about, how often
        self.malformed: deque[str] = deque(maxlen=20)
        self._account_of: dict[str, str] = {}  # by intent id, of all that is live or ended
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

    @property
    def several(self) -> bool:
        """Whether it must be said whose each decision and position is."""
        return len(self.accounts) > 1

    def on_state(
        self, live: Mapping[str, Iterable[Claim]], ledger: Mapping[str, Iterable[Claim]]
    ) -> None:
        """Each account's claims and its ledger were read, by its name."""
        claims = {account: list(rows) for account, rows in live.items()}
        ended = {account: list(rows) for account, rows in ledger.items()}
        self._account_of = {
            row.intent_id: account
            for rows in (ended, claims)
            for account, each in rows.items()
            for row in each
        }
        self.live = sorted(
            (row for rows in claims.values() for row in rows), key=lambda row: row.claimed_at_ms
        )
        back = {claim.intent_id for claim in self.live}
        self.ended = [row for rows in ended.values() for row in rows if row.intent_id not in back]

    def positions(self) -> list[PositionRow]:
        """What was bought, oldest first: settled, or at its present value."""
        records = [*self.ended, *self.live]
        return [self._position(record) for record in records if record.filled_size_e6]

    def states(self) -> str:
        """How many claims there are in each state, and how many came back."""
        counts = Counter(record.state for record in (*self.live, *self.ended))
        words = [f"{counts[state]} {state}" for state in ClaimState if counts[state]]
        back = sum(record.came_back for record in (*self.live, *self.ended))
        return ", ".join([*words, f"{back} reopened"])

    def profits(self) -> dict[str, float]:
        """Account -> USD, after fees, of what it bought and whose worth is known."""
        profits = dict.fromkeys(self.accounts, 0.0)
        for position in self.positions():
            profits[position.account] += position.profit or 0.0
        return profits

    def settled_pnl(self) -> float:
        """USD, after fees, of what has been settled."""
        return sum(row.pnl_e6 for row in self.ended) / 1e6

    def _position(self, record: Claim) -> PositionRow:
        size = record.filled_size_e6 / 1e6
        settled = record.state is ClaimState.SETTLED
        # Nobody bids: nobody would pay anything for it.
        price = None if settled else self._best_bid(record)
        return PositionRow(
            account=self._account_of[record.intent_id],
            slug=record.slug,
            outcome=record.outcome,
            token_id=record.token_id,
            size=size,
            spend=record.filled_spend_e6 / 1e6,
            fee=record.fee_e6 / 1e6,
            value=record.payout_e6 / 1e6 if settled else None if price is None else size * price,
            settled=settled,
        )

    def deviations(self) -> list[float]:
        """How far above the signal's price each order was filled, as a share of it."""
        return [
            order.filled_spend_e6 * 1e4 / order.filled_size_e6 / order.signal_price_e4 - 1
            for order in self.executed.values()
            if order.filled_size_e6
        ]

    def stage_ms(self) -> dict[str, tuple[float, float, float]]:
        """(p50, p99, max) in milliseconds of each stage over the executed orders."""
        result = {}
        for name, start, end in STAGES:
            spans = _spans_ms((order.timeline for order in self.executed.values()), start, end)
            if spans:
                result[name] = percentiles(spans)
        return result

    def _best_bid(self, record: Claim) -> float | None:
        snapshot = self.books.get(record.condition_id)
        if snapshot is None:
            return None
        bid = next(book.best_bid_e4 for book in snapshot.books if book.token_id == record.token_id)
        return 0.0 if bid is None else bid / 1e4


def _spans_ms(timelines: Iterable[Timeline], start: str, end: str) -> list[float]:
    return [
        (getattr(line, end) - getattr(line, start)) / 1e6
        for line in timelines
        if getattr(line, end) and getattr(line, start)
    ]
