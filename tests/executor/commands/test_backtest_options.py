"""What `executor backtest` refuses before it reads anything, and what it makes of its options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backtest.engine.assumptions import PLAN_POLLING
from executor.commands.backtest_options import (
    Asked,
    BacktestPlan,
    BadInputError,
    plan_of,
)
from strategies.fair_value import FairValue

STRATEGY = '''
from enum import StrEnum
from strategies.interface import Hold, Strategy
from strategies.parameters import StrategyParameters

class Never(Strategy):
    """Buys nothing."""
    name = "never"
    class Parameters(StrategyParameters):
        """None."""
    class Reason(StrEnum):
        NO = "no"
    @staticmethod
    def decide(view, parameters, now_ms):
        return Hold(Never.Reason.NO)
'''


def planned(environment: dict[str, str] | None = None, **asked: Any) -> BacktestPlan:
    return plan_of(Asked(**asked), environment or {})


def test_without_options_all_is_as_by_default() -> None:
    plan = planned()
    assert plan.strategy.name == plan.configuration.strategy == "book_imbalance_crypto"
    assert plan.configuration.parameters == plan.strategy.Parameters()
    assert plan.configuration.limits == plan.configuration.settings.limits(1)
    assert plan.assumptions.latency.name == "250 ms"
    assert plan.assumptions.poll == PLAN_POLLING
    assert plan.sweep is None


def test_settings_and_parameters_are_set_by_name() -> None:
    changes = {"cooldown_s": "60", "imbalance_min": "0.6", "size_usd": "5"}
    configuration = planned(changes=changes).configuration
    assert configuration.limits.cooldown_ms == 60_000
    assert configuration.parameters.imbalance_min == 0.6  # type: ignore[attr-defined]  # its own
    assert configuration.order.spend_e6 == 5_000_000


def test_series_are_named_as_people_or_as_the_venue_does() -> None:
    assert planned(series="btc-15m, eth-updown-5m").series == ["btc-15m", "eth-5m"]


def test_the_environment_s_settings_are_not_looked_at() -> None:
    assert planned({"COOLDOWN_S": "1"}) == planned()


def test_the_only_strategy_of_the_environment_is_taken() -> None:
    assert planned({"STRATEGIES": "mine=fair_value@paper"}).strategy is FairValue
    assert planned({"STRATEGIES": "fair_value"}, strategy="order_flow_imbalance").strategy.name == (
        "order_flow_imbalance"
    )


def test_a_strategy_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "never.py").write_text(STRATEGY, encoding="utf-8")
    assert planned(strategy=f"{tmp_path}/never.py").strategy.name == "never"


def test_a_scanner_is_as_it_is_asked_for() -> None:
    poll = planned(poll_s=10, execution="5:6").assumptions.poll
    assert poll is not None
    assert (poll.every_ms, poll.execution.name) == (10_000, "5 to 6 s")
    assert len(poll.phases_ms) == 10
    assert planned(no_poll=True).assumptions.poll is None


def test_a_sweep_is_planned_with_its_points() -> None:
    sweep = planned(sweep=("levels=1..3", "imbalance_min=0.4..0.5:0.1"), train=0.7, procs=2).sweep
    assert sweep is not None
    assert (len(sweep.axes), len(sweep.points)) == (2, 6)
    assert (sweep.train_share, sweep.procs) == (0.7, 2)
    drawn = planned(sweep=("levels=1..40",), random=5).sweep
    assert drawn is not None
    assert len(drawn.points) == 5


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"strategy": "none"}, "--strategy: none: no such strategy; there is: book_imbalance"),
        ({"strategy": "./none.py"}, "--strategy: none.py: cannot be read: No such file"),
        ({"changes": {"cooldown": "1"}}, "--set: cooldown: no such setting; did you mean cooldown"),
        ({"changes": {"levels": "0"}}, "--set: levels: Input should be greater than or equal to 1"),
        ({"series": "btc"}, "--series: not a series: 'btc' (expected e.g. btc-15m"),
        ({"series": ""}, "--series: not a series: ''"),
        ({"latency": "fast"}, "--latency: 'fast': neither milliseconds (e.g. 250) nor a file"),
        ({"latency": "3600001"}, "--latency: 3.6e+06 ms: a latency is from 0 to 3600000 ms"),
        ({"execution": "x"}, "--execution: 'x': seconds are wanted, e.g. 30 or 30:120"),
        ({"no_poll": True, "poll_s": 30}, "--no-poll and --poll: one of them is wanted"),
        ({"no_poll": True, "execution": "1"}, "--no-poll and --execution: one of them is wanted"),
        ({"sweep": ("levels=9..1",)}, "--sweep: levels=9..1: an empty sweep: 1 is below 9"),
        ({"sweep": ("size_usd=1..2",)}, "--sweep: size_usd: a setting of the account"),
        ({"sweep": ("levels=1..2",), "random": 9}, "--random: 9 points are wanted, and there are"),
        ({"sweep": ("levels=1..2",), "random": 0}, "--random: from 1 to 100,000 points are wanted"),
        ({"sweep": ("levels=1..2",), "train": 1.0}, "--train: a share between 0 and 1 is wanted"),
        ({"sweep": ("levels=1..2",), "train": float("nan")}, "--train: a share between 0 and 1"),
        ({"train": 0.5}, "--train: nothing is swept; --sweep says what"),
        ({"random": 5}, "--random: nothing is swept; --sweep says what"),
        ({"procs": 2}, "--procs: nothing is swept; --sweep says what"),
        (
            {"sweep": ("levels=1..2",), "changes": {"levels": "3"}},
            "levels: --set and --sweep: one of them is wanted",
        ),
    ],
)
def test_what_cannot_be_is_one_line(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInputError, match=r"^[^\n]+$") as caught:
        planned(**asked)
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize("strategies", ["fair_value,book_imbalance_crypto", "@", "none"])
def test_strategies_that_name_no_single_one_are_refused(strategies: str) -> None:
    with pytest.raises(BadInputError, match=r"^(STRATEGIES|--strategy): [^\n]+$"):
        planned({"STRATEGIES": strategies})
