"""Decisions looked up in the recording that is being written, one at a time, by another process.

A recording may be gigabytes. The process reads the part of it in which the decision's market ran
(`decision_reader`), is nice, and is killed when it takes too long; the page says that it searches
meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import msgspec
import structlog

from backtest.replay.explained import Explained
from executor.console.decision_reader import EXIT_NOT_THERE
from protocol.decision import Decision
from runtime.addresses import origins
from runtime.output import one_line

SEARCH_TIMEOUT_S: Final = 120.0
WAITING_MAX: Final = 8
KEPT_MAX: Final = 32
ANSWER_BYTES_MAX: Final = 4 << 20
WHY_LENGTH_MAX: Final = 300
REMEMBERED_MS: Final = 1_800_000
BEFORE_BEGIN_MS: Final = 60_000
WINDOW_MAX_MS: Final = 86_400_000
NO_RECORDING: Final = "no recording is being written"
ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
"""What the process gets of ours: what Python needs to start."""
_decode: Final = msgspec.json.Decoder(Explained).decode
_log = structlog.get_logger()


class DecisionSearch(msgspec.Struct, kw_only=True):
    """One that was asked for."""

    decision_id: str
    at_ms: int
    """When the decision was made."""
    since_ms: int
    """From when on the books were that it saw."""
    searching: bool = True
    """It waits, or is under way."""
    found: Explained | None = None
    why_not: str = ""
    """Why nothing was found, a sentence."""
    searched_at_ms: int = 0
    """When it was over."""


class DecisionSearches:
    """The newest searches. `recording`: the directory; empty: none is written.

    `own`: files of strategies beside the built-in ones, as `executor explain --strategy` has them.
    """

    def __init__(
        self, recording: Callable[[], str], own: Sequence[str], now_ms: Callable[[], int]
    ) -> None:
        self._recording, self._own, self._now_ms = recording, tuple(own), now_ms
        self._known: dict[str, DecisionSearch] = {}
        self._waiting: asyncio.Queue[DecisionSearch] = asyncio.Queue(WAITING_MAX)

    def of(self, decision_id: str) -> DecisionSearch | None:
        """What has come of it; None: nobody has asked, or it was long ago."""
        return self._known.get(decision_id)

    def ask(self, decision: Decision) -> DecisionSearch:
        """Search, unless it is being searched for already. What was found stays shown meanwhile."""
        decision_id = decision.decision_id
        known = self._known.pop(decision_id, None)
        if known is not None and known.searching:
            self._known[decision_id] = known
            return known
        search = DecisionSearch(
            decision_id=decision_id, at_ms=decision.decided_at_ms, since_ms=seen_since_ms(decision)
        )
        if known is not None:
            search.found = known.found
        self._known[decision_id] = search
        if not self._recording():
            _end(search, NO_RECORDING, self._now_ms())
        else:
            try:
                self._waiting.put_nowait(search)
            except asyncio.QueueFull:
                _end(search, f"{WAITING_MAX} others wait: try again later", self._now_ms())
        for old in [name for name, each in self._known.items() if not each.searching]:
            if len(self._known) <= KEPT_MAX:
                break
            if old != decision_id:
                del self._known[old]
        return search

    async def run(self) -> None:
        """Search for one after the other, until cancelled."""
        while True:
            search = await self._waiting.get()
            try:
                await self._search(search)
            finally:
                if search.searching:
                    _end(search, "the search was given up", self._now_ms())

    async def _search(self, search: DecisionSearch) -> None:
        recording = self._recording()
        if not recording:
            _end(search, NO_RECORDING, self._now_ms())
            return
        times = str(search.since_ms), str(search.at_ms)
        command = (recording, search.decision_id, *times, *self._own)
        try:
            code, answer, said = await _read(command)
            found = _decode(answer) if code == 0 else None
        except TimeoutError:
            _end(
                search, f"the recording was not read within {SEARCH_TIMEOUT_S:g} s", self._now_ms()
            )
            return
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            _log.warning("decision_search_failed", error=f"{type(error).__name__}: {error}")
            _end(search, "the search failed: its process did not answer", self._now_ms())
            return
        if found is None and code != EXIT_NOT_THERE:
            _log.warning("decision_search_failed", code=code, error=said)
            said = f"the search failed, its process ended with {code}: the log says why"
        search.found = found or search.found
        _end(search, "" if found else said, self._now_ms())


def seen_since_ms(decision: Decision) -> int:
    """Epoch ms: no book that it saw is older. A strategy remembers 256 books, and the first
    one of its market's window, whose begin stands in the slug."""
    at_ms = decision.decided_at_ms
    since_ms = at_ms - REMEMBERED_MS
    begin = decision.slug.rpartition("-")[2]
    if begin.isascii() and begin.isdigit() and len(begin) <= 12:
        begin_ms = int(begin) * 1_000 - BEFORE_BEGIN_MS
        if at_ms - WINDOW_MAX_MS <= begin_ms <= at_ms:
            return min(since_ms, begin_ms)
    return since_ms


def _end(search: DecisionSearch, why_not: str, now_ms: int) -> None:
    search.searching, search.why_not, search.searched_at_ms = False, why_not, now_ms


async def _read(arguments: Sequence[str]) -> tuple[int, bytes, str]:
    """(exit code, answer, last line of what it said). Raises TimeoutError, OSError, ValueError for
    an answer without end."""
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "executor.console.decision_reader", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    try:
        async with asyncio.timeout(SEARCH_TIMEOUT_S):
            assert process.stdout is not None and process.stderr is not None  # noqa: S101 - pipes are asked for
            answer, said = await asyncio.gather(
                _bounded(process.stdout, ANSWER_BYTES_MAX),
                _bounded(process.stderr, 1 << 16),
            )
            code = await process.wait()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return code, answer, one_line(origins(lines[-1]))[:WHY_LENGTH_MAX] if lines else ""


async def _bounded(stream: asyncio.StreamReader, bytes_max: int) -> bytes:
    """All of it. Raises ValueError when it is more."""
    data = bytearray()
    while part := await stream.read(1 << 16):
        data += part
        if len(data) > bytes_max:
            raise ValueError(f"more than {bytes_max} bytes")
    return bytes(data)
