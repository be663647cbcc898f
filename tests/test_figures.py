"""The arithmetic of cost.md and scaling.md: what they say is what their tables make."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import cost, growth_cores

ROOT = Path(__file__).parent.parent
COST = (ROOT / "docs/explanation/cost.md").read_text(encoding="utf-8")
SCALING = (ROOT / "docs/explanation/scaling.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "row", [*cost.table(), *cost.group_table(), *cost.price_rows(), *cost.count_rows()]
)
def test_the_document_has_what_the_script_computes(row: str) -> None:
    assert any(line.startswith(row) for line in COST.splitlines()), row


def test_totals_are_the_sums_of_their_columns() -> None:
    for markets, told in zip(cost.MARKETS, _numbers("**total**"), strict=True):
        shown = [_numbers(name)[cost.MARKETS.index(markets)] for name in cost.lines(markets)]
        assert sum(shown) == pytest.approx(told, abs=0.06)


def test_a_price_is_in_the_total() -> None:
    """Each price and each count matters to some total: none is there for show."""
    for table in (cost.PRICES, cost.COUNTS):
        for name, value in table.items():
            before = cost.total(200), sum(cost.further_group(200).values())
            table[name] = value * 2
            assert (cost.total(200), sum(cost.further_group(200).values())) != before, name
            table[name] = value


def test_a_hand_made_month_is_what_the_script_makes_of_it() -> None:
    month = cost.lines(2)
    assert month["NAT gateway, bytes"] == pytest.approx(2 * 41 * 700 * 4 * 2_628_000 / 1e9 * 0.048)
    assert month["interface endpoints"] == pytest.approx(730 * 4 * 0.011)
    assert month["Fargate"] == pytest.approx(730 * (3.75 * 0.03238 + 7.5 * 0.00356))


def test_an_items_size_counts_names_texts_numbers_and_maps() -> None:
    item = {
        "pk": {"S": "ab"},
        "n": {"N": "-1234"},
        "m": {"M": {"x": {"S": ""}}},
        "b": {"BOOL": True},
    }
    assert growth_cores.item_bytes(item) == (2 + 2) + (1 + 3) + (1 + 3 + 1 + 1) + (1 + 1)


def test_scaling_tells_the_items_real_sizes() -> None:
    sizes = growth_cores.account()
    for claims in growth_cores.CLAIMS:
        size, units = sizes[f"account_bytes_with_{claims}"], sizes[f"account_wcu_with_{claims}"]
        assert f"| {claims} | {size:,.0f} | {units:.0f} | {1_000 // units:,.0f} |" in SCALING
    assert f"{sizes['account_claims_max']:.0f} claims" in SCALING


def test_scaling_tells_the_lease_tables_real_sizes() -> None:
    sizes = growth_cores.leases()
    for series, feeders in growth_cores.LEASES:
        size = sizes[f"lease_table_kb_{series}_series_{feeders}_feeders"]
        assert f"| {series:,} | {feeders:,} | {size:,.1f} |" in SCALING


def _numbers(name: str) -> list[float]:
    row = next(line for line in COST.splitlines() if line.startswith(f"| {name} |"))
    return [float(each.replace(",", "")) for each in re.findall(r"[\d,]+\.\d\d", row)]
