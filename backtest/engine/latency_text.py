"""A latency as a person gives it: milliseconds, or a file in which it was measured.

Two kinds of files have the way from the decision to the venue: what `make bench` writes, and a
decision log (`executor decisions --json`, or the messages of `decision.*`, one a line).
Raises LatencyError, one line that names the file.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any, Final

import msgspec

from backtest.engine.latency import Latency, LatencyError
from protocol.decision import Timeline, decode_decision
from protocol.snapshot import ProtocolError

FILE_BYTES_MAX: Final = 256 * 1024 * 1024
_NUMBER: Final = re.compile(r"\d{1,15}(?:\.\d{1,15})?", re.ASCII)
_BENCH: Final = "pipeline_with_store"
_STAGES: Final = ("sign", "claim", "post")
"""From the decision to the venue, in both kinds of files (`protocol.decision.STAGES`)."""


class _Percentiles(msgspec.Struct, frozen=True):
    p50: float
    p99: float
    max: float


class _Figures(msgspec.Struct, frozen=True):
    """A run of `make bench`, as far as it is needed."""

    stages: dict[str, _Percentiles]


class _Logged(msgspec.Struct, frozen=True):
    """A decision of `executor decisions --json`, likewise."""

    stages_us: dict[str, int]


def latency_of(text: str) -> Latency:
    """What `--latency` says: `250`, or a file."""
    if _NUMBER.fullmatch(text):
        return Latency.constant(float(text))
    if not text:
        raise LatencyError("milliseconds are wanted, or a file that measured it")
    path = Path(text)
    content = _content(path, text)
    try:
        whole = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _of_lines(path, content)
    if isinstance(whole, dict) and _BENCH in whole:
        return _of_bench(path, whole[_BENCH])
    if isinstance(whole, dict) and "machine" in whole:  # each run of a part writes the file anew
        raise LatencyError(f"{path}: of `make bench`, without its part `stores`: ONLY=stores")
    if isinstance(whole, dict) and "decisions" in whole:
        return _of_log(path, whole["decisions"])
    return _of_lines(path, content)


def execution_of(text: str) -> Latency:
    """What `--execution` says: `30:120` in seconds, or `30`."""
    least, colon, most = text.partition(":")
    if not _NUMBER.fullmatch(least) or (colon and not _NUMBER.fullmatch(most)):
        raise LatencyError(f"{text!r}: seconds are wanted, e.g. 30 or 30:120")
    if not colon:
        return Latency.constant(float(least) * 1_000)
    if float(most) < float(least):
        raise LatencyError(f"{text}: {most} is below {least}")
    return Latency.between(float(least) * 1_000, float(most) * 1_000)


def _content(path: Path, text: str) -> bytes:
    try:
        # Before it is opened: a pipe that nobody writes to would be waited for, for ever.
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise LatencyError(f"{path}: not a file")
        if about.st_size > FILE_BYTES_MAX:
            raise LatencyError(f"{path}: larger than {FILE_BYTES_MAX // 2**20} MB")
        return path.read_bytes()
    except (FileNotFoundError, ValueError) as error:
        if isinstance(error, LatencyError):
            raise
        raise LatencyError(f"{text!r}: neither milliseconds (e.g. 250) nor a file") from None
    except OSError as error:
        raise LatencyError(f"{path}: cannot be read: {error.strerror}") from None


def _of_bench(path: Path, figures: Any) -> Latency:
    """Quantiles of the stages, added as if the slow ones always came together: pessimistic."""
    try:
        stages = msgspec.convert(figures, _Figures).stages
        wanted = [stages[stage] for stage in _STAGES]
    except msgspec.ValidationError as error:
        raise LatencyError(f"{path}: {_BENCH}: {error}") from None
    except KeyError as error:
        raise LatencyError(f"{path}: {_BENCH} has no stage {error}") from None
    knots = [
        (0.5, sum(stage.p50 for stage in wanted)),
        (0.99, sum(stage.p99 for stage in wanted)),
        (1.0, sum(stage.max for stage in wanted)),
    ]
    name = f"{path}: sign, claim and post, to a venue on the same machine"
    return Latency.of_quantiles(name, knots)


def _of_log(path: Path, decisions: Any) -> Latency:
    try:
        logged = msgspec.convert(decisions, list[_Logged])
    except msgspec.ValidationError as error:
        raise LatencyError(f"{path}: decisions: {error}") from None
    samples = [
        sum(each.stages_us[stage] for stage in _STAGES) / 1_000
        for each in logged
        if all(stage in each.stages_us for stage in _STAGES)
    ]
    return Latency.measured(_log_name(path, len(samples)), samples)


def _of_lines(path: Path, content: bytes) -> Latency:
    samples: list[float] = []
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            took_ms = _took_ms(decode_decision(line).timeline)
        except ProtocolError as error:
            what = "neither figures of `make bench` nor a decision log"
            raise LatencyError(f"{path}: {what}: line {number}: {error}") from None
        if took_ms is not None:
            samples.append(took_ms)
    return Latency.measured(_log_name(path, len(samples)), samples)


def _took_ms(timeline: Timeline) -> float | None:
    if not timeline.decided_at_ns or not timeline.answered_at_ns:
        return None
    return (timeline.answered_at_ns - timeline.decided_at_ns) / 1e6


def _log_name(path: Path, count: int) -> str:
    # The order is there before the answer is back, and when, only the venue knows.
    return f"{path}: decision to the venue's answer of {count:,} orders, an upper bound"
