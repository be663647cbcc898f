from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.core.fencing import BELIEF_MS, MARKETS_MAX, Fence
from protocol.snapshot import BookSnapshot
from tests.support.trading_builders import market, snapshot

INFO = market()
OTHER = market("0xother")


def version(epoch: int, sequence: int) -> BookSnapshot:
    return snapshot(of=INFO, epoch=epoch, sequence=sequence)


VERSIONS = {(epoch, number): version(epoch, number) for epoch in range(4) for number in range(4)}


@pytest.mark.parametrize(
    ("seen", "then", "admitted"),
    [
        ((7, 3), (7, 4), True),
        ((7, 3), (8, 1), True),  # a later feeder counts anew
        ((7, 3), (7, 3), False),  # delivered twice
        ((7, 3), (7, 2), False),  # out of order
        ((7, 3), (6, 9), False),  # a feeder that was replaced and does not know it yet
    ],
)
def test_only_what_is_newer_is_admitted(
    seen: tuple[int, int], then: tuple[int, int], admitted: bool
) -> None:
    fence = Fence()
    assert fence.admits(version(*seen), 0)
    assert fence.admits(version(*then), BELIEF_MS - 1) is admitted


def test_a_lower_epoch_is_believed_once_nothing_newer_has_come_for_a_while() -> None:
    # NATS lost the lease and the feeder's clock went back: its epoch stays lower for good.
    fence = Fence()
    assert fence.admits(version(9, 1), 0)
    assert not fence.admits(version(3, 1), BELIEF_MS - 1)
    # What is refused does not prolong the wait.
    assert fence.admits(version(3, 2), BELIEF_MS)
    assert fence.admits(version(3, 3), BELIEF_MS + 1)
    # And from then on it is the measure, until the higher one speaks again.
    assert not fence.admits(version(2, 9), BELIEF_MS + 2)
    assert fence.admits(version(9, 2), BELIEF_MS + 3)


def test_the_later_feeder_is_believed_while_it_is_heard_even_with_an_older_book() -> None:
    # Its books come late or twice: nothing new, but it is there, and the one before it is replaced.
    fence = Fence()
    assert fence.admits(version(9, 2), 0)
    assert not fence.admits(version(9, 1), BELIEF_MS - 1)
    assert not fence.admits(version(3, 1), BELIEF_MS)
    assert fence.admits(version(9, 3), BELIEF_MS + 1)


def test_markets_do_not_concern_each_other() -> None:
    fence = Fence()
    assert fence.admits(version(9, 9), 0)
    assert fence.admits(snapshot(of=OTHER, epoch=1, sequence=1), 0)


def test_only_a_later_feeder_fences_an_order_under_way() -> None:
    fence, behind = Fence(), version(7, 3)
    assert not fence.fenced(behind)
    fence.admits(behind, 0)
    assert not fence.fenced(behind)
    fence.admits(version(7, 4), 1)
    assert not fence.fenced(behind)
    fence.admits(snapshot(of=OTHER, epoch=8, sequence=1), 2)
    assert not fence.fenced(behind)
    fence.admits(version(8, 1), 3)
    assert fence.fenced(behind)


def test_memory_does_not_grow_and_the_longest_silent_is_forgotten() -> None:
    fence = Fence()
    books = [snapshot(of=market(f"0x{n}"), epoch=5) for n in range(MARKETS_MAX + 1)]
    for book in books[:-1]:
        assert fence.admits(book, 0)
    newer = snapshot(of=books[0].market, epoch=5)
    assert fence.admits(newer, 1)  # no longer the one that has been silent longest
    assert fence.admits(books[-1], 2)
    assert len(fence._newest) == MARKETS_MAX
    assert not fence.admits(newer, 3)
    assert fence.admits(books[1], 3)  # forgotten: its age is what refuses it


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(VERSIONS)), st.sampled_from([0, 1, 2, BELIEF_MS])),
        max_size=30,
    )
)
def test_versions_only_grow_unless_nothing_was_admitted_for_as_long_as_one_is_believed(
    arrivals: list[tuple[tuple[int, int], int]],
) -> None:
    fence = Fence()
    now_ms = 0
    admitted: list[tuple[tuple[int, int], int]] = []
    for which, later_ms in arrivals:
        now_ms += later_ms
        newest = admitted[-1] if admitted else None
        taken = fence.admits(VERSIONS[which], now_ms)
        # Nothing that is newer than all before is ever refused.
        assert taken or (newest is not None and which <= newest[0])
        if taken:
            admitted.append((which, now_ms))
        assert admitted
        assert fence.fenced(VERSIONS[which]) is (admitted[-1][0][0] > which[0])
    for (before, before_ms), (after, after_ms) in pairwise(admitted):
        assert after > before or after_ms - before_ms >= BELIEF_MS
