"""A chaos run: the sandbox while its processes are killed and its servers fail, then the audit.

    safety phase   processes are killed and stopped, venue and store fail, configurations change
                   (`sandbox.chaos.plan`)
    healing        everything works again, nothing new is bought: all claims must come to their end
    audit          venue journal = state = ledger, to the micro-share (`sandbox.group_audit`), no
                   claim over a limit that was in force (`sandbox.chaos.limit_audit`)

The services talk to the faulty store, and who changes configurations: the watches and the audit ask
DynamoDB itself.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
from rich.console import Console

from functions.core.claim import Claim
from runtime.process import stop_tasks
from sandbox.audit import records_of
from sandbox.audit_input import AuditInput, reading_store
from sandbox.chaos.claim_watch import ClaimWatch
from sandbox.chaos.dynamodb_faults import FaultyDynamo, faulty_dynamodb
from sandbox.chaos.limit_audit import over_limits
from sandbox.chaos.plan import (
    AMBUSH,
    AMBUSH_FAULTS,
    KILL,
    FaultRates,
    process_faults,
    store_spells,
    venue_spells,
)
from sandbox.chaos.retuner import Retuner
from sandbox.cluster import Cluster
from sandbox.group_audit import group_disagreements, nothing_at_stake
from sandbox.processes import Processes
from sandbox.services import STATE_TABLE, Options

CONVERGE_S: Final = 150
"""What is not found is released after a minute and several lookups (functions.core.lifecycle)."""
STATUS_EVERY_S: Final = 10
LOWERED_WITHIN_S: Final = 60
VERSIONS_MAX: Final = 10_000
"""Of one account's configuration, in one run."""


@dataclasses.dataclass(kw_only=True)
class ChaosOutcome:
    """What a run did and found."""

    seed: int
    duration_s: int
    audits: Mapping[str, AuditInput]
    watches: Mapping[str, ClaimWatch]
    """Both by account."""
    kills: Counter[str]
    stops: Counter[str]
    ambushes: int
    worker_kills_ms: list[int]
    store_faults: Counter[str]
    store_requests: int
    venue_faults: Counter[str]
    retuned: int
    """Changes of configurations that returned, and `lowered`: those to fewer positions."""
    lowered: int
    not_known: int
    converged_s: float | None
    violations: list[str]


