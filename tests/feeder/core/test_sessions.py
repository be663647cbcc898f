from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeder.core.book_builder import Trouble
from feeder.core.frames import FrameFault, Pong, UnknownEvent, decode_frame
from feeder.core.sessions import (
    END_GRACE_MS,
    RESYNC_FORGET_MS,
    RESYNC_WAIT_MAX_MS,
    SNAPSHOT_WAIT_MS,
    TOKENS_PER_SERIES_MAX,
    Applied,
    MarketSession,
    SessionTable,
)
from protocol.market import FeeSchedule, MarketInfo, Outcome
from protocol.series import parse_series
from protocol.snapshot import decode_snapshot, encode_snapshot
from tests.feeder.wire import (
    DOWN,
    MARKET,
    UP,
    book,
    change,
    frame,
    last_trade,
    price_change,
    tick_size_change,
)

START_MS = 1_700_000_100_000
END_MS = START_MS + 900_000


def info(
    market: str = MARKET,
    tokens: tuple[str, str] = (UP, DOWN),
    start_ms: int = START_MS,
    **more: Any,
) -> MarketInfo:
    facts: dict[str, Any] = {
        "condition_id": market,
        "slug": f"btc-updown-15m-{start_ms // 1000}",
        "series": "btc-15m",
        "outcomes": (
            Outcome(name="Up", token_id=tokens[0]),
            Outcome(name="Down", token_id=tokens[1]),
        ),
        "start_ms": start_ms,
        "end_ms": start_ms + 900_000,
        "tick_size_e4": 100,
        "min_order_size_e6": 5_000_000,
        "fee": FeeSchedule(rate=Decimal("0.07"), exponent=1),
        "neg_risk": False,
        "accepting": True,
    }
    return MarketInfo(**(facts | more))


class Bench:
    """A table, a clock, and frames straight from the wire."""

    def __init__(self) -> None:
        self.table = SessionTable([parse_series("btc-15m")], epoch=7)
        self.now_ms = START_MS
        self.table.follow(info(), self.now_ms)

    @property
    def session(self) -> MarketSession:
        return next(each for each in self.table if each.info.condition_id == MARKET)

    def send(self, event: dict[str, Any] | list[dict[str, Any]]) -> Applied:
        """Apply a frame; returns what its last event did."""
        applied = Applied()
        for each in decode_frame(frame(event)):
            assert not isinstance(each, UnknownEvent | Pong)
            applied = self.table.apply(each, self.now_ms * 1_000_000 + 5)
        return applied

    def make_ready(self) -> None:
        self.send([book(), book(DOWN, [("0.47", "5")], [("0.48", "6")])])
        assert self.session.ready

    def resyncs(self) -> int:
        return len(self.table.take_due(self.now_ms).resync)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_market_is_ready_once_both_tokens_have_a_book(bench: Bench) -> None:
    assert bench.send(book()).updates == 1
    assert not bench.session.ready
    assert bench.send(book(DOWN, [("0.47", "5")], [("0.48", "6")])).updates == 1
    assert bench.session.ready


def test_a_snapshot_carries_both_books_the_facts_and_its_place_in_order(bench: Bench) -> None:
    bench.make_ready()
    bench.now_ms += 40
    bench.send(price_change(change(), change(DOWN, "SELL", "0.49", "7")))
    snapshot = bench.table.snapshot(bench.session, published_at_ns=99)
    assert snapshot.market == info()
    assert snapshot.book_of("Up").bids == (
        (5_200, 100_000_000),
        (5_100, 7_000_000),
        (5_000, 20_000_000),
    )
    assert snapshot.book_of("Down").asks == ((4_800, 6_000_000), (4_900, 7_000_000))
    assert snapshot.venue_timestamp_ms == 1_757_908_892_351
    assert snapshot.received_at_ns == bench.now_ms * 1_000_000 + 5
    assert (snapshot.published_at_ns, snapshot.epoch, snapshot.sequence) == (99, 7, 1)
    assert bench.table.snapshot(bench.session, 100).sequence == 2
    assert decode_snapshot(encode_snapshot(snapshot)) == snapshot


