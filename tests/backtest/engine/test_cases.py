"""The cases of a run that are rare in a recording, one by one, with their sums written out."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec
import pytest

from backtest.engine.assumptions import Assumptions, Bracket
from backtest.engine.latency import Latency
from backtest.engine.observations import UNKNOWN, Observations, OrderEnd, OrderSeen
from backtest.engine.run import run
from backtest.feed.events import FeedEvent, LeftOut, MarketPaid
from functions.core.evidence import Resolution
from functions.core.strategy_failures import FAILURES_MAX
from protocol.book import Level, Proof
from strategies.interface import Hold, Signal, Strategy
from strategies.parameters import StrategyParameters
from strategies.view import MarketView
from tests.support.made_up_feeds import (
    START_MS,
    ListFeed,
    book_at,
    configuration_of,
    made_up_market,
    paid_of,
)
from tests.support.strategies import AlwaysBuy

NOW_MS: Final = START_MS + 1_000
BIDS: Final[tuple[Level, ...]] = ((4_900, 100_000_000),)
ASKS: Final[tuple[Level, ...]] = ((5_000, 1_000_000), (5_100, 100_000_000))
MARKET: Final = made_up_market(0)
UNCHANGED, NEXT = Bracket


def seen_of(
    *events: FeedEvent, ms: int = 100, of: type[Strategy] = AlwaysBuy, **changes: str
) -> Observations:
    changes = {"min_time_to_close_s": "0", **changes}
    assumptions = Assumptions(latency=Latency.constant(ms), taker_delay_ms=0, poll=None)
    return run(ListFeed(events), of, configuration_of(of, **changes), assumptions)


def first(seen: Observations, bracket: Bracket) -> OrderSeen:
    return seen.lane(bracket).orders[0]


@pytest.mark.parametrize(
    ("payouts_e6", "payout_e6"),
    [
        ((1_000_000, 0), 2_176_470),
        ((0, 1_000_000), 0),
        ((500_000, 500_000), 1_088_235),
        ((505_000, 495_000), 1_099_117),  # a void: 2.17647 x 0.505 = 1.09911735
    ],
)
def test_a_position_is_paid_what_the_market_pays(
    payouts_e6: tuple[int, int], payout_e6: int
) -> None:
    seen = seen_of(book_at(MARKET, NOW_MS, BIDS, ASKS), paid_of(MARKET, payouts_e6))
    order = first(seen, UNCHANGED)
    # 1 share at 0.50 and 0.60 USD's worth at 0.51: 1.176470 shares, whose cost is rounded up.
    assert (order.filled_spend_e6, order.filled_size_e6) == (500_000 + 600_000, 2_176_470)
    # 0.07 x 1 x 0.50 x 0.50, and 0.07 x 1.17647 x 0.51 x 0.49 = 0.02057999...; each rounded up.
    assert order.fee_e6 == 17_500 + 20_580
    assert (order.end, order.payout_e6) == (OrderEnd.FILLED, payout_e6)
    assert order.pnl_e6 == payout_e6 - 1_100_000 - 38_080
    assert first(seen, NEXT).end is OrderEnd.LEFT_OUT  # no book has come after it


def test_a_market_without_its_winner_is_left_out_and_its_pnl_is_not_known() -> None:
    seen = seen_of(book_at(MARKET, NOW_MS, BIDS, ASKS), paid_of(made_up_market(9), (10**6, 0)))
    assert first(seen, UNCHANGED).filled_size_e6 > 0
    assert first(seen, UNCHANGED).pnl_e6 is None
    assert LeftOut.UNRESOLVED in {each.why for each in seen.exclusions}


def test_what_is_told_of_other_tokens_is_no_winner() -> None:
    strange = MarketPaid(
        condition_id=MARKET.condition_id,
        slug=MARKET.slug,
        at_ms=MARKET.end_ms,
        resolution=Resolution(payouts_e6={"up": 1_000_000, "down": 0}, source="recording"),
    )
    seen = seen_of(book_at(MARKET, NOW_MS, BIDS, ASKS), strange)
    assert first(seen, UNCHANGED).pnl_e6 is None
    assert {LeftOut.UNREADABLE, LeftOut.UNRESOLVED} <= {each.why for each in seen.exclusions}


def test_the_first_word_of_a_winner_holds() -> None:
    seen = seen_of(
        book_at(MARKET, NOW_MS, BIDS, ASKS),
        paid_of(MARKET, (0, 1_000_000)),
        paid_of(MARKET, (1_000_000, 0), MARKET.end_ms + 5),
    )
    assert first(seen, UNCHANGED).payout_e6 == 0
    assert seen.markets[0].up_payout_e6 == 0


def test_an_order_that_comes_when_its_market_is_over_buys_nothing() -> None:
    last_ms = MARKET.end_ms - 50
    seen = seen_of(
        book_at(MARKET, last_ms, BIDS, ASKS),
        book_at(MARKET, MARKET.end_ms + 60, BIDS, ASKS, sequence=2),
    )
    for lane in seen.lanes:
        assert [order.end for order in lane.orders] == [OrderEnd.TOO_LATE]
        assert lane.orders[0].met_at_ms is None


def test_an_order_that_is_under_way_when_the_recording_is_cut_waits() -> None:
    seen = seen_of(book_at(MARKET, NOW_MS, BIDS, ASKS))
    for lane in seen.lanes:
        assert [order.end for order in lane.orders] == [OrderEnd.WAITING]


@pytest.mark.parametrize(
    ("bids", "asks", "proof", "end", "why"),
    [
        (((5_000, 10**8),), ((5_000, 10**8),), Proof.TOP, OrderEnd.CROSSED, None),
        ((), (), Proof.NONE, OrderEnd.LEFT_OUT, LeftOut.DARK),
        (((100, 10**8),), ((9_900, 10**8),), Proof.TOP, OrderEnd.LEFT_OUT, LeftOut.PLACEHOLDER),
        (((4_900, 10**8),), (), Proof.TOP, OrderEnd.NO_MATCH, None),
        ((), ((5_000, 10**8),), Proof.TOP, OrderEnd.FILLED, None),
        (((5_200, 10**8),), ((5_300, 10**8),), Proof.TOP, OrderEnd.NO_MATCH, None),
    ],
)
@pytest.mark.parametrize("bracket", list(Bracket))
def test_what_a_book_of_each_kind_gives_an_order(
    bids: tuple[Level, ...],
    asks: tuple[Level, ...],
    proof: Proof,
    end: OrderEnd,
    why: LeftOut | None,
    bracket: Bracket,
) -> None:
    seen = seen_of(
        book_at(MARKET, NOW_MS, BIDS, ASKS),
        # Just in time for `unchanged`, just too late to be the one that was decided on.
        book_at(MARKET, NOW_MS + (100 if bracket is UNCHANGED else 101), bids, asks, proof=proof),
        paid_of(MARKET, (1_000_000, 0)),
    )
    order = first(seen, bracket)
    assert (order.end, order.left_out) == (end, why)


def test_what_was_taken_is_gone_until_the_venue_shows_another_size() -> None:
    one = ((5_000, 3_000_000), (5_600, 10**8))  # worth 1.50 USD; the next one is above the limit
    books = [
        book_at(MARKET, NOW_MS + 1_000 * number, BIDS, asks)
        for number, asks in enumerate((one, one, one, ((5_000, 2_500_000), one[1])))
    ]
    seen = seen_of(*books, paid_of(MARKET, (10**6, 0)), ms=0, cooldown_s="1", max_positions="9")
    sizes_e6 = [order.filled_size_e6 for order in seen.lane(UNCHANGED).orders]
    # 1.10 USD of 3 shares, what is left of them, nothing; then all of what is newly shown.
    assert sizes_e6 == [2_200_000, 800_000, 0, 2_200_000]


def test_what_is_left_of_a_claim_makes_room_for_the_next_one_that_day() -> None:
    """Of an order that bought nothing at once, of one that bought a part when it is paid."""
    away, thin = ((6_000, 10**8),), ((5_000, 1_000_000), (6_000, 10**8))
    nobody, part, unpaid = (
        made_up_market(number, START_MS + 60_000 * number, 50_000) for number in range(3)
    )
    paid = paid_of(part, (1_000_000, 0))
    events: list[FeedEvent] = [
        book_at(nobody, nobody.start_ms, BIDS, ASKS),
        book_at(nobody, nobody.start_ms + 50, BIDS, away),
        book_at(part, part.start_ms, BIDS, ASKS),
        book_at(part, part.start_ms + 50, BIDS, thin),
        paid,
        book_at(unpaid, unpaid.start_ms, BIDS, ASKS),
    ]
    lane = seen_of(*events, daily_spend_cap_usd="1.6").lane(UNCHANGED)
    assert [order.filled_spend_e6 for order in lane.orders] == [0, 500_000, 0]
    # Where nobody says what it paid, all of it stays reserved.
    events.remove(paid)
    lane = seen_of(*events, daily_spend_cap_usd="1.6").lane(UNCHANGED)
    assert lane.refused == {"market_claimed": 1, "daily_spend": 1}


def test_a_price_that_has_run_away_does_not_drop_out() -> None:
    """Nobody asks any more for what is sure to win, nobody bids for what is not."""
    later_ms = NOW_MS + 5_000
    gone: list[FeedEvent] = [book_at(MARKET, later_ms, ((9_900, 10**8),), ())]
    lost: list[FeedEvent] = [book_at(MARKET, later_ms, (), ((200, 10**8),))]
    nothing: list[FeedEvent] = [book_at(MARKET, later_ms, (), (), down=(BIDS, ASKS))]
    after = [
        (int(rows.bid_after_e4[0, 1]), int(rows.ask_after_e4[0, 1]), int(rows.ask_waited_e4[0, 6]))
        for events in (gone, lost, nothing)
        for rows in [
            seen_of(
                book_at(MARKET, NOW_MS, BIDS, ASKS), *events, paid_of(MARKET, (10**6, 0))
            ).signals
        ]
    ]
    assert after == [(9_900, 10_000, 10_000), (0, 200, 200), (UNKNOWN, UNKNOWN, UNKNOWN)]


def test_what_is_bought_late_is_not_valued_by_a_price_before_it() -> None:
    """An order of 10 s buys what has become cheap again; 5 s after the signal it was dear."""
    dear, cheap = (((5_400, 10**8),), ((5_500, 10**8),)), (((4_800, 10**8),), ((4_900, 10**8),))
    seen = seen_of(
        book_at(MARKET, NOW_MS, BIDS, ASKS),
        book_at(MARKET, NOW_MS + 3_000, *dear, sequence=2),
        book_at(MARKET, NOW_MS + 9_000, BIDS, ASKS, sequence=3),
        book_at(MARKET, NOW_MS + 14_000, *cheap, sequence=4),
        paid_of(MARKET, (10**6, 0)),
        ms=10_000,
    )
    rows = seen.signals
    assert rows.bid_after_e4[0, :2].tolist() == [4_900, 5_400]
    # 1 and 5 s after the arrival, then after the book that came next.
    assert rows.bid_held_e4[0].tolist() == [4_900, 4_800, -1, -1, 4_800, 4_800, -1, -1]


def test_what_a_recording_misses_of_a_windows_ends_is_a_gap() -> None:
    late_ms = MARKET.start_ms + 100_000
    late = seen_of(*(book_at(MARKET, late_ms + each, BIDS, ASKS) for each in (0, 90_000, 139_000)))
    assert late.markets[0].longest_gap_ms == 100_000
    cut = seen_of(book_at(MARKET, MARKET.start_ms - 9, BIDS, ASKS), paid_of(MARKET, (10**6, 0)))
    assert cut.markets[0].longest_gap_ms == MARKET.end_ms - MARKET.start_ms


def test_a_signals_tick_is_that_of_its_moment() -> None:
    fine = msgspec.structs.replace(MARKET, tick_size_e4=10)
    seen = seen_of(
        book_at(MARKET, NOW_MS, BIDS, ASKS),
        book_at(fine, NOW_MS + 2_000, BIDS, ASKS, sequence=2),
        paid_of(MARKET, (10**6, 0)),
        ms=0,
        cooldown_s="1",
        max_positions="9",
    )
    assert seen.signals.tick_e4.tolist() == [100, 10]
    assert [order.tick_e4 for order in seen.lane(UNCHANGED).orders] == [100, 10]


class Raising(AlwaysBuy):
    """It has a defect."""

    name = "raising"

    class Parameters(StrategyParameters):
        """None."""

    class Reason(StrEnum):
        """It never holds."""

        NEVER = "never"

    @staticmethod
    def decide(view: MarketView, parameters: Any, now_ms: int) -> Signal | Hold:
        """Divide by zero."""
        raise ZeroDivisionError(f"at\n{now_ms - START_MS}")


def test_a_strategy_that_raises_is_asked_no_more_after_so_many_times() -> None:
    books = [book_at(MARKET, NOW_MS + number, BIDS, ASKS) for number in range(30)]
    seen = seen_of(*books, of=Raising)
    assert seen.holds == {
        "strategy_error": FAILURES_MAX,
        "strategy_disabled": 30 - FAILURES_MAX,
    }
    assert seen.strategy_error == f"{MARKET.slug}: ZeroDivisionError: at 1000"
    assert not len(seen.signals)


def test_positions_of_all_markets_share_the_places() -> None:
    markets = [made_up_market(number) for number in range(4)]
    books = [
        book_at(market, NOW_MS + 10 * number, BIDS, ASKS) for number, market in enumerate(markets)
    ]
    seen = seen_of(*books, ms=1, max_positions="2")
    assert [order.market for order in seen.lane(UNCHANGED).orders] == [0, 1]
    assert seen.lane(UNCHANGED).refused == {"max_positions": 2}
