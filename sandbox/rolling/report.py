"""What is seen of a rolling replacement: pauses of the books, ends of orders, and the report."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from nats.aio.msg import Msg
from prometheus_client.parser import text_string_to_metric_families

from protocol.snapshot import ProtocolError, decode_snapshot
from sandbox.audit_input import AuditInput
from sandbox.group_audit import group_summary

PAUSE_MS: Final = 100
"""Replayed books change some thirty times a second; a shorter pause is none."""


class Pauses:
    """When running markets, and all of them together, had no new snapshot."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int]] = {}
        """Condition id -> when the last snapshot came (or its start, if that is later), its end."""
        self._any_ms = 0
        self.books = 0
        self.of_one_ms: list[tuple[int, int]] = []
        """(from, to) of each pause of a market that lasted PAUSE_MS or more."""
        self.of_all_ms: list[tuple[int, int]] = []
        self.malformed: list[str] = []

    async def on_book(self, message: Msg) -> None:
        """A callback of a NATS subscription."""
        try:
            market = decode_snapshot(message.data).market
        except ProtocolError as error:
            self.malformed.append(f"malformed message: {error}")
            return
        self.saw(market.condition_id, market.start_ms, market.end_ms, time.time_ns() // 1_000_000)

    def saw(self, condition_id: str, start_ms: int, end_ms: int, now_ms: int) -> None:
        """A snapshot of a market, now. A pause before its start is nobody's loss."""
        self.books += 1
        if self._any_ms:
            _note(self.of_all_ms, self._any_ms, now_ms)
        if condition_id in self._seen:
            _note(self.of_one_ms, self._seen[condition_id][0], now_ms)
        self._any_ms = now_ms
        self._seen[condition_id] = (max(now_ms, start_ms), end_ms)

    def close(self, now_ms: int) -> None:
        """Nothing is expected from now on: a pause that still lasts is one, too."""
        _note(self.of_all_ms, self._any_ms, now_ms)
        for seen_ms, end_ms in self._seen.values():
            if now_ms < end_ms:
                _note(self.of_one_ms, seen_ms, now_ms)


def _note(pauses: list[tuple[int, int]], from_ms: int, to_ms: int) -> None:
    if to_ms - from_ms >= PAUSE_MS:
        pauses.append((from_ms, to_ms))


def longest_s(pauses: list[tuple[int, int]], during: list[tuple[int, int]] | None = None) -> float:
    """The longest pause, of those that overlap one of these spans; 0: none was worth noting."""
    return max(
        (
            (to_ms - from_ms) / 1000
            for from_ms, to_ms in pauses
            if during is None or any(from_ms < end and begin < to_ms for begin, end in during)
        ),
        default=0.0,
    )


@dataclasses.dataclass(kw_only=True)
class RollingOutcome:
    """What a run did and found."""

    replaced: Counter[str]
    """By service."""
    starts_s: dict[str, list[float]]
    """By module: from the start until healthy."""
    stops_s: dict[str, list[float]]
    """By module: from SIGTERM to the end."""
    pauses: Pauses
    handovers_ms: list[tuple[int, int]]
    """From each feeder's SIGTERM until HANDOVER_MS after its end."""
    lost_leases: int
    """Leases that ran out before they were renewed: the machine had no time for their owner."""
    under_way: int
    """Workers that got SIGTERM with an order under way."""
    finished: int
    """Orders of stopped workers that came to their end after SIGTERM."""
    abandoned: int
    """Orders of stopped workers that were left to reconciliation."""
    converged_s: float | None
    audits: dict[str, AuditInput]
    violations: list[str]


def orders_in_flight(metrics: str) -> int:
    """Of a worker, from its metrics' text."""
    return sum(
        int(sample.value)
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == "worker_orders_in_flight"
    )


def ends_logged(log_path: Path, since_ms: int) -> tuple[int, int]:
    """(orders whose end a worker logged, orders it abandoned), both since then, from its log."""
    ended = abandoned = 0
    for said in _lines(log_path):
        at_ms = datetime.fromisoformat(said["timestamp"]).timestamp() * 1000
        if at_ms >= since_ms:
            abandoned += int(said["count"]) if said["event"] == "orders_abandoned" else 0
            ended += bool(said.get("order") and said.get("state"))  # it was claimed, and has ended
    return ended, abandoned


def port_told(log_path: Path, started_event: str) -> object:
    """Where a process says, in its log, that its metrics are; None as long as it has not."""
    ports = [it["metrics_port"] for it in _lines(log_path) if it["event"] == started_event]
    return ports[-1] if ports else None


def lost_leases(log_dir: Path) -> int:
    """Of all feeders."""
    return sum(
        said["event"] == "lease_lost"
        for path in log_dir.glob("feeder-*.log")
        for said in _lines(path)
    )


def _lines(log_path: Path) -> Iterator[dict[str, Any]]:
    if not log_path.exists():
        return
    for line in log_path.read_bytes().splitlines():
        try:
            said = msgspec.json.decode(line)
        except msgspec.DecodeError:
            continue  # not ours to judge: a traceback, or a line that is being written
        if isinstance(said, dict) and "event" in said:
            yield said


def report(outcome: RollingOutcome) -> list[str]:
    """What was done, in lines for a person."""
    pauses, replaced = outcome.pauses, outcome.replaced
    lines = [
        f"replacements: {replaced.total()} ("
        + ", ".join(f"{n} {s}" for s, n in replaced.items())
        + ")"
    ]
    lines += [
        f"{module}: healthy after at most {max(outcome.starts_s[module]):.1f} s, "
        f"ended at most {max(stops_s):.1f} s after SIGTERM"
        for module, stops_s in outcome.stops_s.items()
    ]
    during = outcome.handovers_ms
    return [
        *lines,
        f"books: {pauses.books}; longest pause while a feeder handed over: "
        f"{longest_s(pauses.of_one_ms, during):.2f} s of one market, "
        f"{longest_s(pauses.of_all_ms, during):.2f} s of all; in the whole run "
        f"{longest_s(pauses.of_one_ms):.2f} and {longest_s(pauses.of_all_ms):.2f} s; "
        f"leases lost for lack of time: {outcome.lost_leases}",
        f"workers stopped with an order under way: {outcome.under_way}; "
        f"orders ended after SIGTERM: {outcome.finished}, abandoned: {outcome.abandoned}",
        *group_summary(outcome.audits),
        "not converged"
        if outcome.converged_s is None
        else f"converged after {outcome.converged_s:.0f} s",
    ]
