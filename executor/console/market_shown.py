"""What the view Markets shows of a book, and why each account buys nothing on it. Pure.

In the order in which a worker asks: the gate, the strategy, the account.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Final

import msgspec

from executor.console.accounts import AccountNow
from executor.console.asked_strategies import StrategyAnswer
from executor.console.formats import price, usd
from functions.core.account import refusal_of, utc_day
from functions.core.account_checks import account_checks
from functions.core.claim import Claim, ClaimState
from functions.core.configuration import Configuration
from functions.core.gate import hold_reason_of
from functions.core.gate_checks import NumberCheck, gate_checks
from protocol.book import Book, Level
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot
from strategies.memory import BookRow
from strategies.view import MarketView

STALE_MS: Final = 2_000
"""An older book is marked."""
IMBALANCE_LEVELS: Final = 5
LADDER_LEVELS: Final = 10
ENDED: Final = "it has ended"
MIDS_APART_MS: Final = 2_500
MIDS_MAX: Final = 25
"""Of the last minute, so."""


class FollowedAccount(msgspec.Struct, frozen=True):
    """An account as it is now, and its configuration in force or why that cannot be followed."""

    now: AccountNow
    configuration: Configuration | str


class WhyNot(msgspec.Struct, frozen=True, kw_only=True):
    """Of one account: the first thing that keeps it from buying."""

    account: str
    text: str
    held: bool
    """False: nothing that is known here does."""


class MarketRow(msgspec.Struct, frozen=True, kw_only=True):
    """A market among the others."""

    condition_id: str
    slug: str
    books: tuple[tuple[str, Book], ...]
    """By outcome, Up first."""
    spread_ticks: float | None
    """Of the first one, as are the imbalance and the mids."""
    imbalance: float | None
    proof: str
    age_ms: int
    to_close_ms: int
    """Zero or less: it has ended."""
    mids_e4: tuple[float | None, ...]
    """Of the last minute, oldest first."""
    why: tuple[WhyNot, ...]

    @property
    def stale(self) -> bool:
        """Whether its book is too old to be shown as live."""
        return self.age_ms > STALE_MS


class LadderStep(msgspec.Struct, frozen=True):
    """One level: its price, its size, and the size as a share of the largest shown."""

    price_e4: int
    size_e6: int
    share: float


class ShownLadder(msgspec.Struct, frozen=True, kw_only=True):
    """One outcome's book, highest price first."""

    outcome: str
    asks: tuple[LadderStep, ...]
    bids: tuple[LadderStep, ...]
    spread_e4: int | None
    imbalance: float | None


class AccountSignal(msgspec.Struct, frozen=True, kw_only=True):
    """All that stands between a market and an order of one account."""

    account: str
    execution: str
    summary: WhyNot
    gate: tuple[NumberCheck, ...] = ()
    strategy: StrategyAnswer | None = None
    """None: it was not asked."""
    limits: tuple[NumberCheck, ...] = ()


def market_row(
    snapshot: BookSnapshot,
    view: MarketView | None,
    accounts: Sequence[FollowedAccount],
    now_ms: int,
) -> MarketRow:
    """One row; no strategy is asked."""
    market = snapshot.market
    books = named_books(snapshot)
    first = books[0][1]
    spread_e4 = first.spread_e4
    return MarketRow(
        condition_id=market.condition_id,
        slug=market.slug,
        books=books,
        spread_ticks=None if spread_e4 is None else spread_e4 / market.tick_size_e4,
        imbalance=first.imbalance(IMBALANCE_LEVELS),
        proof=snapshot.proof.value,
        age_ms=now_ms - snapshot.received_at_ns // 1_000_000,
        to_close_ms=market.end_ms - now_ms,
        mids_e4=() if view is None else recent_mids_e4(view.memory.rows),
        why=tuple(why_not(snapshot, each, now_ms) for each in accounts),
    )


def recent_mids_e4(rows: Sequence[BookRow]) -> tuple[float | None, ...]:
    """The mids of the last minute, oldest first, `MIDS_APART_MS` apart at least."""
    mids: list[float | None] = []
    until_ms = inf
    for row in reversed(rows):
        if row.at_ms <= until_ms:
            mids.append(row.mid_e4)
            until_ms = row.at_ms - MIDS_APART_MS
            if len(mids) == MIDS_MAX:
                break
    return tuple(reversed(mids))


def why_not(snapshot: BookSnapshot, account: FollowedAccount, now_ms: int) -> WhyNot:
    """What keeps it from buying, apart from its strategy, which is not asked."""
    name, configuration = account.now.name, account.configuration
    if isinstance(configuration, str):
        return WhyNot(account=name, text=configuration, held=True)
    if now_ms >= snapshot.market.end_ms:
        return WhyNot(account=name, text=ENDED, held=True)
    if hold_reason_of(snapshot, configuration.gate, now_ms) is not None:
        return _first_failed(name, gate_checks(snapshot, configuration.gate, now_ms))
    claim = imagined_claim(snapshot.market, account.now, configuration, now_ms)
    refusal = refusal_of(account.now.account, claim, configuration.limits, now_ms, utc_day(now_ms))
    if refusal is not None:
        return _first_failed(name, _limits(account.now, claim, configuration, now_ms))
    return WhyNot(account=name, text="up to its strategy", held=False)


