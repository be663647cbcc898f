"""The whole system as real processes on free loopback ports, started and stopped in order.

nats-server, DynamoDB (serialised moto), simulated venue
    ─▶  feeder, user feeder, workers, scheduled functions
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from polymarket.errors import PolymarketError

from local.child import Child, ChildError
from local.nats_server import FREE_PORT, start_nats
from local.services import RECORDER, Service
from runtime.process import stop_tasks
from sandbox.audit_input import AuditInput, gather_each
from sandbox.services import (
    STATE_TABLE,
    Addresses,
    Options,
    recorder,
    services,
)


class Cluster:
    """`async with Cluster(options, log_dir) as cluster:`: its servers run inside."""

    def __init__(self, options: Options, log_dir: Path) -> None:
        self.options = options
        self.log_dir = log_dir
        self._scratch = tempfile.TemporaryDirectory(prefix="sandbox-")
        self._infrastructure: dict[str, Child] = {}
        self.services: dict[str, Child] = {}
        self.nats_url = ""
        self.dynamodb_url = ""
        self.venue_url = ""
        self.series: list[str] = []
        self.metrics_urls: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        self.log_dir.mkdir(parents=True, exist_ok=True)
        for old in self.log_dir.glob("*.log"):
            old.unlink()
        try:
            await self._start_infrastructure()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def died(self, but: Sequence[str] = ()) -> str:
        """Wait until a child not in `but` ends by itself; a sentence with its last words."""
        children = {**self._infrastructure, **self.services}
        tasks = {
            asyncio.create_task(child.ended()): child
            for name, child in children.items()
            if name not in but
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        child = tasks[done.pop()]
        return f"{child.name} ended with code {child.returncode}{child.last_words()}"

    async def start_services(self) -> None:
        """Start the system itself; whoever wants to see all it says listens before."""
        if self.options.record is not None:
            service = recorder(self.options, self._addresses(self.dynamodb_url))
            await self._start(service)
            await self.services[service.name].wait_for(service.started_event)
        planned = await self.planned_services(self.dynamodb_url)
        for service in planned:
            await self._start(service)
        for service in planned:
            port = (await self.services[service.name].wait_for(service.started_event))[
                "metrics_port"
            ]
            self.metrics_urls[service.name] = f"http://127.0.0.1:{port}/metrics"

    async def _start(self, service: Service) -> None:
        child = self.services[service.name] = Child(service.name, self.log_dir)
        await service.launch(child)

    def _addresses(self, dynamodb_url: str) -> Addresses:
        return Addresses(
            nats_url=self.nats_url,
            dynamodb_url=dynamodb_url,
            venue_url=self.venue_url,
            series=tuple(self.series),
        )

    async def planned_services(self, dynamodb_url: str) -> list[Service]:
        """What is to run here, with its state behind `dynamodb_url`. Raises ChildError."""
        try:
            return await services(self.options, self._addresses(dynamodb_url))
        except PolymarketError as error:
            raise ChildError(f"no API key from the simulated venue: {error}") from error

    async def audit_inputs(self) -> dict[str, AuditInput]:
        """What there is to compare now, by account. Raises aiohttp.ClientError, StoreError."""
        accounts = self.options.accounts
        return await gather_each(self.venue_url, self.dynamodb_url, STATE_TABLE, accounts)

    async def stop_trading(self) -> None:
        """Stop the market feeder: without books nothing is bought; all else goes on."""
        await self.services["feeder"].stop()

    async def stop_services(self) -> list[str]:
        """Stop the feeder, then the rest, which finishes what is under way, then who records it.

        Returns a sentence for each of them that did not stop in order.
        """
        if "feeder" in self.services:
            await self.stop_trading()
        rest = [child for name, child in self.services.items() if name != RECORDER]
        await asyncio.gather(*(child.stop() for child in rest))
        if RECORDER in self.services:
            await self.services[RECORDER].stop()
        return [
            f"{service.name} did not stop in order: exit code {service.returncode}"
            for service in self.services.values()
            if service.returncode not in (None, 0)
        ]

    async def stop(self) -> None:
        """Stop everything, in order. Idempotent."""
        await self.stop_services()
        await asyncio.gather(*(child.stop() for child in self._infrastructure.values()))
        self._scratch.cleanup()

    def server(self, name: str) -> Child:
        """`nats`, `dynamodb` or `venue`."""
        return self._infrastructure[name]

    async def restart_nats(self) -> None:
        """Start the nats-server again, which has ended: same port, same files."""
        child = self._new_child("nats")
        await start_nats(
            child, Path(self._scratch.name), port=urlsplit(self.nats_url).port or FREE_PORT
        )

    async def _start_infrastructure(self) -> None:
        starts = [
            asyncio.create_task(start_nats(self._new_child("nats"), Path(self._scratch.name))),
            asyncio.create_task(start_dynamodb(self._new_child("dynamodb"))),
            asyncio.create_task(self._start_venue()),
        ]
        try:
            self.nats_url, self.dynamodb_url, self.venue_url = await asyncio.gather(*starts)
        finally:
            # When one fails, the others must not go on to start what nobody will stop.
            await stop_tasks(*starts)

    async def _start_venue(self) -> str:
        url, self.series = await start_venue(self._new_child("venue"), self.options)
        return url

    def _new_child(self, name: str) -> Child:
        child = self._infrastructure[name] = Child(name, self.log_dir)
        return child


async def start_venue(child: Child, options: Options) -> tuple[str, list[str]]:
    """Start the simulated venue; its URL and its series. Raises ChildError."""
    await child.start(
        *(sys.executable, "-m", "sandbox.simulator", "--speed", str(options.speed)),
        *("--markets", str(options.markets), "--balance-usd", str(options.balance_usd)),
        env={},
    )
    ready = await child.wait_for("url")
    return str(ready["url"]), list(ready["series"])  # type: ignore[call-overload]


async def start_dynamodb(child: Child) -> str:
    """Start serialised moto with the state table; returns its URL. Raises ChildError."""
    await child.start(*(sys.executable, "-m", "sandbox.dynamodb", "--table", STATE_TABLE), env={})
    return str((await child.wait_for("url"))["url"])
