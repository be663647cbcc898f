"""Which books a decision saw, as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.bounds import COUNT_MAX, VERSIONS_LENGTH_MAX
from strategies.memory import ROWS_MAX, Version
from strategies.seen_books import SeenBooks, seen_of, seen_text

version = st.tuples(st.integers(0, 3), st.integers(0, 40)) | st.tuples(
    st.integers(0, COUNT_MAX), st.integers(0, COUNT_MAX)
)


@given(
    rows=st.sets(version, max_size=40).map(sorted),
    start=st.none() | version,
    decided=st.none() | version,
)
def test_what_was_seen_comes_back_from_its_text(
    rows: list[Version], start: Version | None, decided: Version | None
) -> None:
    last = decided or (rows[-1] if rows else (1, 1))
    seen = SeenBooks(rows=tuple(rows), start=start, decided=last)
    assert seen_of(seen_text(seen)) == seen


def test_the_text_is_for_people_too() -> None:
    rows = ((2, 7), *((3, number) for number in range(100, 221)), (3, 225))
    seen = SeenBooks(rows=rows, start=(3, 98), decided=(3, 225))
    assert seen_text(seen) == "s3:98|2:7;3:100-220,225"
    assert seen_text(SeenBooks(rows=(), start=None, decided=(3, 9))) == "!3:9"
    assert seen_text(SeenBooks(rows=((3, 9),), start=None, decided=(2, 1))) == "3:9!2:1"


def test_no_memory_makes_a_longer_text_than_a_message_takes() -> None:
    rows = tuple((COUNT_MAX - ROWS_MAX + number, COUNT_MAX) for number in range(ROWS_MAX))
    seen = SeenBooks(rows=rows, start=rows[0], decided=(COUNT_MAX - 1, COUNT_MAX))
    assert len(seen_text(seen)) <= VERSIONS_LENGTH_MAX
    assert seen_of(seen_text(seen)) == seen


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s1:2|",
        "1",
        "1:",
        "1:2,",
        "1:2;",
        "1:3-2",
        "1:2,2",
        "2:1;1:1",
        "1:2!",
        "1:2!3",
        "1:2 ",
        "1:2\n",
        "1:-2",
        "1:\u0663",
        f"1:0-{ROWS_MAX}",
        f"1:0-{COUNT_MAX}",
        f"1:{COUNT_MAX + 1}",
        "1:" + "9" * 5_000,
        "1:1," * 5_000,
    ],
)
def test_what_says_nothing_of_the_kind_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"book|epoch"):
        seen_of(text)


@given(st.text(alphabet="0123s|:;,-!") | st.text())
def test_no_text_leads_to_another_error_or_to_many_books(text: str) -> None:
    try:
        seen = seen_of(text)
    except ValueError:
        return
    assert len(seen.rows) <= ROWS_MAX
    assert seen_of(seen_text(seen)) == seen
