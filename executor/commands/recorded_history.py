"""What `executor record --books` takes down beside the frames, so that every decision can be made
again: books, decisions, and the versions of the accounts' configurations.

A configuration is read as workers do it, every few seconds; and at once, when a decision was made
under a version that is not in the recording yet. Versions between two looks are read, too: a row is
never changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

import msgspec
import structlog

from executor.commands.configuration import HISTORY_MAX, ConfigurationSettings
from feeder.recording.format import Configured, Missed, Record
from feeder.recording.recorded_channel import RecordingProgress, now
from feeder.recording.recorded_messages import RecordedMessages
from functions.bootstrap import unopened_stores
from functions.core.configuration import ConfigurationRow
from functions.core.group import ACCOUNTS_MAX
from functions.ports import Store, StoreError, UnreadableRowsError
from protocol.decision import decode_decision
from protocol.snapshot import ProtocolError
from runtime.addresses import origins
from runtime.line_throttle import LineThrottle
from runtime.process import first_failure

READ_EVERY_S: Final = 5.0
AGAIN_S: Final = 1.0
"""While something is missing: no worker has opened an account, or the table does not answer."""
NAMES_MAX: Final = 2 * ACCOUNTS_MAX
"""Anybody may publish decisions."""
FINISH_S: Final = 4.0
"""Of the ten seconds that a process has to stop."""
_log = structlog.get_logger()


class RecordedHistory:
    """What a `Recorder` keeps beside the frames."""

    def __init__(self, settings: ConfigurationSettings) -> None:
        self._settings = settings
        self._messages: RecordedMessages | None = None
        self._configurations: RecordedConfigurations | None = None

    async def run(self, put: Callable[[Record], None], progress: RecordingProgress) -> None:
        """Until cancelled."""
        self._configurations = RecordedConfigurations(self._settings, put, progress)
        self._messages = RecordedMessages(
            self._settings, put, progress, self._configurations.on_decision
        )
        await first_failure(self._messages.run(), self._configurations.run())

    async def finish(self) -> None:
        """Take down what has come by now, in bounded time."""
        if self._messages is None or self._configurations is None:
            return
        try:
            async with asyncio.timeout(FINISH_S):
                await self._messages.finish()
                await self._configurations.finish()
        except TimeoutError:
            _log.warning("history_not_finished", within_s=FINISH_S)
            self._messages.tell_unread()
        self._configurations.tell_missing()

    async def close(self) -> None:
        """After `finish`, or instead of it."""
        if self._messages is not None:
            await self._messages.close()

    def head(self) -> Iterator[Record]:
        """What each file begins with: the configurations in force."""
        if self._configurations is not None:
            yield from self._configurations.in_force()


class RecordedConfigurations:
    """Every version of the configuration of each account, once."""

    def __init__(
        self,
        settings: ConfigurationSettings,
        put: Callable[[Record], None],
        progress: RecordingProgress,
    ) -> None:
        self._settings = settings
        self._put = put
        self._progress = progress
        self._rows: dict[str, dict[int, ConfigurationRow]] = {
            entry.account: {} for entry in settings.entries
        }
        """Those in the recording, by account and version."""
        self._decided: dict[str, dict[int, int]] = {}
        """By account: the versions that decisions were made under and that are not in the
        recording -> when the first of them came, epoch nanoseconds."""
        self._wanted = asyncio.Event()
        self._failures, self._why = LineThrottle(), ""

    def on_decision(self, payload: bytes) -> None:
        """A decision was recorded: the version that it was made under has to be, too."""
        try:
            decision = decode_decision(payload)
        except ProtocolError:
            return  # whoever reads the recording is told
        account, version = decision.strategy, decision.config_version
        if not version or version in self._rows.get(account, {}):
            return
        if account not in self._decided and len(self._decided) >= NAMES_MAX:
            return
        versions = self._decided.setdefault(account, {})
        if len(versions) >= HISTORY_MAX:
            return
        if account not in self._rows and not versions:
            hint = "name it in STRATEGIES, and its configuration is recorded"
            _log.warning("decisions_of_another_account", account=account, hint=hint)
        versions.setdefault(version, now()[0])
        self._wanted.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with unopened_stores(self._settings) as stores:
                    while True:
                        complete = [await self._read(name, stores[name]) for name in self._rows]
                        await self._rest(READ_EVERY_S if all(complete) else AGAIN_S)
            except StoreError as error:  # no client can be made: credentials that nobody gives yet
                self._say(str(error))
            await asyncio.sleep(AGAIN_S)

    async def finish(self) -> None:
        """Read once more what decisions were made under, where it is missing."""
        wanted = [
            name for name, versions in self._decided.items() if versions and name in self._rows
        ]
        if not wanted:
            return
        try:
            async with unopened_stores(self._settings) as stores:
                for name in wanted:
                    await self._read(name, stores[name])
        except StoreError as error:
            self._say(str(error))

    def tell_missing(self) -> None:
        """A line in the recording for each account whose configuration is not complete in it."""
        at_ns, mono_ns = now()
        for name, versions in self._decided.items():
            if not versions:
                continue
            why = self._why if name in self._rows else "STRATEGIES does not name it"
            self._progress.missed += 1
            self._put(
                Missed(
                    at_ns=at_ns,
                    mono_ns=mono_ns,
                    what="configurations",
                    messages=len(versions),
                    since_ns=min(versions.values()),
                    why=f"{name}: {why or 'there is no such version'}",
                )
            )

    def in_force(self) -> Iterator[Record]:
        """The newest version of each account."""
        for name, rows in self._rows.items():
            if rows:
                yield _configured(name, rows[max(rows)])

    async def _rest(self, wait_s: float) -> None:
        """Until the next look; not long where a decision wants one."""
        try:
            async with asyncio.timeout(wait_s):
                await self._wanted.wait()
        except TimeoutError:
            return
        self._wanted.clear()

    async def _read(self, name: str, store: Store) -> bool:
        """Record what is new. False when it is to be asked for again soon."""
        known, wanted = self._rows[name], self._decided.get(name, {})
        try:
            newest = await store.configuration()
            if newest is None:
                self._why = f"the account {name} has no configuration yet: no worker has opened it"
                return False
            # Those since the last look, and back to what a decision was made under before that.
            since = max(known) + 1 if known else newest.version
            oldest = min([since, newest.version, *wanted])
            rows = [newest]
            if oldest < newest.version:
                rows = await store.configurations(min(newest.version - oldest + 1, HISTORY_MAX))
        except UnreadableRowsError as error:
            self._say(str(error))
            rows = error.readable
        except StoreError as error:
            self._say(str(error))
            return False
        for row in sorted(rows, key=lambda each: each.version):
            # Another one of that version: the account's table was made anew.
            if known.get(row.version) != row:
                known[row.version] = row
                self._put(_configured(name, row))
                self._progress.configurations += 1
            wanted.pop(row.version, None)
        return True

    def _say(self, why: str) -> None:
        self._why = origins(why)  # a recording is given away: no key of a URL
        if (unlogged := self._failures.admit()) is not None:
            _log.warning("configurations_not_recorded", error=why, unlogged_before=unlogged)


def _configured(name: str, row: ConfigurationRow) -> Configured:
    at_ns, mono_ns = now()
    text = msgspec.json.encode(row).decode()
    return Configured(at_ns=at_ns, mono_ns=mono_ns, account=name, text=text)
