"""`executor config`: looks at an account's configuration and changes it by compare-and-set.

Raises StoreError and NotDoneError, of which `executor.answers` makes one line, and
ConfigurationError: a name that there is not, a value out of its bounds.
"""

from __future__ import annotations

import getpass
import json
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from pydantic import BaseModel

from executor.configuration_reports import Changed, Compared, ConfigVersion, History, Setting, Shown
from functions.bootstrap import strategy_of, unopened_store
from functions.core.account import utc_day
from functions.core.configuration import (
    AccountConfiguration,
    Configuration,
    ConfigurationError,
    ConfigurationRow,
    changed,
    check_strategy_of,
    configuration_of,
    configuration_row,
    differences,
    flat,
    shown,
    stored_values,
)
from functions.core.configuration_effects import effects_of
from functions.core.strategy_rules import StrategyNotUsableError
from functions.handlers.control import NotDoneError, NotKnownError, halt_reason
from functions.ports import Store, StoreError, UnreadableRowsError
from functions.settings import AccountSettings
from functions.strategy_trial import TRIAL_MAX_S, try_out
from runtime.nats_settings import NatsSettings
from strategies.parameters import StrategyParameters

HISTORY_MAX: Final = 1_000
Change = Callable[
    [AccountConfiguration, Mapping[str, Any], type[StrategyParameters]],
    tuple[AccountConfiguration, StrategyParameters],
]
"""From what is in force (settings; parameters by name, and what they are now) to what shall be.
Raises ConfigurationError."""


class ConfigurationSettings(AccountSettings, NatsSettings):
    """Whose configuration, where it is stored, and where the workers can be nudged."""


