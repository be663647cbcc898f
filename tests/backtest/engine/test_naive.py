"""The engine against a backtest that was written a second time, slowly, on made-up feeds."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict
from fractions import Fraction

import pytest

from backtest.engine.assumptions import Bracket
from backtest.engine.observations import DELAYS_S, HORIZONS_S, SIZES_USD, Lane, Observations, WhatIf
from backtest.engine.run import run
from backtest.feed.events import FeedEvent, MarketPaid
from protocol.book import Level
from protocol.market import DOWN, UP
from strategies.interface import Strategy
from tests.support.made_up_feeds import (
    Failing,
    Leaning,
    ListFeed,
    assumptions_of,
    made_up_configuration,
    made_up_events,
)
from tests.support.naive_backtest import NaiveLane, NaivePrices, scanner_lane, stream_lane
from tests.support.naive_wishes import NaiveRun, wishes_of


def told(lane: Lane, seen: Observations) -> list[dict[str, object]]:
    """An engine's orders in the naive one's words."""
    return [
        {
            "market": seen.markets[order.market].condition_id,
            "outcome": order.outcome,
            "decided_at_ms": order.decided_at_ms,
            "arrived_at_ms": order.arrived_at_ms,
            "spend_e6": order.spend_e6,
            "max_price_e4": order.max_price_e4,
            "met_at_ms": order.met_at_ms,
            "end": str(order.end),
            "left_out": None if order.left_out is None else str(order.left_out),
            "filled_spend_e6": order.filled_spend_e6,
            "filled_size_e6": order.filled_size_e6,
            "fee_e6": order.fee_e6,
            "payout_e6": order.payout_e6,
            "pnl_e6": order.pnl_e6,
            "other": _amounts(order.down if order.outcome == UP else order.up),
        }
        for order in lane.orders
    ]


def _amounts(what_if: WhatIf | None) -> tuple[int, int, int] | None:
    return None if what_if is None else (what_if.spend_e6, what_if.size_e6, what_if.fee_e6)


def naively(lane: NaiveLane) -> list[dict[str, object]]:
    orders, hidden = [], ("answered", "booked_day", "other_limit_e4")
    for order in lane.orders:
        fields = {**asdict(order), "market": order.market.condition_id}
        orders.append({k: v for k, v in fields.items() if k not in hidden})
    return orders


def prices_compared(events: list[FeedEvent], seen: Observations) -> None:
    """Every price of every signal, by looking through all books."""
    rows, assumptions = seen.signals, seen.assumptions
    delay = {each: round(1_000 * each) for each in DELAYS_S}
    for row, at_ms in enumerate(rows.at_ms.tolist()):
        market = seen.markets[rows.market[row]]
        outcome = UP if rows.is_up[row] else DOWN
        known = NaivePrices(events, market.condition_id, outcome, assumptions.gap_over_ms)
        asks = [known.unchanged(at_ms + 1_000 * each)[1] for each in HORIZONS_S]
        bids = [known.unchanged(at_ms + 1_000 * each)[0] for each in HORIZONS_S]
        assert (rows.bid_after_e4[row].tolist(), rows.ask_after_e4[row].tolist()) == (bids, asks)
        waited = [known.unchanged(at_ms + each)[1] for each in delay.values()]
        waited_next = [known.next(at_ms + each)[1] for each in delay.values()]
        assert rows.ask_waited_e4[row].tolist() == waited
        assert rows.ask_waited_next_e4[row].tolist() == waited_next
        drawn_ms = assumptions.latency.draw_ms(f"{market.condition_id}:{at_ms}", assumptions.seed)
        arrives_ms = at_ms + drawn_ms + assumptions.taker_delay_ms
        arrival = [known.unchanged(arrives_ms)[1], known.next(arrives_ms)[1]]
        assert rows.arrival_ask_e4[row].tolist() == arrival
        # What was bought is valued from then on; where nothing came next nothing was bought.
        next_ms = known.next_ms(arrives_ms) if arrival[1] >= 0 else None
        for met_ms, of_bracket in ((arrives_ms, slice(0, 4)), (next_ms, slice(4, 8))):
            if met_ms is not None:
                tops = [known.unchanged(met_ms + 1_000 * each) for each in HORIZONS_S]
                assert rows.bid_held_e4[row, of_bracket].tolist() == [bid for bid, _ in tops]
                assert rows.ask_held_e4[row, of_bracket].tolist() == [ask for _, ask in tops]


def signals_compared(events: list[FeedEvent], naive: NaiveRun, seen: Observations) -> None:
    """Episodes, and what larger orders would pay, of each signal in turn."""
    lasting: dict[str, tuple[int, str]] = {}
    episodes, row, rows = 0, 0, seen.signals
    for index, event in enumerate(events):
        if isinstance(event, MarketPaid):
            continue
        wish, condition_id = naive.stream.get(index), event.market.condition_id
        if wish is None:
            lasting.pop(condition_id, None)
            continue
        first = lasting.get(condition_id, (0, ""))[1] != wish.trade.outcome
        if first:
            lasting[condition_id] = episodes, wish.trade.outcome
            episodes += 1
        assert rows.episode[row] == lasting[condition_id][0]
        asks = event.book_of(wish.trade.outcome).asks
        expected = [mean_price_e4(asks, usd) if first else math.nan for usd in SIZES_USD]
        assert rows.size_price_e4[row].tolist() == pytest.approx(expected, nan_ok=True)
        row += 1
    assert row == len(rows)


def mean_price_e4(asks: tuple[Level, ...], usd: int) -> float:
    """That so much is paid for at; NaN where there is not so much."""
    left, shares = Fraction(usd), Fraction(0)
    for price_e4, size_e6 in asks:
        price = Fraction(price_e4, 10_000)
        worth = min(left, price * Fraction(size_e6, 10**6))
        left, shares = left - worth, shares + worth / price
    return math.nan if left else float(10_000 * usd / shares)


def compared(seed: int, strategy: type[Strategy] = Leaning) -> Counter[str]:
    """Engine and naive backtest agree on everything; what there was to agree on."""
    events = made_up_events(seed)
    configuration, assumptions = made_up_configuration(seed, strategy), assumptions_of(seed)
    seen = run(ListFeed(events), strategy, configuration, assumptions)
    naive = wishes_of(events, strategy, configuration, assumptions)
    assert seen.moments == len(seen.signals) + seen.holds.total()
    assert seen.signals.at_ms.tolist() == [wish.at_ms for wish in naive.stream.values()]
    met: Counter[str] = Counter()
    for lane in seen.lanes:
        expected = stream_lane(events, naive, lane.bracket, configuration, assumptions)
        assert told(lane, seen) == naively(expected)
        assert lane.refused == expected.refused
        met.update(f"{lane.bracket} {each.left_out or each.end}" for each in lane.orders)
        met.update(lane.refused)
    for lane in seen.polling:
        assert lane.poll_phase_ms is not None
        expected = scanner_lane(
            events, naive, lane.poll_phase_ms, lane.bracket, configuration, assumptions
        )
        assert told(lane, seen) == naively(expected), lane.name
        assert lane.refused == expected.refused
        met.update(f"scan {each.left_out or each.end}" for each in lane.orders)
    met[seen.strategy_error and "failed"] += 1
    return met


def test_the_engine_does_what_a_naive_backtest_does() -> None:
    met: Counter[str] = Counter()
    for seed in range(40):
        met += compared(seed)
    for bracket in Bracket:
        for end in ("filled", "partly_filled", "no_match", "crossed", "gap", "dark", "placeholder"):
            assert met[f"{bracket} {end}"], f"{bracket} {end}: never met"
    assert not {"max_positions", "max_entries", "daily_loss", "daily_spend"} - met.keys()


def test_prices_after_a_signal_are_those_of_the_books_that_were_there() -> None:
    signals = 0
    for seed in range(0, 40, 3):
        events, configuration = made_up_events(seed), made_up_configuration(seed)
        seen = run(ListFeed(events), Leaning, configuration, assumptions_of(seed))
        prices_compared(events, seen)
        signals_compared(events, wishes_of(events, Leaning, configuration, seen.assumptions), seen)
        signals += len(seen.signals)
    assert signals > 200


@pytest.mark.parametrize("seed", range(4))
def test_so_it_does_with_a_strategy_that_raises(seed: int) -> None:
    assert compared(seed, Failing)["failed"] == 1
