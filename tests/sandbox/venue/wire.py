"""Reading market-channel frames in tests: a naive book, and the venue's own hash as the oracle."""

from __future__ import annotations

from typing import Any

from py_clob_client.clob_types import OrderBookSummary, OrderSummary
from py_clob_client.utilities import generate_orderbook_summary_hash

Frame = dict[str, Any]


class NaiveBook:
    """What a reader of one token's frames knows, kept as the texts on the wire."""

    def __init__(self, market: str, token: str) -> None:
        self.market = market
        self.token = token
        self.bids: dict[str, str] = {}
        self.asks: dict[str, str] = {}
        self.tick_size = ""
        self.last_trade_price = ""

    def apply_book(self, frame: Frame) -> None:
        """Take a `book` frame, checking order and hash."""
        self.bids = {level["price"]: level["size"] for level in frame["bids"]}
        self.asks = {level["price"]: level["size"] for level in frame["asks"]}
        self.tick_size = frame["tick_size"]
        self.last_trade_price = frame["last_trade_price"]
        assert list(self.bids) == sorted(self.bids, key=float), "bids are worst first: ascending"
        assert list(self.asks) == sorted(self.asks, key=float, reverse=True), "asks descend"
        assert frame["hash"] == self.hash(frame["timestamp"])

    def apply_change(self, change: Frame, timestamp: str) -> None:
        """Take one entry of a `price_change`, checking best prices and hash."""
        levels = self.bids if change["side"] == "BUY" else self.asks
        levels.pop(change["price"], None)
        if change["size"] != "0":
            levels[change["price"]] = change["size"]
        assert change["best_bid"] == max(self.bids, key=float, default="0")
        assert change["best_ask"] == min(self.asks, key=float, default="1")
        assert change["hash"] == self.hash(timestamp)

    def hash(self, timestamp: str) -> str:
        """By the older official client."""
        return generate_orderbook_summary_hash(
            OrderBookSummary(
                market=self.market,
                asset_id=self.token,
                timestamp=timestamp,
                bids=[OrderSummary(p, self.bids[p]) for p in sorted(self.bids, key=float)],
                asks=[
                    OrderSummary(p, self.asks[p])
                    for p in sorted(self.asks, key=float, reverse=True)
                ],
                min_order_size="5",
                neg_risk=False,
                tick_size=self.tick_size,
                last_trade_price=self.last_trade_price,
                hash="",
            )
        )


class Reader:
    """Naive books of a market's tokens, fed with frames."""

    def __init__(self, market: str, tokens: tuple[str, ...]) -> None:
        self.books = {token: NaiveBook(market, token) for token in tokens}
        self.seen: list[str] = []

    def apply(self, frame: Frame | list[Frame]) -> None:
        """Take a decoded frame, one object or an array of them."""
        if isinstance(frame, list):
            for item in frame:
                self.apply(item)
            return
        self.seen.append(frame["event_type"])
        match frame["event_type"]:
            case "book":
                self.books[frame["asset_id"]].apply_book(frame)
            case "price_change":
                for change in frame["price_changes"]:
                    self.books[change["asset_id"]].apply_change(change, frame["timestamp"])
            case "tick_size_change":
                book = self.books[frame["asset_id"]]
                assert frame["old_tick_size"] == (book.tick_size or frame["old_tick_size"])
                book.tick_size = frame["new_tick_size"]
            case "last_trade_price":
                price = float(frame["price"])
                self.books[frame["asset_id"]].last_trade_price = f"{price:.3f}"
