"""Market-channel frames as the venue writes them: compact JSON text, numbers as strings.

Every frame is written once and sent to all subscribers. In a `price_change` the hash and the best
prices of an entry are those of its asset's book right after that entry; the last entry of an asset
therefore describes the book that the whole frame leaves behind.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from sandbox.venue.book import Side, TokenBook
from sandbox.venue.market import Market
from sandbox.venue.text import PRICE_TEXT, book_hash, last_trade_text, size_text
from sandbox.venue.versions import Version

Change: TypeAlias = tuple[str, Side, int, int]
"""(token id, side, price in 1e-4 USD, new aggregate size in 1e-6 shares; 0 removes)."""


def version_of(market: Market, book: TokenBook) -> Version:
    """The book as it stands."""
    return Version(
        timestamp_ms=book.timestamp_ms,
        bids_json=book.bids_json(),
        asks_json=book.asks_json(),
        tick_size_e4=market.tick_size_e4,
        last_trade_e4=book.last_trade_e4,
    )


def hash_of(market: Market, book: TokenBook) -> str:
    """The venue's checksum over a book as it stands, with its own timestamp; goes into its log."""
    version = version_of(market, book)
    told = _hash(market, book.token_id, version)
    if book.versions is not None:
        book.versions.add(told, version)
    return told


def book_frame(market: Market, book: TokenBook) -> str:
    """A full `book`, stamped with the time of its last change."""
    told = hash_of(market, book)
    summary = _summary(market, book.token_id, version_of(market, book), told)
    return '{"event_type":"book",' + summary


def rest_book(market: Market, book: TokenBook, past: Version | None = None) -> str:
    """The body of `GET /book`: same levels, same order, same hash; or of the `past` version."""
    told = hash_of(market, book) if past is None else _hash(market, book.token_id, past)
    return "{" + _summary(market, book.token_id, past or version_of(market, book), told)


def _hash(market: Market, token_id: str, version: Version) -> str:
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


def _summary(market: Market, token_id: str, version: Version, told: str) -> str:
    return (
        f'"market":"{market.condition_id}","asset_id":"{token_id}",'
        f'"timestamp":"{version.timestamp_ms}","hash":"{told}",'
        f'"bids":{version.bids_json},"asks":{version.asks_json},'
        f'"min_order_size":"{size_text(market.min_order_size_e6)}",'
        f'"tick_size":"{PRICE_TEXT[version.tick_size_e4]}",'
        f'"neg_risk":{"true" if market.neg_risk else "false"},'
        f'"last_trade_price":"{last_trade_text(version.last_trade_e4)}"}}'
    )


def apply_changes(market: Market, changes: Iterable[Change], now_ms: int) -> list[tuple[str, str]]:
    """Apply level changes in order; returns (token id, entry JSON) per change.

    Raises ValueError for an impossible level and KeyError for a token of another market.
    """
    books = {book.token_id: book for book in market.books}
    entries = []
    for token_id, side, price_e4, size_e6 in changes:
        book = books[token_id]
        book.put(side, price_e4, size_e6)
        book.timestamp_ms = now_ms
        entries.append(
            (
                token_id,
                f'{{"asset_id":"{token_id}","price":"{PRICE_TEXT[price_e4]}",'
                f'"size":"{size_text(size_e6)}","side":"{side}","hash":"{hash_of(market, book)}",'
                f'"best_bid":"{book.best_bid_text()}","best_ask":"{book.best_ask_text()}"}}',
            )
        )
    return entries


def price_change_frame(market: Market, entries: Iterable[str], now_ms: int) -> str:
    """A `price_change` with these entries."""
    return (
        f'{{"event_type":"price_change","market":"{market.condition_id}",'
        f'"timestamp":"{now_ms}","price_changes":[{",".join(entries)}]}}'
    )


def tick_size_frame(market: Market, token_id: str, old_e4: int, now_ms: int) -> str:
    """A `tick_size_change` to the market's present tick size."""
    return (
        f'{{"event_type":"tick_size_change","market":"{market.condition_id}",'
        f'"asset_id":"{token_id}","old_tick_size":"{PRICE_TEXT[old_e4]}",'
        f'"new_tick_size":"{PRICE_TEXT[market.tick_size_e4]}","timestamp":"{now_ms}"}}'
    )


def last_trade_frame(
    market: Market,
    book: TokenBook,
    side: Side,
    *,
    size_e6: int,
    transaction_hash: str,
    now_ms: int,
) -> str:
    """The book's last trade price. `fee_rate_bps` is "0" as in the venue's own example."""
    price = PRICE_TEXT[book.last_trade_e4 or 0]
    return (
        f'{{"event_type":"last_trade_price","market":"{market.condition_id}",'
        f'"asset_id":"{book.token_id}","price":"{price}",'
        f'"size":"{size_text(size_e6)}","side":"{side}","fee_rate_bps":"0",'
        f'"transaction_hash":"{transaction_hash}","timestamp":"{now_ms}"}}'
    )
