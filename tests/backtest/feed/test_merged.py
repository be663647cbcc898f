"""Merging: in order of time, nothing lost, and no more open than what is due."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.feed.events import FeedEvent, MarketPaid, event_at_ms
from backtest.feed.merged import Source, merged
from functions.core.evidence import Resolution
from tests.support.message_builders import snapshot

NO_PAYOUT = Resolution(payouts_e6={}, source="a test")


def event(at_ms: int, market: int, sequence: int, *, is_book: bool) -> FeedEvent:
    if is_book:
        return msgspec.structs.replace(
            snapshot(), received_at_ns=at_ms * 1_000_000 + 7, epoch=market, sequence=sequence
        )
    name = f"{market}-{sequence}"
    return MarketPaid(condition_id=name, slug=name, at_ms=at_ms, resolution=NO_PAYOUT)


class Market:
    """A source that knows whether it is open."""

    def __init__(self, number: int, early_ms: int, steps: list[tuple[int, bool]], from_ms: int):
        at_ms, self.events = from_ms + early_ms, list[FeedEvent]()
        for sequence, (step_ms, is_book) in enumerate(steps):
            at_ms += step_ms
            self.events.append(event(at_ms, number, sequence, is_book=is_book))
        self.from_ms = from_ms
        self.is_open = self.is_done = False

    def source(self) -> Source:
        return Source(first_at_ms=self.from_ms, events=self._opened)

    def _opened(self) -> Iterator[FeedEvent]:
        assert not self.is_open, "opened twice"
        self.is_open = True
        yield from self.events
        self.is_done = True


@st.composite
def markets(draw: st.DrawFn) -> list[Market]:
    steps = st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=8)
    few = st.lists(st.tuples(st.integers(0, 3), steps, st.integers(0, 40)), max_size=6)
    return [Market(number, *each) for number, each in enumerate(draw(few))]


@settings(max_examples=60)
@given(markets())
def test_all_events_come_in_order_from_markets_that_are_due(given_markets: list[Market]) -> None:
    seen: list[FeedEvent] = []
    for each in merged(market.source() for market in given_markets):
        seen.append(each)
        now_ms = event_at_ms(each)
        for market in given_markets:
            if market.is_open and market.from_ms > now_ms:
                raise AssertionError("a market was opened before its first event could be due")
    assert [event_at_ms(e) for e in seen] == sorted(event_at_ms(e) for e in seen)
    assert all(market.is_done for market in given_markets)
    for market in given_markets:  # each whole, and in its own order
        own = {id(e) for e in market.events}
        assert [e for e in seen if id(e) in own] == market.events
    assert len(seen) == sum(len(market.events) for market in given_markets)


def test_a_day_of_markets_holds_two_at_most() -> None:
    """Windows of 900 that are known 60 before."""
    steps = [(10, True)] * 95
    day = [Market(number, 0, steps, 900 * number - 60) for number in range(50)]
    most = 0
    for _ in merged(market.source() for market in reversed(day)):
        most = max(most, sum(market.is_open and not market.is_done for market in day))
    assert most == 2


def test_at_the_same_moment_the_market_that_began_earlier_comes_first() -> None:
    old, new = Market(1, 9, [(0, False)], 0), Market(2, 0, [(0, True), (0, True)], 9)
    assert [*merged([new.source(), old.source()])] == old.events + new.events


def test_of_nothing_there_is_nothing() -> None:
    empty = Market(1, 0, [], 5)
    assert [*merged([])] == []
    assert [*merged([empty.source()])] == []
