"""`BookSnapshot`: the one message a worker decides on, and its encoding.

JSON on the wire: readable with any NATS tool, and msgspec reads and writes it in microseconds.
Unknown fields are ignored (a newer feeder may say more); a missing or malformed field raises
`ProtocolError` with the field's path.
"""

from __future__ import annotations

from typing import Final

import msgspec

from protocol.book import PUBLISHED_LEVELS_MAX, Book, Proof, check_order
from protocol.bounds import Count, EpochMs, EpochNs
from protocol.market import DOWN, UP, MarketInfo, check_market
from protocol.text import encoded

LISTED_MAX: Final = 1_000
"""Markets whose JSON a decoder knows. One that is forgotten is read again."""
LISTED_BYTES_MAX: Final = 4_096
"""Of one. A feeder's have 600; a stranger's may have any number, and are read each time."""

# What msgspec raises on hostile input is more than its own errors: a string that is not UTF-8 and
# nesting without end surface as Python's.
UNDECODABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class ProtocolError(ValueError):
    """A message that cannot be used; the text names the field."""


class BookSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Both outcomes' books of one market at one moment.

    `epoch` and `sequence` order the snapshots of a market: a later feeder has a higher epoch, and
    within an epoch the sequence grows by at least one. Wall-clock times, nanoseconds where stages
    of the hot path are measured.
    """

    market: MarketInfo
    books: tuple[Book, Book]
    proof: Proof
    """Of both books: the weaker one's. With `NONE` the market is dark and both books are empty."""
    venue_timestamp_ms: EpochMs
    """Of the newer of both books."""
    received_at_ns: EpochNs
    """When the frame behind the newest change reached the feeder."""
    published_at_ns: EpochNs
    """When the feeder encoded this snapshot."""
    epoch: Count
    sequence: Count
    bids_max: Count = PUBLISHED_LEVELS_MAX
    """How many bids of each book its feeder publishes at most; of asks all that travel are there.
    The default is also what feeders mean that do not say it."""

    def book_of(self, outcome_name: str) -> Book:
        """The book of an outcome by name. Raises KeyError naming what is missing."""
        token_id = self.market.token_of(outcome_name)
        first, second = self.books
        if first.token_id == token_id:
            return first
        if second.token_id == token_id:
            return second
        raise KeyError(f"snapshot of {self.market.slug} has no book for {outcome_name!r}")

    def up_and_down(self) -> tuple[Book, Book] | None:
        """Up's book and Down's; None for a market with other outcomes, or without these books."""
        first, second = self.market.outcomes
        if first.name == DOWN and second.name == UP:
            first, second = second, first
        elif first.name != UP or second.name != DOWN:
            return None
        one, other = self.books
        if one.token_id == second.token_id:
            one, other = other, one
        same = one.token_id == first.token_id and other.token_id == second.token_id
        return (one, other) if same else None


def with_bids(snapshot: BookSnapshot, bids_max: int) -> BookSnapshot:
    """The same with at most so many bids a book, which it says."""
    first, second = snapshot.books
    replace = msgspec.structs.replace
    books = (
        replace(first, bids=first.bids[:bids_max]),
        replace(second, bids=second.bids[:bids_max]),
    )
    return replace(snapshot, books=books, bids_max=bids_max)


_encoder = msgspec.json.Encoder(decimal_format="string")
_decoder = msgspec.json.Decoder(BookSnapshot)


def encode_snapshot(snapshot: BookSnapshot) -> bytes:
    """One JSON object, UTF-8."""
    return encoded(_encoder.encode, snapshot)


def decode_snapshot(payload: bytes) -> BookSnapshot:
    """Inverse of `encode_snapshot`. Raises ProtocolError naming the missing or malformed field."""
    try:
        snapshot = _decoder.decode(payload)
    except UNDECODABLE as error:
        raise ProtocolError(f"book snapshot: {error}") from error
    _check_books(snapshot.books, snapshot.market)
    try:
        check_market(snapshot.market)
    except ValueError as error:
        raise ProtocolError(f"book snapshot: $.market.{error}") from error
    return snapshot


def _check_books(books: tuple[Book, Book], market: MarketInfo) -> None:
    first, second = books
    try:
        check_order(first)
        check_order(second)
    except ValueError as error:
        raise ProtocolError(f"book snapshot: $.books: {error}") from error
    one, other = market.outcomes
    tokens = first.token_id, second.token_id
    if tokens not in ((one.token_id, other.token_id), (other.token_id, one.token_id)):
        raise ProtocolError("book snapshot: $.books: token ids differ from $.market.outcomes")


class _MarketUnread(BookSnapshot, frozen=True, kw_only=True):
    """A snapshot whose market is still the JSON that came."""

    market: msgspec.Raw  # type: ignore[assignment]  # the one field that is another one here


_market_unread = msgspec.json.Decoder(_MarketUnread)


class SnapshotDecoder:
    """`decode_snapshot` for whoever gets many books: what they say of their market is the same in
    nearly each, and is read once."""

    def __init__(self) -> None:
        self._markets: dict[bytes, MarketInfo] = {}
        """By their JSON, the longest known first: only what was read whole, and is sound."""

    def decode(self, payload: bytes) -> BookSnapshot:
        """The same as `decode_snapshot`."""
        try:
            unread = _market_unread.decode(payload)
        except UNDECODABLE as error:
            raise ProtocolError(f"book snapshot: {error}") from error
        listed = bytes(unread.market)
        market = self._markets.get(listed)
        if market is None:
            snapshot = decode_snapshot(payload)
            self._keep(listed, snapshot.market)
            return snapshot
        _check_books(unread.books, market)
        return BookSnapshot(
            market=market,
            books=unread.books,
            proof=unread.proof,
            venue_timestamp_ms=unread.venue_timestamp_ms,
            received_at_ns=unread.received_at_ns,
            published_at_ns=unread.published_at_ns,
            epoch=unread.epoch,
            sequence=unread.sequence,
            bids_max=unread.bids_max,
        )

    def _keep(self, listed: bytes, market: MarketInfo) -> None:
        if len(listed) > LISTED_BYTES_MAX:
            return
        if len(self._markets) >= LISTED_MAX:
            del self._markets[next(iter(self._markets))]
        self._markets[listed] = market
