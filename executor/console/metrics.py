"""What the processes count, as far as views want it.

A page of a process has thousands of samples, and to parse them all would cost more than the whole
console may: of the text only those lines are parsed that a view wants.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import aiohttp
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from executor.console.audience import Audience
from local.status import SystemStatus

READ_EVERY_S: Final = 2.0
"""While somebody looks at a view that shows it."""
SAMPLE_EVERY_S: Final = 10.0
"""While nobody does: differences over an hour need no more."""
PARSE_SHARE_MAX: Final = 0.01
"""Of a core: what takes longer to parse, of many accounts, is read less often."""
READ_EVERY_MAX_S: Final = 60.0
READ_TIMEOUT_S: Final = 1.5
ANSWER_BYTES_MAX: Final = 4 << 20
"""A worker of 50 accounts has a third of it to say."""
PROCESSES_MAX: Final = 32
_NAME: Final = re.compile(r"(?:# (?:HELP|TYPE) )?([a-zA-Z_:][a-zA-Z0-9_:]*)", re.ASCII)
_BUCKET: Final = "_bucket"


class MetricsNow:
    """`of`: by process, those of its families that are wanted, as it told them last; `read_at_ms`:
    when that was."""

    def __init__(
        self, system: Callable[[], SystemStatus | None], now_ms: Callable[[], int]
    ) -> None:
        self._system, self._now_ms = system, now_ms
        self.of: dict[str, tuple[Metric, ...]] = {}
        self.read_at_ms: dict[str, int] = {}
        self.every_s = READ_EVERY_S
        """So long after the last reading the next one begins, at the latest."""
        self._parsed_s = 0.0
        self.errors: dict[str, str] = {}
        """By process, why the last reading failed."""
        self._wanted = set[str]()
        self._views = set[str]()

    def want(self, view: str, samples: Iterable[str]) -> None:
        """Samples that a view shows, `feeder_leases_held`; of a histogram `<its name>_bucket`."""
        self._views.add(view)
        self._wanted.update(samples)

    def value(self, process: str, sample: str, **labels: str) -> float | None:
        """The sum of a process's samples of that name (`feeder_leases_held`,
        `feeder_books_published_total`) that have these labels. None: there are none. Raises
        KeyError where no view wants them, for then they are never there."""
        if sample not in self._wanted:
            raise KeyError(sample)
        found = [
            each.value
            for family in self.of.get(process, ())
            for each in family.samples
            if each.name == sample and labels.items() <= each.labels.items()
        ]
        return sum(found) if found else None

    async def run(self, audience: Audience) -> None:
        """Ask all processes of the system again and again."""
        timeout = aiohttp.ClientTimeout(total=READ_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
            while True:
                self._parsed_s = 0.0
                await self._read_all(session)
                bound_s = min(self._parsed_s / PARSE_SHARE_MAX, READ_EVERY_MAX_S)
                soonest_s = max(READ_EVERY_S, bound_s)
                self.every_s = max(soonest_s, SAMPLE_EVERY_S)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.every_s):
                        await asyncio.sleep(soonest_s)
                        await audience.come(*self._views)

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
            families, took_s = await asyncio.to_thread(self._parsed, text)
        except Exception as error:  # noqa: BLE001 - the parser raises anything at what is no metrics
            self.errors[name] = f"its metrics cannot be read: {type(error).__name__}"
            return
        self._parsed_s += took_s
        self.errors.pop(name, None)
        self.of[name], self.read_at_ms[name] = families, self._now_ms()

    def _parsed(self, text: str) -> tuple[tuple[Metric, ...], float]:
        """And what it took of processor time. Raises whatever the parser raises, and ValueError for
        what is no metrics at all. In a thread of its own, where nothing waits for it."""
        began_s = time.thread_time()
        lines = [line for line in text.splitlines() if self._is_wanted(line)]
        families = tuple(text_string_to_metric_families("\n".join(lines) + "\n"))
        return families, time.thread_time() - began_s

    def _is_wanted(self, line: str) -> bool:
        """Raises ValueError where it is no line of metrics."""
        found = _NAME.match(line)
        if found is None:
            if line and not line.startswith("#"):
                raise ValueError("not a line of metrics")
            return False
        name = found[1]
        return name in self._wanted or (line[0] == "#" and f"{name}{_BUCKET}" in self._wanted)


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
