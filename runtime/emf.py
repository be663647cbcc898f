"""CloudWatch's Embedded Metric Format: one line of JSON on stdout that becomes metrics. Pure.

awslogs and Lambda carry stdout to CloudWatch Logs, which makes metrics of every line that is such a
document and nothing else. The format and its limits: docs.aws.amazon.com/AmazonCloudWatch/latest/
monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

NAMESPACE: Final = "StreamingExecutor"
DIMENSIONS: Final = ("Stage", "Service")
GROUP: Final = "Group"
"""One more dimension, of metrics that are told of a group of workers, too."""
METRICS_MAX: Final = 100
VALUES_MAX: Final = 100
"""The format's own limits: metrics a document, values a metric."""
Unit = Literal["Count", "Milliseconds"]


def document(
    stage: str,
    service: str,
    values: Mapping[str, float | Sequence[float]],
    now_ms: int,
    units: Mapping[str, Unit] | None = None,
    *,
    group: str | None = None,
    of_group: Collection[str] = (),
) -> str:
    """One document: a line without its end, to be written to stdout.

    `values`: a number, or up to 100 of them, by the metric's name; its unit is Count unless `units`
    says otherwise. Metrics without a (finite) value are left out: JSON has no word for NaN.
    Where there is a `group`, those of `of_group` are told of it, too: each is one more metric.
    Raises ValueError above the format's limits, or for a metric with the name of a dimension.
    """
    written: dict[str, float | list[float]] = {}
    for name, value in values.items():
        if isinstance(value, Sequence):
            finite = [each for each in value if math.isfinite(each)]
            if finite:
                written[name] = finite
            if len(finite) > VALUES_MAX:
                raise ValueError(f"{name}: {len(finite)} values, {VALUES_MAX} can be written")
        elif math.isfinite(value):
            written[name] = +value  # a bool becomes 0 or 1
    if len(written) > METRICS_MAX:
        raise ValueError(f"{len(written)} metrics, a document takes {METRICS_MAX}")
    if taken := written.keys() & {*DIMENSIONS, GROUP, "_aws"}:
        raise ValueError(f"no metric may be called {', '.join(sorted(taken))}")
    of_unit = units or {}

    def directive(dimensions: Sequence[str], names: Iterable[str]) -> dict[str, Any]:
        metrics = [{"Name": name, "Unit": of_unit.get(name, "Count")} for name in names]
        return {"Namespace": NAMESPACE, "Dimensions": [dimensions], "Metrics": metrics}

    directives = [directive(DIMENSIONS, written)]
    content: dict[str, Any] = {"Stage": stage, "Service": service}
    if group is not None:
        content[GROUP] = group
        if told := [name for name in written if name in of_group]:
            directives.append(directive((*DIMENSIONS, GROUP), told))
    aws = {"Timestamp": now_ms, "CloudWatchMetrics": directives}
    content = {"_aws": aws, **content, **written}
    return json.dumps(content, separators=(",", ":"), allow_nan=False)


def representatives(counts: Mapping[float, int]) -> list[float]:
    """At most a hundred values that stand for what a histogram observed.

    `counts`: observations by their bucket's upper bound (inf for the last), not cumulative.

    Up to a hundred observations have a value each. Of n more, the k-th of the hundred values stands
    for the observation of rank ceil(k n / 100). So the nearest-rank percentile p (a whole number)
    of the values lies in the very bucket in which that of the observations lies: it is wrong by
    at most that bucket's width, and its comparison with a bucket's bound is exact. Inside a bucket
    observations are taken to be spread evenly; above the last finite bound, which has no width,
    they are written as that bound: too low, but above every other.
    """
    total = sum(counts.values())
    many = min(total, VALUES_MAX)
    values: list[float] = []
    lower, below = 0.0, 0
    for upper, count in sorted(counts.items()):
        # The last k whose rank lies in this bucket; ceil(k n / many) <= r is k <= r many / n.
        last = (below + count) * many // total if total else 0
        for k in range(len(values) + 1, last + 1):
            rank = -(-k * total // many)
            missing = (below + count - rank) / count  # in this order the last one is `upper` itself
            values.append(lower if math.isinf(upper) else upper - (upper - lower) * missing)
        lower, below = upper, below + count
    return values
