"""What a chaos run says at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from sandbox.chaos.claim_watch import Sighting
from sandbox.chaos.run import ChaosOutcome
from sandbox.group_audit import group_summary
from sandbox.percentiles import percentiles


def report(outcome: ChaosOutcome, log_dir: Path) -> Iterator[str]:
    """Line by line."""
    kills, stops = outcome.kills, outcome.stops
    yield f"kills: {kills.total()} ({_counts(kills)}); {outcome.ambushes} ambushes of all workers"
    yield f"stops: {stops.total()} ({_counts(stops)})"
    yield f"faults of the venue: {_counts(outcome.venue_faults) or 'not counted'}"
    yield (
        f"faults of the store: {_counts(outcome.store_faults) or 'none'} "
        f"in {outcome.store_requests} requests"
    )
    yield (
        f"configurations: {outcome.retuned} changes, {outcome.lowered} of them fewer positions; "
        f"not known of {outcome.not_known} more"
    )
    yield from group_summary(outcome.audits)
    if outcome.converged_s is not None:
        yield f"converged {outcome.converged_s:.0f} s after healing"
    yield recording_line(outcome, executed_orders(log_dir))


def recording_line(outcome: ChaosOutcome, logged: set[str]) -> str:
    """From the match to the recorded position, of orders whose worker died in between."""
    spans = lost_spans_s(outcome, logged)
    if not spans:
        return "no worker died between its order's match and the record of it"
    p50, p99, longest = percentiles(spans)
    return (
        f"orders matched whose worker died before recording it: {len(spans)}; from the match to "
        f"the recorded position p50 {p50:.1f} s, p99 {p99:.1f} s, max {longest:.1f} s"
    )


def lost_spans_s(outcome: ChaosOutcome, logged: set[str]) -> list[float]:
    """Seconds from match to record of each order that no worker lived to log.

    A worker logs what became of its order at once after recording it, so an order in no log was
    lost with its worker. One that something else recorded before any worker was killed is left out:
    it would make the figures look better. An order that was never recorded counts as infinite.
    """
    spans = []
    seen: dict[str, Sighting] = {}
    for watch in outcome.watches.values():
        seen |= watch.orders
    for entry in (each for one in outcome.audits.values() for each in one.entries):
        if entry.verdict != "matched" or entry.order_id in logged:
            continue
        sighting = seen.get(entry.order_id)
        recorded_ms = sighting.recorded_ms if sighting else 0
        posted_ms = entry.received_at_ns // 1_000_000
        if recorded_ms and not any(
            posted_ms <= kill_ms <= recorded_ms for kill_ms in outcome.worker_kills_ms
        ):
            continue
        spans.append((recorded_ms - entry.matched_at_ms) / 1000 if recorded_ms else float("inf"))
    return spans


def executed_orders(log_dir: Path) -> set[str]:
    """Ids of the orders whose end a worker logged."""
    orders = set()
    for path in log_dir.glob("worker-*.log"):
        for line in path.read_bytes().splitlines():
            if b'"executed"' not in line:
                continue
            try:
                orders.add(str(msgspec.json.decode(line).get("order", "")))
            except msgspec.DecodeError:
                continue  # cut off by a kill
    return orders


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counter.most_common())
