"""Which decisions are not in the recording, though it says of no gap that they were made in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from feeder.recording.format import (
    Decided,
    Lost,
    Missed,
    Published,
    Record,
    Started,
    Stopped,
    payload,
)
from feeder.recording.recorded_messages import LOOK_EVERY_S
from protocol.decision import Decision, decode_decision

_MS: Final = 1_000_000
_READ_LATE_NS: Final = round(2 * LOOK_EVERY_S * 1e9)
"""Books are taken down as they come, decisions at the next look: who is killed has not had the last
ones, whatever else stands at the end."""
Gap = tuple[int, int]
"""Epoch milliseconds, both of them within."""


def unrecorded(
    decisions: Iterable[Decision], records: Iterable[Record]
) -> tuple[str, list[Decision]]:
    """(what was compared, those that are missing without a word). Raises RecordingError,
    ProtocolError."""
    recorded, gaps = _read(records)
    logged = list(decisions)
    missing = [each for each in logged if each.decision_id not in recorded]
    told = [
        each for each in missing if any(since <= each.decided_at_ms <= to for since, to in gaps)
    ]
    line = (
        f"recorded: {len(logged) - len(missing)} of {len(logged)} logged decisions; "
        f"in gaps that the recording tells of: {len(told)}"
    )
    return line, [each for each in missing if each not in told]


def _read(records: Iterable[Record]) -> tuple[set[str], list[Gap]]:
    recorded: set[str] = set()
    gaps: list[Gap] = []
    run, before_ns, away_ns, stopped = "", 0, None, False
    for record in records:
        if isinstance(record, Started) and record.run != run:
            run, away_ns = record.run, before_ns if stopped else before_ns - _READ_LATE_NS
        elif isinstance(record, Decided | Published) and away_ns is not None:
            gaps.append((away_ns // _MS, record.at_ns // _MS))  # it follows us again
            away_ns = None
        if isinstance(record, Decided):
            recorded.add(decode_decision(payload(record)).decision_id)
        elif isinstance(record, Lost) or (isinstance(record, Missed) and record.what != "books"):
            gaps.append((record.since_ns // _MS, record.at_ns // _MS))
        before_ns, stopped = record.at_ns, isinstance(record, Stopped)
    return recorded, gaps
