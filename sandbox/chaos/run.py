"""A chaos run: the sandbox while its processes are killed and its servers fail, then the audit.

    safety phase   processes are killed and stopped, venue and store fail (`sandbox.chaos.plan`)
    healing        everything works again, nothing new is bought: all claims must come to their end
    audit          venue journal = state = ledger, to the micro-share (`sandbox.audit`)

Nothing but the services talks to the faulty store: the watch and the audit ask DynamoDB itself.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
from rich.console import Console

from functions.core.claim import Claim
from runtime.process import stop_tasks
from sandbox.audit import disagreements
from sandbox.audit_input import AuditInput, account_name, gather
from sandbox.chaos.claim_watch import ClaimWatch
from sandbox.chaos.dynamodb_faults import FaultyDynamo, faulty_dynamodb
from sandbox.chaos.plan import (
    AMBUSH,
    AMBUSH_FAULTS,
    KILL,
    FaultRates,
    process_faults,
    store_spells,
    venue_spells,
)
from sandbox.cluster import Cluster
from sandbox.processes import Processes
from sandbox.services import STATE_TABLE, Options

CONVERGE_S: Final = 150
"""What is not found is released after a minute and several lookups (functions.core.lifecycle)."""
STATUS_EVERY_S: Final = 10
LIVE: Final = "live"


@dataclasses.dataclass(kw_only=True)
class ChaosOutcome:
    """What a run did and found."""

    seed: int
    duration_s: int
    audit_input: AuditInput
    watch: ClaimWatch
    kills: Counter[str]
    stops: Counter[str]
    ambushes: int
    worker_kills_ms: list[int]
    store_faults: Counter[str]
    store_requests: int
    venue_faults: Counter[str]
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
        self._account = account_name(LIVE)
        self._watch = ClaimWatch(cluster.dynamodb_url, self._account)
        self._spell: FaultRates = {}
        self._ambush_is_set = False
        self._ambushes = 0
        self._worker_kills_ms: list[int] = []

    async def run(self, duration_s: int) -> ChaosOutcome:
        """Safety phase, healing, audit. Raises SandboxError when the sandbox itself fails."""
        planned = await self._cluster.planned_services(self._dynamodb.url)
        processes = Processes(self._cluster, planned)
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            self._watch.on_claimed = lambda claims: self._ambush(claims, processes, session)
            watching = None
            try:
                await processes.start()
                watching = asyncio.create_task(self._watch.run())
                await self._safety_phase(processes, session, duration_s)
                converged_s = await self._heal(processes, session)
                if watching.done():
                    watching.result()
            finally:
                if watching is not None:
                    await stop_tasks(watching)
                await processes.end_all()
            venue_faults = await self._venue_faults(session)
        audit_input = await gather(
            self._cluster.venue_url, self._cluster.dynamodb_url, STATE_TABLE, self._account
        )
        cooldown_ms = self._cluster.options.cooldown_ms
        found = disagreements(audit_input, execution=LIVE, cooldown_ms=cooldown_ms)
        found += processes.unexpected
        found += untested(audit_input, processes.kills)
        if converged_s is None:
            found.append(f"not converged {CONVERGE_S} s after everything was healed")
        return ChaosOutcome(
            seed=self._seed,
            duration_s=duration_s,
            audit_input=audit_input,
            watch=self._watch,
            kills=processes.kills,
            stops=processes.stops,
            ambushes=self._ambushes,
            worker_kills_ms=self._worker_kills_ms,
            store_faults=self._dynamodb.injected,
            store_requests=self._dynamodb.requests,
            venue_faults=venue_faults,
            converged_s=converged_s,
            violations=found,
        )

    async def _safety_phase(
        self, processes: Processes, session: aiohttp.ClientSession, duration_s: int
    ) -> None:
        tasks = [
            asyncio.create_task(self._fail_processes(processes, session)),
            asyncio.create_task(self._trouble_venue(session)),
            asyncio.create_task(self._trouble_store()),
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
            account = self._watch.account
            if account is not None and not (account.claims or moving or self._dynamodb.late):
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
            if self._watch.account is not None:
                states.update(c.state.value for c in self._watch.account.claims.values())
            self._console.print(
                f"{ends_s - time.monotonic():.0f} s left: {processes.kills.total()} kills, "
                f"{processes.stops.total()} stops, {len(self._watch.orders)} orders claimed; now "
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


def untested(audit_input: AuditInput, kills: Counter[str]) -> list[str]:
    """Why such a run proves nothing, however well everything agrees."""
    found = [] if kills else ["nothing was killed"]
    if not any(entry.verdict == "matched" for entry in audit_input.entries):
        found.append("no order was matched: there was nothing to lose")
    return found


async def run_chaos(options: Options, log_dir: Path, seed: int, duration_s: int) -> ChaosOutcome:
    """A whole run, servers included. Raises SandboxError, OSError, aiohttp.ClientError."""
    console = Console()
    async with (
        Cluster(options, log_dir) as cluster,
        faulty_dynamodb(cluster.dynamodb_url, seed) as dynamodb,
    ):
        return await Chaos(cluster, dynamodb, seed, console).run(duration_s)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