def account_signal(
    snapshot: BookSnapshot,
    account: FollowedAccount,
    answer: StrategyAnswer | None,
    now_ms: int,
) -> AccountSignal:
    """All checks of one account, and what its strategy has answered, None where the gate holds."""
    now, configuration = account.now, account.configuration
    if isinstance(configuration, str):
        why = WhyNot(account=now.name, text=configuration, held=True)
        return AccountSignal(account=now.name, execution=now.execution, summary=why)
    gate = gate_checks(snapshot, configuration.gate, now_ms)
    claim = imagined_claim(snapshot.market, now, configuration, now_ms)
    limits = _limits(now, claim, configuration, now_ms)
    return AccountSignal(
        account=now.name,
        execution=now.execution,
        summary=_summary(now.name, gate, answer, limits),
        gate=tuple(gate),
        strategy=answer,
        limits=tuple(limits),
    )


def ladders(snapshot: BookSnapshot) -> tuple[ShownLadder, ...]:
    """Both books, on one scale."""
    books = named_books(snapshot)
    shown = [
        level for _, book in books for side in (book.bids, book.asks)
        for level in side[:LADDER_LEVELS]
    ]  # fmt: skip
    most_e6 = max((size_e6 for _, size_e6 in shown), default=1) or 1

    def steps(levels: Sequence[Level]) -> tuple[LadderStep, ...]:
        return tuple(LadderStep(*level, level[1] / most_e6) for level in levels[:LADDER_LEVELS])

    return tuple(
        ShownLadder(
            outcome=outcome,
            asks=steps(book.asks)[::-1],
            bids=steps(book.bids),
            spread_e4=book.spread_e4,
            imbalance=book.imbalance(IMBALANCE_LEVELS),
        )
        for outcome, book in books
    )


def named_books(snapshot: BookSnapshot) -> tuple[tuple[str, Book], ...]:
    """Up's book before Down's; other outcomes as they come."""
    names = {each.token_id: each.name for each in snapshot.market.outcomes}
    books = snapshot.up_and_down() or snapshot.books
    return tuple((names.get(book.token_id, "?"), book) for book in books)


def imagined_claim(
    market: MarketInfo, now: AccountNow, configuration: Configuration, now_ms: int
) -> Claim:
    """The claim that an order of the account's size would be; nobody ever makes it."""
    account = now.account
    return Claim(
        intent_id="imagined",
        attempt_id="imagined",
        order_id="imagined",
        condition_id=market.condition_id,
        slug=market.slug,
        token_id=market.outcomes[0].token_id,
        outcome=market.outcomes[0].name,
        state=ClaimState.CLAIMED,
        max_price_e4=1,
        spend_e6=configuration.order.spend_e6,
        salt="0",
        order_timestamp_ms=now_ms,
        claimed_at_ms=now_ms,
        market_end_ms=market.end_ms,
        counted=True,
        config_version=configuration.version,
        collective="" if account is None else account.collective,
    )


def _limits(
    now: AccountNow, claim: Claim, configuration: Configuration, now_ms: int
) -> list[NumberCheck]:
    if now.account is None:
        return [
            NumberCheck(
                name="account",
                value=now.error or "not read yet",
                wanted="known",
                passed=False,
            )
        ]
    today = utc_day(now_ms)
    return list(account_checks(now.account, claim, configuration.limits, now_ms, today).values())


def _summary(
    account: str,
    gate: Sequence[NumberCheck],
    answer: StrategyAnswer | None,
    limits: Sequence[NumberCheck],
) -> WhyNot:
    if not all(each.passed for each in gate):
        return _first_failed(account, gate)
    if answer is None:
        return WhyNot(account=account, text="its strategy is not asked: other outcomes", held=True)
    if answer.kind == "trouble":
        return WhyNot(account=account, text=f"the strategy fails: {answer.text}", held=True)
    if answer.kind == "hold":
        measured = next((each for each in answer.measures if not each.passed), None)
        number = "" if measured is None else f" ({_told(measured)})"
        text = f"the strategy holds: {answer.text.replace('_', ' ')}{number}"
        return WhyNot(account=account, text=text, held=True)
    refused = not all(each.passed for each in limits)
    if refused or answer.trade is None:
        return _first_failed(account, limits)
    trade = answer.trade
    text = (
        f"would buy {trade.outcome} for {usd(trade.spend_e6)} USD"
        f" at up to {price(trade.max_price_e4)}"
    )
    return WhyNot(account=account, text=text, held=False)


def _first_failed(account: str, checks: Sequence[NumberCheck]) -> WhyNot:
    failed = next((each for each in checks if not each.passed), None)
    text = "nothing" if failed is None else _told(failed)
    return WhyNot(account=account, text=text, held=failed is not None)


def _told(check: NumberCheck) -> str:
    return f"{check.name}: {check.value}, must be {check.wanted}"
