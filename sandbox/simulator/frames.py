"""Market-channel frames as the venue writes them: JSON text, numbers as strings.

Every frame is written once and sent to all subscribers. What is in which frame, and how it is
spelled, is as in captures of the real channel:

1. A subscription is answered by an array of `book`s with tick size and trade price. Later `book`s
   have neither. Minimum size and negative risk are in the answer of `GET /book` only.
2. All entries of a token that belong to one version of its book carry the hash and the best prices
   of that version, also when they are in several frames: a trade sends one frame for each level.
3. The trade price in a hash is the market's, one text for both tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from sandbox.simulator.book import Side, VenueBook
from sandbox.simulator.market import Market
from sandbox.simulator.text import PRICE_TEXT, book_hash, last_trade_text, size_text
from sandbox.simulator.versions import BookVersion

Change: TypeAlias = tuple[str, Side, int, int]
"""(token id, side, price in 1e-4 USD, new aggregate size in 1e-6 shares; 0 removes)."""


class BookTop(NamedTuple):
    """What a `price_change` says of a book, beside the level."""

    hash: str
    best_bid: str
    best_ask: str


class Delta(NamedTuple):
    """Changes that are sent in one `price_change`."""

    changes: Sequence[Change]
    now_ms: int
    tops: dict[str, BookTop]
    """By token: the book of the version that the changes belong to."""


def version_of(market: Market, book: VenueBook) -> BookVersion:
    """The book as it stands."""
    return BookVersion(
        timestamp_ms=book.timestamp_ms,
        bids_json=book.bids_json(),
        asks_json=book.asks_json(),
        tick_size_e4=market.tick_size_e4,
        last_trade_e4=market.last_trade_e4,
    )


def hash_of(market: Market, book: VenueBook) -> str:
    """The venue's checksum over a book as it stands, with its own timestamp; goes into its log."""
    version = version_of(market, book)
    version_hash = _hash(market, book.token_id, version)
    if book.versions is not None:
        book.versions.add(version_hash, version)
    return version_hash


def hash_stamped(market: Market, book: VenueBook, timestamp_ms: int) -> str:
    """The checksum over a book as it stands with the timestamp of an earlier version.

    There never was such a version, so it does not go into the log.
    """
    version = version_of(market, book)._replace(timestamp_ms=timestamp_ms)
    return _hash(market, book.token_id, version)


def opening_book(market: Market, book: VenueBook) -> str:
    """A `book` as it answers a subscription, stamped with the time of its last change."""
    version = version_of(market, book)
    return (
        f"{_summary(market, book.token_id, version, hash_of(market, book))},"
        f'"tick_size":"{PRICE_TEXT[version.tick_size_e4]}","event_type":"book",'
        f'"last_trade_price":"{last_trade_text(version.last_trade_e4)}"}}'
    )


def book_frame(market: Market, book: VenueBook) -> str:
    """A `book` as it follows a trade."""
    return (
        f'{{"market":"{market.condition_id}", "asset_id":"{book.token_id}", '
        f'"bids":{book.bids_json()}, "asks":{book.asks_json()}, '
        f'"hash":"{hash_of(market, book)}", "timestamp":"{book.timestamp_ms}", '
        '"event_type":"book"}'
    )


def rest_book(market: Market, book: VenueBook, past: BookVersion | None = None) -> str:
    """The body of `GET /book`: same levels, same order, same hash; or of the `past` version."""
    version = past or version_of(market, book)
    version_hash = hash_of(market, book) if past is None else _hash(market, book.token_id, past)
    return (
        f"{_summary(market, book.token_id, version, version_hash)},"
        f'"min_order_size":"{size_text(market.min_order_size_e6)}",'
        f'"tick_size":"{PRICE_TEXT[version.tick_size_e4]}",'
        f'"neg_risk":{"true" if market.neg_risk else "false"},'
        f'"last_trade_price":"{last_trade_text(version.last_trade_e4)}"}}'
    )


def _hash(market: Market, token_id: str, version: BookVersion) -> str:
    return book_hash(
        market=market.condition_id,
        asset_id=token_id,
        timestamp_ms=version.timestamp_ms,
        bids=version.bids_json,
        asks=version.asks_json,
        min_order_size=size_text(market.min_order_size_e6),
        tick_size=PRICE_TEXT[version.tick_size_e4],
        neg_risk=market.neg_risk,
        last_trade_price=last_trade_text(version.last_trade_e4),
    )


def _summary(market: Market, token_id: str, version: BookVersion, version_hash: str) -> str:
    """JSON without its closing brace."""
    return (
        f'{{"market":"{market.condition_id}","asset_id":"{token_id}",'
        f'"timestamp":"{version.timestamp_ms}","hash":"{version_hash}",'
        f'"bids":{version.bids_json},"asks":{version.asks_json}'
    )


def apply_changes(market: Market, changes: Iterable[Change], now_ms: int) -> dict[str, BookTop]:
    """Apply level changes in order; returns how the books of their tokens stand after all of them.

    Raises ValueError for an impossible level and KeyError for a token of another market.
    """
    books = {book.token_id: book for book in market.books}
    changed: dict[str, VenueBook] = {}
    for token_id, side, price_e4, size_e6 in changes:
        book = changed[token_id] = books[token_id]
        book.put(side, price_e4, size_e6)
        book.timestamp_ms = now_ms
    return {
        token_id: BookTop(hash_of(market, book), book.best_bid_text(), book.best_ask_text())
        for token_id, book in changed.items()
    }


def price_change_frame(market: Market, delta: Delta, tokens: Iterable[str]) -> str:
    """A `price_change` with the entries of these tokens."""
    entries = [
        f'{{"asset_id":"{token_id}", "price":"{PRICE_TEXT[price_e4]}", '
        f'"size":"{size_text(size_e6)}", "side":"{side}", "hash":"{top.hash}", '
        f'"best_bid":"{top.best_bid}", "best_ask":"{top.best_ask}"}}'
        for token_id, side, price_e4, size_e6 in delta.changes
        if token_id in tokens
        for top in (delta.tops[token_id],)
    ]
    return (
        f'{{"market":"{market.condition_id}", "price_changes":[{", ".join(entries)}], '
        f'"timestamp":"{delta.now_ms}", "event_type":"price_change"}}'
    )


def tick_size_frame(market: Market, token_id: str, old_e4: int, now_ms: int) -> str:
    """A `tick_size_change` to the market's present tick size."""
    return (
        f'{{"market":"{market.condition_id}", "asset_id":"{token_id}", '
        f'"old_tick_size":"{PRICE_TEXT[old_e4]}", '
        f'"new_tick_size":"{PRICE_TEXT[market.tick_size_e4]}", '
        f'"timestamp":"{now_ms}", "event_type":"tick_size_change"}}'
    )


def last_trade_frame(
    market: Market,
    token_id: str,
    side: Side,
    *,
    price_e4: int,
    size_e6: int,
    transaction_hash: str,
    now_ms: int,
) -> str:
    """A trade of the token. `fee_rate_bps` is "0" as in the venue's own example."""
    return (
        f'{{"market":"{market.condition_id}", "asset_id":"{token_id}", '
        f'"price":"{PRICE_TEXT[price_e4]}", "size":"{size_text(size_e6)}", '
        f'"fee_rate_bps":"0", "side":"{side}", "timestamp":"{now_ms}", '
        f'"event_type":"last_trade_price", "transaction_hash":"{transaction_hash}"}}'
    )
