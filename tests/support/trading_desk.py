"""One worker's evaluator and executor on an account in memory and a scripted exchange."""

from __future__ import annotations

from functions.core.account import Limits
from functions.core.fencing import Fence
from functions.core.gate import GateConfig
from functions.core.market_memories import MarketMemories
from functions.core.trade import Trade
from functions.handlers.evaluate import BookLook
from functions.handlers.follow_group import GroupFollower
from protocol.book import Proof
from protocol.decision import Decision
from protocol.snapshot import BookSnapshot
from runtime.instant import Instant
from strategies.book_imbalance import BookImbalance
from strategies.interface import Strategy
from tests.support.fake_ports import Calls, MemoryStore, ScriptedExchange
from tests.support.hot_path import hot_path
from tests.support.metrics_builders import worker_metrics

HOT_PATH = ["prepare", "claim", "post", "move"]


class Desk:
    def __init__(
        self,
        *,
        max_positions: int = 3,
        cooldown_ms: int = 300_000,
        book_age_max_ms: int = 1_000,
        time_to_close_min_ms: int = 300_000,
        strategy: type[Strategy] = BookImbalance,
        proof_min: Proof = Proof.TOP,
        group: GroupFollower | None = None,
    ) -> None:
        self.calls: Calls = []
        self.store = MemoryStore(self.calls)
        self.exchange = ScriptedExchange(self.calls)
        self.told: list[Decision] = []
        self.metrics = worker_metrics(strategy.Reason)
        self.fence, self.memories = Fence(), MarketMemories()
        self.account = hot_path(
            strategy=strategy,
            gate=GateConfig(
                book_age_max_ms=book_age_max_ms,
                proof_min=proof_min,
                time_to_close_min_ms=time_to_close_min_ms,
            ),
            limits=Limits(
                max_positions=max_positions,
                cooldown_ms=cooldown_ms,
                daily_loss_limit_e6=20_000_000,
                daily_spend_cap_e6=200_000_000,
            ),
            store=self.store,
            exchange=self.exchange,
            publish=self.told.append,
            metrics=self.metrics,
            fence=self.fence,
            group=group,
        )

    def consider(self, book: BookSnapshot, delivered: Instant) -> Trade | None:
        """As the worker does, but for the fence."""
        self.memories.note(book)
        view = self.memories.view(book, delivered.now_ns() // 1_000_000)
        configuration = self.account.configuration
        return self.account.evaluator.consider(BookLook(book, view, delivered), configuration)

    async def handle(self, book: BookSnapshot, delivered: Instant | None = None) -> bool:
        """As the worker does; True when there was something to execute."""
        delivered = delivered or Instant()
        trade = self.consider(book, delivered)
        if trade is None:
            return False
        await self.execute(book, trade, delivered)
        return True

    async def execute(self, book: BookSnapshot, trade: Trade, delivered: Instant) -> None:
        configuration = self.account.configuration
        await self.account.executor.execute(book, trade, delivered, configuration)
