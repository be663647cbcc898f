"""The books that a recording has shown so far, for whoever asks in the middle of it.

A book is the venue's own `book` with the deltas since: its levels by the feeder's ladder, so in
wire order and spelled as they came, and the timestamp and hash of the newest frame that touched it.
What the `book` did not say (a tick size, a trade price) is not made up.
"""

from __future__ import annotations

import json

from feeder.core.book.ladder import Ladder, parse_level, parse_levels
from protocol.units import parse_price_e4, price_decimal
from venue.wire.market_channel import (
    BookEvent,
    Event,
    LastTradeEvent,
    Malformed,
    Pong,
    PriceChangeEvent,
    TickSizeChangeEvent,
    UnknownEvent,
    decode_frame,
)


class _Book:
    def __init__(self, event: BookEvent) -> None:
        self.bids = Ladder.of(parse_levels(event.bids or (), "bids"), ascending=True)
        self.asks = Ladder.of(parse_levels(event.asks or (), "asks"), ascending=False)
        self.market = event.market
        self.timestamp_ms = event.timestamp
        self.hash = event.hash
        said = {
            "min_order_size": event.min_order_size,
            "tick_size": event.tick_size,
            "neg_risk": event.neg_risk,
            "last_trade_price": event.last_trade_price,
        }
        self.said = {name: value for name, value in said.items() if value is not None}

    def summary(self, token_id: str) -> str:
        """JSON without its opening brace."""
        facts = json.dumps(
            {"market": self.market, "asset_id": token_id, "timestamp": str(self.timestamp_ms)},
            separators=(",", ":"),
        )
        hashed = "" if self.hash is None else f',"hash":{json.dumps(self.hash)}'
        sides = f',"bids":[{self.bids.json()}],"asks":[{self.asks.json()}]'
        said = json.dumps(self.said, separators=(",", ":"))
        rest = f",{said[1:]}" if self.said else "}"
        return f"{facts[1:-1]}{hashed}{sides}{rest}"


class RecordedBooks:
    """`take` every frame in order."""

    def __init__(self) -> None:
        self._books: dict[str, _Book] = {}

    def take(self, frame: bytes) -> set[str]:
        """Apply a frame; returns the tokens that it names. What cannot be read changes nothing."""
        tokens: set[str] = set()
        for event in decode_frame(frame):
            try:
                tokens |= self._apply(event)
            except ValueError:
                continue  # a corrupted number: the feeder that gets this frame will refuse it, too
        return tokens

    def body(self, token_id: str) -> str | None:
        """As `GET /book` answers; None while no book of the token has come."""
        book = self._books.get(token_id)
        return None if book is None else "{" + book.summary(token_id)

    def frame(self, token_id: str) -> str | None:
        """As a `book` event."""
        book = self._books.get(token_id)
        return None if book is None else '{"event_type":"book",' + book.summary(token_id)

    def _apply(self, event: Event) -> set[str]:
        if isinstance(event, PriceChangeEvent):
            return self._change(event)
        if isinstance(event, Malformed | Pong | UnknownEvent):
            return set()
        book = self._books.get(event.asset_id)
        if isinstance(event, BookEvent):
            if book is None or event.timestamp >= book.timestamp_ms:
                self._books[event.asset_id] = _Book(event)
        elif isinstance(event, TickSizeChangeEvent):
            if book is not None and "tick_size" in book.said:
                book.said["tick_size"] = event.new_tick_size
        elif isinstance(event, LastTradeEvent) and book is not None and event.price:
            book.said["last_trade_price"] = f"{price_decimal(parse_price_e4(event.price)):.3f}"
        return {event.asset_id}

    def _change(self, event: PriceChangeEvent) -> set[str]:
        for change in event.price_changes:
            book = self._books.get(change.asset_id)
            if book is not None and event.timestamp >= book.timestamp_ms:
                level = parse_level(change.price, change.size)
                if change.side == "BUY":
                    book.bids = book.bids.with_level(level)
                else:
                    book.asks = book.asks.with_level(level)
                book.timestamp_ms, book.hash = event.timestamp, change.hash
        return {change.asset_id for change in event.price_changes}
