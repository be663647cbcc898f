"""The market and the books that tests of strategies are made of."""

from __future__ import annotations

from protocol.market import DOWN, UP
from strategies.made_up import NOW_MS, made_up_market, made_up_view

BIDS = ((5_000, 3), (4_900, 4))
ASKS = ((5_100, 5),)


def test_down_mirrors_up_unless_it_is_given() -> None:
    view = made_up_view(BIDS, ASKS)
    assert view.book(UP).bids == BIDS
    assert view.book(DOWN).bids == ((4_900, 5),)
    assert view.book(DOWN).asks == ((5_000, 3), (5_100, 4))
    assert made_up_view(BIDS, ASKS, down_bids=(), down_asks=()).book(DOWN).asks == ()


def test_what_came_before_is_in_memory_oldest_first_and_the_book_itself_is_last() -> None:
    view = made_up_view(BIDS, ASKS, before=[(2_000, BIDS, ()), (1_000, (), ASKS)])
    rows = view.memory.rows
    assert [row.at_ms - NOW_MS for row in rows] == [-2_000, -1_000, 0]
    assert (rows[-1].bids, rows[-1].asks) == (BIDS, ASKS)
    assert view.memory.start == rows[0]


def test_its_time_is_within_its_market() -> None:
    market = made_up_market(tick_size_e4=10)
    view = made_up_view(BIDS, ASKS, market=market, now_ms=market.end_ms - 5)
    assert view.time_to_close_ms == 5
    assert view.market.tick_size_e4 == 10
    assert market.start_ms < NOW_MS < market.end_ms
