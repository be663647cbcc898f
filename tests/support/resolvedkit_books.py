"""resolvedkit's own sample as its engine takes it, and our strategies asked beside its books.

Its recordings are where the bundled ones come from (`recordings/convert.py` says what was left
out). Books are made of the columns only when somebody looks at one, because all of them take three
seconds and an order looks at one in a thousand.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
from pyarrow import parquet
from resolvedkit.data.parquet import ParquetSource
from resolvedkit.engine import Backtester, Context, MarketResult
from resolvedkit.engine import Strategy as TheirStrategy
from resolvedkit.models import Book as TheirBook
from resolvedkit.models import Level as TheirLevel
from resolvedkit.models import Market as TheirMarket

from backtest.engine.account import SimulatedAccount
from functions.core.ask import ask_strategy
from functions.core.claim import PAPER_ORDER, Claim, ClaimState
from functions.core.configuration import Configuration
from functions.core.evidence import Resolution
from functions.core.gate import hold_reason_of
from functions.core.lifecycle import apply_answer, apply_resolution
from functions.core.market_memories import MarketMemories
from functions.core.paper_fill import accepted_of
from functions.core.trade import Trade
from protocol.decision import Timeline
from protocol.snapshot import BookSnapshot
from strategies.interface import Strategy
from venue.wire.order_answer import Answer, Rejected, RejectReason

SAMPLE: Final = Path(str(files("resolvedkit"))) / "sample_data"
"""books.parquet and markets.parquet."""


class Columns:
    """The books of all markets, a row each, by market in order of time."""

    def __init__(self) -> None:
        table = parquet.read_table(SAMPLE / "books.parquet").combine_chunks()
        self.market = table["market_id"].to_pylist()
        self.side = table["side"].to_pylist()
        self.at_ms = table["ts"].to_pylist()
        self._flat: dict[str, tuple[Any, Any]] = {}
        for name in ("bid_px", "bid_sz", "ask_px", "ask_sz"):
            lists = table[name].chunk(0)
            self._flat[name] = (np.asarray(lists.offsets), np.asarray(lists.values))
        self.rows: dict[str, list[int]] = {}
        for row in sorted(
            range(len(self.at_ms)), key=lambda row: (self.at_ms[row], self.side[row])
        ):
            self.rows.setdefault(self.market[row], []).append(row)

    def levels(self, row: int, side: str) -> tuple[TheirLevel, ...]:
        """`bid` or `ask`."""
        columns = []
        for name in (f"{side}_px", f"{side}_sz"):
            offsets, values = self._flat[name]
            columns.append(values[offsets[row] : offsets[row + 1]].tolist())
        return tuple(TheirLevel(price, size) for price, size in zip(*columns, strict=True))


@cache
def columns() -> Columns:
    """Read once."""
    return Columns()


class LazyBook(TheirBook):  # type: ignore[misc]  # it has no types
    """Levels when they are looked at."""

    def __init__(self, row: int) -> None:
        of = columns()
        self.__dict__.update(ts=of.at_ms[row], side=of.side[row], row=row)

    def __getattr__(self, name: str) -> Any:
        if name not in ("bids", "asks"):
            raise AttributeError(name)
        levels = self.__dict__[name] = columns().levels(self.__dict__["row"], name[:-1])
        return levels


class LazySource:
    """A `resolvedkit.data.base.DataSource` of the sample."""

    def markets(self) -> list[TheirMarket]:
        """Oldest first."""
        return [*ParquetSource(SAMPLE).markets()]

    def books(self, market_id: str) -> Iterator[TheirBook]:
        """All there are, of both tokens."""
        return map(LazyBook, columns().rows[market_id])


@dataclass(frozen=True)
class TheirOrder:
    """One order and what it got, in their units."""

    slug: str
    outcome: str
    decided_at_ms: int
    shares: float
    cost: float
    fee: float


class Decided:
    """What a strategy wants on each of our books, asked once."""

    def __init__(self, strategy: type[Strategy], configuration: Configuration) -> None:
        self.strategy, self.configuration = strategy, configuration
        self._trades: dict[tuple[str, int], tuple[BookSnapshot, Trade]] = {}

    def add(self, snapshots: Iterable[BookSnapshot]) -> None:
        """All books of one market, in order of time."""
        memories, configuration = MarketMemories(), self.configuration
        for snapshot in snapshots:
            memories.note(snapshot)
            now_ms = snapshot.received_at_ns // 1_000_000
            if hold_reason_of(snapshot, configuration.gate, now_ms) is not None:
                continue
            view = memories.view(snapshot, now_ms)
            assert view is not None
            trade = ask_strategy(self.strategy, view, configuration)
            if isinstance(trade, Trade):
                self._trades[snapshot.market.condition_id, now_ms] = snapshot, trade

    def at(self, market_id: str, at_ms: int) -> tuple[BookSnapshot, Trade] | None:
        """None: nothing."""
        return self._trades.get((market_id, at_ms))


class ByProduction(TheirStrategy):  # type: ignore[misc]  # likewise
    """Wants what the production gate and strategy decide on our books, as far as the production
    conditions of an account take it; orders are their engine's.

    It is run over all markets one after the other, as they are in time, and settles between them.
    """

    def __init__(self, decided: Decided) -> None:
        self._decided = decided
        self._account = SimulatedAccount(decided.configuration.limits)
        self._under_way: tuple[Claim, int] | None = None
        self._held: list[Claim] = []
        self._last_row: dict[int, str] = {}
        self.orders: list[TheirOrder] = []
        self.signals = 0

    def on_start(self, ctx: Context) -> None:
        """Both tokens of a moment have been seen with its last row."""
        of = columns()
        self._last_row = {of.at_ms[row]: of.side[row] for row in of.rows[ctx.market.market_id]}

    def on_book(self, ctx: Context, book: TheirBook) -> None:
        """See the class."""
        self._learn(ctx)
        if self._last_row[book.ts] != book.side:
            return
        wanted = self._decided.at(ctx.market.market_id, book.ts)
        if wanted is None:
            return
        self.signals += 1
        claim = self._claim(*wanted)
        if self._account.claim(claim, book.ts) is None:
            side = claim.outcome.upper()
            ctx.buy(side, claim.spend_e6 / 1e6, claim.max_price_e4 / 1e4)
            self._under_way = claim, len(ctx.positions[side].fills)

    def on_end(self, ctx: Context) -> None:
        """What is still under way then would be filled after it; none of ours is."""
        self._learn(ctx)
        assert not ctx.pending

    def settle(self, market: TheirMarket) -> None:
        """The positions of a market that has been played."""
        for claim in self._held:
            self._account.forget(claim)
            payout = market.payout_for(claim.outcome.upper())
            assert payout is not None
            resolution = Resolution(
                payouts_e6={claim.token_id: round(payout * 1e6)}, source="resolvedkit"
            )
            settled = apply_resolution(claim, resolution, market.end_ts)
            assert settled is not None
            self._account.book(settled, claim)
        self._held = []

    def _claim(self, snapshot: BookSnapshot, trade: Trade) -> Claim:
        market, order_id = snapshot.market, f"{PAPER_ORDER}{len(self.orders)}"
        now_ms = trade.asked_at_ms
        return Claim(
            intent_id=order_id,
            attempt_id=order_id,
            order_id=order_id,
            condition_id=market.condition_id,
            slug=market.slug,
            token_id=trade.token_id,
            outcome=trade.outcome,
            state=ClaimState.CLAIMED,
            max_price_e4=trade.max_price_e4,
            spend_e6=trade.spend_e6,
            fee_rate=str(market.fee.rate),
            salt="0",
            order_timestamp_ms=now_ms,
            claimed_at_ms=now_ms,
            market_end_ms=market.end_ms,
            counted=True,
            config_version=trade.config_version,
        )

    def _learn(self, ctx: Context) -> None:
        """What became of the order under way, if it has arrived."""
        if self._under_way is None or ctx.pending:
            return
        (claim, fills_before), self._under_way = self._under_way, None
        fills = ctx.positions[claim.outcome.upper()].fills[fills_before:]
        answer: Answer = Rejected(reason=RejectReason.NO_MATCH, text="no match")
        shares = cost = fee = 0.0
        if fills:
            (fill,) = fills
            shares, cost, fee = fill.shares, fill.notional, fill.fee
            answer = accepted_of(
                ((round(1e4 * fill.avg_price), int(1e6 * shares)),),
                order_id=claim.order_id,
                condition_id=claim.condition_id,
                token_id=claim.token_id,
                spend_e6=claim.spend_e6,
                at_ms=fill.ts,
            )
        moved = apply_answer(claim, answer, ctx.now, Timeline())
        assert moved is not None
        self._account.move(moved, claim)
        if moved.ended:
            self._account.forget(moved)
        else:
            self._held.append(moved)
        decided_at_ms = claim.claimed_at_ms
        self.orders.append(
            TheirOrder(ctx.market.slug, claim.outcome, decided_at_ms, shares, cost, fee)
        )


def played(
    decided: Decided,
    latency_ms: int,
    slugs: Container[str],
    source: LazySource | ParquetSource | None = None,
) -> tuple[ByProduction, list[MarketResult]]:
    """Markets by their engine; (who decided, what each market came to)."""
    player, source = ByProduction(decided), source or LazySource()
    tester = Backtester(source, player, latency_ms=latency_ms)
    results: list[MarketResult] = []
    for market in source.markets():
        if market.slug not in slugs:
            continue
        results += tester.run([market]).markets
        player.settle(market)
    return player, results
