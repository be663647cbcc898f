"""Frames played again: what a feeder shows of them, and what is made of what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeder.core.market.market_session import LINES
from feeder.core.market.session_table import SessionTable
from feeder.recording.format import Closed, Frame, Listed, Lost, Opened, Record, frame_of
from feeder.recording.replayed import FrameReplay, ReplayFault
from protocol.book import Book, Proof
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot
from protocol.units import PRICE_SCALE
from tests.fuzz.venue import START_MS, Token, Venue
from tests.support.bundled_as_recorded import started, when
from tests.support.session_bench import Bench, info_of
from venue.wire.market_channel import Malformed, Pong, UnknownEvent, decode_frame

SECOND_MS = 1_000


class Replay:
    """A replay of a recording that has begun, and what it reported."""

    def __init__(self, *infos: MarketInfo, without: str = "") -> None:
        self.faults: Counter[tuple[ReplayFault, str]] = Counter()
        self.texts: list[str] = []
        self.replay = FrameReplay(lambda info: info.slug != without, self._report)
        begin: list[Record] = [started(START_MS)]
        begin += [Listed(**when(START_MS), market=info) for info in infos]
        assert self.take(*begin, Opened(**when(START_MS), conn=1)) == []

    def _report(self, fault: ReplayFault, where: str, count: int, text: str) -> None:
        self.faults[fault, where] += count
        self.texts.append(text)

    def take(self, *records: Record) -> list[BookSnapshot]:
        return [snapshot for each in records for snapshot in self.replay.take(each)]


def frame_at(at_ms: int, payload: bytes) -> Frame:
    return frame_of(payload, conn=1, **when(at_ms))


def is_dark(snapshot: BookSnapshot) -> bool:
    return snapshot.proof is Proof.NONE


def of_two_lines(infos: Iterable[MarketInfo], frames: list[Frame]) -> list[BookSnapshot]:
    """What a feeder shows that gets each frame on both lines, and publishes at once."""
    table = SessionTable(())
    for info in infos:
        table.follow(info, START_MS)
    for line in range(LINES):
        table.connected(line, table.tokens(), START_MS)
    shown: list[BookSnapshot] = []
    for frame in frames:
        offered = {}
        for line in range(LINES):
            for event in decode_frame((frame.text or "").encode()):
                if isinstance(event, UnknownEvent | Pong):
                    continue
                assert not isinstance(event, Malformed)
                applied = table.apply(line, event, frame.at_ns)
                if applied.offer and applied.session is not None:
                    offered[applied.session.info.condition_id] = applied.session
        for session in offered.values():
            snapshot = table.snapshot(session, frame.at_ns, 1)
            if snapshot is not None:  # what was put off may have shown another book
                shown.append(snapshot)
    return shown


def levels_in(token: Token, book: Book) -> bool:
    """Whether the naive venue had these very levels under the book's name."""
    bids, asks = token.versions[book.timestamp_ms, book.hash]
    best_bids = sorted(((p, size) for p, (size, _) in bids.items()), reverse=True)
    best_asks = sorted((p, size) for p, (size, _) in asks.items())
    return list(book.bids) == best_bids and list(book.asks) == best_asks


