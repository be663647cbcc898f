"""How long each stage took, over the last hour: what the workers' histograms have gained. Pure.

A histogram only grows, so what happened meanwhile is the difference of two readings; one that has
become less is of a process that was started anew, and is all new. What was counted before the first
reading of a process is left out: nobody knows when that was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Final, TypeAlias

import msgspec
from prometheus_client import Metric

from functions.account_metrics import SECONDS_BUCKETS

SLOT_MS: Final = 10_000
HOUR_MS: Final = 3_600_000
QUARTER_MS: Final = 900_000
ACCOUNT_LABEL: Final = "strategy"
KEYS_MAX: Final = 512
"""Stages of accounts: more than a worker may serve."""


class Stage(msgspec.Struct, frozen=True):
    """A part of the way from a book to an order."""

    name: str
    histogram: str
    """As the workers export it."""
    text: str


STAGES: Final = (
    Stage("book age", "worker_book_age_seconds", "from the feeder to the decision"),
    Stage("decode", "worker_decode_seconds", "reading one book"),
    Stage("decide", "worker_decide_seconds", "gate and strategy"),
    Stage("sign", "worker_sign_seconds", "decision to signed order"),
    Stage("claim", "worker_claim_seconds", "signed order to durable claim"),
    Stage("post", "worker_post_seconds", "claim to the answer"),
    Stage("resolve", "worker_resolve_seconds", "answer to resolved claim"),
    Stage("tick to trade", "worker_tick_to_trade_seconds", "frame at the feeder to POST"),
)
_STAGE_OF: Final = {stage.histogram: stage.name for stage in STAGES}

Key: TypeAlias = tuple[str, str]
"""(stage, account); the account is empty for what a worker does once for all of them."""
Counts: TypeAlias = dict[float, int]
"""Upper bound of a bucket in seconds -> observations in it alone."""


class StageTimes(msgspec.Struct, frozen=True, kw_only=True):
    """Of one stage in one span of time. Times in milliseconds, None where there were none."""

    count: int
    p50_ms: float | None
    p99_ms: float | None


class LatencyHistory:
    """Of the last hour, in slots of `SLOT_MS`."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, Key], dict[float, int]] = {}
        """By process: what was read last, cumulative."""
        self._slots: deque[tuple[int, dict[Key, Counts]]] = deque()
        """(number of the slot, what it has gained)."""
        self.since_ms = 0
        """Epoch ms of the first reading; 0: there was none."""

    def keys(self) -> list[Key]:
        """All that have been read of a process, in the order of the way."""
        order = [stage.name for stage in STAGES]
        found = {key for _, key in self._seen}
        return sorted(found, key=lambda key: (key[1], order.index(key[0])))

    def read(self, at_ms: int, of: Mapping[str, Sequence[Metric]]) -> None:
        """Take what the processes count now."""
        self.since_ms = self.since_ms or at_ms
        number = at_ms // SLOT_MS
        while self._slots and self._slots[0][0] <= number - HOUR_MS // SLOT_MS:
            self._slots.popleft()
        if not self._slots or self._slots[-1][0] != number:
            self._slots.append((number, {}))
        slot = self._slots[-1][1]
        for process, families in of.items():
            for key, cumulative in _histograms(families).items():
                self._gain(slot, process, key, cumulative)
        gone = [each for each in self._seen if each[0] not in of]
        for each in gone:
            # Its account's stages stay in the slots; a process of that name begins anew.
            self._seen[each] = {}

    def counts(self, key: Key, span_ms: int, until_ms: int) -> Counts:
        """What was observed in the span that ends at `until_ms`."""
        last = until_ms // SLOT_MS
        first = last - span_ms // SLOT_MS
        total: Counts = {}
        for number, slot in self._slots:
            if first < number <= last:
                for bound, count in slot.get(key, {}).items():
                    total[bound] = total.get(bound, 0) + count
        return total

    def _gain(
        self, slot: dict[Key, Counts], process: str, key: Key, cumulative: dict[float, int]
    ) -> None:
        before = self._seen.get((process, key))
        if before is None and len(self._seen) >= KEYS_MAX:
            return
        self._seen[process, key] = cumulative
        if before is None:
            return
        if any(cumulative.get(bound, 0) < count for bound, count in before.items()):
            before = {}
        gained, below = slot.setdefault(key, {}), 0
        for bound in sorted(cumulative):
            until = cumulative[bound] - before.get(bound, 0)
            if until > below:
                gained[bound] = gained.get(bound, 0) + until - below
            below = max(below, until)


def stage_times(counts: Counts) -> StageTimes:
    """Both percentiles, as far as the buckets tell."""
    return StageTimes(
        count=sum(counts.values()),
        p50_ms=_in_ms(quantile(counts, 0.5)),
        p99_ms=_in_ms(quantile(counts, 0.99)),
    )


def quantile(counts: Counts, share: float) -> float | None:
    """Seconds below which this share of the observations was, evenly spread within a bucket; inf
    where it is above the last bound. None: there were none."""
    total = sum(counts.values())
    if not total:
        return None
    wanted, below = share * total, 0
    lower = 0.0
    for bound in sorted(counts):
        count = counts[bound]
        if below + count >= wanted:
            if bound == inf:
                return inf
            lower = max((each for each in SECONDS_BUCKETS if each < bound), default=0.0)
            return lower + (bound - lower) * (wanted - below) / count
        below += count
    return inf


def _in_ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1_000


def _histograms(families: Iterable[Metric]) -> dict[Key, dict[float, int]]:
    """Cumulative counts by upper bound, of the histograms that are shown."""
    found: dict[Key, dict[float, int]] = {}
    for family in families:
        stage = _STAGE_OF.get(family.name)
        if stage is None:
            continue
        for sample in family.samples:
            if sample.name == f"{family.name}_bucket" and 0 <= sample.value < inf:
                key = stage, sample.labels.get(ACCOUNT_LABEL, "")
                if (bound := _bound_in(sample.labels.get("le", ""))) is not None:
                    found.setdefault(key, {})[bound] = int(sample.value)
    return found


def _bound_in(text: str) -> float | None:
    try:
        bound = float(text)
    except ValueError:
        return None
    return bound if bound > 0 else None
