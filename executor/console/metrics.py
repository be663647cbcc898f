"""What the processes count, for all views."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import aiohttp
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from local.status import SystemStatus

READ_EVERY_S: Final = 2.0
READ_TIMEOUT_S: Final = 1.5
ANSWER_BYTES_MAX: Final = 1 << 20
PROCESSES_MAX: Final = 32


class MetricsNow:
    """`of`: by process, its families as it told them last; `read_at_ms`: when that was."""

    def __init__(
        self, system: Callable[[], SystemStatus | None], now_ms: Callable[[], int]
    ) -> None:
        self._system, self._now_ms = system, now_ms
        self.of: dict[str, tuple[Metric, ...]] = {}
        self.read_at_ms: dict[str, int] = {}
        self.errors: dict[str, str] = {}
        """By process, why the last reading failed."""

    def value(self, process: str, sample: str, **labels: str) -> float | None:
        """The sum of a process's samples of that name (`feeder_leases_held`,
        `feeder_books_published_total`) that have these labels. None: there are none."""
        found = [
            each.value
            for family in self.of.get(process, ())
            for each in family.samples
            if each.name == sample and labels.items() <= each.labels.items()
        ]
        return sum(found) if found else None

    async def run(self) -> None:
        """Ask all processes of the system again and again."""
        timeout = aiohttp.ClientTimeout(total=READ_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
            while True:
                await self._read_all(session)
                await asyncio.sleep(READ_EVERY_S)

    async def _read_all(self, session: aiohttp.ClientSession) -> None:
        status = self._system()
        processes = () if status is None else status.processes[:PROCESSES_MAX]
        urls = {
            each.name: each.metrics_url
            for each in processes
            if each.metrics_url and each.state == "running"
        }
        for gone in self.of.keys() - {each.name for each in processes}:
            del self.of[gone], self.read_at_ms[gone]
        self.errors = {name: why for name, why in self.errors.items() if name in urls}
        await asyncio.gather(*(self._read(session, name, url) for name, url in urls.items()))

    async def _read(self, session: aiohttp.ClientSession, name: str, url: str) -> None:
        try:
            async with session.get(url, allow_redirects=False) as answer:
                text = await _bounded_text(answer)
            families = tuple(text_string_to_metric_families(text))
        except Exception as error:  # noqa: BLE001 - the parser raises anything at what is no metrics
            self.errors[name] = f"its metrics cannot be read: {type(error).__name__}"
            return
        self.errors.pop(name, None)
        self.of[name], self.read_at_ms[name] = families, self._now_ms()


async def _bounded_text(answer: aiohttp.ClientResponse) -> str:
    """Raises ValueError where it is none, or more than any process has to say."""
    if answer.status != 200:
        raise ValueError("not an answer with metrics")
    read = b""
    while more := await answer.content.read(65_536):
        read += more
        if len(read) > ANSWER_BYTES_MAX:
            raise ValueError("more than metrics")
    return read.decode()