@given(seed=st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_every_book_is_the_venues_and_a_feeder_shows_the_same(seed: int) -> None:
    venue = Venue(Random(seed), hidden_inputs=False)
    infos = [info_of(market) for market in venue.markets]
    tokens = {token.token_id: token for market in venue.markets for token in market.tokens}
    frames = [frame_at(venue.now_ms, venue.opening())]
    for _ in range(80):
        frames += [frame_at(venue.now_ms, frame) for frame in venue.step()]
    running = Replay(*infos)
    shown = running.take(*frames)
    with_books = [each for each in shown if not is_dark(each)]
    assert len(with_books) > 40
    for snapshot in with_books:
        for book in snapshot.books:
            assert levels_in(tokens[book.token_id], book)
    expected = of_two_lines(infos, frames)
    assert [(s.books, s.received_at_ns, s.venue_timestamp_ms) for s in with_books] == [
        (s.books, s.received_at_ns, s.venue_timestamp_ms) for s in expected
    ]
    for market in infos:
        order = [(s.epoch, s.sequence) for s in shown if s.market.slug == market.slug]
        assert order == sorted(set(order))


def begun() -> tuple[Bench, Replay]:
    """A market whose first books have been shown."""
    bench = Bench()
    running = Replay(info_of(bench.market))
    (first,) = running.take(frame_at(bench.now_ms, bench.opening()))
    assert first.proof is Proof.CHECKSUM
    assert first.received_at_ns == bench.now_ms * 1_000_000
    return bench, running


@pytest.mark.parametrize("loss", ["closed", "opened", "lost", "run"])
def test_whatever_was_missed_leaves_the_market_dark_until_its_next_book(loss: str) -> None:
    bench, running = begun()
    at_ms = bench.now_ms + SECOND_MS
    records: dict[str, Record] = {
        "closed": Closed(**when(at_ms), conn=1, why="lost"),
        "opened": Opened(**when(at_ms), conn=2),
        "lost": Lost(**when(at_ms), records=3, since_ns=(at_ms - 100) * 1_000_000),
        "run": started(at_ms, run="b"),
    }
    (dark,) = running.take(records[loss])
    assert is_dark(dark)
    assert all(book.bids == () == book.asks for book in dark.books)
    # Since when: the last that is known of a run that was killed is its last record.
    since_ms = {"lost": at_ms - 100, "run": bench.now_ms}.get(loss, at_ms)
    assert dark.received_at_ns == since_ms * 1_000_000
    bench.now_ms = at_ms + 1
    assert running.take(frame_at(bench.now_ms, bench.change())) == []
    bench.now_ms += 1
    (back,) = running.take(frame_at(bench.now_ms, bench.opening()))
    assert back.proof is Proof.CHECKSUM
    assert (back.epoch, back.sequence) > (dark.epoch, dark.sequence)
    assert running.faults == ({(ReplayFault.LOST, ""): 3} if loss == "lost" else {})


def test_a_frame_that_cannot_be_read_is_counted_and_its_books_are_in_doubt() -> None:
    bench, running = begun()
    (dark,) = running.take(frame_at(bench.now_ms, b'{"event_type":"price_change","market":1'))
    assert is_dark(dark)
    assert running.faults == {(ReplayFault.UNREADABLE, ""): 1}
    assert "not JSON" in running.texts[0]


def test_a_version_that_nothing_proves_is_counted_once_and_not_shown() -> None:
    bench, running = begun()
    slug = info_of(bench.market).slug
    bench.now_ms += 1
    wrong = bench.change().replace(b'"7"', b'"8"', 1)
    assert running.take(frame_at(bench.now_ms, wrong), frame_at(bench.now_ms, wrong)) == []
    assert running.faults == {}  # another frame of this version may still come
    bench.now_ms += 1
    right = bench.change(8)  # of the same level: now the book is the venue's again
    (shown,) = running.take(frame_at(bench.now_ms, right))
    assert shown.proof is Proof.CHECKSUM
    assert running.faults == {(ReplayFault.UNPROVEN, slug): 1}


def test_a_book_that_a_later_trade_proves_is_of_the_time_of_the_proof() -> None:
    bench, running = begun()
    bench.now_ms += 1
    bench.market.last_trade = "0.12345"  # on no grid that is searched, so it has to be told
    unproven = frame_at(bench.now_ms, bench.change())
    assert running.take(unproven) == []
    running.replay._markets[bench.market.condition_id].session.checksum._known.insert(  # type: ignore[union-attr]
        0, b'0.12345"}'
    )
    (late,) = running.take(frame_at(bench.now_ms + 51, b"PONG"))
    assert late.received_at_ns == (bench.now_ms + 51) * 1_000_000
    assert running.faults == {}


def test_a_market_nobody_trades_is_counted_and_not_shown() -> None:
    bench = Bench()
    first, _ = bench.market.tokens
    first.bids.clear()
    first.asks.clear()
    bench.market.tokens[1].bids.clear()
    bench.market.tokens[1].asks.clear()
    bench.market.put("BUY", 100, 10_000_000)
    bench.market.put("SELL", PRICE_SCALE - 100, 10_000_000)
    bench.market.commit(bench.now_ms)
    info = info_of(bench.market)
    running = Replay(info)
    assert running.take(frame_at(bench.now_ms, bench.opening())) == []
    assert running.faults == {(ReplayFault.PLACEHOLDER, info.slug): 1}


def test_what_is_not_wanted_is_not_played_and_what_is_not_described_is_counted() -> None:
    bench = Bench()
    info = info_of(bench.market)
    opening = frame_at(bench.now_ms, bench.opening())
    unwanted = Replay(info, without=info.slug)
    assert (unwanted.take(opening), unwanted.faults) == ([], {})
    other = info_of(Venue(Random(1)).markets[0])
    stranger = Replay(other)
    assert stranger.take(opening) == []
    assert stranger.faults == {(ReplayFault.UNDESCRIBED, ""): 2}
    left = Replay(info)
    left.replay.leave(info.series)
    assert (left.take(opening), left.faults) == ([], {})


def test_a_market_that_has_ended_is_forgotten() -> None:
    bench, running = begun()
    info = info_of(bench.market)
    late = frame_at(info.end_ms + 3 * SECOND_MS, bench.change())
    assert running.take(late) == []
    assert len(running.replay._table) == len(running.replay._markets) == 0
    assert running.take(Listed(**when(info.end_ms + 4 * SECOND_MS), market=info)) == []
    assert len(running.replay._markets) == 0
    assert running.faults == {}


@given(st.lists(st.tuples(st.integers(-2_000, 2_000), st.binary(max_size=60)), max_size=8))
@settings(max_examples=25, deadline=None)
def test_no_bytes_at_no_time_break_it(noise: list[tuple[int, bytes]]) -> None:
    bench, running = begun()
    at_ms = bench.now_ms
    for after_ms, payload in noise:
        at_ms += after_ms
        running.take(frame_at(at_ms, payload))
