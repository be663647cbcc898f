"""The strategy that a name in STRATEGIES means. All that resolves one comes by here."""

from __future__ import annotations

from functions.core.group import is_file
from strategies.builtin import BUILTIN
from strategies.interface import Strategy


class UnknownStrategyError(ValueError):
    """There is no such strategy; one sentence that does not repeat the name, which may be a secret
    in the wrong variable."""


def check_strategy(name: str) -> None:
    """Whether there can be such a strategy, without loading it: who only serves its account need
    not have its file. Raises UnknownStrategyError."""
    if not is_file(name) and name not in BUILTIN:
        raise UnknownStrategyError(f"no such strategy; there is: {', '.join(sorted(BUILTIN))}")


def strategy_named(name: str) -> type[Strategy]:
    """Its class. Raises UnknownStrategyError."""
    check_strategy(name)
    if name not in BUILTIN:
        raise UnknownStrategyError("strategies of a file cannot be loaded yet")
    return BUILTIN[name]
