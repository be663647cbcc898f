"""What the second line takes over of the first: the same levels, and nothing else."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeder.core.book.checksum import BookChecksum
from feeder.core.book.token_book import TokenBook, Trouble
from feeder.core.market.shared_steps import STEPS_MAX
from protocol.book import Proof
from tests.fuzz.unshared import WatchedTable
from tests.fuzz.venue import START_MS, Venue
from tests.support.session_bench import Bench, info_of
from venue.wire.market_channel import (
    Event,
    Malformed,
    Pong,
    PriceChangeEvent,
    UnknownEvent,
    decode_frame,
)


class SharingBench(Bench):
    """Gives the same bytes the same events, as the feeder does."""

    def __init__(self) -> None:
        super().__init__()
        self.decode = lru_cache(64)(decode_frame)
        self.open()

    def take(self, line: int, *frames: bytes) -> int:
        """How many changes took effect."""
        updates = 0
        for event in [event for frame in frames for event in self.decode(frame)]:
            assert isinstance(event, PriceChangeEvent)
            updates += self.table.apply(line, event, self.now_ms * 1_000_000).updates
        return updates

    def later(self, size: int, price_e4: int | None = None) -> bytes:
        self.now_ms += 10
        return self.change(size, price_e4=price_e4)

    def pair(self, token: int = 0) -> tuple[TokenBook, TokenBook]:
        first, second = self.session.views
        return first.pair[token], second.pair[token]

    @property
    def noted(self) -> int:
        return len(self.session._shared._noted)


@pytest.fixture
def bench() -> SharingBench:
    return SharingBench()


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every hash that was searched for."""
    searched: list[str] = []
    matches = BookChecksum.matches

    def noting(self: BookChecksum, *args: object, **kwargs: object) -> bool:
        searched.append(str(args[4]))
        return matches(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(BookChecksum, "matches", noting)
    return searched


def test_what_the_second_line_brings_of_the_same_levels_is_not_hashed_again(
    bench: SharingBench, hashed: list[str]
) -> None:
    for size in (3, 4):
        frame = bench.later(size)
        assert (bench.take(0, frame), bench.take(1, frame)) == (2, 2)
        for token in (0, 1):
            one, other = bench.pair(token)
            assert one.sides is other.sides
            assert (other.proof, other.timestamp_ms) == (Proof.CHECKSUM, bench.now_ms)
    assert len(hashed) == len(set(hashed)) == 4
    assert bench.noted == 0
    assert bench.is_up_to_date()


def test_a_line_that_lags_behind_follows_frame_by_frame(
    bench: SharingBench, hashed: list[str]
) -> None:
    frames = [bench.later(2)]
    bench.take(0, frames[0])
    while len(frames) < STEPS_MAX:
        frames.append(bench.later(2 + len(frames)))
        bench.take(0, frames[-1])
    assert len(hashed) == 2 * STEPS_MAX
    for frame in frames:
        bench.now_ms += 1
        assert bench.take(1, frame) == 2
        assert bench.pair()[1].proof is Proof.CHECKSUM
    assert len(hashed) == 2 * STEPS_MAX
    assert bench.pair()[0].sides is bench.pair()[1].sides


def test_a_change_of_either_line_does_not_show_on_the_other(bench: SharingBench) -> None:
    frame = bench.later(3)
    bench.take(0, frame)
    bench.take(1, frame)
    for line in (0, 1):
        before = bench.pair()[1 - line].published()
        frame = bench.later(5 + line)
        assert bench.take(line, frame) == 2
        assert bench.pair()[1 - line].published() == before
        assert bench.take(1 - line, frame) == 2
    assert bench.pair()[0].published() == bench.pair()[1].published()


def test_the_same_frame_on_other_levels_is_applied_to_those(bench: SharingBench) -> None:
    wrong = bench.later(3)
    bench.take(0, wrong)
    bench.take(1, re.sub(rb'"size":"3"', b'"size":"4"', wrong))
    right = bench.later(9, price_e4=1_000)
    bench.take(0, right)
    bench.take(1, right)
    one, other = bench.pair()
    assert (one.proof, other.proof) == (Proof.CHECKSUM, Proof.NONE)
    assert one.published().bids != other.published().bids


def test_levels_that_nothing_has_shown_are_not_the_same(bench: SharingBench) -> None:
    wrong = bench.later(3)
    for line, size in ((0, b"4"), (1, b"5")):
        bench.take(line, wrong.replace(b'"size":"3"', b'"size":"%s"' % size))
    frame = bench.later(9, price_e4=1_000)
    bench.take(0, frame)
    bench.take(1, frame)
    one, other = bench.pair()
    assert one.published().bids != other.published().bids


def test_a_frame_that_comes_again_when_its_levels_are_back_is_ignored(bench: SharingBench) -> None:
    there, back = bench.change(3, price_e4=100), bench.change(0, price_e4=100)
    assert bench.take(1, there) == 2
    bench.now_ms += 5
    assert bench.take(1, back) == 2
    one, other = bench.pair()
    assert other.proof is Proof.CHECKSUM
    assert (one.timestamp_ms, one.hash) == (other.timestamp_ms, other.hash)
    bench.decode.cache_clear()  # what the second line has noted is not for the first
    assert bench.take(0, there) == 2
    assert bench.noted == 3
    assert bench.take(1, there) == 0


def test_a_frame_of_which_a_part_was_there_already_is_not_shared(bench: SharingBench) -> None:
    one, other = bench.later(3), bench.change(4, price_e4=100)
    entries = re.compile(rb'"price_changes":\[(.*)\]')
    both = b", ".join(entries.findall(one) + entries.findall(other))
    assert bench.take(0, one) == 2
    assert bench.take(0, entries.sub(b'"price_changes":[%s]' % both, other)) == 2
    assert bench.noted == 1


def test_the_word_that_a_top_contradicts_proves_nothing_on_either_line(bench: SharingBench) -> None:
    frame = re.sub(rb'"best_bid":"[^"]*"', b'"best_bid":"0.02"', bench.later(3))
    bench.take(0, frame)
    bench.take(1, frame)
    assert [book.proof for book in bench.pair()] == [Proof.NONE] * 2


def test_a_doubt_of_one_line_leaves_the_other_its_levels(bench: SharingBench) -> None:
    frames = []
    for size in range(1, 6):
        frames.append(re.sub(rb'"hash":"[^"]*"', b'"hash":"%040d"' % size, bench.later(size)))
        bench.take(0, frames[-1])
    bench.take(1, *frames)  # at once: most are compared with nothing
    one, other = bench.pair()
    assert (one.trouble, other.trouble) == (Trouble.CHECKSUM, None)
    assert len(other.published().bids) > 5


def test_what_was_matched_before_other_words_came_is_compared_again(
    bench: SharingBench, hashed: list[str]
) -> None:
    frame = bench.later(3)
    bench.take(0, frame)
    bench.session.checksum.traded(bench.market.tokens[0].token_id, "0.123")
    bench.take(1, frame)
    assert len(hashed) == 4
    assert [book.proof for book in bench.pair()] == [Proof.CHECKSUM] * 2


def test_equal_events_that_were_decoded_twice_are_not_the_same(
    bench: SharingBench, hashed: list[str]
) -> None:
    frame = bench.later(3)
    bench.take(0, frame)
    bench.decode.cache_clear()
    bench.take(1, frame)
    assert len(hashed) == 4
    assert [book.proof for book in bench.pair()] == [Proof.CHECKSUM] * 2


def test_what_nobody_takes_is_bounded(bench: SharingBench) -> None:
    for size in range(1, 3 * STEPS_MAX):
        bench.take(0, bench.later(size))
        assert bench.noted <= STEPS_MAX
    bench.table.lost(1, bench.tokens, bench.now_ms)
    bench.take(0, bench.later(7))
    assert bench.noted == 0


# ---- whatever happens to the lines, nothing but work is saved ---------------------------------

FATES = st.lists(
    st.tuples(
        st.sampled_from(["step"] * 4 + ["first", "second", "second", "both"]),
        st.sampled_from(["comes"] * 6 + ["lost", "twice", "again", "cut", "false", "anew", "late"]),
    ),
    min_size=20,
    max_size=120,
)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 1_000), fates=FATES)
def test_shared_or_not_the_lines_show_the_same(seed: int, fates: list[tuple[str, str]]) -> None:
    tables = WatchedTable(), WatchedTable()
    decoders: tuple[Callable[[bytes], Sequence[Event]], ...] = (
        lru_cache(64)(decode_frame),
        decode_frame,
    )
    venue = Venue(Random(seed), hidden_inputs=False)
    del venue.markets[1:]
    (market,) = venue.markets
    tokens = {token.token_id for token in market.tokens}
    queues: tuple[deque[bytes], deque[bytes]] = (deque(), deque())
    earlier: list[bytes] = []

    def take(line: int, frame: bytes) -> None:
        for table, decode in zip(tables, decoders, strict=True):
            for event in decode(frame):
                if isinstance(event, Malformed):
                    table.distrust(line, event, venue.now_ms)
                elif not isinstance(event, UnknownEvent | Pong):
                    table.apply(line, event, venue.now_ms * 1_000_000)

    def connect(line: int) -> None:
        queues[line].clear()
        for table in tables:
            table.connected(line, tokens, venue.now_ms)
        take(line, venue.opening())

    def arrive(line: int, fate: str) -> None:
        if fate == "anew":
            connect(line)
        frame = queues[line].popleft() if queues[line] else b"[]"
        if fate == "late" and queues[line]:
            frames = [queues[line].popleft(), frame]
        elif fate == "false":
            frames = [re.sub(rb'"size":"\d+', b'"size":"1', frame, count=1)]
        elif fate == "cut":
            frames = [frame[: len(frame) // 2]]
        else:
            more = {"lost": [], "twice": [frame, frame], "again": [frame, *earlier[-3:-2]]}
            frames = more.get(fate, [frame])
        for each in frames:
            take(line, each)

    for table in tables:
        table.follow(info_of(market), START_MS)
    connect(0)
    connect(1)
    for what, fate in fates:
        if what == "step":
            told = venue.step()
            earlier += told
            for queue in queues:
                queue.extend(told)
        for line in {"first": (0,), "second": (1,), "both": (0, 1)}.get(what, ()):
            arrive(line, fate)
        for table in tables:
            (session,) = table
            table.snapshot(session, venue.now_ms * 1_000_000, 1)
            table.take_due(venue.now_ms)
        shared, unshared = tables
        assert shared.seen == unshared.seen
        shared.seen.clear()
        unshared.seen.clear()
