"""A logged decision made again by the code at hand, and what of it is another one now. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from backtest.replay.history import NotAgain, Remade
from functions.core.ask import ask_strategy
from functions.core.configuration import (
    Configuration,
    ConfigurationError,
    ConfigurationRow,
    configuration_of,
)
from functions.core.gate import hold_reason_of
from functions.core.hold import HoldReason, hold
from functions.core.market_memories import view_of
from functions.core.strategy_rules import StrategyNotUsableError, one_line, said_of
from functions.core.trade import Trade
from functions.strategy_loading import file_of, load_strategy
from protocol.decision import Decision
from protocol.side import Side
from protocol.snapshot import BookSnapshot
from strategies.interface import Hold, Strategy
from strategies.memory import MarketMemory
from strategies.view import MarketView

ERROR_LENGTH_MAX: Final = 200
CONFIGURATIONS_KEPT: Final = 1_000
_encode: Final = msgspec.json.Encoder(order="deterministic").encode


class DecidedTrade(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision wants to buy, and why: all that is compared."""

    outcome: str
    side: Side
    token_id: str
    numbers: dict[str, float]
    edge_after_costs_ticks: float
    signal_price_e4: int
    max_price_e4: int
    spend_e6: int

    @classmethod
    def of(cls, told: Decision | Trade) -> DecidedTrade:
        """As it was logged, or as it is decided now."""
        return cls(**{name: getattr(told, name) for name in cls.__struct_fields__})


class Unlike(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is another one now."""

    name: str
    logged: str
    again: str


class CannotAskError(Exception):
    """Nobody can be asked under this configuration; `why` is one of `NotAgain`."""

    def __init__(self, why: NotAgain, text: str) -> None:
        super().__init__(text)
        self.why = why


class Strategies:
    """The strategies and configurations of the code at hand; `own` by name, before all others."""

    def __init__(self, own: Mapping[str, type[Strategy]] | None = None) -> None:
        self._own = dict(own or {})
        self._asked = set[str]()
        self._loaded: dict[str, type[Strategy] | str] = {}
        self._configurations: dict[ConfigurationRow, Configuration | str] = {}

    def strategy(self, name: str) -> type[Strategy]:
        """Raises CannotAskError."""
        self._asked.add(name)
        if (own := self._own.get(name)) is not None:
            return own
        if file_of(name) is not None:  # a stranger's recording must not choose code to run
            text = f"{one_line(name)}: a file, which no recording names"
            raise CannotAskError(NotAgain.STRATEGY_NOT_LOADED, text)
        if name not in self._loaded:
            if len(self._loaded) >= CONFIGURATIONS_KEPT:
                self._loaded.clear()
            try:
                self._loaded[name] = load_strategy(name)
            except StrategyNotUsableError as error:
                self._loaded[name] = str(error)
        loaded = self._loaded[name]
        if isinstance(loaded, str):
            raise CannotAskError(NotAgain.STRATEGY_NOT_LOADED, loaded)
        return loaded

    @property
    def own(self) -> frozenset[str]:
        """The names of those that were named."""
        return frozenset(self._own)

    @property
    def asked(self) -> frozenset[str]:
        """The names of all that were asked for, of those that are not there, too."""
        return frozenset(self._asked)

    def configuration(self, row: ConfigurationRow) -> Configuration:
        """The row as the code at hand follows it. Raises CannotAskError."""
        strategy = self.strategy(row.strategy)
        if row not in self._configurations:
            if len(self._configurations) >= CONFIGURATIONS_KEPT:
                self._configurations.clear()
            try:
                made: Configuration | str = configuration_of(
                    row, strategy.name, strategy.Parameters
                )
            except ConfigurationError as error:
                made = str(error)
            self._configurations[row] = made
        made = self._configurations[row]
        if isinstance(made, str):
            raise CannotAskError(NotAgain.CONFIGURATION_UNUSABLE, made)
        return made


def asked_again(
    snapshot: BookSnapshot,
    view: MarketView | None,
    now_ms: int,
    strategy: type[Strategy],
    configuration: Configuration,
) -> Trade | Hold:
    """Gate and strategy, as a worker asks them. Raises whatever the strategy raises."""
    reason = hold_reason_of(snapshot, configuration.gate, now_ms)
    if reason is None and view is None:
        reason = HoldReason.UNKNOWN_OUTCOMES
    if reason is not None or view is None:
        return hold(reason or HoldReason.UNKNOWN_OUTCOMES)
    return ask_strategy(strategy, view, configuration)


def made_again(remade: Remade, strategies: Strategies) -> DecidedTrade | str:
    """What is decided now: what to buy, or in words why nothing. Raises CannotAskError."""
    decision, snapshot = remade.decision, remade.snapshot
    configuration = strategies.configuration(remade.row)
    strategy = strategies.strategy(remade.row.strategy)
    view = view_of(snapshot, remade.memory, decision.asked_at_ms)
    try:
        answer = asked_again(snapshot, view, decision.asked_at_ms, strategy, configuration)
    except KeyboardInterrupt:  # of whoever waits for the replay
        raise
    except BaseException as error:  # noqa: BLE001 - a strategy may raise anything
        return f"raises {said_of(error)}"[:ERROR_LENGTH_MAX]
    return DecidedTrade.of(answer) if isinstance(answer, Trade) else f"holds: {answer.reason.value}"


def differences_of(remade: Remade, again: DecidedTrade | str) -> list[Unlike]:
    """What differs, to the last bit; empty where nothing does."""
    return [*_unlike(DecidedTrade.of(remade.decision), again), *_unlike_memory(remade)]


def _unlike_memory(remade: Remade) -> Iterator[Unlike]:
    # What was kept is kept when it comes again: a memory that keeps less by now would not.
    memory, rows = MarketMemory(), remade.memory.rows
    for row in rows:
        memory.keep(remade.snapshot.market, row)
    if memory.rows != rows:
        now = f"{len(memory.rows)} of them"
        yield Unlike(name="memory", logged=f"{len(rows)} books", again=now)


def _unlike(logged: DecidedTrade, again: DecidedTrade | str) -> list[Unlike]:
    if isinstance(again, str):
        return [Unlike(name="answer", logged=f"buys {logged.outcome}", again=again)]
    fields: dict[str, tuple[Any, Any]] = {
        name: (getattr(logged, name), getattr(again, name))
        for name in DecidedTrade.__struct_fields__
    }
    return [
        Unlike(name=name, logged=_encode(one).decode(), again=_encode(other).decode())
        for name, (one, other) in fields.items()
        if _encode(one) != _encode(other)
    ]
