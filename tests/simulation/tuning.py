"""A person who changes the configuration in the middle of everything, and what must hold then."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

import msgspec

from functions.core.account import Account
from functions.core.claim import Claim
from functions.core.configuration import ConfigurationRow, configuration_row, settings_in
from functions.ports import StoreError
from protocol.subjects import config_subject
from strategies.builtin import BUILTIN
from tests.simulation.world import ACCOUNT, COOLDOWN_S, World

POSITIONS: Final = (1, 1, 2, 3)
CAPS_USD: Final = ("5", "100")


async def tuner(world: World) -> None:
    """Lowers and raises limits now and then; sometimes the workers are nudged."""
    rng = world.sim.random("tuner")
    store = world.store()
    nc = await world.nats.connect("tuner") if world.nats.up else None
    while not world.entries_stopped:
        await asyncio.sleep(rng.choice([rng.uniform(0.1, 2), rng.uniform(5, 20)]))
        try:
            row = await store.configuration()
            if row is None:
                continue
            after = _changed(row, rng.choice(POSITIONS), rng.choice(CAPS_USD), world.sim.now_ms)
            made = await store.set_configuration(after, row.version)
        except StoreError:
            continue
        if made:
            world.tuned.append((world.sim.time_ns(), after.version))
            if nc is not None and rng.random() < 0.5:
                await nc.publish(config_subject(ACCOUNT), str(after.version).encode())


def _changed(
    row: ConfigurationRow, max_positions: int, cap_usd: str, now_ms: int
) -> ConfigurationRow:
    """Its cooldown stays: between two entries lies the same one in every run."""
    before = settings_in(row)
    after = before.model_copy(
        update={"max_positions": max_positions, "daily_spend_cap_usd": Decimal(cap_usd)}
    )
    return configuration_row(
        after,
        BUILTIN[ACCOUNT].Parameters.model_validate_json(row.parameters),
        version=row.version + 1,
        strategy=row.strategy,
        who="tuner",
        why="a test",
        made_at_ms=now_ms,
    )


class LimitsThen(msgspec.Struct, frozen=True):
    """Of one version, by the row as it is stored, not by the code's own word."""

    max_positions: int
    spend_cap_e6: int
    cooldown_s: float


def limits_of_versions(world: World, account_name: str) -> dict[int, LimitsThen]:
    """By version."""
    limits: dict[int, LimitsThen] = {}
    for item in world.dynamodb.partition(f"STRATEGY#{account_name}"):
        if item["sk"]["S"].startswith("CONFIG#"):
            values = json.loads(item["values"]["S"])
            limits[int(item["version"]["N"])] = LimitsThen(
                max_positions=values["max_positions"],
                spend_cap_e6=int(Decimal(values["daily_spend_cap_usd"]) * 10**6),
                cooldown_s=values["cooldown_s"],
            )
    assert all(each.cooldown_s == COOLDOWN_S for each in limits.values())
    return limits


def entered_under(
    world: World, claim: Claim, before: Account, limits: LimitsThen, at_ns: int
) -> Iterator[str]:
    """A claim names the version that was in force when it was taken; and once a change of the
    limits has returned, none is over them."""
    name = f"[config] {claim.order_id} entered"
    if claim.config_version != before.config_version:
        yield f"{name} under version {claim.config_version}, {before.config_version} was in force"
    known = any(
        returned_ns < at_ns and version == before.config_version
        for returned_ns, version in world.tuned
    )
    if known and len(before.claims) >= limits.max_positions:
        yield f"{name} over a limit after the change that lowered it had returned"
