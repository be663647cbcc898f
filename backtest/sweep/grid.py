"""What a sweep tries: axes as a person writes them, and their points. Pure.

imbalance_min=0.3..0.7:0.1      0.3, 0.4, 0.5, 0.6, 0.7
levels=1..10                    ten equal steps, whole ones where the parameter is whole
"""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Final, TypeAlias

import msgspec
from pydantic import ValidationError

from functions.core.configuration import SETTINGS
from strategies.parameters import StrategyParameters

POINTS_MAX: Final = 100_000
"""Of an axis, and of all axes together."""
_STEPS: Final = 10
"""Without a step: as many lie between the ends."""
_FINEST: Final = 10_000
"""Without a step, a value is drawn to this part of the range."""
_NUMBER: Final = r"[-+]?(?:\d{1,15}(?:\.\d{1,15})?|\.\d{1,15})"
_AXIS: Final = re.compile(
    rf"(?P<name>[A-Za-z_]\w*)=(?P<first>{_NUMBER})\.\.(?P<last>{_NUMBER})(?::(?P<step>{_NUMBER}))?",
    re.ASCII,
)

Number: TypeAlias = int | float
Point: TypeAlias = dict[str, Number]
"""A value for each parameter that is swept."""


class SweepError(ValueError):
    """What is wrong with a sweep; one line for a person."""


