"""What a strategy's class must be, before it is asked about any book. Pure.

Strategies come from people who read the interface once. So each mistake has a line of its own, and
none of them is left for a worker to meet.
"""

from __future__ import annotations

import inspect
import json
import re
from enum import StrEnum
from typing import Any, Final

from pydantic import ValidationError

from functions.core.configuration import SETTINGS
from functions.core.hold import HoldReason
from strategies.interface import Strategy
from strategies.parameters import StrategyParameters

PARAMETERS_MAX: Final = 32
REASONS_MAX: Final = 32
"""Each is a label of a metric."""
TEXT_MAX: Final = 300
PLAIN: Final = re.compile("[a-z][a-z0-9_]{0,63}")
PLAIN_WORDS: Final = "a small letter, then small letters, digits and _, at most 64"
TAKEN: Final = frozenset(
    {
        *SETTINGS,
        *("parameters", "strategy", "execution"),
        *("collective_daily_loss_limit_usd", "collective_exposure_max_usd"),
    }
)
"""What an account is told beside its strategy's parameters, under one set of names."""
_WORKERS_REASONS: Final = frozenset({HoldReason.STRATEGY_ERROR, HoldReason.STRATEGY_DISABLED})


class StrategyNotUsableError(ValueError):
    """A strategy that cannot be run; one line that says what is wrong and where."""


def said_of(error: BaseException) -> str:
    """Type and text of a stranger's exception, whose own text may raise."""
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - a stranger's exception may be anything
        text = "an error without a text"
    return one_line(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def one_line(text: str) -> str:
    """Text from anywhere as one bounded line that can be printed and encoded."""
    text = text[: 4 * TEXT_MAX].encode("utf-8", "backslashreplace").decode("utf-8")
    text = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return text if len(text) <= TEXT_MAX else f"{text[:TEXT_MAX]} ..."


def check_strategy(found: object) -> type[Strategy]:
    """`found`, which is a usable strategy. Raises StrategyNotUsableError."""
    if not isinstance(found, type):
        raise StrategyNotUsableError("not a class")
    if not issubclass(found, Strategy) or found is Strategy:
        raise StrategyNotUsableError("not a strategy: its class must be derived from Strategy")
    try:
        _check_name(found)
        _check_parameters(found)
        _check_reasons(found)
        _check_decide(found)
    except StrategyNotUsableError:
        raise
    except Exception as error:  # a class may be made so that looking at it raises
        raise StrategyNotUsableError(f"cannot be looked at: {said_of(error)}") from error
    return found


def _check_name(strategy: type[Strategy]) -> None:
    name: Any = getattr(strategy, "name", None)
    if name is None:
        raise StrategyNotUsableError('name: missing; write name = "my_strategy" in the class')
    if not isinstance(name, str) or PLAIN.fullmatch(name) is None:
        raise StrategyNotUsableError(f"name: {one_line(repr(name))} is not {PLAIN_WORDS}")


def _check_parameters(strategy: type[Strategy]) -> None:
    model: Any = getattr(strategy, "Parameters", None)
    if not isinstance(model, type) or not issubclass(model, StrategyParameters):
        raise StrategyNotUsableError(
            "Parameters: missing, or not a class that is derived from StrategyParameters"
        )
    config = model.model_config
    if not config.get("frozen") or config.get("extra") != "forbid":
        raise StrategyNotUsableError("Parameters: model_config must leave frozen and extra alone")
    fields = model.model_fields
    if len(fields) > PARAMETERS_MAX:
        raise StrategyNotUsableError(f"Parameters: more than {PARAMETERS_MAX}")
    for name, field in fields.items():
        if PLAIN.fullmatch(name) is None or field.alias is not None:
            raise StrategyNotUsableError(f"Parameters: {one_line(name)}: not {PLAIN_WORDS}")
        if name in TAKEN:
            raise StrategyNotUsableError(
                f"Parameters: {name}: a setting of the account has that name; choose another"
            )
        if field.is_required():
            raise StrategyNotUsableError(f"Parameters: {name}: has no default")
    try:
        defaults = model()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the defaults"
        said = one_line(first["msg"])
        raise StrategyNotUsableError(f"Parameters: {where}: its default: {said}") from None
    except Exception as error:  # a bound that does not fit the type, a validator of its own
        raise StrategyNotUsableError(f"Parameters: the defaults: {said_of(error)}") from error
    stored = defaults.model_dump_json()
    values = json.loads(stored)
    if not all(isinstance(value, str | int | float | None) for value in values.values()):
        raise StrategyNotUsableError("Parameters: only numbers, texts, and true or false")
    if model.model_validate_json(stored) != defaults:
        raise StrategyNotUsableError("Parameters: the defaults are others once they were stored")


def _check_reasons(strategy: type[Strategy]) -> None:
    reasons: Any = getattr(strategy, "Reason", None)
    if not isinstance(reasons, type) or not issubclass(reasons, StrEnum):
        raise StrategyNotUsableError("Reason: missing, or not a StrEnum")
    if not 0 < len(reasons) <= REASONS_MAX:
        raise StrategyNotUsableError(f"Reason: 1 to {REASONS_MAX} reasons to hold")
    for reason in reasons:
        if PLAIN.fullmatch(reason.value) is None:
            said = one_line(repr(reason.value))
            raise StrategyNotUsableError(f"Reason: {said} is not {PLAIN_WORDS}")
        if reason.value in _WORKERS_REASONS:
            raise StrategyNotUsableError(f"Reason: {reason.value} is the worker's own")


def _check_decide(strategy: type[Strategy]) -> None:
    decide = inspect.getattr_static(strategy, "decide")
    if decide is inspect.getattr_static(Strategy, "decide"):
        raise StrategyNotUsableError("decide: missing")
    if not isinstance(decide, staticmethod):
        raise StrategyNotUsableError("decide: must be a @staticmethod")
    function = decide.__func__
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise StrategyNotUsableError("decide: must be a plain function, without async and yield")
    try:
        inspect.signature(function).bind(None, None, 0)
    except TypeError:
        raise StrategyNotUsableError("decide: must take (view, parameters, now_ms)") from None
