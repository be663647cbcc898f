"""What a soak says at its end."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.percentiles import percentiles
from sandbox.soak.run import SoakOutcome


def report(outcome: SoakOutcome) -> Iterator[str]:
    """Line by line."""
    judge = outcome.judge
    yield (
        f"{outcome.changes} changes and {outcome.trades} trades in {outcome.duration_s:.0f} s "
        f"({outcome.missed} left out: the machine was too slow)"
    )
    yield f"faults of frames and connections: {_counts(outcome.frame_faults)}"
    counts = judge.counts
    yield (
        f"{counts['judged']} published books judged, {counts['forgotten']} too old to judge, "
        f"{counts['fenced']} snapshots of fenced feeders dropped"
    )
    shown = sum(judge.proofs.values()) - judge.proofs["none"]
    yield (
        f"snapshots by proof: {_counts(judge.proofs)}; "
        f"{judge.proofs['checksum'] / max(shown, 1):.3%} of the books shown by checksum"
    )
    if outcome.freezes_s:
        yield (
            f"frozen connections given up after: {_spread(outcome.freezes_s)} "
            f"({len(outcome.freezes_s)} of them)"
        )
    for fault, pauses_s in sorted(outcome.pauses_s.items()):
        yield f"longest pause of any market, {fault.value}: {_spread(pauses_s)} ({len(pauses_s)})"
    yield f"leases lost for lack of time: {outcome.leases_lost}"
    yield f"a feeder's memory: {outcome.rss_max_mb:.0f} MB at most"
    if outcome.healed_s is not None:
        yield f"every market proven {outcome.healed_s:.1f} s after healing"


def _spread(spans_s: list[float]) -> str:
    p50, _, longest = percentiles(spans_s)
    return f"p50 {p50:.2f} s, max {longest:.2f} s"


def _counts(counter: dict[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in sorted(counter.items(), key=lambda i: -i[1]))
