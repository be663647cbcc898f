"""A rolling replacement of everything, while orders flow: what an upgrade does, again and again.

One after the other, each process is replaced as a container service rolls its tasks: the new one is
started and has to be healthy, then the old one gets SIGTERM and has to end, with code 0, within
STOP_MAX_S. Feeders (two of them, so that leases go from hand to hand), user feeder, workers and
the schedule, round and round until the time is over, at least once each. Then the audit: venue =
state = ledger, nothing abandoned, nothing doubled.

A worker gets SIGTERM while it has an order under way, if one comes in time. The venue holds each
order for a while, as the real one does, so that there is something to finish.

Not modelled: service discovery that lags, two versions of the code at once, and a machine that goes
away with its processes (that is `sandbox.chaos.run`).
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import Counter, defaultdict
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp
from rich.console import Console

from local.child import ChildError
from local.services import Service
from protocol.subjects import BOOKS
from runtime.nats import connect_once
from runtime.process import stop_tasks
from sandbox.audit import unfinished
from sandbox.audit_input import AuditInput
from sandbox.cluster import Cluster
from sandbox.group_audit import group_disagreements, nothing_at_stake
from sandbox.processes import Processes
from sandbox.rolling.report import (
    Pauses,
    RollingOutcome,
    ends_logged,
    lost_leases,
    orders_in_flight,
    port_told,
)
from sandbox.services import Options

STOP_MAX_S: Final = 10.0
"""What a process promises; the container service kills it after its own, longer timeout."""
HEALTHY_MAX_S: Final = 30.0
ORDER_WAIT_S: Final = 8.0
"""How long a worker's end waits for an order of its to be under way."""
FIRST_ORDER_WAIT_S: Final = 30.0
"""As long as none of them had one: a whole window at the usual speed, so that one comes."""
HABITS: Final = {
    "delay_before": 1.0,
    "delay_before_ms": 500,
    "no_match": 0.3,
    "null_lists": 0.5,
    "unit_short": 0.5,
}
"""The venue holds taker orders of some markets for 250 ms; twice that, to be seen by a poller. And
some orders find nothing, so that their markets are tried again before their end."""
CONVERGE_S: Final = 30.0
HANDOVER_MS: Final = 2_000
"""What comes so long after a feeder's end is not of its making: a lease lasts one second."""
FIRST_CHECK_S: Final = 2.0
"""A container service asks a new process for its health after an interval, on Amazon ECS of five
seconds or more. A feeder has no problem before it has found its markets, so asking it at once would
end the old one before the new one has books."""
POLL_S: Final = 0.05
FEEDERS: Final = 2
FEEDER: Final = "feeder-"
WORKER: Final = "worker-"


