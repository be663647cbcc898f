"""A recording's books, configurations and decisions, each decision with all that it saw.

A decision and its books come to the recorder by different ways, and a version of a configuration by
a third: a decision waits for its books up to `WAIT_S` of the recording's time, and for its
configuration to the end. Then it is said why it cannot be made again. Time is what the recorder's
clock that nobody sets has counted: the other one may be set, and may be wrong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from backtest.replay.kept_books import WHOLE_KEPT_S, KeptBooks, MissingBooks
from feeder.recording.format import (
    Configured,
    Decided,
    Lost,
    Missed,
    Paid,
    Published,
    Record,
    Started,
    payload,
)
from functions.core.configuration import ConfigurationRow
from protocol.decision import Decision, decode_decision
from protocol.snapshot import UNDECODABLE, BookSnapshot, ProtocolError, decode_snapshot
from strategies.memory import MarketMemory, Version, digest_of
from strategies.seen_books import SeenBooks, seen_of

WAIT_S: Final = 10
_WAIT_NS: Final = WAIT_S * 10**9
WAITING_MAX: Final = 1_000
"""Decisions, for books; and as many for configurations."""
CONFIGURATIONS_MAX: Final = 10_000
IDS_MAX: Final = 10_000
"""Decisions that are known again when they come twice."""
_row: Final = msgspec.json.Decoder(ConfigurationRow).decode


class NotAgain(StrEnum):
    """Why a logged decision cannot be made again; the closed set."""

    BEFORE_RECORDING = "before_recording"
    """It saw books from before the recording began."""
    NOT_TOLD = "not_told"
    """It does not say what it saw: an earlier version of the software made it."""
    BOOKS_MISSING = "books_missing"
    CONFIGURATION_MISSING = "configuration_missing"
    CONFIGURATION_UNUSABLE = "configuration_unusable"
    """A setting or parameter that the code at hand does not know."""
    STRATEGY_NOT_LOADED = "strategy_not_loaded"
    UNREADABLE = "unreadable"
    """No decision, or one that contradicts itself."""


class BookRead(msgspec.Struct, frozen=True):
    """A book, as it was published."""

    at_ns: int
    """When it was recorded."""
    snapshot: BookSnapshot


class ConfigurationRead(msgspec.Struct, frozen=True):
    """A version of an account's configuration."""

    account: str
    row: ConfigurationRow


class Remade(msgspec.Struct, frozen=True):
    """A decision with what it was made of."""

    decision: Decision
    snapshot: BookSnapshot
    """The book, of the market as it was traded."""
    memory: MarketMemory
    row: ConfigurationRow


class NotRemade(msgspec.Struct, frozen=True, kw_only=True):
    """A decision of which something is not there."""

    why: NotAgain
    text: str
    """More about it, for a person."""
    decision_id: str = ""
    account: str = ""
    market: str = ""
    at_ms: int = 0


HistoryEvent: TypeAlias = BookRead | ConfigurationRead | Remade | NotRemade | Paid


class _Waiting(msgspec.Struct):
    since_ns: int
    """Of the recording's time."""
    decision: Decision
    seen: SeenBooks
    missing: set[Version]


