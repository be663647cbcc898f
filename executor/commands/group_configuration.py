"""`executor config --group`: the limits of a group of accounts, and what it counts.

Raises StoreError and NotDoneError, of which `executor.answers` makes one line, and
ConfigurationError: a name that there is not, a value out of its bounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from executor.configuration_reports import Changed, Compared, ConfigVersion, History, Setting, Shown
from functions.bootstrap import unopened_store
from functions.core.collective_configuration import (
    OF_A_GROUP,
    CollectiveConfiguration,
    collective_changed,
    collective_row,
    collective_settings_in,
)
from functions.core.configuration import (
    ConfigurationError,
    ConfigurationRow,
    Difference,
    differences,
    shown,
)
from functions.handlers.compare_group import GroupReport, recount_group
from functions.handlers.control import NotDoneError, NotKnownError
from functions.ports import GroupStore, StoreError, UnreadableRowsError
from functions.settings import PAPER, AccountSettings
from runtime.nats_settings import NatsSettings

VERSIONS_MAX: Final = 1_000
Change = Callable[[CollectiveConfiguration], CollectiveConfiguration]


class GroupConfigurationSettings(AccountSettings, NatsSettings):
    """Which group's limits, where they are stored, and where the workers can be nudged."""

    @property
    def group_item(self) -> str:
        """Also as it is called: beside live accounts, `mine-paper` is that of those on paper."""
        return self.group if self.group.endswith(PAPER) else super().group_item


class Recounted(msgspec.Struct, frozen=True, kw_only=True):
    """What a recount has done. Amounts in 1e-6 USD."""

    group: str
    before_e6: int
    after_e6: int
    done: bool
    """False: claims kept coming, and nothing was changed."""


async def show(settings: GroupConfigurationSettings) -> Shown:
    """The version in force."""
    async with unopened_store(settings) as store:
        row = await _in_force(store.group(settings.group_item))
    values = collective_settings_in(row).model_dump()
    return Shown(
        account=settings.group_item,
        strategy=OF_A_GROUP,
        version=row.version,
        who=row.who,
        why=row.why,
        made_at_ms=row.made_at_ms,
        settings=tuple(
            Setting(
                name=name,
                value=shown(values[name]),
                default=shown(None),
                help=field.description or "",
            )
            for name, field in CollectiveConfiguration.model_fields.items()
        ),
        parameters=(),
    )


async def history(settings: GroupConfigurationSettings, limit: int) -> History:
    """The newest `limit` versions, and what each of them changed."""
    async with unopened_store(settings) as store:
        group = store.group(settings.group_item)
        in_force = await _in_force(group)
        unreadable: tuple[str, ...] = ()
        try:
            rows = await group.configurations(limit + 1)
        except UnreadableRowsError as error:
            rows, unreadable = error.readable, error.unreadable
    versions = [
        ConfigVersion(
            version=row.version,
            who=row.who,
            why=row.why,
            made_at_ms=row.made_at_ms,
            changes=() if before is None else _between(before, row),
        )
        for row, before in zip(rows, [*rows[1:], None], strict=True)
    ]
    return History(
        account=settings.group_item,
        in_force=in_force.version,
        versions=tuple(versions[:limit]),
        unreadable=unreadable,
    )


async def compare(
    settings: GroupConfigurationSettings, before: int | None, after: int | None
) -> Compared:
    """Two versions; by default the one in force with the one before it, or with `before`."""
    async with unopened_store(settings) as store:
        group = store.group(settings.group_item)
        in_force = await _in_force(group)
        after = in_force.version if after is None else after
        before = max(after - 1, 1) if before is None else before
        first, second = [await _version(group, in_force, each) for each in (before, after)]
    return Compared(
        account=settings.group_item, before=before, after=after, changes=_between(first, second)
    )


def setting(changes: Mapping[str, str]) -> Change:
    """The change to these values, as typed."""
    return lambda now: collective_changed(now, changes)


async def rollback(settings: GroupConfigurationSettings, to_version: int, **how: Any) -> Changed:
    """Put the values of an earlier version in force, as a new version; `how` as in `change`."""
    async with unopened_store(settings) as store:
        group = store.group(settings.group_item)
        earlier = await _version(group, await _in_force(group), to_version)
        values = collective_settings_in(earlier)
    return await change(settings, lambda _: values, **how)