class Rolling:
    """One run on a cluster whose servers are up."""

    def __init__(self, cluster: Cluster, console: Console) -> None:
        self._cluster = cluster
        self._console = console
        self._now: dict[str, Service] = {}
        """By the name of the service: the one that runs, whose own name ends in its generation."""
        self._ports: dict[str, object] = {}
        self._replaced: Counter[str] = Counter()
        self._starts_s: defaultdict[str, list[float]] = defaultdict(list)
        self._stops_s: defaultdict[str, list[float]] = defaultdict(list)
        self._under_way = self._finished = self._abandoned = 0
        self._pauses = Pauses()
        self._handovers_ms: list[tuple[int, int]] = []
        self._found: list[str] = []

    async def run(self, duration_s: int) -> RollingOutcome:
        """Raises ChildError when the sandbox itself fails."""
        planned = with_two_feeders(await self._cluster.planned_services(self._cluster.dynamodb_url))
        self._now = {each.name: generation(each, 1) for each in planned}
        processes = Processes(self._cluster, list(self._now.values()))
        nc = await connect_once(self._cluster.nats_url, "rolling")
        timeout = aiohttp.ClientTimeout(total=5)
        try:
            await nc.subscribe(BOOKS.subjects[0], cb=self._pauses.on_book)
            async with aiohttp.ClientSession(timeout=timeout) as session:
                await processes.start()
                for name, service in self._now.items():
                    self._ports[name] = await self._healthy(service, session)
                await self._set_venue_faults(session, HABITS)
                await self._until_over(planned, processes, session, duration_s)
                await self._set_venue_faults(session, {})
                self._pauses.close(_now_ms())
                # Without books nothing is bought; all else goes on.
                feeders = [it.name for name, it in self._now.items() if name.startswith(FEEDER)]
                await asyncio.gather(*(processes.end(name) for name in feeders))
                converged_s = await self._converge()
        finally:
            await processes.end_all()
            await nc.close()
        audits = await self._cluster.audit_inputs()
        return self._outcome(planned, processes, audits, converged_s)

    async def _until_over(
        self,
        planned: list[Service],
        processes: Processes,
        session: aiohttp.ClientSession,
        duration_s: int,
    ) -> None:
        """Replace them in turn. Raises ChildError when a server of the sandbox dies."""
        rolling = asyncio.create_task(self._roll(planned, processes, session, duration_s))
        died = asyncio.create_task(self._cluster.died())
        try:
            await asyncio.wait({rolling, died}, return_when=asyncio.FIRST_COMPLETED)
            if died.done():
                raise ChildError(died.result())
            rolling.result()
        finally:
            await stop_tasks(rolling, died)

    async def _roll(
        self,
        planned: list[Service],
        processes: Processes,
        session: aiohttp.ClientSession,
        duration_s: int,
    ) -> None:
        ends_at_s, round_number = time.monotonic() + duration_s, 1
        while True:
            round_number += 1
            for service in planned:
                if self._replaced[service.name] and time.monotonic() >= ends_at_s:
                    return
                await self._replace(service, round_number, processes, session)

    async def _replace(
        self,
        service: Service,
        round_number: int,
        processes: Processes,
        session: aiohttp.ClientSession,
    ) -> None:
        old, new = self._now[service.name], generation(service, round_number)
        began_s = time.monotonic()
        await processes.begin(new)
        await asyncio.sleep(FIRST_CHECK_S)
        port = await self._healthy(new, session)
        started_s = time.monotonic() - began_s
        is_worker = service.name.startswith(WORKER)
        if is_worker and await self._order_is_under_way(self._ports[service.name], session):
            self._under_way += 1
        told_ms, told_s = _now_ms(), time.monotonic()
        await processes.end(old.name)
        stopped_s = time.monotonic() - told_s
        self._now[service.name], self._ports[service.name] = new, port
        self._replaced[service.name] += 1
        self._starts_s[service.module].append(started_s)
        self._stops_s[service.module].append(stopped_s)
        if stopped_s > STOP_MAX_S:
            self._found.append(f"{old.name} took {stopped_s:.1f} s to stop")
        if service.name.startswith(FEEDER):
            self._handovers_ms.append((told_ms, _now_ms() + HANDOVER_MS))
        if is_worker:
            ended, abandoned = ends_logged(self._log_of(old), told_ms)
            self._finished += ended
            self._abandoned += abandoned
            if abandoned:
                self._found.append(f"{old.name} abandoned {abandoned} orders when it was stopped")
        self._console.print(
            f"{old.name} -> {new.name}: healthy after {started_s:.1f} s, "
            f"the old one ended after {stopped_s:.1f} s",
            highlight=False,
            soft_wrap=True,
        )

    async def _healthy(self, service: Service, session: aiohttp.ClientSession) -> object:
        """Wait until nothing is wrong with it, as the container service does; its metrics' port."""
        port, said, until_s = None, "not started", time.monotonic() + HEALTHY_MAX_S
        while time.monotonic() < until_s:
            port = port or port_told(self._log_of(service), service.started_event)
            try:
                if port:
                    async with session.get(f"http://127.0.0.1:{port}/healthz") as response:
                        said = await response.text()
                        if response.status == HTTPStatus.OK:
                            return port
            except (aiohttp.ClientError, TimeoutError) as error:
                said = f"{type(error).__name__}: {error}"
            await asyncio.sleep(POLL_S)  # the facts are another process's
        raise ChildError(f"{service.name} is not healthy after {HEALTHY_MAX_S:g} s: {said}")

    def _log_of(self, service: Service) -> Path:
        return self._cluster.log_dir / f"{service.name}.log"

    async def _order_is_under_way(self, port: object, session: aiohttp.ClientSession) -> bool:
        wait_s = ORDER_WAIT_S if self._under_way else FIRST_ORDER_WAIT_S
        until_s = time.monotonic() + wait_s
        while time.monotonic() < until_s:
            async with session.get(f"http://127.0.0.1:{port}/metrics") as response:
                if orders_in_flight(await response.text()):
                    return True
            await asyncio.sleep(POLL_S)  # the fact is another process's
        return False

    async def _converge(self) -> float | None:
        """Seconds until nothing was under way any more; None: not within CONVERGE_S."""
        began_s = time.monotonic()
        while time.monotonic() - began_s < CONVERGE_S:
            if not any(map(unfinished, (await self._cluster.audit_inputs()).values())):
                return time.monotonic() - began_s
            await asyncio.sleep(1)  # the venue and the schedule go by the clock
        return None

    async def _set_venue_faults(
        self, session: aiohttp.ClientSession, faults: dict[str, float]
    ) -> None:
        url = f"{self._cluster.venue_url}/sandbox/faults"
        async with session.post(url, json=faults) as response:
            response.raise_for_status()

    def _outcome(
        self,
        planned: list[Service],
        processes: Processes,
        audits: dict[str, AuditInput],
        converged_s: float | None,
    ) -> RollingOutcome:
        options = self._cluster.options
        found = group_disagreements(audits, options.accounts, cooldown_ms=options.cooldown_ms)
        found += processes.unexpected
        found += self._found + self._pauses.malformed
        found += [f"{it.name} was never replaced" for it in planned if not self._replaced[it.name]]
        if not self._pauses.books:
            found.append("no book was ever published")
        found += nothing_at_stake(audits, options.accounts)
        if converged_s is None:
            found.append(f"not converged {CONVERGE_S:g} s after the last replacement")
        return RollingOutcome(
            replaced=self._replaced,
            starts_s=dict(self._starts_s),
            stops_s=dict(self._stops_s),
            pauses=self._pauses,
            handovers_ms=self._handovers_ms,
            lost_leases=lost_leases(self._cluster.log_dir),
            under_way=self._under_way,
            finished=self._finished,
            abandoned=self._abandoned,
            converged_s=converged_s,
            audits=audits,
            violations=found,
        )


def with_two_feeders(planned: list[Service]) -> list[Service]:
    """The same services, with FEEDERS market feeders instead of one."""
    feeders = [
        dataclasses.replace(each, name=f"{FEEDER}{number}")
        for each in planned
        if each.name == "feeder"
        for number in range(1, FEEDERS + 1)
    ]
    return feeders + [each for each in planned if each.name != "feeder"]


def generation(service: Service, number: int) -> Service:
    """The same service under a name of its own."""
    return dataclasses.replace(service, name=f"{service.name}.{number}")


async def run_rolling(options: Options, log_dir: Path, duration_s: int) -> RollingOutcome:
    """A whole run, servers included. Raises ChildError, OSError, aiohttp.ClientError."""
    async with Cluster(options, log_dir) as cluster:
        return await Rolling(cluster, Console()).run(duration_s)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
