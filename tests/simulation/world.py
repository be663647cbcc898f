"""The whole system in one simulation: production code in simulated processes, on simulated ports.

What happens in it: `tests.simulation.scenario`; to whom: `tests.simulation.roles`. Three accounts
trade, unless the faults say otherwise: two live ones on one wallet, with two strategies, and one on
paper beside them, with other parameters. All are of one group.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from typing import Any, Final, TypeVar

from nats.errors import NoServersError

from functions.adapters.dynamodb.group_requests import GROUP_SK
from functions.adapters.dynamodb.store import DynamoStore
from functions.core.claim import Trader
from functions.core.group import PAPER_SUFFIX
from functions.settings import WorkerSettings
from protocol.market import MarketInfo
from runtime.nats import ensure_stream
from tests.simulation.books import Lease, Witness
from tests.simulation.dynamodb import DECISIONS, STATE, SimDynamo
from tests.simulation.faults import ACCOUNT, SHADOW, SIBLING, Faults
from tests.simulation.jetstream import SimNats
from tests.simulation.loop import Process, Simulation
from tests.simulation.paper import PaperWitness
from tests.simulation.strategies import CAREFUL, CONTRARY, PLAIN, StrategyWitness
from tests.simulation.venue import SimVenue
from tests.simulation.venue_ports import SECOND, TRADER

T = TypeVar("T")

STRATEGY_OF: Final = {ACCOUNT: PLAIN, SIBLING: CONTRARY, SHADOW: CAREFUL}
ENTRY_OF: Final = {
    ACCOUNT: PLAIN,
    SIBLING: f"{SIBLING}={CONTRARY}",
    SHADOW: f"shadow={CAREFUL}@paper",
}
"""As STRATEGIES names them."""
GROUP: Final = "group"
"""Of all of them; its paper accounts are counted apart."""
OF_SIBLING: Final = ("worker-b", "schedule-b")
"""Where it is served apart."""
AHEAD: Final = "schedule-2"
"""Whose clock it is that may be ahead; the other one is right when all must come to rest."""
COOLDOWN_S: Final = 20
SETTINGS: Final = {
    "execution": "live",
    "private_key": "0x" + "11" * 32,
    "max_positions": 3,
    "cooldown_s": COOLDOWN_S,
    "min_time_to_close_s": 5,
}


@dataclass
class World:
    """One seed's system, and what the checks need to know about it."""

    sim: Simulation
    faults: Faults
    nats: SimNats
    dynamodb: SimDynamo
    venue: SimVenue
    witness: Witness
    strategies: StrategyWitness
    paper: PaperWitness = field(default_factory=PaperWitness)
    lease: Lease = field(default_factory=Lease)
    markets: dict[str, MarketInfo] = field(default_factory=dict)
    unclaimed_posts: list[str] = field(default_factory=list)
    """Orders that reached the venue, or a paper exchange, while no durable record knew them."""
    halted: defaultdict[str, list[tuple[int, int]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """By account: (halt had returned, resume was begun) in epoch ns."""
    tuned: defaultdict[str, list[tuple[int, int]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """By account: (a change of the configuration had returned in epoch ns, its version)."""
    running: dict[str, Process] = field(default_factory=dict)
    entries_stopped: bool = False
    kills: int = 0

    @property
    def live(self) -> tuple[str, ...]:
        """Names of the accounts that trade at the venue."""
        return (ACCOUNT, SIBLING) if self.faults.sibling else (ACCOUNT,)

    @property
    def accounts(self) -> tuple[str, ...]:
        """Names of all accounts."""
        return (*self.live, SHADOW) if self.faults.shadow else self.live

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """The groups that have collective limits, and their accounts."""
        if not self.faults.collective:
            return {}
        paper = {f"{GROUP}{PAPER_SUFFIX}": (SHADOW,)} if self.faults.shadow else {}
        return {GROUP: self.live, **paper}

    def group_version(self, group: str) -> int:
        """Of the limits in force; 0: it has none."""
        item = self.dynamodb.item(f"GROUP#{group}", GROUP_SK)
        return 0 if item is None else int(item["config_version"]["N"])

    def served_by(self, name: str) -> tuple[str, ...]:
        """The accounts that the process of this name has."""
        if name in OF_SIBLING:
            return (SIBLING,)
        return tuple(each for each in self.accounts if each != SIBLING or not self.faults.apart)

    def settings(self, name: str = "worker-1") -> WorkerSettings:
        """What the process of this name is told.

        Limits that a person has changed since would contradict an environment that names them. So
        of the accounts' it names none (`_Settings`), and of the groups' only until they have some.
        """
        faults, seeded = self.faults, all(map(self.group_version, self.groups))
        limits = {
            "daily_loss_limit_usd": faults.loss_limit_usd,
            "daily_spend_cap_usd": faults.spend_cap_usd,
            "max_entries_per_market": faults.max_entries,
        }
        collective = {
            "collective_exposure_max_usd": faults.exposure_max_usd,
            "collective_daily_loss_limit_usd": faults.collective_loss_usd,
        }
        if not seeded:
            limits |= {name: limit for name, limit in collective.items() if limit is not None}
        strategies = ",".join(ENTRY_OF[each] for each in self.served_by(name))
        return _settings(strategies, trader_of(self, name).wallet).model_copy(update=limits)

    def store(self, account_name: str = ACCOUNT) -> DynamoStore:
        """A store of the process that uses it."""
        return DynamoStore(
            self.dynamodb.client(), table=STATE, decision_table=DECISIONS, account_name=account_name
        )


class _Settings(WorkerSettings):
    """Of an environment that names no setting of an account: what is stored counts."""

    def variables(self) -> dict[str, Any]:
        return {}


@cache
def _settings(strategies: str, wallet: str) -> WorkerSettings:
    """One for all worlds: reading the environment, and certificates, takes tens of milliseconds."""
    return _Settings(**SETTINGS, strategies=strategies, wallet=wallet)


def new_world(sim: Simulation, faults: Faults) -> World:
    """Ports without processes."""
    venue = SimVenue(sim, faults.venue)
    raises = {STRATEGY_OF[name]: share for name, share in faults.raises.items()}
    world = World(
        sim=sim,
        faults=faults,
        nats=SimNats(sim, faults.nats),
        dynamodb=SimDynamo(sim, faults=faults.dynamodb),
        venue=venue,
        witness=Witness(sim),
        strategies=StrategyWitness(sim, raises),
    )
    sim.log_disk.full = faults.log_unwritable
    venue.superseded = world.witness.superseded
    venue.misnamed = lambda info: info.outcomes != world.markets[info.condition_id].outcomes
    venue.mute = faults.mute
    venue.on_arrival = world.paper.on_arrival = lambda order_id: _note_unclaimed(world, order_id)
    return world


def clock_ns(world: World) -> int:
    """The time by the clock of the process that asks."""
    ahead_ms = world.faults.ahead_ms if world.sim.current.name == AHEAD else 0
    return world.sim.time_ns() + ahead_ms * 1_000_000


def _note_unclaimed(world: World, order_id: str) -> None:
    """Invariant 1, from the venue's side."""
    partitions = (world.dynamodb.partition(f"STRATEGY#{name}") for name in world.accounts)
    for item in chain.from_iterable(partitions):
        claims = item.get("claims", {}).get("M", {}).values()
        known = [claim["M"]["order_id"]["S"] for claim in claims]
        if order_id in known or item.get("order_id", {}).get("S") == order_id:
            return
    world.unclaimed_posts.append(order_id)


# -- what all processes need -----------------------------------------------------------------------


def trader_of(world: World, name: str) -> Trader:
    """In whose name the process of this name trades."""
    return SECOND if world.faults.wallets and name in ("worker-3", "schedule-2") else TRADER


@cache
def metrics_of(kind: Callable[..., T], *arguments: Any) -> T:
    """One of a kind for all processes: they only count, and making them takes milliseconds."""
    return kind(*arguments)


async def patiently(call: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Call it until it does not fail."""
    while True:
        try:
            await call()
        except Exception:  # noqa: BLE001 - whatever fails here is tried again: it is not under test
            await asyncio.sleep(0.5)
        else:
            return


async def connected(world: World, name: str) -> Any:
    """A client of NATS, as soon as there is a server."""
    while True:
        try:
            return await world.nats.connect(name)
        except NoServersError:
            await asyncio.sleep(0.5)


async def until_declared(nc: Any, stream: Any) -> None:
    """Wait until the stream is there."""

    async def declare() -> None:
        await ensure_stream(nc.jetstream(timeout=2), stream)

    await patiently(declare)
