from __future__ import annotations

from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from feeder.core.book.version_order import NO_BOOK, PATH_MAX, Version, VersionOrder

ONE, OTHER = "1", "2"


def walk(order: VersionOrder, hashes: str, at: Version = NO_BOOK, ms: int = 5) -> list[Version]:
    """A line goes through these versions; all of them."""
    went = []
    for digest in hashes:
        at = order.moved(ONE, at, ms, digest)
        went.append(at)
    return went


def test_the_venues_time_decides_first() -> None:
    order = VersionOrder([ONE, OTHER])
    (late,) = walk(order, "a", ms=6)
    (early,) = walk(order, "b", ms=5)
    assert order.older(ONE, early, late)
    assert not order.older(ONE, late, early)
    assert order.older(ONE, NO_BOOK, early)


def test_within_a_millisecond_the_way_of_the_lines_decides() -> None:
    order = VersionOrder([ONE, OTHER])
    a, b, c = walk(order, "abc")
    for early, late in ((a, b), (b, c), (a, c)):
        assert order.older(ONE, early, late)
        assert not order.older(ONE, late, early)
    assert not order.older(ONE, c, c)
    assert walk(order, "abc") == [a, b, c]
    assert order.moved(OTHER, NO_BOOK, 5, "z").place == 0


def test_a_book_may_come_back_to_a_version_and_the_lines_agree_on_which_time_it_is() -> None:
    order = VersionOrder([ONE])
    first, away, again = leader = walk(order, "aba")
    assert order.older(ONE, away, again)
    assert not order.older(ONE, first, again)  # the same, so not missing
    assert walk(order, "aba") == leader
    assert order.moved(ONE, first, 5, "b") == away


def test_a_line_that_jumps_is_where_it_landed() -> None:
    order = VersionOrder([ONE])
    _, _, c = walk(order, "abc")
    assert walk(order, "ac")[-1] == msgspec.structs.replace(c, whole=True)


def test_what_only_a_look_has_shown_is_ahead_until_a_line_comes_through_it() -> None:
    order = VersionOrder([ONE])
    (a,) = walk(order, "a")
    looked = order.seen(ONE, 5, "c")
    assert order.older(ONE, a, looked)
    b, c, d = walk(order, "bcd", a)
    assert order.older(ONE, b, looked)
    assert not order.older(ONE, c, looked)
    assert order.older(ONE, looked, d)
    assert order.seen(ONE, 5, "b") == msgspec.structs.replace(b, whole=True)
    assert order.moved(ONE, looked, 6, "e").place == 0


def test_a_line_that_goes_on_from_a_look_stays_ahead_of_it() -> None:
    order = VersionOrder([ONE])
    walk(order, "a")
    looked = order.seen(ONE, 5, "c")
    assert order.older(ONE, looked, order.moved(ONE, looked, 5, "d"))


@given(st.lists(st.integers(0, 3), min_size=2, max_size=1_000))
def test_time_that_stands_still_fills_no_memory(steps: list[int]) -> None:
    order = VersionOrder([ONE])
    number, way = 0, [NO_BOOK]
    for step in steps:
        number += step
        if step:
            way.append(order.moved(ONE, way[-1], 5, str(number)))
    for early, late in pairwise(way):
        assert order.older(ONE, early, late)
    remembered = [n for n in range(number) if order.seen(ONE, 5, str(n)).place < PATH_MAX**2]
    assert len(remembered) <= PATH_MAX
