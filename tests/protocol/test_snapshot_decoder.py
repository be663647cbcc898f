"""A worker's decoder of books: whatever comes, it says what `decode_snapshot` says."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import snapshot as snapshot_module
from protocol.snapshot import (
    LISTED_BYTES_MAX,
    BookSnapshot,
    ProtocolError,
    SnapshotDecoder,
    decode_snapshot,
    encode_snapshot,
)
from tests.support.message_builders import snapshot

BOOK = encode_snapshot(snapshot())


def said(decode: Any, payload: bytes) -> BookSnapshot | str:
    try:
        book: BookSnapshot = decode(payload)
    except ProtocolError as error:
        return str(error)
    return book


def changed(path: tuple[Any, ...], value: Any) -> bytes:
    message: Any = json.loads(BOOK)
    target = message
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return json.dumps(message, separators=(",", ":")).encode()


def test_each_part_of_a_book_is_there_the_first_time_and_later() -> None:
    book, decoder = msgspec.structs.replace(snapshot(), bids_max=7), SnapshotDecoder()
    plain = {field.name: field.default for field in msgspec.structs.fields(BookSnapshot)}
    assert all(getattr(book, name) != default for name, default in plain.items())
    for _ in range(2):
        read = decoder.decode(encode_snapshot(book))
        assert (type(read), read) == (BookSnapshot, book)


def test_a_market_is_read_once_and_again_when_it_is_listed_otherwise() -> None:
    decoder = SnapshotDecoder()
    first, second = (decoder.decode(BOOK).market for _ in range(2))
    assert first is second
    other = decoder.decode(changed(("market", "accepting"), not first.accepting)).market
    assert other == msgspec.structs.replace(first, accepting=not first.accepting)
    assert decoder.decode(BOOK).market is first


ODD: list[Any] = [None, "", "x", -1, 0, 0.5, 10**30, [], {}, "0", True]


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(
    "path",
    [
        *((each,) for each in json.loads(BOOK)),
        *(("market", each) for each in json.loads(BOOK)["market"]),
        ("market", "fee", "rate"),
        ("market", "outcomes", 0, "token_id"),
        ("books", 0, "token_id"),
        ("books", 1, "asks"),
        ("books", 0, "bids", 0),
    ],
)
def test_what_is_malformed_is_refused_in_the_same_words(path: tuple[Any, ...], known: bool) -> None:
    decoder = SnapshotDecoder()
    if known:
        decoder.decode(BOOK)
    for value in ODD:
        payload = changed(path, value)
        for _ in range(2):  # nothing is learned of what was refused
            assert said(decoder.decode, payload) == said(decode_snapshot, payload)


@given(st.integers(min_value=0, max_value=len(BOOK)), st.binary(min_size=1, max_size=3))
def test_a_damaged_message_is_read_as_without_what_is_known(at: int, bytes_there: bytes) -> None:
    decoder = SnapshotDecoder()
    decoder.decode(BOOK)
    damaged = BOOK[:at] + bytes_there + BOOK[at + len(bytes_there) :]
    for payload in (damaged, BOOK[:at]):
        read, plain = said(decoder.decode, payload), said(decode_snapshot, payload)
        assert isinstance(read, str) == isinstance(plain, str)
        assert isinstance(read, str) or read == plain


def test_what_is_known_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_module, "LISTED_MAX", 3)
    decoder = SnapshotDecoder()
    slugs = [changed(("market", "slug"), f"m{number}") for number in range(5)]
    for payload in slugs:
        decoder.decode(payload)
    assert len(decoder._markets) == 3
    assert decoder.decode(slugs[0]) == decode_snapshot(slugs[0])  # forgotten, and read again


def test_a_market_with_much_that_nobody_knows_is_not_kept() -> None:
    decoder = SnapshotDecoder()
    payload = changed(("market", "unknown"), "x" * LISTED_BYTES_MAX)
    assert decoder.decode(payload) == snapshot()
    assert not decoder._markets
