"""Recorded histories under `tests/histories`, and what the code answers to them.

    python -m tests.support.histories             writes `expected.json` anew, by the code at hand
    python -m tests.support.histories DIR NAME    makes NAME.jsonl.gz of a recording, too

A recording is made by `make run EXECUTION=paper STRATEGIES=... RECORD=DIR`.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from typing import Final

import msgspec

from backtest.replay.answers import Strategies
from backtest.replay.replay import ReplayReport, replay
from feeder.recording.format import (
    Configured,
    Decided,
    Missed,
    Paid,
    Published,
    Started,
    Stopped,
    encode_record,
)
from feeder.recording.reader import RecordingReader

HISTORIES: Final = Path(__file__).parents[1] / "histories"
EXPECTED: Final = HISTORIES / "expected.json"


class ExpectedAccount(msgspec.Struct):
    """What an account answers to all books."""

    books: int
    signals: int
    holds: dict[str, int]
    digest: str


class Expected(msgspec.Struct):
    """What a replay of one history says."""

    decisions: int
    equal: int
    answers_digest: str
    accounts: dict[str, ExpectedAccount]


def histories() -> list[Path]:
    """All of them."""
    return sorted(HISTORIES.glob("*.jsonl.gz"))


def replayed_history(path: Path) -> ReplayReport:
    """By the code at hand."""
    return replay(path, Strategies())


def expected_of(report: ReplayReport) -> Expected:
    """What is kept of it."""
    return Expected(
        decisions=report.decisions,
        equal=report.equal,
        answers_digest=report.answers_digest,
        accounts={
            each.account: ExpectedAccount(each.books, each.signals, each.holds, each.digest)
            for each in report.accounts
        },
    )


def expected() -> dict[str, Expected]:
    """By the name of the history."""
    return msgspec.json.decode(EXPECTED.read_bytes(), type=dict[str, Expected])


def write_expected() -> None:
    """By the code at hand."""
    said = {path.name: expected_of(replayed_history(path)) for path in histories()}
    EXPECTED.write_bytes(msgspec.json.format(msgspec.json.encode(said), indent=2) + b"\n")


def make_history(recording: Path, name: str) -> Path:
    """What a replay needs of a recording: nothing of the venue's channel."""
    path = HISTORIES / f"{name}.jsonl.gz"
    kinds = Configured | Decided | Missed | Paid | Published | Started | Stopped
    lines = [encode_record(each) for each in RecordingReader(recording) if isinstance(each, kinds)]
    path.write_bytes(gzip.compress(b"".join(lines), compresslevel=9, mtime=0))
    return path


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(make_history(Path(sys.argv[1]), sys.argv[2]))  # noqa: T201 - the answer
    write_expected()
