"""What runs beside the cloud in a local deployment: NATS, the simulated venue, feeders, workers.

    venue ──▶ feeder ──NATS──▶ workers ──▶ the deployed tables ◀── the deployed functions

No process here reconciles or settles: only the deployed functions do.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit

from polymarket.errors import PolymarketError

from local.child import Child, ChildError
from local.nats_server import start_nats
from local.services import Service
from runtime.process import stop_tasks
from sandbox.cluster import start_venue
from sandbox.services import Addresses, Options, services


@dataclasses.dataclass(frozen=True, kw_only=True)
class LocalAccount:
    """Whose money is at stake: made for one run, at the simulated venue."""

    wallet: str
    private_key: str = dataclasses.field(repr=False)
    api_credentials: str = dataclasses.field(repr=False)
    """JSON, as the functions read it from their secret."""


class System:
    """Started in two steps: its servers first, since what is deployed must know their addresses."""

    def __init__(self, options: Options, log_dir: Path) -> None:
        self._options = options
        self._log_dir = log_dir
        self._children: dict[str, Child] = {}
        self._planned: list[Service] = []
        self._scratch = TemporaryDirectory(prefix="local-system-")
        self.nats_url = ""
        self.venue_url = ""
        self._series: list[str] = []

    async def start_servers(self) -> None:
        """NATS and the venue. Raises ChildError."""
        starts = (
            asyncio.create_task(start_nats(self._child("nats"), Path(self._scratch.name))),
            asyncio.create_task(start_venue(self._child("venue"), self._options)),
        )
        try:
            self.nats_url, (self.venue_url, self._series) = await asyncio.gather(*starts)
        finally:
            # When one fails, the other must not go on to start what nobody will stop.
            await stop_tasks(*starts)

    async def open_account(self, cloud_url: str) -> LocalAccount:
        """A funded account at the venue, for all who trade here. Raises ChildError."""
        at = Addresses(
            nats_url=self.nats_url,
            dynamodb_url=cloud_url,
            venue_url=self.venue_url,
            series=tuple(self._series),
        )
        try:
            planned = await services(self._options, at)
        except PolymarketError as error:
            raise ChildError(f"no API key from the simulated venue: {error}") from error
        self._planned = [each for each in planned if each.name != "schedule"]
        env = {name: value for each in self._planned for name, value in each.env.items()}
        return LocalAccount(
            wallet=env["WALLET"],
            private_key=env["PRIVATE_KEY"],
            api_credentials=json.dumps(
                {name: env[f"API_{name.upper()}"] for name in _API_CREDENTIALS}
            ),
        )

    async def start_services(self, state_table: str, decision_table: str) -> int:
        """Feeders and workers, on these tables; how many. Raises ChildError."""
        tables = {"STATE_TABLE": state_table, "DECISION_TABLE": decision_table}
        for service in self._planned:
            known = {**service.env, **(tables if "STATE_TABLE" in service.env else {})}
            await dataclasses.replace(service, env=known).launch(self._child(service.name))
        for service in self._planned:
            await self._children[service.name].wait_for(service.started_event)
        return len(self._planned)

    async def died(self) -> str:
        """Wait until one of them ends by itself; a sentence with its last words."""
        waits = {asyncio.create_task(child.ended()): child for child in self._children.values()}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await stop_tasks(*waits)
        child = waits[done.pop()]
        return f"{child.name} ended with code {child.returncode}{child.last_words()}"

    async def stop_services(self) -> list[str]:
        """Stop the feeders, then the workers; a sentence for each that did not stop in order."""
        names = [each.name for each in self._planned if each.name in self._children]
        for first in (True, False):
            await self._stop([name for name in names if ("feeder" in name) is first])
        codes = {name: self._children[name].returncode for name in names}
        return [
            f"{name} did not stop in order: exit code {code}"
            for name, code in codes.items()
            if code not in (None, 0)
        ]

    async def stop(self) -> None:
        """Stop everything, in order. Idempotent."""
        await self.stop_services()
        await self._stop(["nats", "venue"])
        self._scratch.cleanup()

    @property
    def count(self) -> int:
        """Processes that were started."""
        return len(self._children)

    def addresses(self) -> list[str]:
        """URLs of the servers, as far as they were started."""
        return [url for url in (self.nats_url, self.venue_url) if url]

    async def _stop(self, names: Sequence[str]) -> None:
        await asyncio.gather(*(self._children[n].stop() for n in names if n in self._children))

    def _child(self, name: str) -> Child:
        child = self._children[name] = Child(name, self._log_dir)
        return child


_API_CREDENTIALS: Final = ("key", "secret", "passphrase", "address")


async def still_listening(urls: Sequence[str]) -> list[str]:
    """Those of the loopback addresses that still take a connection."""
    found = []
    for url in urls:
        at = urlsplit(url)
        try:
            async with asyncio.timeout(1):
                _, writer = await asyncio.open_connection(at.hostname, at.port)
        except (OSError, TimeoutError):
            continue
        writer.close()
        found.append(url)
    return found
