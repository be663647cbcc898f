"""The limits of a group of accounts as a person sets them, versioned as an account's are. Pure.

They stand in the same kind of row (`functions.core.configuration.ConfigurationRow`), beside the
group's item, with no strategy's parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from functions.core.collective import CollectiveLimits
from functions.core.configuration import (
    NOT_LIMITED,
    ConfigurationError,
    ConfigurationRow,
    canonical,
    mistakes_in,
)
from protocol.units import to_usd_e6

OF_A_GROUP: Final = "collective"
"""What stands in such a row where an account's names its strategy."""


class CollectiveFields(BaseModel):
    """What all accounts of a group may do together; None: there is no such limit."""

    collective_daily_loss_limit_usd: Decimal | None = Field(
        default=None,
        gt=0,
        le=10**9,
        decimal_places=6,
        description="No account trades once the day's P&L of all is at or below minus this.",
    )
    """The first worker that has one of these two stores it; from then on what is stored counts, and
    a variable that says something else is refused. Each claim then costs a transaction."""
    collective_exposure_max_usd: Decimal | None = Field(
        default=None,
        gt=0,
        le=10**9,
        decimal_places=6,
        description="What all live claims of the group may have at stake.",
    )


class CollectiveConfiguration(CollectiveFields):
    """All that may be set of a group, under the names that people use."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


COLLECTIVE_SETTINGS: Final = tuple(CollectiveConfiguration.model_fields)


def collective_row(
    settings: CollectiveConfiguration, *, version: int, who: str, why: str, made_at_ms: int
) -> ConfigurationRow:
    """What is stored of a new version."""
    return ConfigurationRow(
        version=version,
        strategy=OF_A_GROUP,
        values=canonical(settings),
        parameters="{}",
        who=who,
        why=why,
        made_at_ms=made_at_ms,
    )


def collective_settings_in(row: ConfigurationRow) -> CollectiveConfiguration:
    """The settings of a stored version. Raises ConfigurationError."""
    try:
        return CollectiveConfiguration.model_validate_json(row.values)
    except ValidationError as error:
        raise ConfigurationError(
            f"version {row.version} of the group's limits cannot be followed: {mistakes_in(error)}"
        ) from None


def collective_limits_of(row: ConfigurationRow, group: str) -> CollectiveLimits:
    """The row as the accounts of the group follow it. Raises ConfigurationError."""
    settings = collective_settings_in(row)
    loss, exposure = settings.collective_daily_loss_limit_usd, settings.collective_exposure_max_usd
    return CollectiveLimits(
        name=group,
        config_version=row.version,
        daily_loss_limit_e6=None if loss is None else to_usd_e6(loss),
        exposure_max_e6=None if exposure is None else to_usd_e6(exposure),
    )


def collective_changed(
    settings: CollectiveConfiguration, changes: Mapping[str, str]
) -> CollectiveConfiguration:
    """With `changes` (name -> text as typed; `none` takes a limit away). Raises
    ConfigurationError: for a name that there is not, and for a value out of its bounds."""
    for name in changes:
        if name not in COLLECTIVE_SETTINGS:
            there_is = ", ".join(COLLECTIVE_SETTINGS)
            raise ConfigurationError(f"{name}: no such setting of a group; there is: {there_is}")
    values: dict[str, Any] = {
        name: None if text == NOT_LIMITED else text for name, text in changes.items()
    }
    try:
        return CollectiveConfiguration.model_validate(settings.model_dump() | values)
    except ValidationError as error:
        raise ConfigurationError(mistakes_in(error)) from None
