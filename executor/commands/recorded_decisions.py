"""`executor decisions --recording`: what the accounts of a recording decided."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from executor.progress import progress_bar
from executor.reports import Decisions, decided_of
from feeder.recording.format import Decided, payload
from feeder.recording.reader import RecordingReader
from functions.core.account import utc_day
from protocol.decision import Decision, decode_decision
from protocol.snapshot import ProtocolError


def recorded_decisions(
    recording: Path, account: str | None, day: str | None, limit: int
) -> Decisions:
    """The newest `limit`; without a name those of all accounts, without a day those of all days.

    Reads all of the recording. Raises RecordingError.
    """
    with progress_bar() as tell:
        return _read(recording, account, day, limit, lambda share: tell(share, "read"))


def _read(
    recording: Path, account: str | None, day: str | None, limit: int, tell: Callable[[float], None]
) -> Decisions:
    reader = RecordingReader(recording, without_frames=True, tell=tell)
    newest: dict[str, Decision] = {}
    unreadable: list[str] = []
    for record in reader:
        if not isinstance(record, Decided):
            continue
        try:
            decision = decode_decision(payload(record))
        except ProtocolError as error:
            unreadable.append(str(error))
            continue
        if account not in (None, decision.strategy):
            continue
        if day not in (None, utc_day(decision.decided_at_ms)):
            continue
        newest.pop(decision.decision_id, None)  # one that came again
        newest[decision.decision_id] = decision
        if len(newest) > limit:
            del newest[next(iter(newest))]
    if reader.unreadable_lines:
        unreadable.append(reader.unreadable_line)
    unreadable += [
        f"{each.file}: {each.bytes:,} bytes from {each.offset:,}: {each.why}"
        for each in reader.damages
    ]
    rows = sorted(newest.values(), key=lambda each: each.decided_at_ms, reverse=True)
    return Decisions(
        account=", ".join(sorted({each.strategy for each in rows})),
        day=day or "",
        decisions=tuple(map(decided_of, rows)),
        unreadable=tuple(unreadable),
    )
