"""What the commands print, as structs: pure functions of what the store holds and of the time.

`--json` prints these structs as they are, so their fields are what scripts rely on: money in 1e-6
USD (`_e6`), shares in 1e-6 (`_size_e6`), prices in 1e-4 USD (`_e4`), times in milliseconds.
"""

from __future__ import annotations

import msgspec

from functions.core.account import Account
from functions.core.account_status import Status
from functions.core.claim import Claim
from protocol.decision import Decision, Timeline, stages_ns
from protocol.units import PRICE_SCALE


class Statuses(msgspec.Struct, frozen=True, kw_only=True):
    """All accounts of STRATEGIES."""

    accounts: tuple[Status, ...]
    unreadable: dict[str, str]
    """Those that cannot be read, by name, and why."""


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """One claim that is still in the account."""

    market: str
    condition_id: str
    outcome: str
    state: str
    entry: int
    """Which one of its market's live claims it is, by age, from 1."""
    entries: int
    """How many live claims its market has."""
    reserved_e6: int
    spent_e6: int
    size_e6: int
    fee_e6: int
    price_e4: int | None
    """Average, None while nothing is known to be bought."""
    age_ms: int
    to_close_ms: int
    """Negative once the market has ended."""
    order_id: str


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the ledger."""

    market: str
    condition_id: str
    outcome: str
    state: str
    spent_e6: int
    size_e6: int
    fee_e6: int
    payout_e6: int
    pnl_e6: int
    claimed_at_ms: int
    order_id: str
    text: str


class Positions(msgspec.Struct, frozen=True, kw_only=True):
    """Live claims, oldest first, and the last ones that ended, oldest first."""

    account: str
    positions: tuple[Position, ...]
    ended: tuple[Ended, ...]
    unreadable: tuple[str, ...] = ()
    """One sentence for each row of the ledger that cannot be read."""


class LoggedDecision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision."""

    decision_id: str
    account: str
    at_ms: int
    market: str
    outcome: str
    result: str
    reason: str
    numbers: dict[str, float]
    """The strategy's reasons, by name."""
    edge_after_costs_ticks: float
    signal_price_e4: int
    max_price_e4: int
    spent_e6: int
    size_e6: int
    repeats: int
    stages_us: dict[str, int]
    """Stage -> microseconds, in the order in which they happen; only those that were reached."""
    order_id: str
    text: str
    config_version: int
    """The configuration that it was made under; 0: from before there were any."""


class Decisions(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first."""

    account: str
    day: str
    decisions: tuple[LoggedDecision, ...]
    unreadable: tuple[str, ...] = ()
    """One sentence for each row that cannot be read."""


def position_of(claim: Claim, of_market: list[Claim], now_ms: int) -> Position:
    """A claim of the account; `of_market`: all of its market, oldest first."""
    return Position(
        market=claim.slug,
        condition_id=claim.condition_id,
        outcome=claim.outcome,
        state=claim.state.value,
        entry=of_market.index(claim) + 1,
        entries=len(of_market),
        reserved_e6=claim.reserved_e6,
        spent_e6=claim.filled_spend_e6,
        size_e6=claim.filled_size_e6,
        fee_e6=claim.fee_e6,
        price_e4=_average_e4(claim),
        age_ms=max(0, now_ms - claim.claimed_at_ms),
        to_close_ms=claim.market_end_ms - now_ms,
        order_id=claim.order_id,
    )


def ended_of(claim: Claim) -> Ended:
    """A claim of the ledger."""
    return Ended(
        market=claim.slug,
        condition_id=claim.condition_id,
        outcome=claim.outcome,
        state=claim.state.value,
        spent_e6=claim.filled_spend_e6,
        size_e6=claim.filled_size_e6,
        fee_e6=claim.fee_e6,
        payout_e6=claim.payout_e6,
        pnl_e6=claim.pnl_e6,
        claimed_at_ms=claim.claimed_at_ms,
        order_id=claim.order_id,
        text=claim.text,
    )


def positions_of(
    name: str,
    account: Account,
    ended: list[Claim],
    now_ms: int,
    unreadable: tuple[str, ...] = (),
) -> Positions:
    """Live claims and ledger rows, each oldest first."""
    live = sorted(account.claims.values(), key=lambda claim: claim.claimed_at_ms)
    markets: dict[str, list[Claim]] = {}
    for claim in live:
        markets.setdefault(claim.condition_id, []).append(claim)
    return Positions(
        account=name,
        positions=tuple(position_of(claim, markets[claim.condition_id], now_ms) for claim in live),
        ended=tuple(ended_of(claim) for claim in ended),
        unreadable=unreadable,
    )


def decided_of(decision: Decision) -> LoggedDecision:
    """One row of the decision log."""
    return LoggedDecision(
        decision_id=decision.decision_id,
        account=decision.strategy,
        at_ms=decision.decided_at_ms,
        market=decision.slug,
        outcome=decision.outcome,
        result=decision.result,
        reason=decision.reason,
        numbers=decision.numbers or {"imbalance": decision.imbalance},
        edge_after_costs_ticks=decision.edge_after_costs_ticks,
        signal_price_e4=decision.signal_price_e4,
        max_price_e4=decision.max_price_e4,
        spent_e6=decision.filled_spend_e6,
        size_e6=decision.filled_size_e6,
        repeats=decision.repeats,
        stages_us=stages_us(decision.timeline),
        order_id=decision.order_id,
        text=decision.text,
        config_version=decision.config_version,
    )


def stages_us(timeline: Timeline) -> dict[str, int]:
    """How long each stage took until the venue's answer, of those that were reached."""
    return {
        name: took_ns // 1_000 for name, took_ns in stages_ns(timeline).items() if name != "resolve"
    }


def _average_e4(claim: Claim) -> int | None:
    if not claim.filled_size_e6:
        return None
    return round(claim.filled_spend_e6 * PRICE_SCALE / claim.filled_size_e6)
