"""The configuration of an account: what it may do, versioned, and changed while it runs. Pure.

It is stored beside the account, one row a version, and the account says which one is in force. What
a person may set has one name everywhere: `cooldown_s` in the command line and in a row, COOLDOWN_S
in the environment, which seeds version 1. A strategy's parameters stand beside the settings, under
names of their own.

Bounds and defaults of the settings stand here and nowhere else.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, TypeVar, get_args

import msgspec
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from functions.core.account import Limits
from functions.core.gate import GateConfig
from functions.core.trade import OrderConfig
from protocol.book import Proof
from protocol.bounds import COUNT_MAX, EpochMs, Id, Name, Text
from protocol.units import to_usd_e6
from strategies.parameters import StrategyParameters

_Model = TypeVar("_Model", bound=BaseModel)

NOT_LIMITED: Final = "none"
"""How a person writes that there is no limit."""


class ConfigurationError(ValueError):
    """What is wrong with a configuration, or with a change of it; one line for a person."""

    def __init__(self, text: str, by_name: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.by_name = dict(by_name or {})
        """Of the values that were typed, what is wrong with each; empty where it is none of them.
        """


# -- the settings ----------------------------------------------------------------------------------


def _cents(usd: Decimal) -> Decimal:
    if usd != usd.quantize(Decimal("0.01")):
        raise ValueError("the venue takes amounts in whole cents")
    return usd


class LimitFields(BaseModel):
    """What an account may do. Amounts in USD, times as their names say."""

    max_positions: int = Field(default=3, ge=1, le=100, description="Live claims at once.")
    """At most 100: the account is one item, written and paid for as a whole with every claim."""
    max_entries_per_market: int | None = Field(
        default=None, ge=1, le=1_000, description="Entries that a market's window takes, or none."
    )
    """What ends with nothing bought is given back. Without it the cooldown and the positions are
    the limit."""
    cooldown_s: float = Field(
        default=300.0,
        ge=0,
        le=86_400,
        allow_inf_nan=False,
        description="How long a market takes no other claim after one.",
    )
    daily_loss_limit_usd: Decimal = Field(
        default=Decimal(20),
        gt=0,
        le=10**9,
        decimal_places=6,
        description="Once a UTC day has lost so much, nothing more is bought in it.",
    )
    """Counted are positions that are settled, after fees."""
    daily_spend_cap_usd: Decimal = Field(
        default=Decimal(200),
        gt=0,
        le=10**9,
        decimal_places=6,
        description="No claim takes a UTC day's spending above this.",
    )
    """What ends unspent is given back."""
    size_usd: Annotated[Decimal, AfterValidator(_cents)] = Field(
        default=Decimal("1.1"),
        ge=1,
        le=10_000,
        validate_default=True,
        description="How much an order spends, in whole cents.",
    )
    """Before fees. At least 1, because the venue refuses less (`OrderConfig.spend_min_e6`), and at
    most the day's cap."""

    @field_validator("size_usd")
    @classmethod
    def _within_a_day(cls, size_usd: Decimal, others: ValidationInfo) -> Decimal:
        if size_usd > others.data.get("daily_spend_cap_usd", size_usd):
            raise ValueError("more than DAILY_SPEND_CAP_USD: no order could ever be made")
        return size_usd

    def limits(self, config_version: int = 0) -> Limits:
        """What stands in each claim's condition."""
        return Limits(
            max_positions=self.max_positions,
            cooldown_ms=round(self.cooldown_s * 1000),
            max_entries_per_market=self.max_entries_per_market,
            daily_loss_limit_e6=to_usd_e6(self.daily_loss_limit_usd),
            daily_spend_cap_e6=to_usd_e6(self.daily_spend_cap_usd),
            config_version=config_version,
        )


class GateFields(BaseModel):
    """Which books may be traded on."""

    max_book_age_ms: int = Field(
        default=1_000, ge=1, le=10_000, description="An older book is not traded on."
    )
    book_proof: Literal["top", "checksum"] = Field(
        default="top", description="What must show that a book is the venue's."
    )
    """Its best prices (`top`), or its hash over the whole (`checksum`)."""
    min_time_to_close_s: float = Field(
        default=300.0,
        ge=0,
        le=86_400,
        allow_inf_nan=False,
        description="A market that ends sooner is not entered.",
    )
    """With the default nothing of 5-minute series is traded; a worker says so, once a series."""

    def gate_config(self) -> GateConfig:
        """What a book must show before a strategy is asked."""
        return GateConfig(
            book_age_max_ms=self.max_book_age_ms,
            proof_min=Proof(self.book_proof),
            time_to_close_min_ms=round(self.min_time_to_close_s * 1000),
        )


