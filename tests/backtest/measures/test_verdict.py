"""The four things that can be said, and when."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backtest.engine.observations import UNKNOWN, MarketSeen, Observations, OrderSeen
from backtest.measures.markout import worth
from backtest.measures.money import money
from backtest.measures.prepared import filled_orders, prepare
from backtest.measures.sections import Both, Verdict, VerdictKind
from backtest.measures.verdict import BLOCKS_MIN, verdict
from protocol.market import DOWN, UP
from tests.support.backtest_builders import ASignal, a_market, an_order, observations


def verdict_of(seen: Observations) -> Verdict:
    run = prepare(seen)
    filled = Both(*(filled_orders(run, lane.orders) for lane in seen.lanes))
    earned = Both(*(money(run, filled.of(lane.bracket)) for lane in seen.lanes))
    return verdict(run, worth(run, filled), earned, filled)


def markets(count: int, *, paid: str | None = None) -> list[MarketSeen]:
    return [a_market(number, paid=paid) for number in range(count)]


def moving(ticks: float, count: int, *, arrival: tuple[int, int] | None = None) -> list[ASignal]:
    """One signal a market; its mid moves by about so much within a minute."""
    moves = np.random.default_rng(4).normal(ticks, 1.0, count) * 100
    return [
        ASignal(
            market=index,
            bid_after_e4=[4_900 + round(move)] * 4,
            ask_after_e4=[5_000 + round(move)] * 4,
            arrival_ask_e4=arrival,
        )
        for index, move in enumerate(moves)
    ]


def bought(seen: list[MarketSeen]) -> list[OrderSeen]:
    return [an_order(each, index) for index, each in enumerate(seen)]


@pytest.mark.parametrize(
    ("ticks", "kind"),
    [
        # An entry costs 0.5 + 1.75 ticks.
        (6.0, VerdictKind.EDGE_SHOWN),
        (0.0, VerdictKind.LOSS_SHOWN),
        (2.25, VerdictKind.NOTHING_SHOWN),
    ],
)
def test_the_interval_decides(ticks: float, kind: VerdictKind) -> None:
    assert verdict_of(observations(markets(12), moving(ticks, 12))).kind is kind


def test_both_brackets_have_to_show_it() -> None:
    signals = moving(4.0, 12, arrival=(5_000, 5_200))
    said = verdict_of(observations(markets(12), signals))
    assert said.kind is VerdictKind.NOTHING_SHOWN


@pytest.mark.parametrize(
    ("ticks", "paid"), [(6.0, DOWN), (0.0, UP)], ids=["gain on paper", "loss on paper"]
)
def test_payouts_may_contradict_the_prices(ticks: float, paid: str) -> None:
    seen = markets(12, paid=paid)
    said = verdict_of(observations(seen, moving(ticks, 12), bought(seen)))
    assert said.kind is VerdictKind.NOTHING_SHOWN
    assert "paid out in the end says the opposite" in said.sentence


def test_payouts_that_agree_are_said_to() -> None:
    seen = markets(12, paid=UP)
    said = verdict_of(observations(seen, moving(6.0, 12), bought(seen)))
    assert said.kind is VerdictKind.EDGE_SHOWN
    assert said.sentence.endswith("what was paid out does not contradict it.")


def test_nothing_shown_says_how_many_markets_it_would_take() -> None:
    seen = [a_market(number, paid=UP if number % 2 else DOWN) for number in range(12)]
    said = verdict_of(observations(seen, moving(2.25, 12), bought(seen)))
    # The sd of a block is about 1 tick, 2% of 50 ticks is 1: (2.8 x 1 / 1)^2 is about 8.
    assert said.markets_needed == pytest.approx(8, abs=4)
    # Half of them double the stake, half lose it: (2.8 x 1 / 0.02)^2 is about 20,000.
    assert said.markets_needed_by_pnl == pytest.approx(20_000, rel=0.2)
    assert "here are 12: such an edge would probably have shown." in said.sentence


def test_more_markets_than_here_are_are_said_without_that() -> None:
    seen = markets(12)
    noisy = [
        ASignal(
            market=index,
            bid_after_e4=[4_900 + move] * 4,
            ask_after_e4=[5_000 + move] * 4,
        )
        for index, move in enumerate([900, -400] * 6)
    ]
    said = verdict_of(observations(seen, noisy))
    assert said.kind is VerdictKind.NOTHING_SHOWN
    assert said.sentence.endswith("here are 12.")


@pytest.mark.parametrize(("ticks", "own"), [(6.0, -9.0), (0.0, 9.0)])
def test_the_orders_that_were_filled_may_contradict_the_signals(ticks: float, own: float) -> None:
    """Most signals are refused, by a cooldown for instance: what is traded may be another kind."""
    seen = markets(12)
    first = [
        ASignal(
            market=index,
            after_ms=10_000,
            bid_after_e4=[4_900 + round(100 * own)] * 4,
            ask_after_e4=[5_000 + round(100 * own)] * 4,
        )
        for index in range(12)
    ]
    later = [replace(each, after_ms=20_000) for each in moving(ticks, 12) for _ in range(20)]
    signals = sorted([*first, *later], key=lambda each: each.at_ms)
    assert verdict_of(observations(seen, signals)).kind is not VerdictKind.NOTHING_SHOWN
    said = verdict_of(observations(seen, signals, bought(seen)))
    assert said.kind is VerdictKind.NOTHING_SHOWN
    assert "the orders that were filled, few of the signals, show the opposite" in said.sentence


@pytest.mark.parametrize("ask_e4", [9_500, 800])
def test_where_the_rarer_outcome_has_hardly_come_luck_cannot_be_told(ask_e4: int) -> None:
    """Fair bets at 0.95 win 18 of 18 times in two of five runs, and look like a sure gain."""
    signals = [replace(each, bid_e4=ask_e4 - 100, ask_e4=ask_e4) for each in moving(6.0, 18)]
    said = verdict_of(observations(markets(18), signals))
    assert said.kind is VerdictKind.TOO_POOR
    assert "the rarer outcome decides, and in 18 blocks of markets it is expected" in said.sentence


def test_markets_open_at_the_same_time_count_once() -> None:
    together = [a_market(number, slot=number % 2) for number in range(12)]
    said = verdict_of(observations(together, moving(6.0, 12)))
    assert (said.kind, said.markets, said.blocks) == (VerdictKind.TOO_POOR, 12, 2)
    assert f"it takes {BLOCKS_MIN} to tell an edge from luck" in said.sentence


def test_too_few_markets_are_too_poor() -> None:
    few = BLOCKS_MIN - 1
    assert verdict_of(observations(markets(few), moving(6.0, few))).kind is VerdictKind.TOO_POOR


def test_mostly_unknown_is_too_poor() -> None:
    lost = [
        ASignal(market=index, arrival_ask_e4=(5_000, UNKNOWN)) for index in range(12) for _ in "12"
    ]
    said = verdict_of(observations(markets(12), [*moving(6.0, 12), *lost]))
    assert said.kind is VerdictKind.TOO_POOR
    assert "of 67% of the signals" in said.sentence and "(next)" in said.sentence


def test_refused_is_not_unknown() -> None:
    refused = [ASignal(market=index, arrival_ask_e4=(6_000, 6_000)) for index in range(12)] * 3
    said = verdict_of(observations(markets(12), [*moving(6.0, 12), *refused]))
    assert said.kind is VerdictKind.EDGE_SHOWN


def test_no_signal_is_too_poor() -> None:
    said = verdict_of(observations(markets(1), holds={"no_imbalance": 1_234}))
    assert said.sentence == (
        "The data are too poor: there was no signal on 1,234 books of 1 market; "
        "100% of them were held as no imbalance."
    )
    assert said.markets_needed is None


def test_no_market_is_too_poor() -> None:
    said = verdict_of(observations())
    assert said.kind is VerdictKind.TOO_POOR
    assert "there is no book that can be used" in said.sentence
