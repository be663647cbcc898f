"""What is kept of a recording's books: enough, and no more, however long it is."""

from __future__ import annotations

import msgspec
import pytest

from backtest.replay.kept_books import ENDED_KEPT_MS, WHOLE_KEPT_S, KeptBooks
from protocol.snapshot import encode_snapshot
from strategies.seen_books import seen_of
from tests.support import made_history as made


def test_what_is_kept_of_books_does_not_grow_with_the_recording() -> None:
    kept, (plain,) = KeptBooks(), made.books(1)
    most = 0
    for number in range(30):
        start_ms = plain.market.start_ms + number * 900_000
        market = msgspec.structs.replace(
            plain.market, condition_id=f"0x{number}", start_ms=start_ms, end_ms=start_ms + 900_000
        )
        for sequence in range(1, 46):
            at_ns = (start_ms + sequence * 20_000) * 10**6
            book = msgspec.structs.replace(
                plain, market=market, sequence=sequence, published_at_ns=at_ns
            )
            kept.keep(book, encode_snapshot(book), at_ns, at_ns)
        most = max(most, len(kept))
    assert ENDED_KEPT_MS < 900_000
    assert most <= 2 * 45


def test_a_whole_book_is_kept_for_as_long_as_is_said() -> None:
    kept, (one, other) = KeptBooks(), made.books(2)
    seen = seen_of(f"{one.epoch}:{one.sequence}")
    kept.keep(one, encode_snapshot(one), 1, 10**9)
    assert getattr(kept.find(one.market.condition_id, seen), "snapshot", None) == one
    kept.keep(other, encode_snapshot(other), 1, (WHOLE_KEPT_S + 2) * 10**9)
    assert getattr(kept.find(one.market.condition_id, seen), "late", False)


def test_what_is_kept_of_all_markets_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, books = KeptBooks(), made.books(40)
    size = len(encode_snapshot(books[0]))
    monkeypatch.setattr("backtest.replay.kept_books.ALL_ROWS_MAX", 20)
    monkeypatch.setattr("backtest.replay.kept_books.WHOLE_BYTES_MAX", 8 * size)
    for number, book in enumerate(books):
        market = msgspec.structs.replace(book.market, condition_id=f"0x{number % 3}")
        kept.keep(msgspec.structs.replace(book, market=market), encode_snapshot(book), 1, 1)
        assert len(kept) <= 20
    assert sum(len(each.whole) for each in kept._markets.values()) <= 8
