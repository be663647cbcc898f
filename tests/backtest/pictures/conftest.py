"""Reports and sweeps to be drawn."""

from __future__ import annotations

import pytest

from backtest.report.build import report_of
from backtest.report.report import BacktestReport
from tests.support.backtest_builders import a_large_run, observations


@pytest.fixture(scope="session")
def report() -> BacktestReport:
    """As large as the bundled markets'."""
    return report_of(a_large_run(signals=600, phases=2))


@pytest.fixture(scope="session")
def empty() -> BacktestReport:
    """Of a run that saw nothing."""
    return report_of(observations())