class Axis(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter and the values that it is to take."""

    name: str
    text: str
    """As it was written, without the name."""
    values: tuple[Number, ...]
    """Rising, each once; of the parameter's type."""
    first: Number
    last: Number
    """The ends as they were written; `values` need not reach the last one."""
    stepped: bool
    """Whether a step was given: then only `values` are ever drawn."""


def parse_sweep(text: str, parameters: type[StrategyParameters]) -> Axis:
    """`name=a..b[:step]` of a strategy's parameters. Raises SweepError.

    The last value is at most `b`. Without a step the range has ten equal ones, a whole parameter
    whole ones.
    """
    match = _AXIS.fullmatch(text)
    if match is None:
        raise SweepError(f"{text!r}: name=a..b or name=a..b:step is wanted, e.g. levels=1..10:1")
    name, whole = match["name"], _is_whole(match["name"], parameters)
    first, last = Decimal(match["first"]), Decimal(match["last"])
    if last < first:
        raise SweepError(f"{text}: an empty sweep: {last} is below {first}")
    if match["step"] is not None:
        step = Decimal(match["step"])
    else:
        step = _step_between(first, last, whole=whole)
    if step <= 0:
        raise SweepError(f"{text}: an empty sweep: the step must be above 0")
    count = int((last - first) / step) + 1
    if count > POINTS_MAX:
        raise SweepError(f"{text}: {count:,} values; a sweep has at most {POINTS_MAX:,} points")
    if whole and (first % 1 or last % 1 or step % 1):
        raise SweepError(f"{text}: {name} takes whole numbers")
    for end in (first, last):
        _check(name, int(end) if whole else float(end), parameters)
    numbers = (first + index * step for index in range(count))
    return Axis(
        name=name,
        text=text.partition("=")[2],
        values=tuple(int(each) if whole else float(each) for each in numbers),
        first=int(first) if whole else float(first),
        last=int(last) if whole else float(last),
        stepped=match["step"] is not None,
    )


def axes_of(texts: Sequence[str], parameters: type[StrategyParameters]) -> list[Axis]:
    """Each parameter at most once. Raises SweepError."""
    axes = [parse_sweep(text, parameters) for text in texts]
    names = [axis.name for axis in axes]
    for name in names:
        if names.count(name) > 1:
            raise SweepError(f"{name}: swept twice")
    return axes


def grid(axes: Sequence[Axis]) -> list[Point]:
    """Every combination, the last axis fastest. Raises SweepError for too many, or none."""
    count = _combinations(axes)
    if not axes:
        raise SweepError("an empty sweep: no parameter is given")
    if count > POINTS_MAX:
        raise SweepError(
            f"{count:,} points; a sweep has at most {POINTS_MAX:,}: larger steps, or --random"
        )
    names = [axis.name for axis in axes]
    combined = itertools.product(*(axis.values for axis in axes))
    return [dict(zip(names, values, strict=True)) for values in combined]


def random_points(axes: Sequence[Axis], count: int, seed: int) -> list[Point]:
    """So many points, each once, drawn from the axes: from the values of one with a step, else from
    anywhere between its ends. Raises SweepError where there are not so many, or none is wanted."""
    if not axes:
        raise SweepError("an empty sweep: no parameter is given")
    if not 1 <= count <= POINTS_MAX:
        raise SweepError(f"--random: from 1 to {POINTS_MAX:,} points are wanted")
    room = math.prod(_room(axis) for axis in axes)
    if count > room:
        raise SweepError(f"--random: {count:,} points are wanted, and there are only {room:,}")
    generator = random.Random(seed)  # noqa: S311 - the same seed shall give the same points
    drawn: dict[tuple[Number, ...], None] = {}
    if room <= 2 * POINTS_MAX:  # few enough to lay out, and to be drawn until none is left
        for number in generator.sample(range(room), count):
            drawn[_numbered(axes, number)] = None
    while len(drawn) < count:
        drawn[tuple(_at(axis, generator.randrange(_room(axis))) for axis in axes)] = None
    names = [axis.name for axis in axes]
    return [dict(zip(names, values, strict=True)) for values in drawn]


def _combinations(axes: Sequence[Axis]) -> int:
    return math.prod(len(axis.values) for axis in axes)


def _room(axis: Axis) -> int:
    """How many values can be drawn."""
    if axis.stepped or axis.first == axis.last:
        return len(axis.values)
    return int(axis.last - axis.first) + 1 if isinstance(axis.first, int) else _FINEST + 1


def _at(axis: Axis, index: int) -> Number:
    """One of the values that can be drawn."""
    if axis.stepped or axis.first == axis.last:
        return axis.values[index]
    if isinstance(axis.first, int):
        return axis.first + index
    # As exact as it was written, so that it can be typed in again.
    low, high = Decimal(str(axis.first)), Decimal(str(axis.last))
    return float(low + (high - low) * index / _FINEST)


def _numbered(axes: Sequence[Axis], number: int) -> tuple[Number, ...]:
    values: list[Number] = []
    for axis in axes:
        number, index = divmod(number, _room(axis))
        values.append(_at(axis, index))
    return tuple(values)


def _is_whole(name: str, parameters: type[StrategyParameters]) -> bool:
    """Whether it takes whole numbers only. Raises SweepError for one that cannot be swept."""
    tunable = parameters.tunable()
    if name not in tunable:
        why = "not marked tunable" if name in parameters.model_fields else "no such parameter"
        if name in SETTINGS:
            why = "a setting of the account, which only --set can change"
        raise SweepError(f"{name}: {why}; tunable are: {', '.join(tunable) or 'none'}")
    kind = parameters.model_fields[name].annotation
    if kind not in (int, float):
        raise SweepError(f"{name}: only a parameter that is a number can be swept")
    return kind is int


def _check(name: str, value: Number, parameters: type[StrategyParameters]) -> None:
    """Raises SweepError for a value out of its bounds."""
    try:
        parameters.model_validate({name: value})
    except ValidationError as error:
        # What they say of several parameters together is said of the points.
        for item in error.errors(include_input=False, include_url=False):
            if item["loc"][:1] == (name,):
                raise SweepError(f"{name}: {value:g}: {item['msg']}") from None
    except Exception as error:
        # A strategy's parameters have validators of its own.
        raise SweepError(f"{name}: {value:g}: raises {type(error).__name__}") from error


def _step_between(first: Decimal, last: Decimal, *, whole: bool) -> Decimal:
    step = (last - first) / _STEPS
    if whole:
        step = step.to_integral_value(ROUND_CEILING)
    return step or Decimal(1)
