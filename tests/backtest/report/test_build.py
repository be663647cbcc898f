"""The whole report: of something, of nothing, and the same each time."""

from __future__ import annotations

import msgspec
import pytest

from backtest.engine.observations import Observations
from backtest.measures.sections import VerdictKind
from backtest.report.build import report_of
from backtest.report.report import BacktestReport
from tests.support.backtest_builders import ASignal, a_large_run, a_market, observations


@pytest.fixture(scope="module")
def large() -> Observations:
    return a_large_run(signals=1_000, phases=3)


def test_all_of_it_is_json(large: Observations) -> None:
    report = report_of(large)
    text = msgspec.json.encode(report)
    assert b"NaN" not in text
    assert msgspec.json.decode(text, type=BacktestReport) == report


def test_the_same_run_gives_the_same_report(large: Observations) -> None:
    assert msgspec.json.encode(report_of(large)) == msgspec.json.encode(report_of(large))


def test_the_parts_add_up(large: Observations) -> None:
    report = report_of(large)
    funnel = report.funnel
    assert funnel.moments == sum(funnel.holds.values()) + funnel.signals
    for lane in large.lanes:
        money, end = report.money.of(lane.bracket), funnel.after.of(lane.bracket)
        assert end.filled == money.filled == money.settled
        assert money.pnl_e6 == money.payout_e6 - money.spent_e6 - money.fees_e6
        assert money.pnl_e6 == sum(
            each.money.of(lane.bracket).pnl_e6 or 0 for each in report.markets
        )
        assert money.curve[-1].pnl_e6 == money.pnl_e6
        own = report.compared.of(lane.bracket)[0]
        assert (own.pnl_e6, own.return_on_stake) == (money.pnl_e6, money.return_on_stake)
        assert sum(end.ends.values()) == end.orders == report.execution.of(lane.bracket).orders
        assert sum(
            line.cells.of(lane.bracket).pnl_e6 for line in report.tables.by_price.lines
        ) == pytest.approx(money.pnl_e6)


def test_without_polling_there_is_no_scanner(large: Observations) -> None:
    alone = report_of(msgspec.structs.replace(large, polling=[]))
    assert len(alone.compared.unchanged) == 4
    assert len(report_of(large).compared.unchanged) == 5


@pytest.mark.parametrize(
    "seen",
    [
        observations(),
        observations([a_market(paid=None)], holds={"not_started": 3}),
        observations([a_market(paid=None)], [ASignal(strength=float("nan"))]),
    ],
    ids=["no market", "no signal", "no order"],
)
def test_of_next_to_nothing(seen: Observations) -> None:
    report = report_of(seen)
    assert report.verdict.kind is VerdictKind.TOO_POOR
    assert msgspec.json.decode(msgspec.json.encode(report), type=BacktestReport) == report
    assert report.money.next.return_on_stake.value is None


def test_it_says_what_it_was_run_with(large: Observations) -> None:
    report = report_of(large)
    assert report.parameters["imbalance_min"] == "0.5"
    assert report.settings["max_entries_per_market"] == "none"
    assert (report.strategy, report.strength_name) == ("book_imbalance_crypto", "imbalance")
