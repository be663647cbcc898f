"""Why nothing is bought, in the words that a trader reads."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from executor.console.accounts import AccountNow
from executor.console.asked_strategies import StrategyAnswer, measure_check
from executor.console.market_shown import (
    FollowedAccount,
    account_signal,
    ladders,
    market_row,
    recent_mids_e4,
    why_not,
)
from functions.core.account import Account, Pause
from functions.core.gate_checks import NumberCheck
from functions.core.trade import Trade
from protocol.book import Proof
from protocol.snapshot import BookSnapshot
from strategies.book_imbalance import BookImbalance
from strategies.memory import BookRow
from tests.support.account_builders import make_account
from tests.support.configuration_builders import a_configuration
from tests.support.trading_builders import market, snapshot, stale

NOW_MS = time.time_ns() // 1_000_000
CONFIGURATION = a_configuration(version=3)
FREE = make_account(config_version=3)


def of(account: Account | None = FREE, **changes: Any) -> FollowedAccount:
    now = AccountNow(
        name="one-paper",
        execution="paper",
        account=account,
        limits=CONFIGURATION.limits,
        **{"read_at_ms": NOW_MS, "error": "", **changes},
    )
    return FollowedAccount(now, CONFIGURATION)


def book(**changes: Any) -> BookSnapshot:
    of = market("0xc1", start_ms=NOW_MS - 300_000, end_ms=NOW_MS + 600_000)
    made = snapshot(of=of, received_at_ns=NOW_MS * 10**6)
    return msgspec.structs.replace(made, **changes)


@pytest.mark.parametrize(
    ("shown", "account", "text"),
    [
        (book(), of(), "up to its strategy"),
        (
            snapshot(of=market(end_ms=NOW_MS), received_at_ns=NOW_MS * 10**6),
            of(),
            "it has ended",
        ),
        (book(proof=Proof.NONE), of(), "proof: none, must be at least top"),
        (stale(book(), 1_500), of(), "age: 1,500 ms, must be at most 1,000 ms"),
        (
            snapshot(of=market(end_ms=NOW_MS + 200_000), received_at_ns=NOW_MS * 10**6),
            of(),
            "to its end: 200.0 s, must be at least 300.0 s",
        ),
        (
            book(),
            of(make_account(config_version=3, cooldowns={"0xc1": NOW_MS + 120_000})),
            "cooldown of this market: 2 min 0 s left, must be over",
        ),
        (
            book(),
            of(make_account(config_version=3, trading="halted", halt_reason="by hand")),
            "trading: halted (by hand), must be enabled",
        ),
        (
            book(),
            of(
                make_account(
                    config_version=3,
                    pause=Pause(reason="rate_limited", since_ms=NOW_MS, until_ms=NOW_MS + 4_001),
                )
            ),
            "pause: rate_limited, 5 s left, must be none",
        ),
        (
            book(),
            of(None, error="no answer within 5 s"),
            "account: no answer within 5 s, must be known",
        ),
    ],
)
def test_a_row_says_what_holds_each_account(
    shown: BookSnapshot, account: FollowedAccount, text: str
) -> None:
    assert why_not(shown, account, NOW_MS).text == text
    assert market_row(shown, None, [account], NOW_MS).why[0].held == (text != "up to its strategy")


def test_an_account_whose_configuration_cannot_be_followed_says_why() -> None:
    cannot = FollowedAccount(of().now, "version 3 cannot be followed")
    assert why_not(book(), cannot, NOW_MS).text == "version 3 cannot be followed"
    signal = account_signal(book(), cannot, None, NOW_MS)
    assert (signal.summary.held, signal.gate, signal.limits) == (True, (), ())


def test_what_the_strategy_says_stands_between_gate_and_account() -> None:
    low = NumberCheck(name="imbalance", value="0.41", wanted="at least 0.5", passed=False)
    holds = StrategyAnswer(kind="hold", text="no_imbalance", measures=(low,))
    trade = Trade(
        outcome="Up",
        token_id="t",
        signal_price_e4=5_000,
        max_price_e4=5_200,
        spend_e6=1_100_000,
    )
    buys = StrategyAnswer(kind="signal", text="", trade=trade)
    fails = StrategyAnswer(kind="trouble", text="it raises ValueError")

    def told(account: FollowedAccount, answer: StrategyAnswer | None, shown: Any = None) -> str:
        return account_signal(shown or book(), account, answer, NOW_MS).summary.text

    full = of(make_account(config_version=3, spent_e6={}, trading="halted"))
    assert told(full, holds) == (
        "the strategy holds: no imbalance (imbalance: 0.41, must be at least 0.5)"
    )
    assert told(full, buys).startswith("trading: halted, must")
    assert told(of(), buys) == "would buy Up for 1.10 USD at up to 0.52"
    assert told(of(), fails) == "the strategy fails: it raises ValueError"
    assert told(of(), None, stale(book(), 5_000)).startswith("age: 5,000 ms")


@pytest.mark.parametrize(
    ("name", "value", "wanted", "passed"),
    [
        ("imbalance", 0.41, "at least 0.5", False),
        ("imbalance", 0.5, "at least 0.5", True),
        ("mid_e4", 2_900, "at least 0.3, at most 0.7", False),
        ("mid_e4", 7_001, "at least 0.3, at most 0.7", False),
        ("spread_e4", 300, "at most 0.02", False),
        ("edge_ticks", -1.5, "", True),
        ("levels", 3, "", True),
        ("imbalance", float("nan"), "at least 0.5", False),
    ],
)
def test_a_number_stands_beside_the_parameters_that_are_called_like_it(
    *, name: str, value: float, wanted: str, passed: bool
) -> None:
    check = measure_check(name, value, BookImbalance.Parameters())
    assert (check.wanted, check.passed) == (wanted, passed)


def test_a_number_is_told_in_its_unit() -> None:
    def told(name: str, value: float) -> tuple[str, str]:
        check = measure_check(name, value, BookImbalance.Parameters())
        return check.name, check.value

    assert told("mid_e4", 4_725) == ("mid", "0.4725")
    assert told("edge_ticks", -1.8049) == ("edge", "-1.8 ticks")
    assert told("time_to_close_s", 5_000.2) == ("time to close", "5,000 s")
    assert told("imbalance", 0.41234) == ("imbalance", "0.412")


def test_both_ladders_are_on_one_scale_with_the_best_prices_in_the_middle() -> None:
    shown = snapshot(
        [("0.49", 400), ("0.48", 100)], [("0.50", 100), ("0.51", 800)], down=([], [("0.6", 200)])
    )
    up, down = ladders(shown)
    assert [step.price_e4 for step in up.asks] == [5_100, 5_000]
    assert [step.price_e4 for step in up.bids] == [4_900, 4_800]
    assert [step.share for step in (*up.asks, *up.bids)] == [1, 0.125, 0.5, 0.125]
    assert (down.outcome, down.bids, down.spread_e4) == ("Down", (), None)
    assert down.asks[0].share == 0.25


def test_the_mids_are_of_the_last_minute_and_evenly_apart() -> None:
    rows = [
        BookRow(at_ms, 1, at_ms, ((4_000 + at_ms // 1_000, 1),), ((4_002 + at_ms // 1_000, 1),))
        for at_ms in range(0, 100_000, 250)
    ]
    mids = recent_mids_e4(rows)
    assert len(mids) == 25
    assert mids[-1] == 4_100
    assert mids[0] == 4_040
    assert recent_mids_e4([]) == ()
