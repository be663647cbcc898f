"""What the system costs a month, of measured counts and prices: docs/explanation/cost.md.

    python -m benchmarks.cost

Prints the tables of that document; a test holds them against it. To use other prices or other
counts, change PRICES or COUNTS and put what is printed into the document.
"""

from __future__ import annotations

import math
from typing import Final

HOURS: Final = 730
SECONDS: Final = HOURS * 3_600
MARKETS: Final = (2, 20, 200)

PRICES: Final[dict[str, float]] = {
    "fargate_vcpu_hour": 0.03238,
    "fargate_gb_hour": 0.00356,
    "nat_gateway_hour": 0.048,
    "nat_gateway_gb": 0.048,
    "interface_endpoint_hour": 0.011,
    "public_ipv4_hour": 0.005,
    "between_zones_gb_each_way": 0.01,
    "logs_gb": 0.57,
    "custom_metric": 0.30,
    "alarm_metric": 0.10,
    "dashboard": 3.00,
    "lambda_gb_s": 0.0000133334,
    "lambda_million_requests": 0.20,
    "write_million_units": 0.705,
    "read_million_units": 0.1415,
    "secret": 0.40,
    "kms_key": 1.00,
    "private_zone": 0.50,
}
"""USD, eu-west-1, on demand, without free tiers."""

COUNTS: Final[dict[str, float]] = {
    # From recordings and benchmarks; see the document for each.
    "frames_a_market_s": 41,
    "frame_bytes": 700,
    "lines": 4,
    "books_a_market_s": 41,
    "book_bytes": 2_000,
    "market_orders_a_day": 48,
    "worker_writes_an_order": 4.2,
    "decision_writes_an_order": 2.3,
    "schedule_writes_an_order": 0.9,
    "account_units": 4,
    "row_units": 2,
    "group_units": 1,
    "group_metrics": 1,
    "group_alarms": 3,
    "worker_reads_s": 0.45,
    "reconcile_reads": 1.8,
    "reconcile_runs_a_minute": 5,
    "log_bytes_worker_minute": 12_300,
    "log_bytes_feeder_minute": 21_800,
    "log_bytes_user_feeder_minute": 1_200,
    "log_bytes_lambdas_minute": 4_600,
    "reconcile_s_a_minute": 50,
    "settle_s_a_minute": 2,
    "lambda_gb": 0.5,
    "custom_metrics": 34,
    "alarm_metrics": 35,
    "secrets": 4,
    "interface_endpoints": 4,
    "books_a_worker_s": 3_000,
    "frames_a_feeder_s": 4_000,
}


def tasks(markets: int) -> dict[str, tuple[int, float, float]]:
    """(tasks, vCPU, GB) of each service."""
    c = COUNTS
    workers = max(2, math.ceil(markets * c["books_a_market_s"] / c["books_a_worker_s"]))
    # Both feeders of a pair follow both lines of all their markets.
    pairs = math.ceil(markets * c["frames_a_market_s"] * 2 / c["frames_a_feeder_s"])
    return {
        "nats": (1, 0.5, 1.0),
        "feeder": (2 * pairs, 0.5, 1.0),
        "user feeder": (1, 0.25, 0.5),
        "worker": (workers, 1.0, 2.0),
    }


def lines(markets: int) -> dict[str, float]:
    """USD a month, by line of the bill."""
    c, p = COUNTS, PRICES
    services = tasks(markets)
    pairs = services["feeder"][0] // 2
    cpu = sum(n * vcpu for n, vcpu, _ in services.values())
    memory = sum(n * gb for n, _, gb in services.values())
    received_gb = markets * c["frames_a_market_s"] * c["frame_bytes"] * c["lines"] * SECONDS / 1e9
    # Feeder to NATS and NATS to worker: each of them is in another zone half of the time.
    published_gb = markets * c["books_a_market_s"] * c["book_bytes"] * SECONDS / 1e9
    orders = markets * c["market_orders_a_day"] * HOURS / 24
    writes = orders * (
        (c["worker_writes_an_order"] + c["schedule_writes_an_order"]) * c["account_units"]
        + c["decision_writes_an_order"] * c["row_units"]
    )
    workers = services["worker"][0]
    minutes = HOURS * 60
    reads = workers * c["worker_reads_s"] * SECONDS + minutes * (
        c["reconcile_runs_a_minute"] * c["reconcile_reads"] + 1
    )
    logs_gb = (
        minutes
        * (
            c["log_bytes_worker_minute"] * workers
            + c["log_bytes_feeder_minute"] * 2 * pairs
            + c["log_bytes_user_feeder_minute"]
            + c["log_bytes_lambdas_minute"]
        )
        / 1e9
    )
    seconds = c["reconcile_s_a_minute"] + c["settle_s_a_minute"]
    return {
        "Fargate": HOURS * (cpu * p["fargate_vcpu_hour"] + memory * p["fargate_gb_hour"]),
        "NAT gateway, hours": HOURS * (p["nat_gateway_hour"] + p["public_ipv4_hour"]),
        "NAT gateway, bytes": received_gb * p["nat_gateway_gb"],
        "between zones": published_gb * 2 * p["between_zones_gb_each_way"],
        "interface endpoints": HOURS * c["interface_endpoints"] * p["interface_endpoint_hour"],
        "DynamoDB": (writes * p["write_million_units"] + reads * p["read_million_units"]) / 1e6,
        "Lambda": minutes
        * (seconds * c["lambda_gb"] * p["lambda_gb_s"] + 2 * p["lambda_million_requests"] / 1e6),
        "logs": logs_gb * p["logs_gb"],
        "metrics, alarms, dashboard": c["custom_metrics"] * p["custom_metric"]
        + c["alarm_metrics"] * p["alarm_metric"]
        + p["dashboard"],
        "secrets, key, zone": c["secrets"] * p["secret"] + p["kms_key"] + p["private_zone"],
    }


