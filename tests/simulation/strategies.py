"""The strategies of the simulated accounts, one of which may raise, and who sees them asked.

Each decides as the built-in one that everybody's default is. `contrary` buys the other outcome in
half of the markets, so that two accounts on one wallet hold the same tokens in some and others in
others; `careful` has other parameters. Which books a raising one raises on follows from market and
time alone: a strategy has no chance of its own.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from functions.core.strategy_failures import FAILURES_MAX, WITHIN_MS
from functions.handlers.evaluate import Evaluator
from functions.worker_loop import Worker
from protocol.market import DOWN, UP
from protocol.snapshot import BookSnapshot
from strategies.book_imbalance import BookImbalance
from strategies.interface import Hold, Signal, Strategy
from strategies.parameters import parameter
from strategies.view import MarketView
from tests.simulation.loop import Simulation

PLAIN: Final = BookImbalance.name
CONTRARY: Final = "contrary"
CAREFUL: Final = "careful"


class _CarefulParameters(BookImbalance.Parameters):
    mid_min_e4: int = parameter(4_000, "Another one than everybody's.", ge=0, le=10_000)


PARAMETERS_OF: Final = {
    PLAIN: BookImbalance.Parameters,
    CONTRARY: BookImbalance.Parameters,
    CAREFUL: _CarefulParameters,
}
_real_consider = Evaluator.consider
_real_evaluate = Worker._evaluate


class StrategyWitness:
    """Sees which accounts are asked about which books, in which process, and what came of it."""

    def __init__(self, sim: Simulation, raises: dict[str, float]) -> None:
        """`raises`: by strategy, on what share of its books it does."""
        self.unasked: list[str] = []
        """Accounts that were free, and were not asked about a book that others were asked about."""
        self.raised = 0
        self._sim = sim
        self._raises = raises
        self._asked: defaultdict[tuple[int, str], list[tuple[int, bool]]] = defaultdict(list)
        """(process, strategy) -> (when in monotonic ms, whether it raised) of each book."""
        self._considered: list[str] = []

    def strategies(self) -> dict[str, type[Strategy]]:
        """By name, as STRATEGIES names them."""
        return {
            PLAIN: self._watched(PLAIN, BookImbalance.decide),
            CONTRARY: self._watched(CONTRARY, _contrary),
            CAREFUL: self._watched(CAREFUL, BookImbalance.decide),
        }

    def _watched(
        self,
        of_name: str,
        decide_on: Callable[..., Signal | Hold],
    ) -> type[Strategy]:
        witness = self

        class Watched(BookImbalance):
            name = of_name
            Parameters = PARAMETERS_OF[of_name]

            @staticmethod
            def decide(view: MarketView, parameters: Any, now_ms: int) -> Signal | Hold:
                kind = zlib.crc32(f"{view.market.slug}:{now_ms}".encode())
                if not witness._ask(of_name, raises=kind % 1_000):
                    return decide_on(view, parameters, now_ms)
                if kind % 3 == 0:
                    return "what is no answer"  # type: ignore[return-value]
                raise (ValueError if kind % 3 == 1 else SystemExit)("a strategy's own mistake")

        return Watched

    def _ask(self, name: str, raises: int) -> bool:
        raised = raises < 1_000 * self._raises.get(name, 0.0)
        self.raised += raised
        now_ms = self._sim.loop.now_ns // 1_000_000
        self._asked[self._sim.current.number, name].append((now_ms, raised))
        return raised

    # -- in the places of a worker's own -------------------------------------------------------

    def evaluate(self, worker: Worker, snapshot: BookSnapshot, delivered: Any) -> None:
        """As `Worker._evaluate`; sees whether each account that is free is asked."""
        condition_id = snapshot.market.condition_id
        free = [each.name for each in worker._accounts if worker._is_free(each, condition_id)]
        self._considered.clear()
        try:
            _real_evaluate(worker, snapshot, delivered)
        finally:
            for name in free:
                if name not in self._considered:
                    process = self._sim.current.name
                    self.unasked.append(f"{process} did not ask {name} about {condition_id}")

    def consider(self, evaluator: Evaluator, *arguments: Any) -> Any:
        """As `Evaluator.consider`."""
        self._considered.append(evaluator._reporter.account_name)
        return _real_consider(evaluator, *arguments)

    @property
    def disabled(self) -> int:
        """How often one had failed so often that it is asked no more."""
        return sum(_disabled_at(each) is not None for each in self._asked.values())

    # -- what must hold ------------------------------------------------------------------------

    def violations(self) -> Iterator[str]:
        """A strategy that raises costs others nothing, and is not asked for ever."""
        for each in self.unasked:
            yield f"[strategy] {each}, although it was free"
        told = sum(told.get("event") == "strategy_disabled" for _, _, _, told in self._sim.logs)
        if told != self.disabled:
            yield f"[strategy] {self.disabled} were disabled, and {told} times that was told"
        for (process, name), asked in self._asked.items():
            if _disabled_at(asked) not in (None, len(asked)):
                yield f"[strategy] {name} was asked by process {process} although it was disabled"


def _disabled_at(asked: list[tuple[int, bool]]) -> int | None:
    """After how many books it is asked no more."""
    failed_ms: list[int] = []
    for number, (at_ms, raised) in enumerate(asked, 1):
        if not raised:
            continue
        failed_ms.append(at_ms)
        last_ms = failed_ms[-FAILURES_MAX:]
        if len(last_ms) == FAILURES_MAX and last_ms[-1] - last_ms[0] <= WITHIN_MS:
            return number
    return None


def _contrary(view: MarketView, parameters: Any, now_ms: int) -> Signal | Hold:
    answer = BookImbalance.decide(view, parameters, now_ms)
    if isinstance(answer, Hold) or zlib.crc32(view.market.slug.encode()) % 2:
        return answer
    return msgspec.structs.replace(answer, outcome=DOWN if answer.outcome == UP else UP)
