"""A person who changes configurations in the middle of everything, and what must hold then."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import msgspec

from functions.core.account import Account
from functions.core.claim import Claim
from functions.core.collective_configuration import CollectiveConfiguration, collective_row
from functions.core.configuration import ConfigurationRow, configuration_row, settings_in
from functions.ports import StoreError
from protocol.subjects import config_subject
from tests.simulation.strategies import PARAMETERS_OF
from tests.simulation.world import COOLDOWN_S, STRATEGY_OF, World

POSITIONS: Final = (1, 1, 2, 3)
CAPS_USD: Final = ("5", "100")
LOSSES_USD: Final = ("1.5", "100")
EXPOSURES_USD: Final = ("1.1", "2.2", "4.4", None)


async def tuner(world: World) -> None:
    """Lowers and raises limits of accounts and groups now and then; sometimes workers are nudged.

    A group's only once each has some: before, an environment still says what they begin with.
    """
    rng = world.sim.random("tuner")
    nc = await world.nats.connect("tuner") if world.nats.up else None
    while not world.entries_stopped:
        await asyncio.sleep(rng.choice([rng.uniform(0.1, 2), rng.uniform(5, 20)]))
        groups = tuple(world.groups) if all(map(world.group_version, world.groups)) else ()
        name = rng.choice((*world.accounts, *groups))
        store = world.store().group(name) if name in groups else world.store(name)
        try:
            row = await store.configuration()
            if row is None:
                continue
            change = _group_changed if name in groups else _changed
            after = change(row, rng, name, world.sim.now_ms)
            made = await store.set_configuration(after, row.version)
        except StoreError:
            continue
        if made:
            world.tuned[name].append((world.sim.time_ns(), after.version))
            if nc is not None and rng.random() < 0.5:
                await nc.publish(config_subject(name), str(after.version).encode())


def _changed(row: ConfigurationRow, rng: random.Random, name: str, now_ms: int) -> ConfigurationRow:
    """Its cooldown stays: between two entries lies the same one in every run."""
    limits = {
        "max_positions": rng.choice(POSITIONS),
        "daily_spend_cap_usd": Decimal(rng.choice(CAPS_USD)),
        "daily_loss_limit_usd": Decimal(rng.choice(LOSSES_USD)),
    }
    return configuration_row(
        settings_in(row).model_copy(update=limits),
        PARAMETERS_OF[STRATEGY_OF[name]].model_validate_json(row.parameters),
        version=row.version + 1,
        strategy=row.strategy,
        who="tuner",
        why="a test",
        made_at_ms=now_ms,
    )


def _group_changed(
    row: ConfigurationRow, rng: random.Random, name: str, now_ms: int
) -> ConfigurationRow:
    exposure, loss = rng.choice(EXPOSURES_USD), rng.choice((*LOSSES_USD, None))
    limits = CollectiveConfiguration(
        collective_exposure_max_usd=None if exposure is None else Decimal(exposure),
        collective_daily_loss_limit_usd=None if loss is None else Decimal(loss),
    )
    return collective_row(
        limits, version=row.version + 1, who="tuner", why="a test", made_at_ms=now_ms
    )


class LimitsThen(msgspec.Struct, frozen=True):
    """Of one version, by the row as it is stored, not by the code's own word."""

    max_positions: int
    spend_cap_e6: int
    loss_limit_e6: int
    cooldown_s: float


class CollectiveThen(msgspec.Struct, frozen=True):
    """The same of a group's; None: no limit."""

    exposure_max_e6: int | None
    loss_limit_e6: int | None


def limits_of_versions(world: World, account: str) -> dict[int, LimitsThen]:
    """By version."""
    limits = {
        version: LimitsThen(
            max_positions=values["max_positions"],
            spend_cap_e6=_e6(values["daily_spend_cap_usd"]) or 0,
            loss_limit_e6=_e6(values["daily_loss_limit_usd"]) or 0,
            cooldown_s=values["cooldown_s"],
        )
        for version, values in _versions(world, f"STRATEGY#{account}")
    }
    assert all(each.cooldown_s == COOLDOWN_S for each in limits.values())
    return limits


def collective_of_versions(world: World, group: str) -> dict[int, CollectiveThen]:
    """By version."""
    return {
        version: CollectiveThen(
            exposure_max_e6=_e6(values["collective_exposure_max_usd"]),
            loss_limit_e6=_e6(values["collective_daily_loss_limit_usd"]),
        )
        for version, values in _versions(world, f"GROUP#{group}")
    }


def _versions(world: World, pk: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for item in world.dynamodb.partition(pk):
        if item["sk"]["S"].startswith("CONFIG#"):
            yield int(item["version"]["N"]), json.loads(item["values"]["S"])


def _e6(usd: str | None) -> int | None:
    return None if usd is None else int(Decimal(usd) * 10**6)


def entered_under(
    claim: Claim,
    before: Account,
    limits: LimitsThen,
    at_ns: int,
    tuned: list[tuple[int, int]],
) -> Iterator[str]:
    """A claim names the version that was in force when it was taken; and once a change of the
    limits has returned, none is over them."""
    name = f"[config] {claim.order_id} entered"
    if claim.config_version != before.config_version:
        yield f"{name} under version {claim.config_version}, {before.config_version} was in force"
    known = any(
        returned_ns < at_ns and version == before.config_version for returned_ns, version in tuned
    )
    if known and len(before.claims) >= limits.max_positions:
        yield f"{name} over a limit after the change that lowered it had returned"