def somebody() -> str:
    """Who does it: this machine's user."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # no name for this number
        user = "somebody"
    return f"{user}@{socket.gethostname()}"


async def show(settings: ConfigurationSettings) -> Shown:
    """The version in force, with what each name means."""
    async with unopened_store(settings) as store:
        row = await _in_force(store)
    configuration = _read(row, settings)
    return Shown(
        account=settings.account,
        strategy=row.strategy,
        version=row.version,
        who=row.who,
        why=row.why,
        made_at_ms=row.made_at_ms,
        settings=_settings_of(configuration.settings),
        parameters=_settings_of(configuration.parameters),
    )


async def history(settings: ConfigurationSettings, limit: int) -> History:
    """The newest `limit` versions, and what each of them changed."""
    async with unopened_store(settings) as store:
        return await history_in(store, limit)


async def history_in(store: Store, limit: int) -> History:
    """The same of a store that is open."""
    in_force = await _in_force(store)
    unreadable: tuple[str, ...] = ()
    try:
        rows = await store.configurations(limit + 1)
    except UnreadableRowsError as error:
        rows, unreadable = error.readable, error.unreadable
    versions = [
        ConfigVersion(
            version=row.version,
            who=row.who,
            why=row.why,
            made_at_ms=row.made_at_ms,
            changes=tuple(differences(_values(before), _values(row))) if before else (),
        )
        for row, before in zip(rows, [*rows[1:], None], strict=True)
    ]
    return History(
        account=store.account_name,
        in_force=in_force.version,
        versions=tuple(versions[:limit]),
        unreadable=unreadable,
    )


async def compare(
    settings: ConfigurationSettings, before: int | None, after: int | None
) -> Compared:
    """Two versions; by default the one in force with the one before it, or with `before`."""
    async with unopened_store(settings) as store:
        in_force = await _in_force(store)
        after = in_force.version if after is None else after
        before = max(after - 1, 1) if before is None else before
        rows = [await _version(store, in_force, each) for each in (before, after)]
    return Compared(
        account=settings.account,
        before=before,
        after=after,
        changes=tuple(differences(*map(_values, rows))),
    )


def setting(changes: Mapping[str, str]) -> Change:
    """The change to these values, as typed."""
    return lambda settings, stored, parameters: changed(settings, stored, parameters, changes)


async def rollback(settings: ConfigurationSettings, to_version: int, **how: Any) -> Changed:
    """Put the values of an earlier version in force, as a new version; `how` as in `change`."""
    async with unopened_store(settings) as store:
        wanted = await as_in_version(store, settings, to_version)
    return await change(settings, wanted, **how)


async def as_in_version(store: Store, settings: AccountSettings, version: int) -> Change:
    """The change to all values of an earlier version."""
    in_force = await _in_force(store)
    earlier = _read(await _version(store, in_force, version), settings)
    return lambda *_: (earlier.settings, earlier.parameters)


async def change(
    settings: ConfigurationSettings,
    wanted: Change,
    *,
    who: str,
    why: str,
    seen_version: int | None,
    dry_run: bool,
) -> Changed:
    """Make a new version, unless another one than `seen_version` (None: whichever) is in force.

    Refused is an answer, too: it says what others have changed. Nothing is changed by `dry_run`,
    nor where nothing would be another value.
    """
    async with unopened_store(settings) as store:
        answer = await changed_in(
            store, settings, wanted, who=who, why=why, seen_version=seen_version, dry_run=dry_run
        )
    return await told(settings, answer)


async def changed_in(
    store: Store,
    settings: AccountSettings,
    wanted: Change,
    *,
    who: str,
    why: str,
    seen_version: int | None,
    dry_run: bool,
    trial_max_s: float = TRIAL_MAX_S,
) -> Changed:
    """The same in a store that is open; no worker is told. `trial_max_s`: for whom nothing else may
    wait longer than that for a strategy."""
    row = await _in_force(store)
    if seen_version is not None and seen_version != row.version:
        return await _stale(store, row, seen_version)
    strategy = strategy_of(settings)
    check_strategy_of(row, strategy.name)
    now, stored = stored_values(row, strategy.Parameters)
    values, parameters = wanted(now, stored, strategy.Parameters)
    try:
        try_out(strategy, parameters, max_s=trial_max_s)
    except StrategyNotUsableError as error:
        raise ConfigurationError(f"with these parameters {error}") from None
    changes = tuple(differences(flat(now) | stored, flat(values, parameters)))
    account, now_ms = await store.account(), _now_ms()
    effects = effects_of(
        account,
        now.limits(row.version),
        values.limits(),
        size_e6=values.order_config().spend_e6,
        now_ms=now_ms,
        today=utc_day(now_ms),
    )
    answer = Changed(
        account=settings.account,
        seen_version=row.version,
        version=row.version,
        changes=changes,
        effects=effects,
        dry_run=dry_run,
    )
    if dry_run or not changes:
        return answer
    after = configuration_row(
        values,
        parameters,
        version=row.version + 1,
        strategy=row.strategy,
        who=who,
        why=why,
        made_at_ms=now_ms,
    )
    try:
        made = await store.set_configuration(after, row.version)
    except StoreError as error:
        raise NotKnownError(
            f"NOT KNOWN whether the configuration is changed now: `executor config show` says"
            f" what is in force: {error}"
        ) from error
    if not made:
        return await _stale(store, await _in_force(store), row.version)
    return msgspec.structs.replace(answer, version=after.version)


async def told(settings: NatsSettings, answer: Changed) -> Changed:
    """The answer, once the workers are told of the new version, if there is one."""
    if answer.refused or answer.version == answer.seen_version:
        return answer
    # Here, because it brings NATS' client, which takes a while; who only looks shall not wait.
    from functions.adapters.configuration_nudge import nudge  # noqa: PLC0415 - see above

    nudged = await nudge(settings, answer.account, answer.version)
    return msgspec.structs.replace(answer, nudged=nudged)


def reason(text: str) -> str:
    """`text` on one line. Raises ValueError when it cannot be a reason."""
    return halt_reason(text)


async def _stale(store: Store, in_force: ConfigurationRow, seen_version: int) -> Changed:
    others: tuple[Any, ...] = ()
    if 1 <= seen_version < in_force.version:
        seen = await _version(store, in_force, seen_version)
        others = tuple(differences(_values(seen), _values(in_force)))
    return Changed(
        account=store.account_name,
        seen_version=seen_version,
        version=in_force.version,
        changes=(),
        effects=None,
        dry_run=False,
        refused=f"version {in_force.version} is in force, not {seen_version}: {in_force.who}"
        f" changed it ({in_force.why})",
        others=others,
    )


async def _in_force(store: Store) -> ConfigurationRow:
    row = await store.configuration()
    if row is None:
        raise NotDoneError(
            f"the account {store.account_name} has no configuration yet: the first worker that"
            " starts makes version 1, from its environment"
        )
    return row


async def _version(store: Store, in_force: ConfigurationRow, version: int) -> ConfigurationRow:
    if not 1 <= version <= in_force.version:
        raise ConfigurationError(f"no version {version}: there are 1 to {in_force.version}")
    wanted = in_force.version - version + 1
    if wanted > HISTORY_MAX:
        raise ConfigurationError(f"version {version} is more than {HISTORY_MAX} versions old")
    try:
        rows = await store.configurations(wanted)
    except UnreadableRowsError as error:
        rows = error.readable
    found = next((row for row in rows if row.version == version), None)
    if found is None:
        raise StoreError(f"version {version} of the configuration cannot be read")
    return found


def _read(row: ConfigurationRow, settings: AccountSettings) -> Configuration:
    strategy = strategy_of(settings)
    return configuration_of(row, strategy.name, strategy.Parameters)


def _values(row: ConfigurationRow) -> dict[str, Any]:
    """All values as they are stored: also of a version that cannot be followed any more."""
    try:
        return {**json.loads(row.values), **json.loads(row.parameters)}
    except (ValueError, TypeError) as error:
        raise StoreError(f"version {row.version} of the configuration: {error}") from error


def _settings_of(model: BaseModel) -> tuple[Setting, ...]:
    values = model.model_dump()
    return tuple(
        Setting(
            name=name,
            value=shown(values[name]),
            default=shown(field.get_default(call_default_factory=True)),
            help=field.description or "",
        )
        for name, field in type(model).model_fields.items()
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