def test_deltas_before_a_snapshot_are_ignored_and_reported(bench: Bench) -> None:
    applied = bench.send(price_change(change(), change(DOWN)))
    assert (applied.updates, applied.ignored, applied.troubles) == (0, 2, ())
    bench.send(book())
    applied = bench.send(price_change(change(), change(DOWN, "SELL", "0.49")))
    assert (applied.updates, applied.ignored) == (1, 1)
    assert not bench.session.ready


def test_what_belongs_to_no_followed_market_or_token_is_reported_as_ignored(bench: Bench) -> None:
    bench.make_ready()
    assert bench.send(price_change(change(), change(), market="0xother")).ignored == 2
    assert bench.send(book(market="0xother")) == Applied(ignored=1)
    assert bench.send(price_change(change("9" * 77))).ignored == 1
    assert bench.send(book("9" * 77)).ignored == 1
    assert bench.session.ready


def test_a_trade_changes_no_book(bench: Bench) -> None:
    bench.make_ready()
    received_at_ns = bench.session.received_at_ns
    bench.now_ms += 1_000
    applied = bench.send(last_trade())
    assert (applied.updates, applied.ignored, applied.troubles) == (0, 0, ())
    assert bench.session.received_at_ns == received_at_ns


def test_only_the_last_entry_of_a_token_is_compared_with_the_books_top(bench: Bench) -> None:
    bench.make_ready()
    applied = bench.send(
        price_change(
            change(UP, "SELL", "0.53", "0", "0.52", "0.99"),  # not true in between: not compared
            change(UP, "BUY", "0.55", "3", "0.55", "0.60"),
        )
    )
    assert applied.troubles == ()
    assert bench.session.ready


def test_a_mismatch_makes_the_market_unusable_until_a_new_book(bench: Bench) -> None:
    bench.make_ready()
    applied = bench.send(price_change(change(best_bid="0.51", best_ask="0.53")))
    assert applied.troubles == (Trouble.TOP_MISMATCH,)
    assert not bench.session.ready
    assert bench.send(price_change(change(best_bid="0.52", best_ask="0.53"))).ignored == 1
    assert not bench.session.ready
    bench.send(book(DOWN, [("0.47", "5")], [("0.48", "6")]))  # the other token's: not enough
    assert not bench.session.ready
    bench.send(book())
    assert bench.session.ready


def test_a_crossed_book_after_a_frame_is_unusable(bench: Bench) -> None:
    bench.make_ready()
    applied = bench.send(price_change(change(UP, "BUY", "0.53", "1")))
    assert applied.troubles == (Trouble.CROSSED,)
    assert not bench.session.ready


def test_a_tick_size_change_updates_the_facts_and_waits_for_a_fresh_book(bench: Bench) -> None:
    bench.make_ready()
    assert bench.send(tick_size_change()).troubles == (Trouble.TICK_SIZE_CHANGE,)
    assert bench.send(tick_size_change(DOWN)).troubles == (Trouble.TICK_SIZE_CHANGE,)
    assert bench.session.info.tick_size_e4 == 10
    assert not bench.session.ready
    bench.make_ready()
    assert bench.table.snapshot(bench.session, 1).market.tick_size_e4 == 10


def test_a_book_that_tells_another_tick_size_updates_the_facts(bench: Bench) -> None:
    bench.send(book(tick_size="0.001"))
    assert bench.session.info.tick_size_e4 == 10
    bench.send(book(tick_size=""))
    assert bench.session.info.tick_size_e4 == 10


