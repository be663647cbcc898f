"""What each account's strategy says of a book, asked as a worker asks it, and within bounds.

A strategy of a user's file may raise, or not come to its end; this process answers the halt button,
so a call is interrupted after `ASK_MAX_S`, and a strategy that goes on failing is asked no more.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from math import isfinite
from typing import Final, Literal

import msgspec
import structlog

from executor.console.accounts import AccountNow
from functions.bootstrap import MisconfiguredError, strategy_of
from functions.core.ask import ask_strategy
from functions.core.configuration import Configuration, ConfigurationError, configuration_of
from functions.core.gate_checks import NumberCheck
from functions.core.strategy_failures import FAILURES_MAX, StrategyFailures
from functions.core.strategy_rules import one_line, said_of
from functions.core.trade import NUMBER_NAME_LENGTH_MAX, NUMBERS_MAX, Trade
from functions.settings import AccountSettings
from runtime.line_throttle import LineThrottle
from runtime.time_limit import TookTooLongError, within_s
from strategies.interface import Strategy
from strategies.parameters import StrategyParameters
from strategies.view import MarketView

ASK_MAX_S: Final = 0.25
"""Of time, not of CPU time: one that waits for something stops this process, too."""
_ENDLESS_COUNTS: Final = FAILURES_MAX // 2
_UNITS: Final = ("_e4", "_e6", "_ticks", "_s", "_ms", "_ratio", "_usd", "_bps")
_log = structlog.get_logger()


class StrategyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What it would do with a book."""

    kind: Literal["signal", "hold", "trouble"]
    text: str
    """Why it holds, or what is wrong; empty for a signal."""
    trade: Trade | None = None
    measures: tuple[NumberCheck, ...] = ()
    """What it goes by, each beside the parameters that bound it; empty where it does not tell."""


class AskedStrategies:
    """The strategies of all accounts, each loaded once, when it is first needed."""

    def __init__(self, settings: AccountSettings) -> None:
        self._settings = {one.account: one for one in settings.each()}
        self._loaded: dict[str, type[Strategy] | str] = {}
        self._followed: dict[str, tuple[int, Configuration | str]] = {}
        """By account, with the version that it is of."""
        self._failures: dict[str, StrategyFailures] = {}
        self._said = LineThrottle()

    def strategy(self, account: str) -> type[Strategy] | str:
        """Its class, or in a sentence why there is none."""
        if account not in self._loaded:
            try:
                self._loaded[account] = strategy_of(self._settings[account])
            except MisconfiguredError as error:
                self._loaded[account] = str(error)
        return self._loaded[account]

    def followed(self, now: AccountNow) -> Configuration | str:
        """The configuration in force, or in a sentence why it cannot be followed here."""
        row = now.configuration
        if row is None:
            return "it has no configuration yet: the first worker that starts makes it"
        known = self._followed.get(now.name)
        if known is None or known[0] != row.version:
            strategy = self.strategy(now.name)
            made: Configuration | str
            if isinstance(strategy, str):
                made = strategy
            else:
                try:
                    with within_s(ASK_MAX_S):
                        made = configuration_of(row, strategy.name, strategy.Parameters)
                except ConfigurationError as error:
                    made = str(error)
                except TookTooLongError:
                    made = "its strategy's parameters take too long to be read"
            known = self._followed[now.name] = row.version, made
        return known[1]

    def ask(self, account: str, view: MarketView, configuration: Configuration) -> StrategyAnswer:
        """Raises nothing, whatever the strategy does."""
        strategy = self.strategy(account)
        if isinstance(strategy, str):
            return StrategyAnswer(kind="trouble", text=strategy)
        if self._failures.setdefault(account, StrategyFailures()).disabled:
            return StrategyAnswer(
                kind="trouble", text="it failed too often here, and this console asks it no more"
            )
        try:
            with within_s(ASK_MAX_S):
                measures = _measured(strategy, view, configuration)
                answer = ask_strategy(strategy, view, configuration)
        except TookTooLongError:
            text = f"it does not answer within {ASK_MAX_S:g} s"
            return self._failed(account, text, counts=_ENDLESS_COUNTS)
        # Nothing else is under way here, so whatever it is comes from the strategy.
        except BaseException as error:  # noqa: BLE001 - see above
            return self._failed(account, f"it raises {said_of(error)}", counts=1)
        if isinstance(answer, Trade):
            return StrategyAnswer(kind="signal", text="", trade=answer, measures=measures)
        return StrategyAnswer(kind="hold", text=answer.reason.value, measures=measures)

    def _failed(self, account: str, text: str, counts: int) -> StrategyAnswer:
        self._failures[account].note(time.monotonic_ns() // 1_000_000, counts)
        if (unlogged := self._said.admit()) is not None:
            _log.warning(
                "console_strategy_failed", account=account, error=text, unlogged_before=unlogged
            )
        return StrategyAnswer(kind="trouble", text=text)


def _measured(
    strategy: type[Strategy], view: MarketView, configuration: Configuration
) -> tuple[NumberCheck, ...]:
    """Raises whatever the strategy raises, and TypeError for an answer that is none."""
    parameters = configuration.parameters
    told: object = strategy.measures(view, parameters, view.now_ms)
    if not isinstance(told, Mapping) or len(told) > NUMBERS_MAX:
        raise TypeError(f"measures: at most {NUMBERS_MAX} numbers by name are wanted")
    checks = []
    for name, value in told.items():
        if type(name) is not str or not 0 < len(name) <= NUMBER_NAME_LENGTH_MAX:
            raise TypeError("measures: a name is 1 to 64 characters")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"measures: {one_line(name)} is not a number")
        checks.append(measure_check(name, float(value), parameters))
    return tuple(checks)


def measure_check(name: str, value: float, parameters: StrategyParameters) -> NumberCheck:
    """A strategy's number beside its bounds: of `spread_e4` these are the parameters
    `spread_min_e4` and `spread_max_e4`, if it has them."""
    unit = next((each for each in _UNITS if name.endswith(each)), "")
    stem = name.removesuffix(unit)
    values = parameters.model_dump()
    least, most = (_number(values.get(f"{stem}_{bound}{unit}")) for bound in ("min", "max"))
    wanted = [] if least is None else [f"at least {least:g}"]
    wanted += [] if most is None else [f"at most {most:g}"]
    below = least is not None and value < least
    above = most is not None and value > most
    return NumberCheck(
        name=name.replace("_", " "),
        value=f"{value:.4g}" if abs(value) < 1_000 else f"{value:,.0f}",
        wanted=", ".join(wanted),
        passed=isfinite(value) and not below and not above,
    )


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
