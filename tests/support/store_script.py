"""A fixed sequence of writes, and what a store holds after each: for tests that cut it off.

What it holds is told by the store in memory, which makes the same writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, Final

import msgspec

from functions.core.account import NO_PAUSE, Account, Limits, Pause
from functions.core.claim import Claim, ClaimState
from functions.core.collective import CollectiveLimits, CollectiveState
from functions.ports import Claimed, Store
from tests.support.configuration_builders import a_row
from tests.support.fake_ports import MemoryStore
from tests.support.store_builders import NOW_MS, make_claim

ACCOUNT: Final = "strategy"
GROUP: Final = "group"
ROUNDS: Final = 60
LIMITS: Final = Limits(
    max_positions=4,
    cooldown_ms=1_000,
    daily_loss_limit_e6=10**12,
    daily_spend_cap_e6=10**12,
    config_version=1,
)
COLLECTIVE: Final = CollectiveLimits(name=GROUP, config_version=1, exposure_max_e6=10**12)
_PAUSE: Final = Pause(reason="rate_limited", since_ms=1, until_ms=2)
Write = Callable[[Store], Awaitable[None]]


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """All that the script writes."""

    account: Account | None
    ledger: list[Claim]
    group: CollectiveState | None
    version: int
    """Of the configuration in force; 0: none."""


async def held_by(store: Store) -> Held:
    """What `store` holds now."""
    account: Account | None = None
    ledger: list[Claim] = []
    if store.account_name in await store.group(GROUP).accounts() or await _is_open(store):
        account = msgspec.structs.replace(await store.account(), halt_id="")
        ledger = await store.ledger(0, 10**14)
    configuration = await store.configuration()
    return Held(
        account=account,
        ledger=ledger,
        group=await store.group(GROUP).state(),
        version=0 if configuration is None else configuration.version,
    )


async def _is_open(store: Store) -> bool:
    try:
        await store.account()
    except Exception:  # noqa: BLE001 - there is none yet
        return False
    return True


@cache
def script() -> tuple[Write, ...]:
    """Each write is done once, in this order, by a store that holds what those before it left."""
    writes: list[Write] = [
        lambda store: _ignored(store.open_account()),
        lambda store: _ignored(store.group(GROUP).open(ACCOUNT)),
        lambda store: _sure(store.group(GROUP).set_configuration(a_row(1), 0)),
        lambda store: _sure(store.set_configuration(a_row(1), 0)),
    ]
    for number in range(ROUNDS):
        writes += _round(number)
    return tuple(writes)


@cache
def states() -> tuple[Held, ...]:
    """What is held after none of the writes, after the first, ..."""
    return asyncio.run(_states())


async def _states() -> tuple[Held, ...]:
    store = MemoryStore(name=ACCOUNT)
    store.item = None
    store.group(GROUP).members[ACCOUNT] = store
    held = [await held_by(store)]
    for write in script():
        await write(store)
        held.append(await held_by(store))
    return tuple(held)


def _round(number: int) -> list[Write]:
    now_ms = NOW_MS + number * 1_000
    claim = make_claim(
        f"0xm{number % 3}",
        f"a{number}",
        collective=GROUP,
        config_version=1,
        claimed_at_ms=now_ms,
    )
    bought = msgspec.structs.replace(
        claim,
        state=ClaimState.OPEN,
        version=2,
        by_intent=True,
        reported_spend_e6=900_000,
        reported_size_e6=2_000_000,
        filled_spend_e6=900_000,
        filled_size_e6=2_000_000,
        resolved_at_ms=now_ms + 1,
    )
    settled = msgspec.structs.replace(
        bought, state=ClaimState.SETTLED, version=3, pnl_e6=100_000, settled_at_ms=now_ms + 2
    )
    released = msgspec.structs.replace(
        claim,
        state=ClaimState.RELEASED,
        version=2,
        by_intent=True,
        counted=False,
        resolved_at_ms=now_ms + 1,
    )
    ended = released if number % 4 == 3 else settled
    writes: list[Write] = [lambda store: _claimed(store, claim, now_ms)]
    if ended is settled:
        writes += [
            lambda store: _sure(store.move(bought, claim)),
            lambda store: _sure(store.move(settled, bought, redeem=True)),
        ]
    else:
        writes.append(lambda store: _sure(store.move(released, claim)))
    writes += [lambda store: store.put_ledger(ended), lambda store: store.forget(ended)]
    if number % 7 == 6:
        writes += [lambda store: store.halt(f"at {number}"), _resume]
    if number % 5 == 4:
        writes += [
            lambda store: _sure(store.set_pause(_PAUSE, NO_PAUSE)),
            lambda store: _sure(store.set_pause(NO_PAUSE, _PAUSE)),
        ]
    return writes


async def _claimed(store: Store, claim: Claim, now_ms: int) -> None:
    result = await store.claim(claim, LIMITS, now_ms, COLLECTIVE)
    assert result == Claimed(), result


async def _resume(store: Store) -> None:
    assert await store.resume(await store.account())


async def _sure(done: Awaitable[bool]) -> None:
    assert await done


async def _ignored(done: Awaitable[Any]) -> None:
    await done