class SizeFields(LimitFields):
    """How large an order is."""

    enforce_min_order_size: bool = Field(
        default=False, description="Whether the market's minimum size binds our orders, too."
    )
    """That minimum is meant for resting orders. With `true` and a minimum of 5 shares, `size_usd`
    must be about 1.6 for any order, 3.8 for all."""

    def order_config(self) -> OrderConfig:
        """What a trade is made by."""
        return OrderConfig(
            spend_e6=to_usd_e6(self.size_usd), enforce_min_order_size=self.enforce_min_order_size
        )


class AccountConfiguration(GateFields, SizeFields):
    """All settings of one account, under the names that people use."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


SETTINGS: Final = tuple(AccountConfiguration.model_fields)
"""The settings by name."""


# -- stored, and in force --------------------------------------------------------------------------


class ConfigurationRow(msgspec.Struct, frozen=True, kw_only=True):
    """One version as it is stored. A row is never changed."""

    version: Annotated[int, msgspec.Meta(ge=1, le=COUNT_MAX)]
    strategy: Id
    """Whose parameters these are."""
    values: Text
    """The settings: a JSON object in canonical form."""
    parameters: Text
    """The strategy's parameters, likewise."""
    who: Name
    why: Text
    made_at_ms: EpochMs


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """A version as it is followed: parsed, and in the form in which it is used."""

    version: int
    strategy: str
    settings: AccountConfiguration
    parameters: StrategyParameters
    limits: Limits
    gate: GateConfig
    order: OrderConfig


def configuration_row(
    settings: AccountConfiguration,
    parameters: StrategyParameters,
    *,
    version: int,
    strategy: str,
    who: str,
    why: str,
    made_at_ms: int,
) -> ConfigurationRow:
    """What is stored of a new version. Raises ConfigurationError where it could not be read."""
    row = ConfigurationRow(
        version=version,
        strategy=strategy,
        values=canonical(settings),
        parameters=canonical(parameters),
        who=who,
        why=why,
        made_at_ms=made_at_ms,
    )
    try:
        return msgspec.convert(msgspec.to_builtins(row), ConfigurationRow)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"this configuration cannot be stored: {error}") from None


def configuration_of(
    row: ConfigurationRow, strategy: str, parameters: type[StrategyParameters]
) -> Configuration:
    """The row as the account of `strategy` follows it, whose parameters are `parameters`.

    Raises ConfigurationError: for another strategy's, and for what this version of the software
    does not know. What a row does not have yet is as by default.
    """
    check_strategy_of(row, strategy)
    settings = _read(AccountConfiguration, row.values, row.version)
    return Configuration(
        version=row.version,
        strategy=row.strategy,
        settings=settings,
        parameters=_read(parameters, row.parameters, row.version),
        limits=settings.limits(row.version),
        gate=settings.gate_config(),
        order=settings.order_config(),
    )


def check_strategy_of(row: ConfigurationRow, strategy: str) -> None:
    """Raises ConfigurationError where the account is another strategy's."""
    if row.strategy != strategy:
        raise ConfigurationError(
            f"this account is the strategy {row.strategy}'s, not {strategy}'s"
            f" (version {row.version} of its configuration)"
        )


def canonical(model: BaseModel) -> str:
    """A model as JSON: the same values, the same text."""
    return written(type(model).model_validate(model.model_dump()))  # defaults, too


def written(model: BaseModel) -> str:
    """Its values as JSON, as they are: no validator sees them."""
    return json.dumps(
        model.model_dump(), sort_keys=True, separators=(",", ":"), default=_plain, allow_nan=False
    )


def settings_in(row: ConfigurationRow) -> AccountConfiguration:
    """The settings alone, for whoever does not know the strategy. Raises ConfigurationError."""
    return _read(AccountConfiguration, row.values, row.version)