async def change(
    settings: GroupConfigurationSettings,
    wanted: Change,
    *,
    who: str,
    why: str,
    seen_version: int | None,
    dry_run: bool,
) -> Changed:
    """Make a new version, the first one where there is none, unless another one than `seen_version`
    (None: whichever) is in force. Refused is an answer, too."""
    async with unopened_store(settings) as store:
        group = store.group(settings.group_item)
        row = await group.configuration()
        version = 0 if row is None else row.version
        if seen_version is not None and seen_version != version:
            return await _stale(group, row, seen_version)
        now = CollectiveConfiguration() if row is None else collective_settings_in(row)
        values = wanted(now)
        answer = Changed(
            account=group.name,
            seen_version=version,
            version=version,
            changes=tuple(differences(now.model_dump(), values.model_dump())),
            effects=None,
            dry_run=dry_run,
        )
        if dry_run or not answer.changes:
            return answer
        after = collective_row(
            values,
            version=version + 1,
            who=who,
            why=why,
            made_at_ms=time.time_ns() // 1_000_000,
        )
        await group.open(None)
        try:
            made = await group.set_configuration(after, version)
        except StoreError as error:
            raise NotKnownError(
                "NOT KNOWN whether the limits are changed now: `executor config show --group`"
                f" says what is in force: {error}"
            ) from error
        if not made:
            return await _stale(group, await group.configuration(), version)
    # Here, because it brings NATS' client, which takes a while; who only looks shall not wait.
    from functions.adapters.configuration_nudge import nudge  # noqa: PLC0415 - see above

    nudged = await nudge(settings, settings.group_item, after.version)
    return msgspec.structs.replace(answer, version=after.version, nudged=nudged)


async def recount(settings: GroupConfigurationSettings) -> Recounted:
    """Let the group count what its accounts' live claims have at stake."""
    async with unopened_store(settings) as store:
        report: GroupReport | None = await recount_group(store.group(settings.group_item))
    if report is None:
        raise NotDoneError(f"there is no group {settings.group_item}: nothing is counted")
    return Recounted(
        group=settings.group_item,
        before_e6=report.exposure_e6,
        after_e6=report.exposure_e6 - report.difference_e6,
        done=report.compared,
    )


async def _stale(group: GroupStore, in_force: ConfigurationRow | None, seen: int) -> Changed:
    version = 0 if in_force is None else in_force.version
    why = "" if in_force is None else f": {in_force.who} changed it ({in_force.why})"
    others: tuple[Difference, ...] = ()
    if in_force is not None and 1 <= seen < version:
        others = _between(await _version(group, in_force, seen), in_force)
    return Changed(
        account=group.name,
        seen_version=seen,
        version=version,
        changes=(),
        effects=None,
        dry_run=False,
        refused=f"version {version} is in force, not {seen}{why}",
        others=others,
    )


async def _in_force(group: GroupStore) -> ConfigurationRow:
    row = await group.configuration()
    if row is None:
        raise NotDoneError(
            f"the group {group.name} has no limits yet: `executor config set --group` makes them,"
            " or the first worker whose environment has some"
        )
    return row


async def _version(group: GroupStore, in_force: ConfigurationRow, version: int) -> ConfigurationRow:
    if not 1 <= version <= in_force.version:
        raise ConfigurationError(f"no version {version}: there are 1 to {in_force.version}")
    wanted = in_force.version - version + 1
    if wanted > VERSIONS_MAX:
        raise ConfigurationError(f"version {version} is more than {VERSIONS_MAX} versions old")
    try:
        rows = await group.configurations(wanted)
    except UnreadableRowsError as error:
        rows = error.readable
    found = next((row for row in rows if row.version == version), None)
    if found is None:
        raise StoreError(f"version {version} of the group's limits cannot be read")
    return found


def _between(before: ConfigurationRow, after: ConfigurationRow) -> tuple[Difference, ...]:
    values = (collective_settings_in(each).model_dump() for each in (before, after))
    return tuple(differences(*values))