class DecisionHistory:
    """Iterate over what `records` have, once; the figures count what was read so far.

    `wanted` says which decisions are to be made again; the others are left out.
    """

    def __init__(
        self, records: Iterable[Record], wanted: Callable[[Decision], bool] = lambda _: True
    ) -> None:
        self._records = records
        self._wanted = wanted
        self._kept = KeptBooks()
        self._rows: dict[tuple[str, int], ConfigurationRow] = {}
        self._waiting: list[_Waiting] = []
        self._unconfigured: dict[tuple[str, int], list[tuple[Decision, BookSnapshot, MarketMemory]]]
        self._unconfigured = {}
        self._unconfigured_count = 0
        self._ids: dict[str, bytes] = {}
        """What each one says, as a digest."""
        self._began_ms: int | None = None
        """By the feeders' clock, once there is a book: workers agree with it, and the recorder's
        may be wrong."""
        self._run, self._mono_ns, self._passed_ns = "", 0, 0
        self.books = 0
        self.decisions = 0
        self.twice = 0
        """Decisions that came again."""
        self.repeats = 0
        """Signals that were like a logged one shortly before, and are only counted."""
        self.unreadable = 0
        """Books and configurations that are none."""
        self.first_unreadable = ""
        self.missed: list[str] = []
        """Where the recorder itself knows that something is not there: the first ten."""
        self.gaps = 0
        """How often that is."""

    def __iter__(self) -> Iterator[HistoryEvent]:
        for record in self._records:
            if self._began_ms is None:
                self._began_ms = record.at_ns // 1_000_000
            self._pass_time(record)
            if self._waiting and self._waiting[0].since_ns + _WAIT_NS < self._passed_ns:
                yield from self._give_up(self._passed_ns)
            if isinstance(record, Published):
                yield from self._book(record)
            elif isinstance(record, Decided):
                yield from self._decided(record)
            elif isinstance(record, Configured):
                yield from self._configured(record)
            elif isinstance(record, Paid):
                yield record
            elif isinstance(record, Missed):
                if record.what == "books":
                    self._kept.note_gap(record.since_ns)
                self._note_gap(f"{record.what}: {record.why}")
            elif isinstance(record, Lost):
                self._kept.note_gap(record.since_ns)
                self._note_gap(f"{record.records} records lost: the disk was too slow, or full")
        yield from self._give_up(None)
        for waiting in self._unconfigured.values():
            for decision, _, _ in waiting:
                yield _unconfigured(decision)

    def _pass_time(self, record: Record) -> None:
        if isinstance(record, Started) and record.run != self._run:  # the clock begins anew
            if self._run:
                self._note_gap("all: the recorder began anew, and was away before")
            self._run, self._mono_ns = record.run, record.mono_ns
            self._kept.note_run()
        self._passed_ns += max(0, record.mono_ns - self._mono_ns)
        self._mono_ns = max(record.mono_ns, self._mono_ns)

    # -- books -------------------------------------------------------------------------------------

    def _book(self, record: Published) -> Iterator[HistoryEvent]:
        message = payload(record)
        try:
            snapshot = decode_snapshot(message)
        except ProtocolError as error:
            self._note_unreadable(str(error))
            return
        if not self.books:
            self._began_ms = snapshot.published_at_ns // 1_000_000
        self.books += 1
        self._kept.keep(snapshot, message, record.at_ns, self._passed_ns)
        yield BookRead(record.at_ns, snapshot)
        if not self._waiting:
            return
        condition_id = snapshot.market.condition_id
        for each in self._waiting:
            if each.decision.condition_id == condition_id:
                each.missing.discard((snapshot.epoch, snapshot.sequence))
        ready = [each for each in self._waiting if not each.missing]
        self._waiting = [each for each in self._waiting if each.missing]
        for each in ready:
            yield from self._found(each)

    # -- decisions ---------------------------------------------------------------------------------

    def _decided(self, record: Decided) -> Iterator[HistoryEvent]:
        try:
            decision = decode_decision(payload(record))
        except ProtocolError as error:
            self.decisions += 1
            yield NotRemade(why=NotAgain.UNREADABLE, text=str(error))
            return
        digest = hashlib.blake2b(payload(record), digest_size=8).digest()
        known = self._ids.setdefault(decision.decision_id, digest)
        if known is not digest:
            if known == digest:
                self.twice += 1
                return
            self.decisions += 1
            if self._wanted(decision):
                yield not_remade(decision, NotAgain.UNREADABLE, "another decision has its id")
            return
        if len(self._ids) > IDS_MAX:
            del self._ids[next(iter(self._ids))]
        self.decisions += 1
        self.repeats += decision.repeats
        if self._wanted(decision):
            yield from self._seek(decision)

    def _seek(self, decision: Decision) -> Iterator[HistoryEvent]:
        """What it saw; it waits for what is not there."""
        if not (decision.memory_versions and decision.config_version and decision.asked_at_ms):
            yield not_remade(decision, NotAgain.NOT_TOLD, "it does not say which books it saw")
            return
        try:
            seen = seen_of(decision.memory_versions)
        except ValueError as error:
            yield not_remade(decision, NotAgain.UNREADABLE, str(error))
            return
        missing = self._kept.missing(decision.condition_id, seen)
        waiting = _Waiting(self._passed_ns, decision, seen, missing)
        if not missing:
            yield from self._found(waiting)
            return
        self._waiting.append(waiting)
        if len(self._waiting) > WAITING_MAX:
            yield from self._found(self._waiting.pop(0))

    def _give_up(self, now_ns: int | None) -> Iterator[HistoryEvent]:
        """Those that have waited for their books long enough, by now or at the end."""
        while self._waiting and (now_ns is None or self._waiting[0].since_ns + _WAIT_NS < now_ns):
            yield from self._found(self._waiting.pop(0))

    def _found(self, waiting: _Waiting) -> Iterator[HistoryEvent]:
        decision = waiting.decision
        try:
            found = self._kept.find(decision.condition_id, waiting.seen)
        except ValueError as error:
            yield not_remade(decision, NotAgain.UNREADABLE, str(error))
            return
        if isinstance(found, MissingBooks):
            yield self._without(decision, found)
            return
        rows, start = found.memory.rows, found.memory.start
        if (digest_of(rows, start) if rows else "") != decision.memory_digest:
            text = "the books that it names are not those that its digest names"
            yield not_remade(decision, NotAgain.UNREADABLE, text)
            return
        snapshot = found.snapshot
        if decision.market is not None:
            snapshot = msgspec.structs.replace(snapshot, market=decision.market)
        key = decision.strategy, decision.config_version
        if (row := self._rows.get(key)) is not None:
            yield Remade(decision, snapshot, found.memory, row)
        elif self._unconfigured_count >= WAITING_MAX:
            yield _unconfigured(decision)
        else:
            self._unconfigured_count += 1
            self._unconfigured.setdefault(key, []).append((decision, snapshot, found.memory))

    def _without(self, decision: Decision, missing: MissingBooks) -> NotRemade:
        epoch, sequence = missing.versions[0]
        first = f"the first is {epoch}:{sequence}"
        if missing.late:
            text = f"it came more than {WHOLE_KEPT_S} s after the book that it was decided on"
            return not_remade(decision, NotAgain.BOOKS_MISSING, text)
        if missing.before or decision.decided_at_ms < (self._began_ms or 0):
            text = f"{len(missing.versions)} of its books are older than the recording; {first}"
            return not_remade(decision, NotAgain.BEFORE_RECORDING, text)
        text = f"{len(missing.versions)} of its books are not there; {first}"
        return not_remade(decision, NotAgain.BOOKS_MISSING, text)

    # -- configurations ----------------------------------------------------------------------------

    def _configured(self, record: Configured) -> Iterator[HistoryEvent]:
        try:
            row = _row(record.text)
        except UNDECODABLE as error:
            self._note_unreadable(f"configuration of {record.account}: {error}")
            return
        key = record.account, row.version
        self._rows.pop(key, None)
        self._rows[key] = row
        if len(self._rows) > CONFIGURATIONS_MAX:
            del self._rows[next(iter(self._rows))]
        yield ConfigurationRead(record.account, row)
        for decision, snapshot, memory in self._unconfigured.pop(key, ()):
            self._unconfigured_count -= 1
            yield Remade(decision, snapshot, memory, row)

    # -- what is not there -------------------------------------------------------------------------

    def _note_unreadable(self, text: str) -> None:
        self.unreadable += 1
        self.first_unreadable = self.first_unreadable or text

    def _note_gap(self, text: str) -> None:
        self.gaps += 1
        if len(self.missed) < 10:
            self.missed.append(text)


def _unconfigured(decision: Decision) -> NotRemade:
    text = f"version {decision.config_version} of {decision.strategy}'s configuration is not there"
    return not_remade(decision, NotAgain.CONFIGURATION_MISSING, text)


def not_remade(decision: Decision, why: NotAgain, text: str) -> NotRemade:
    """Which one, and why."""
    return NotRemade(
        why=why,
        text=text,
        decision_id=decision.decision_id,
        account=decision.strategy,
        market=decision.slug,
        at_ms=decision.decided_at_ms,
    )
