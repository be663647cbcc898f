"""A form out of the types of what may be set: bounds, help and units as they stand there. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any, Final, Literal, get_args, get_origin

import msgspec
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from functions.core.configuration import NOT_LIMITED, AccountConfiguration, shown
from strategies.parameters import StrategyParameters

PREFIX: Final = "value."
"""How the names of fields begin: whatever a parameter is called, it is no other field's name."""
_UNITS: Final = {
    "ms": "milliseconds",
    "s": "seconds",
    "usd": "USD",
    "e4": "1e-4 USD",
    "ticks": "ticks",
    "bps": "basis points",
}


class FormField(msgspec.Struct, frozen=True, kw_only=True):
    """One name that may be set, as it is shown in a form."""

    name: str
    kind: Literal["number", "text", "checkbox", "select"]
    value: str
    """What is in the field, as it was typed."""
    stored: str
    default: str
    help: str
    unit: str = ""
    least: str = ""
    most: str = ""
    """The bounds in words are `bounds`; these are for the browser."""
    step: str = "any"
    bounds: str = ""
    options: tuple[str, ...] = ()
    limitless: bool = False
    """Whether it may be left empty: there is no such limit then."""
    mistake: str = ""


class FormGroup(msgspec.Struct, frozen=True, kw_only=True):
    """The settings, or the parameters."""

    title: str
    fields: tuple[FormField, ...]


def form_of(
    settings: AccountConfiguration,
    stored: Mapping[str, Any],
    parameters: type[StrategyParameters],
    typed: Mapping[str, str] | None = None,
    mistakes: Mapping[str, str] | None = None,
) -> tuple[FormGroup, ...]:
    """The form as it is stored, or as it was `typed`, with what is wrong at each field."""
    found = []
    for title, model, values in (
        ("Limits, order and gate", type(settings), settings.model_dump()),
        ("Parameters of the strategy", parameters, stored),
    ):
        fields = tuple(
            _field(name, field, values.get(name), typed or {}, mistakes or {})
            for name, field in model.model_fields.items()
        )
        found.append(FormGroup(title=title, fields=fields))
    return tuple(found)


def changes_in(groups: tuple[FormGroup, ...]) -> dict[str, str]:
    """What was typed and is not as it is stored, as `functions.core.configuration.changed` wants
    it."""
    typed = {
        field.name: (field.value or NOT_LIMITED if field.limitless else field.value, field.stored)
        for group in groups
        for field in group.fields
    }
    return {name: value for name, (value, stored) in typed.items() if value != stored}


def typed_in(form: Mapping[str, str], model: type[BaseModel]) -> dict[str, str]:
    """What a posted form says of a model's fields; a box that is not ticked is not posted."""
    typed = {}
    for name, field in model.model_fields.items():
        posted = form.get(f"{PREFIX}{name}")
        if field.annotation is bool:
            typed[name] = "false" if posted is None else "true"
        elif posted is not None:
            typed[name] = posted.strip()
    return typed


def _field(
    name: str, field: FieldInfo, value: Any, typed: Mapping[str, str], mistakes: Mapping[str, str]
) -> FormField:
    stored = shown(value)
    limitless = NoneType in get_args(field.annotation)
    kinds = [each for each in get_args(field.annotation) if each is not NoneType]
    kind = (
        field.annotation if get_origin(field.annotation) is Literal or not limitless else kinds[0]
    )
    least, most, bounds = _bounds(field)
    in_field = "" if limitless and stored == NOT_LIMITED else stored
    common: dict[str, Any] = {
        "name": name,
        "value": typed.get(name, in_field),
        "stored": stored,
        "default": shown(field.get_default(call_default_factory=True)),
        "help": field.description or "",
        "unit": _UNITS.get(name.rpartition("_")[2], ""),
        "limitless": limitless,
        "mistake": mistakes.get(name, ""),
    }
    if kind is bool:
        return FormField(kind="checkbox", **common)
    if (options := _options(kind)) and not limitless:
        return FormField(kind="select", options=options, **common)
    if kind in (int, float, Decimal):
        step = "1" if kind is int else "any"
        return FormField(kind="number", least=least, most=most, step=step, bounds=bounds, **common)
    return FormField(kind="text", **common)


def _options(kind: Any) -> tuple[str, ...]:
    if get_origin(kind) is Literal:
        return tuple(shown(each) for each in get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return tuple(shown(each.value) for each in kind)
    return ()


def _bounds(field: FieldInfo) -> tuple[str, str, str]:
    """The lowest and the highest value, and both in words; empty where there is none."""
    least = most = low = high = ""
    for each in field.metadata:
        if isinstance(each, Ge):
            least = low = shown(each.ge)
        elif isinstance(each, Gt):
            least, low = shown(each.gt), f"more than {shown(each.gt)}"
        elif isinstance(each, Le):
            most = high = shown(each.le)
        elif isinstance(each, Lt):
            most, high = shown(each.lt), f"less than {shown(each.lt)}"
    if low and high:
        return least, most, f"{low} to {high}"
    return least, most, f"{low} or more" if low else f"up to {high}" if high else ""
