"""The synthesised day: plausible books, seeded, and never more than what is open."""

from __future__ import annotations

from itertools import islice

from backtest.feed.events import MarketPaid, event_at_ms
from protocol.book import Book, check_order
from protocol.snapshot import BookSnapshot
from tests.support.recorded_views import recorded_books
from tests.support.synthetic_feed import START_MS, SyntheticFeed


def prices_of(book: Book) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return tuple(price for price, _ in book.bids), tuple(price for price, _ in book.asks)


def test_it_says_what_it_is_and_is_seeded() -> None:
    assert "SYNTHESISED" in SyntheticFeed().name
    first, again, other = ([*islice(SyntheticFeed(seed=seed), 300)] for seed in (1, 1, 2))
    assert first == again and first != other


def test_a_market_has_as_many_moments_as_asked_for_and_meets_recorded_prices() -> None:
    *moments, paid = SyntheticFeed(markets=1, snapshots_a_market=24_000)
    assert isinstance(paid, MarketPaid) and paid.at_ms == START_MS + 900_000
    assert 0.9 < len(moments) / 24_000 < 1.2
    before_ms, before = 0, None
    met = set()
    for each in moments:
        assert isinstance(each, BookSnapshot)
        assert event_at_ms(each) >= before_ms
        before_ms = event_at_ms(each)
        up, down = each.books
        check_order(up)
        assert (up.spread_e4 or 1) > 0 and up != before
        assert down.best_bid_e4 == (up.best_ask_e4 and 10_000 - up.best_ask_e4)
        before = up
        met.add(prices_of(up))
    recorded = {prices_of(each.books[0]) for each in recorded_books("btc-updown-15m-1790586000")}
    assert met > recorded, "with what lies between them"


def test_markets_follow_each_other() -> None:
    feed = SyntheticFeed(markets=3, snapshots_a_market=100)
    paid = [event for event in feed if isinstance(event, MarketPaid)]
    assert [each.at_ms - START_MS for each in paid] == [900_000, 1_800_000, 2_700_000]
    assert len({each.slug for each in paid}) == 3