def total(markets: int) -> float:
    """USD a month."""
    return sum(lines(markets).values())


def table() -> list[str]:
    """The document's table of costs, as Markdown."""
    columns = [lines(markets) for markets in MARKETS]
    rows = [
        "| USD a month | " + " | ".join(f"{m} markets" for m in MARKETS) + " |",
        "|---|" + "--:|" * len(MARKETS),
    ]
    rows += [
        f"| {name} | " + " | ".join(f"{column[name]:,.2f}" for column in columns) + " |"
        for name in columns[0]
    ]
    totals = " | ".join(f"**{sum(column.values()):,.2f}**" for column in columns)
    return [*rows, f"| **total** | {totals} |"]


def further_group(markets: int) -> dict[str, float]:
    """USD a month that one more group of strategies costs, on the books of all markets."""
    c, p = COUNTS, PRICES
    workers, vcpu, gb = tasks(markets)["worker"]
    delivered_gb = markets * c["books_a_market_s"] * c["book_bytes"] * SECONDS / 1e9
    orders = markets * c["market_orders_a_day"] * HOURS / 24
    account_writes = orders * (c["worker_writes_an_order"] + c["schedule_writes_an_order"])
    decisions = orders * c["decision_writes_an_order"] * c["row_units"]
    alone = account_writes * c["account_units"] + decisions
    # A transaction costs twice the units of each of its items.
    together = account_writes * 2 * (c["account_units"] + c["group_units"]) + decisions
    logs_gb = HOURS * 60 * c["log_bytes_worker_minute"] * workers / 1e9
    return {
        "Fargate": workers * HOURS * (vcpu * p["fargate_vcpu_hour"] + gb * p["fargate_gb_hour"]),
        # NATS to worker, in another zone half of the time.
        "between zones": delivered_gb * p["between_zones_gb_each_way"],
        "logs": logs_gb * p["logs_gb"],
        "metrics and alarms": c["group_metrics"] * p["custom_metric"]
        + c["group_alarms"] * p["alarm_metric"],
        "DynamoDB, orders of one account": alone * p["write_million_units"] / 1e6,
        "the same under a collective limit, in addition": (together - alone)
        * p["write_million_units"]
        / 1e6,
    }


def group_table() -> list[str]:
    """The document's table of a further group, as Markdown."""
    columns = [further_group(markets) for markets in MARKETS]
    return [
        "| USD a month | " + " | ".join(f"{m} markets" for m in MARKETS) + " |",
        "|---|" + "--:|" * len(MARKETS),
        *(
            f"| {name} | " + " | ".join(f"{column[name]:,.2f}" for column in columns) + " |"
            for name in columns[0]
        ),
    ]


def price_rows() -> list[str]:
    """How each price begins its row in the document."""
    return [
        f"| `{name}` | {value:.10f}".rstrip("0").rstrip(".") + " |"
        for name, value in PRICES.items()
    ]


def count_rows() -> list[str]:
    """How each count begins its row in the document."""
    return [f"| `{name}` | {value:,g} |" for name, value in COUNTS.items()]


def main() -> None:
    """Print all tables."""
    print("\n".join([*table(), "", *group_table(), "", *price_rows(), "", *count_rows()]))
    for markets in MARKETS:
        print(markets, tasks(markets))


if __name__ == "__main__":
    main()
