"""The configuration that a worker begins with: what is stored, else what its environment says.

Version 1 is written from the environment by whichever worker is first. From then on what is stored
counts, and a variable that says something else is refused: two truths would be one too many.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import structlog

from functions.core.configuration import (
    AccountConfiguration,
    Configuration,
    ConfigurationError,
    configuration_of,
    configuration_row,
    contradictions,
)
from functions.ports import Store, StoreError, UnreadableRowsError
from strategies.parameters import StrategyParameters

WHY: Final = "the first version: from the environment of the worker that was first"
_log = structlog.get_logger()


async def seed_configuration(
    store: Store,
    *,
    account_name: str,
    strategy: str,
    parameters: type[StrategyParameters],
    seed: AccountConfiguration,
    variables: Mapping[str, Any],
    who: str,
) -> Configuration:
    """The configuration in force, of an account that has been opened.

    `seed` becomes version 1 if there is none. `variables`: the settings of it that a person has
    set in the environment, by name. Raises StoreError; ConfigurationError, one line for a person,
    where what is stored cannot be followed or contradicts a variable.
    """
    row = await store.configuration()
    if row is None:
        first = configuration_row(
            seed,
            parameters(),
            version=1,
            strategy=strategy,
            who=who,
            why=WHY,
            made_at_ms=time.time_ns() // 1_000_000,
        )
        seeded = await store.set_configuration(first, 0)  # False: another worker was faster
        row = await store.configuration()
        if row is None:
            raise await _none_in_force(store, account_name)
        if seeded:
            _log.info("configuration_seeded", account=account_name, version=row.version)
    configuration = configuration_of(row, strategy, parameters)
    check_variables(configuration, variables, account_name)
    return configuration


async def _none_in_force(store: Store, account_name: str) -> Exception:
    try:
        stored = [row.version for row in await store.configurations(1)]
    except UnreadableRowsError:
        stored = [1]
    if not stored:
        return StoreError("configuration: the account has none, and takes none")
    return ConfigurationError(
        f"the account {account_name} has no configuration in force, although version {stored[0]} is"
        " stored: its item, which holds its claims, was deleted or replaced. Restore it from a"
        " backup, or trade under another account's name"
    )


def check_variables(
    configuration: Configuration, variables: Mapping[str, Any], account_name: str
) -> None:
    """Raises ConfigurationError, one line, where a variable contradicts what is in force."""
    found = contradictions(variables, configuration.settings)
    if not found:
        return
    said = ", ".join(f"{each.name.upper()}={each.before} (stored: {each.after})" for each in found)
    wanted = " ".join(f"{each.name}={each.before}" for each in found)
    raise ConfigurationError(
        f"{said}: the environment contradicts version {configuration.version} of the configuration"
        f" of {account_name}, which counts; unset {'it' if len(found) == 1 else 'them'}, or change"
        f" what is stored: executor config set {wanted} --why ..."
    )