@pytest.mark.parametrize(
    ("event", "named"),
    [
        (price_change(change(), change(price="1e-1")), r"price_changes\[1\]: not a price: '1e-1'"),
        (price_change(change(size="NaN")), r"price_changes\[0\]: not a size: 'NaN'"),
        (price_change(change(best_bid="x", best_ask="0.53")), r"price_changes\[0\]: best_bid: "),
        (book(bids=[("0.5", "+1")]), r"book: bids\[0\]: not a size"),
        (book(tick_size="0"), "book: tick_size: not a tick size: '0'"),
        (tick_size_change(new="fine"), "tick_size_change: new_tick_size: not a price"),
    ],
)
def test_an_invalid_number_rejects_the_event_and_doubts_the_market(
    bench: Bench, event: dict[str, Any], named: str
) -> None:
    bench.make_ready()
    applied = bench.send(event)
    assert applied.error is not None
    assert applied.error.fault is FrameFault.INVALID_NUMBER
    assert applied.error.markets == frozenset({MARKET})
    with pytest.raises(ValueError, match=named):
        raise applied.error
    assert applied.updates == 0
    assert applied.troubles == (Trouble.BAD_FRAME, Trouble.BAD_FRAME)
    assert not bench.session.ready


def test_a_rejected_frame_doubts_the_markets_it_may_have_been_about(bench: Bench) -> None:
    other = ("3" * 77, "4" * 77)
    bench.table.follow(info("0xother", other, START_MS + 900_000), bench.now_ms)
    both = (Trouble.BAD_FRAME, Trouble.BAD_FRAME)
    for markets, troubles in (
        (frozenset[str](), ()),
        (frozenset({"0xunknown"}), ()),
        (frozenset({MARKET}), both),
        (None, both * 2),
    ):
        bench.make_ready()
        bench.send([book(token, market="0xother") for token in other])
        assert all(session.ready for session in bench.table)
        assert bench.table.distrust(markets, bench.now_ms) == troubles
        assert bench.session.ready is (not troubles)
        assert bench.table.distrust(markets, bench.now_ms) == ()  # in doubt already


def test_a_lost_connection_takes_every_book(bench: Bench) -> None:
    bench.make_ready()
    bench.table.drop_books(bench.now_ms)
    assert not bench.session.ready
    assert bench.send(price_change(change(), change(DOWN))).ignored == 2
    bench.send(book())
    assert not bench.session.ready
    bench.make_ready()


# Windows.


def test_the_current_and_the_next_window_of_every_series_are_wanted() -> None:
    table = SessionTable([parse_series("btc-15m"), parse_series("eth-90s")], epoch=1)
    slugs = [series.slug(start_s) for series, start_s in table.wanted(1_700_000_199.9)]
    assert slugs == [
        "btc-updown-15m-1700000100",
        "btc-updown-15m-1700001000",
        "eth-updown-90s-1700000190",
        "eth-updown-90s-1700000280",
    ]


@given(st.lists(st.integers(0, 400_000), max_size=40))
def test_as_windows_roll_markets_come_and_go_and_their_number_is_bounded(steps: list[int]) -> None:
    series = parse_series("btc-15m")
    table = SessionTable([series], epoch=1)
    now_ms = START_MS
    for step in steps:
        now_ms += step
        table.drop_ended(now_ms)
        for _, start_s in table.wanted(now_ms / 1000):
            market = f"0x{start_s}"
            if market not in table:
                tokens = (f"{start_s}1", f"{start_s}2")
                table.follow(info(market, tokens, start_s * 1000), now_ms)
        assert len(table.tokens()) <= TOKENS_PER_SERIES_MAX
        start_ms = series.window_start_s(now_ms / 1000) * 1000
        assert {f"0x{start_ms // 1000}", f"0x{start_ms // 1000 + 900}"} <= {
            session.info.condition_id for session in table
        }
        assert all(session.info.end_ms + END_GRACE_MS >= now_ms for session in table)


def test_a_market_is_dropped_a_little_after_its_end(bench: Bench) -> None:
    assert bench.table.drop_ended(END_MS + END_GRACE_MS) == []
    assert bench.table.tokens() == {UP, DOWN}
    (dropped,) = bench.table.drop_ended(END_MS + END_GRACE_MS + 1)
    assert dropped.info.condition_id == MARKET
    assert bench.table.tokens() == set()
    assert MARKET not in bench.table
    assert bench.send(book()) == Applied(ignored=1)


