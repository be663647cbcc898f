"""`python -m executor.console.decision_reader DIR ID SINCE_MS AT_MS [STRATEGY_FILE ...]`: what
`executor explain --json` says of a decision of AT_MS, by the part of the recording that matters.

Exit code 3: it is not there; a line to stderr says why. Any other one is a failure.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Final

import msgspec

from feeder.recording.errors import RecordingError
from feeder.recording.format import Record
from feeder.recording.part_files import part_files
from feeder.recording.reader import RecordingReader

AFTER_MS: Final = 75_000
"""As long as a markout, and a little more."""
EXIT_NOT_THERE: Final = 3


def files_between(recording: Path, since_ms: int, until_ms: int) -> list[Path]:
    """Those parts of it that may have what was written then. Raises RecordingError."""
    try:
        files = part_files(recording)
    except OSError as error:
        raise RecordingError(f"cannot read {recording}: {error.strerror or error}") from error
    wanted: list[Path] = []
    for file in reversed(files):
        began_ms = _began_ms(file)
        if began_ms is None or began_ms > until_ms:
            continue
        wanted.insert(0, file)
        if began_ms <= since_ms:
            break
    return wanted


def _began_ms(file: Path) -> int | None:
    """None: it has no complete line, or has just been removed to make room."""
    try:
        first = next(iter(RecordingReader(file)), None)
    except RecordingError:
        return None
    return None if first is None else first.at_ns // 1_000_000


def records_of(files: Sequence[Path], until_ms: int) -> Iterator[Record]:
    """What is in them up to then, without the venue's frames. Raises RecordingError."""
    until_ns = until_ms * 1_000_000
    for file in files:
        records = RecordingReader(file, without_frames=True)
        yield from takewhile(lambda record: record.at_ns <= until_ns, records)


def main(recording: str, decision_id: str, since_ms: int, at_ms: int, own: Sequence[str]) -> int:
    """Print the answer; the exit code."""
    from backtest.replay.explained import (  # noqa: PLC0415 - it takes a second
        AmbiguousIdError,
        NoSuchDecisionError,
        explain_records,
    )
    from executor.commands.replay import strategies_of  # noqa: PLC0415 - see above
    from functions.core.strategy_rules import StrategyNotUsableError  # noqa: PLC0415 - see above

    try:
        files = files_between(Path(recording), since_ms, at_ms + AFTER_MS)
        if not files:
            sys.stderr.write("the recording has nothing of that time\n")
            return EXIT_NOT_THERE
        first, again = (records_of(files, at_ms + AFTER_MS) for _ in range(2))
        found = explain_records(first, again, recording, decision_id, strategies_of(own))
    except (
        RecordingError,
        StrategyNotUsableError,
        AmbiguousIdError,
        NoSuchDecisionError,
    ) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_NOT_THERE
    sys.stdout.buffer.write(msgspec.json.encode(found))
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    os.nice(10)
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:]))