class Chaos:
    """One run on a cluster whose servers are up."""

    def __init__(
        self, cluster: Cluster, dynamodb: FaultyDynamo, seed: int, console: Console
    ) -> None:
        self._cluster = cluster
        self._dynamodb = dynamodb
        self._seed = seed
        self._console = console
        self._watches = {
            entry.account: ClaimWatch(cluster.dynamodb_url, entry.account)
            for entry in cluster.options.accounts
        }
        self._retuner = Retuner(cluster, dynamodb.url, self._watches)
        self._spell: FaultRates = {}
        self._ambush_is_set = False
        self._ambushes = 0
        self._worker_kills_ms: list[int] = []

    async def run(self, duration_s: int) -> ChaosOutcome:
        """Safety phase, healing, audit. Raises ChildError when the sandbox itself fails."""
        planned = await self._cluster.planned_services(self._dynamodb.url)
        processes = Processes(self._cluster, planned)
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            watching: list[asyncio.Task[None]] = []
            try:
                await processes.start()
                await self._retuner.begin()
                for watch in self._watches.values():
                    watch.on_claimed = lambda claims: self._ambush(claims, processes, session)
                    watching.append(asyncio.create_task(watch.run()))
                await self._safety_phase(processes, session, duration_s)
                converged_s = await self._heal(processes, session)
                for watched in watching:
                    if watched.done():
                        watched.result()
            finally:
                await stop_tasks(*watching)
                await processes.end_all()
            venue_faults = await self._venue_faults(session)
        options = self._cluster.options
        audits = await self._cluster.audit_inputs()
        found = group_disagreements(audits, options.accounts, cooldown_ms=options.cooldown_ms)
        found += await self._over_limits(audits)
        found += processes.unexpected
        found += nothing_at_stake(audits, options.accounts)
        found += untested(processes.kills, self._retuner.lowered, duration_s)
        if converged_s is None:
            found.append(f"not converged {CONVERGE_S} s after everything was healed")
        return ChaosOutcome(
            seed=self._seed,
            duration_s=duration_s,
            audits=audits,
            watches=self._watches,
            kills=processes.kills,
            stops=processes.stops,
            ambushes=self._ambushes,
            worker_kills_ms=self._worker_kills_ms,
            store_faults=self._dynamodb.injected,
            store_requests=self._dynamodb.requests,
            venue_faults=venue_faults,
            retuned=len(self._retuner.returned),
            lowered=self._retuner.lowered,
            not_known=self._retuner.not_known,
            converged_s=converged_s,
            violations=found,
        )

    async def _over_limits(self, audits: Mapping[str, AuditInput]) -> list[str]:
        found = []
        for name, watch in self._watches.items():
            async with reading_store(self._cluster.dynamodb_url, STATE_TABLE, name) as store:
                rows = await store.configurations(VERSIONS_MAX)
            returned = [each for each in self._retuner.returned if each.account == name]
            records = records_of(audits[name]).values()
            found += [f"{name}: {it}" for it in over_limits(records, watch, rows, returned)]
        return found

    async def _safety_phase(
        self, processes: Processes, session: aiohttp.ClientSession, duration_s: int
    ) -> None:
        tasks = [
            asyncio.create_task(self._fail_processes(processes, session)),
            asyncio.create_task(self._trouble_venue(session)),
            asyncio.create_task(self._trouble_store()),
            asyncio.create_task(self._retuner.run(self._seed)),
            asyncio.create_task(self._report_progress(processes, duration_s)),
        ]
        died = asyncio.create_task(self._cluster.died(but=("nats",)))
        try:
            done, _ = await asyncio.wait(
                {*tasks, died}, timeout=duration_s, return_when=asyncio.FIRST_COMPLETED
            )
            if died in done:
                processes.unexpected.append(died.result())
            for task in done - {died}:
                task.result()
        finally:
            self._ambush_is_set = False
            await stop_tasks(*tasks, died)

    async def _heal(self, processes: Processes, session: aiohttp.ClientSession) -> float | None:
        """Seconds until nothing was under way any more; None: not within CONVERGE_S."""
        self._console.print("healed; waiting until every claim has come to its end ...")
        started_s = time.monotonic()
        self._dynamodb.rates = {}
        self._spell = {}
        await self._set_venue_faults(session)
        processes.continue_all()
        await processes.end("feeder")  # without books nothing is bought
        while time.monotonic() - started_s < CONVERGE_S:
            moving = (await self._journal(session))["pending"]
            accounts = [watch.account for watch in self._watches.values()]
            held = any(account is None or account.claims for account in accounts)
            if not (held or moving or self._dynamodb.late):
                return time.monotonic() - started_s
            await asyncio.sleep(1)  # the venue and the schedule go by the clock
        return None

    async def _fail_processes(self, processes: Processes, session: aiohttp.ClientSession) -> None:
        for fault in process_faults(self._seed, len(processes.workers)):
            await asyncio.sleep(fault.after_s)
            if fault.action == AMBUSH:
                self._ambush_is_set = True
                await self._set_venue_faults(session)
            elif fault.action == KILL:
                if fault.target in processes.workers:
                    self._worker_kills_ms.append(_now_ms())
                processes.kill(fault.target)
            else:
                processes.stop(fault.target, fault.for_s)

    async def _ambush(
        self, claims: list[Claim], processes: Processes, session: aiohttp.ClientSession
    ) -> None:
        """Kill all workers if one of them has not heard yet that its order was matched."""
        if not self._ambush_is_set:
            return
        entries = (await self._journal(session))["entries"]
        matched = {entry["order_id"] for entry in entries if entry["verdict"] == "matched"}
        if not any(claim.order_id in matched for claim in claims):
            return
        self._ambush_is_set = False
        self._ambushes += 1
        self._worker_kills_ms.append(_now_ms())
        for name in processes.workers:
            processes.kill(name)
        await self._set_venue_faults(session)

    async def _trouble_venue(self, session: aiohttp.ClientSession) -> None:
        await self._set_venue_faults(session, seed=self._seed)
        for spell in venue_spells(self._seed):
            self._spell = spell.faults
            await self._set_venue_faults(session)
            await asyncio.sleep(spell.for_s)

    async def _trouble_store(self) -> None:
        for spell in store_spells(self._seed):
            self._dynamodb.rates = spell.faults
            await asyncio.sleep(spell.for_s)

    async def _report_progress(self, processes: Processes, duration_s: int) -> None:
        ends_s = time.monotonic() + duration_s
        while True:
            await asyncio.sleep(STATUS_EVERY_S)
            states: Counter[str] = Counter()
            for watch in self._watches.values():
                if watch.account is not None:
                    states.update(c.state.value for c in watch.account.claims.values())
            claimed = sum(len(watch.orders) for watch in self._watches.values())
            self._console.print(
                f"{ends_s - time.monotonic():.0f} s left: {processes.kills.total()} kills, "
                f"{processes.stops.total()} stops, {len(self._retuner.returned)} configurations, "
                f"{claimed} orders claimed; now "
                + (", ".join(f"{n} {state}" for state, n in sorted(states.items())) or "none live"),
                highlight=False,
                soft_wrap=True,
            )

    async def _set_venue_faults(self, session: aiohttp.ClientSession, **seed: int) -> None:
        faults = self._spell | (AMBUSH_FAULTS if self._ambush_is_set else {})
        url = f"{self._cluster.venue_url}/sandbox/faults"
        async with session.post(url, json={**faults, **seed}) as response:
            response.raise_for_status()

    async def _journal(self, session: aiohttp.ClientSession) -> dict[str, Any]:
        async with session.get(f"{self._cluster.venue_url}/sandbox/journal") as response:
            response.raise_for_status()
            journal: dict[str, Any] = msgspec.json.decode(await response.read())
            return journal

    async def _venue_faults(self, session: aiohttp.ClientSession) -> Counter[str]:
        return Counter((await self._journal(session))["injected"])


def untested(kills: Counter[str], lowered: int, duration_s: int) -> list[str]:
    """Why such a run proves nothing, however well everything agrees.

    In less than a minute the store's faults may meet every change that lowers a limit.
    """
    found = [] if kills else ["nothing was killed"]
    return found if lowered or duration_s < LOWERED_WITHIN_S else [*found, "no limit was lowered"]


async def run_chaos(options: Options, log_dir: Path, seed: int, duration_s: int) -> ChaosOutcome:
    """A whole run, servers included. Raises ChildError, OSError, aiohttp.ClientError."""
    console = Console()
    async with (
        Cluster(options, log_dir) as cluster,
        faulty_dynamodb(cluster.dynamodb_url, seed) as dynamodb,
    ):
        return await Chaos(cluster, dynamodb, seed, console).run(duration_s)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
