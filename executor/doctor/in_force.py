"""Which configuration of the account is in force, and whether this environment contradicts it."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal

import msgspec

from executor.doctor.configuration import EnvironmentRead
from executor.doctor.finding import Finding, fail, ok, warn
from functions.bootstrap import MisconfiguredError, strategy_of, unopened_store
from functions.core.ask import bids_wanted
from functions.core.configuration import (
    SETTINGS,
    Configuration,
    ConfigurationError,
    configuration_of,
    contradictions,
)
from functions.ports import StoreError
from functions.settings import LimitSettings, WorkerSettings
from functions.strategy_trial import TRIAL_MAX_S
from protocol.book import PUBLISHED_BIDS_MIN, PUBLISHED_LEVELS_MAX
from runtime.time_limit import TookTooLongError, within_s

WHAT = "configuration in force"


async def check(settings: LimitSettings, worker: WorkerSettings | None) -> list[Finding]:
    """One finding an account; `worker`: its settings, where they can be read at all."""
    several, found = len(settings.entries) > 1, []
    for one in settings.each():
        for finding in await _check(one, worker):
            what = f"{finding.what} of {one.account}" if several else finding.what
            found.append(msgspec.structs.replace(finding, what=what))
    return found


async def _check(settings: LimitSettings, worker: WorkerSettings | None) -> list[Finding]:
    try:
        stored = await _stored(settings)
    except StoreError as error:
        return [warn(WHAT, str(error), "see the store's line")]
    except ConfigurationError as error:
        return [fail(WHAT, str(error), "no worker trades under it: executor config rollback")]
    except MisconfiguredError as error:
        return [fail(WHAT, str(error), "see STRATEGIES")]
    if stored is None:
        return [warn(WHAT, "none yet", "start a worker: it makes version 1 from its environment")]
    set_here = worker.variables() if worker is not None else {}
    found = contradictions(set_here, stored.settings)
    if found:
        said = ", ".join(f"{e.name.upper()}={e.before} (stored: {e.after})" for e in found)
        return [
            fail(
                WHAT,
                f"version {stored.version}, and no worker would start here: {said}",
                "unset what is set, or change what is stored (executor config set)",
            )
        ]
    return [ok(WHAT, f"version {stored.version}, {len(SETTINGS)} settings and its parameters")]


async def order_usd(settings: LimitSettings) -> Decimal:
    """The most that an order of one of the accounts spends: as stored, else as this environment
    says; of the live ones, if there are any."""
    sizes_usd: list[Decimal] = []
    for one in settings.each():
        if one.live or not settings.live:
            with suppress(StoreError, ConfigurationError, MisconfiguredError):
                stored = await _stored(one)
                sizes_usd.append(settings.size_usd if stored is None else stored.settings.size_usd)
    return max(sizes_usd, default=settings.size_usd)


async def min_time_to_close_s(config: EnvironmentRead) -> float:
    """The shortest that an account of this environment wants, as stored, else as it says here."""
    found: list[float] = []
    for one in config.limits.each():
        with suppress(StoreError, ConfigurationError, MisconfiguredError):
            if (stored := await _stored(one)) is not None:
                found.append(float(stored.settings.min_time_to_close_s))
    return min(found, default=config.gate.min_time_to_close_s)


async def bids_wanted_most(settings: LimitSettings) -> int:
    """How many bids of each book a feeder here is to publish, so that every account's strategy is
    asked, under the parameters that are stored, else under its defaults.

    Of an account that cannot be read, or whose strategy cannot say, all: workers say what is wrong.
    """
    file, most = settings.state_file, PUBLISHED_BIDS_MIN
    for one in settings.each():
        try:
            strategy = strategy_of(one)
            stored = await _stored(one) if file is None or file.exists() else None
            parameters = strategy.Parameters() if stored is None else stored.parameters
            with within_s(TRIAL_MAX_S):
                most = max(most, bids_wanted(strategy, parameters))
        except (Exception, SystemExit, TookTooLongError):  # noqa: BLE001 - a stranger's code
            return PUBLISHED_LEVELS_MAX
    return most


async def _stored(settings: LimitSettings) -> Configuration | None:
    strategy = strategy_of(settings)
    async with unopened_store(settings) as store:
        row = await store.configuration()
    return None if row is None else configuration_of(row, strategy.name, strategy.Parameters)
