"""What parameters must say of themselves, so that a person can set them: help, bounds, units."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any, Final, get_origin

from pydantic.fields import FieldInfo

from executor.strategy_check.report import StrategyCheck
from strategies.interface import Strategy

UNITS: Final = (
    *("_ms", "_s", "_min", "_e4", "_e6", "_ticks", "_usd", "_bps", "_shares", "_ratio"),
    *("_percent", "_books", "_rows", "_levels"),
)
_QUANTITIES: Final = frozenset(
    {
        *("price", "mid", "spread", "edge", "hurdle", "cost", "fee", "bid", "ask", "tick"),
        *("time", "age", "window", "delay", "horizon", "lookback", "interval", "period"),
        *("size", "spend", "notional", "volume", "depth", "duration", "life"),
    }
)
"""Words that are told in some unit: which one, the name must say."""
HELP_MIN: Final = 10


def parameter_check(strategy: type[Strategy]) -> StrategyCheck:
    """Whether all of them say enough; the defaults were checked when it was loaded."""
    wrong = list(_wrong(strategy))
    count = len(strategy.Parameters.model_fields)
    return StrategyCheck(
        what="parameters",
        ok=not wrong,
        text="; ".join(wrong) or f"{count}, each with help, bounds, and a default within them",
    )


def _wrong(strategy: type[Strategy]) -> Iterator[str]:
    for name, field in strategy.Parameters.model_fields.items():
        if len(field.description or "") < HELP_MIN:
            yield f"{name}: no sentence of help"
        if not _is_number(field):
            continue
        bounds = {
            kind
            for each in field.metadata
            for kind in ("ge", "gt", "le", "lt")
            if hasattr(each, kind)
        }
        if not bounds & {"ge", "gt"} or not bounds & {"le", "lt"}:
            yield f"{name}: wants a lower and an upper bound (ge=, le=)"
        if set(name.split("_")) & _QUANTITIES and not name.endswith(UNITS):
            yield f"{name}: its unit stands last in its name (one of {', '.join(UNITS)})"


def _is_number(field: FieldInfo) -> bool:
    kind: Any = field.annotation
    if kind is None or get_origin(kind) is not None or not isinstance(kind, type):
        return False
    return issubclass(kind, int | float) and not issubclass(kind, bool | Enum)