def _read(kind: type[_Model], text: str, version: int) -> _Model:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        why = mistakes_in(error)
    except Exception as error:  # noqa: BLE001 - a strategy's parameters have validators of its own
        why = f"its parameters raise {type(error).__name__}"
    raise ConfigurationError(
        f"version {version} of the configuration cannot be followed: {why};"
        " `executor config set` makes one that can"
    ) from None


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return shown(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


# -- changing it -----------------------------------------------------------------------------------


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One name whose value is another one; texts as a person writes them."""

    name: str
    before: str
    after: str


def shown(value: object) -> str:
    """A value as a person writes it."""
    if value is None:
        return NOT_LIMITED
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def flat(settings: BaseModel, parameters: BaseModel | None = None) -> dict[str, Any]:
    """All that may be set, by name: the settings first."""
    return settings.model_dump() | (parameters.model_dump() if parameters is not None else {})


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """What differs between two of `flat`, in the order of the later one."""
    names = [*after, *(name for name in before if name not in after)]
    return [
        Difference(name=name, before=_shown_in(before, name), after=_shown_in(after, name))
        for name in names
        if _shown_in(before, name) != _shown_in(after, name)
    ]


def _shown_in(values: Mapping[str, Any], name: str) -> str:
    return shown(values[name]) if name in values else "-"


def stored_values(
    row: ConfigurationRow, parameters: type[StrategyParameters]
) -> tuple[AccountConfiguration, dict[str, Any]]:
    """Settings and parameters as the row has them, by name; what it does not have is as by default.

    The parameters also where they cannot be followed, because the strategy has become another one:
    they are a person's to mend. Raises ConfigurationError for settings that cannot be.
    """
    try:
        stored = json.loads(row.parameters)
    except ValueError:
        stored = {}
    return settings_in(row), parameters().model_dump() | dict(stored)


def changed(
    settings: AccountConfiguration,
    stored: Mapping[str, Any],
    parameters: type[StrategyParameters],
    changes: Mapping[str, str],
) -> tuple[AccountConfiguration, StrategyParameters]:
    """The settings and the parameters (`stored`, by name) with `changes` (name -> text as typed).
    Stored parameters that the strategy has no more are left out.

    Raises ConfigurationError: for a name that there is not, and for a value of another type or out
    of its bounds, a stored one that is not changed included."""
    known = [*SETTINGS, *parameters.model_fields]
    for name in changes:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there is: {', '.join(known)}"
            raise ConfigurationError(f"{name}: no such setting; {hint}")
    kept = {name: value for name, value in stored.items() if name in parameters.model_fields}
    return (
        _changed(AccountConfiguration, settings.model_dump(), changes),
        _changed(parameters, kept, changes),
    )


def _changed(kind: type[_Model], values: dict[str, Any], changes: Mapping[str, str]) -> _Model:
    for name, field in kind.model_fields.items():
        if name in changes:
            limitless = changes[name] == NOT_LIMITED and type(None) in get_args(field.annotation)
            values[name] = None if limitless else changes[name]
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigurationError(mistakes_in(error), _mistakes_by_name(error)) from None
    except Exception as error:
        said = type(error).__name__
        raise ConfigurationError(f"the strategy's parameters raise {said} for this") from error


def contradictions(
    variables: Mapping[str, Any], stored: AccountConfiguration
) -> tuple[Difference, ...]:
    """Which of the values that a person has set in the environment (by setting) are not the stored
    ones; `before` is the variable's."""
    values = stored.model_dump()
    return tuple(
        Difference(name=name, before=shown(value), after=shown(values[name]))
        for name, value in variables.items()
        if name in values and shown(value) != shown(values[name])
    )


def mistakes_in(error: ValidationError) -> str:
    """One line that names each bad value, without the value."""
    said = (": ".join(part for part in pair if part) for pair in _mistakes(error))
    return "; ".join(said)


def _mistakes_by_name(error: ValidationError) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, said in _mistakes(error):
        found[name] = f"{found[name]}; {said}" if name in found else said
    return found


def _mistakes(error: ValidationError) -> Iterable[tuple[str, str]]:
    """Name, empty for what concerns them all, and what is wrong."""
    for item in error.errors(include_input=False, include_url=False):
        name = str(item["loc"][0]) if item["loc"] else ""
        yield name, item["msg"].replace("Value error, ", "")