def test_newer_facts_are_taken_but_not_the_slower_sources_tick_size(bench: Bench) -> None:
    bench.make_ready()
    bench.send(tick_size_change())
    bench.make_ready()
    bench.table.follow(info(accepting=False, min_order_size_e6=1), bench.now_ms)
    assert bench.session.ready
    facts = bench.session.info
    assert (facts.accepting, facts.min_order_size_e6, facts.tick_size_e4) == (False, 1, 10)


def test_other_tokens_are_another_market(bench: Bench) -> None:
    bench.make_ready()
    bench.table.follow(info(tokens=("3", "4")), bench.now_ms)
    assert not bench.session.ready
    assert bench.table.tokens() == {"3", "4"}


# Recovery.


def test_a_book_that_does_not_come_is_asked_for_at_growing_intervals(bench: Bench) -> None:
    asked_after_s = []
    bench.table.follow(msgspec.structs.replace(info(), end_ms=START_MS * 2), bench.now_ms)
    for second in range(300):
        bench.now_ms = START_MS - 300_000 + second * 1000
        if second == 0:
            bench.table.drop_books(bench.now_ms)
        asked_after_s += [second] * bench.resyncs()
    assert asked_after_s == [5, 10, 20, 40, 80, 140, 200, 260]
    assert RESYNC_WAIT_MAX_MS == 60_000


def test_a_ready_market_is_left_alone(bench: Bench) -> None:
    bench.make_ready()
    bench.now_ms += 10 * RESYNC_WAIT_MAX_MS
    assert bench.resyncs() == 0


def test_a_doubt_asks_at_once_and_a_tick_size_change_after_a_while(bench: Bench) -> None:
    bench.make_ready()
    bench.send(tick_size_change())
    assert bench.resyncs() == 0
    bench.now_ms += SNAPSHOT_WAIT_MS
    assert bench.resyncs() == 1

    bench = Bench()
    bench.make_ready()
    bench.send(price_change(change(best_bid="0.01")))
    assert bench.resyncs() == 1
    assert bench.resyncs() == 0


def test_a_venue_that_keeps_contradicting_itself_is_not_hammered(bench: Bench) -> None:
    asked = 0
    bench.make_ready()
    for _ in range(600):  # for a minute a book comes when asked for, and a delta contradicts it
        if bench.session.ready:
            bench.send(price_change(change(best_bid="0.01")))
        due = bench.table.take_due(bench.now_ms)
        if due.resync or due.reconnect:
            asked += 1
            bench.make_ready()
        bench.now_ms += 100
    assert 3 <= asked <= 6

    bench.make_ready()
    bench.now_ms += RESYNC_FORGET_MS + 1
    bench.send(price_change(change(best_bid="0.01")))
    assert bench.resyncs() == 1  # it had been fine for long: a new episode


def test_a_running_market_without_books_asks_for_a_new_connection_once(bench: Bench) -> None:
    wishes = []
    for second in range(600):
        bench.now_ms = START_MS + second * 1000
        if bench.table.take_due(bench.now_ms).reconnect:
            wishes.append(second)
            bench.table.drop_books(bench.now_ms)
    assert wishes == [20]

    bench.make_ready()
    bench.now_ms += RESYNC_FORGET_MS + 1
    bench.send(price_change(change(best_bid="0.01")))
    again = [bench.table.take_due(bench.now_ms + s * 1000).reconnect for s in range(100)]
    assert again.count(True) == 1  # a new episode may ask again


def test_a_market_that_has_not_started_never_asks_for_a_new_connection() -> None:
    bench = Bench()
    for second in range(600):
        bench.now_ms = START_MS - 700_000 + second * 1000
        assert not bench.table.take_due(bench.now_ms).reconnect


def test_an_ended_market_asks_for_nothing(bench: Bench) -> None:
    bench.now_ms = END_MS
    assert bench.resyncs() == 0
