"""Reading market-channel frames in tests: a naive book, and the venue's hash over it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

Frame = dict[str, Any]


class NaiveBook:
    """What a reader of one token's frames knows, kept as the texts on the wire.

    A version is complete with its last frame, and its trade price may come later still. So each is
    checked when the next one begins (or by `settled`): one that was never right is an error.
    """

    def __init__(self, market: str, token: str) -> None:
        self.market = market
        self.token = token
        self.bids: dict[str, str] = {}
        self.asks: dict[str, str] = {}
        self.tick_size = "0.01"
        self.last_trade_price = ""
        self.version = ("", "")
        """(timestamp, hash), as told."""
        self.proven = True

    def apply_book(self, frame: Frame) -> None:
        """Take a `book` of the channel or of REST, checking the order of its levels."""
        self._begin(frame["timestamp"], frame["hash"])
        self.bids = {level["price"]: level["size"] for level in frame["bids"]}
        self.asks = {level["price"]: level["size"] for level in frame["asks"]}
        assert list(self.bids) == sorted(self.bids, key=float), "bids are worst first: ascending"
        assert list(self.asks) == sorted(self.asks, key=float, reverse=True), "asks descend"
        self.tick_size = frame.get("tick_size", self.tick_size)
        self.last_trade_price = frame.get("last_trade_price", self.last_trade_price)
        self.check()

    def apply_change(self, change: Frame, timestamp: str) -> None:
        """Take one entry of a `price_change`."""
        self._begin(timestamp, change["hash"])
        levels = self.bids if change["side"] == "BUY" else self.asks
        levels.pop(change["price"], None)
        if change["size"] != "0":
            levels[change["price"]] = change["size"]

    def check(self, change: Frame | None = None) -> None:
        """See whether this is the version that was told; the entry's best prices as well."""
        best = self.best() if change is None else (change["best_bid"], change["best_ask"])
        self.proven = best == self.best() and self.version[1] == self.hash(self.version[0])

    def settled(self) -> None:
        """The version that was told last must have been proven by now."""
        assert self.proven, f"{self.token[:8]}...: {self.version} is not the hash of the book"

    def best(self) -> tuple[str, str]:
        """Bid and ask, as the venue writes them."""
        return max(self.bids, key=float, default="0"), min(self.asks, key=float, default="1")

    def _begin(self, timestamp: str, told: str) -> None:
        if (timestamp, told) != self.version:
            self.settled()
            self.version = timestamp, told

    def hash(self, timestamp: str) -> str:
        """As the venue's own clients compute it (`test_market_channel` compares them)."""
        sides = (
            [{"price": p, "size": levels[p]} for p in sorted(levels, key=float, reverse=descend)]
            for levels, descend in ((self.bids, False), (self.asks, True))
        )
        bids, asks = sides
        summary = {
            "market": self.market,
            "asset_id": self.token,
            "timestamp": timestamp,
            "hash": "",
            "bids": bids,
            "asks": asks,
            "min_order_size": "5",
            "tick_size": self.tick_size,
            "neg_risk": False,
            "last_trade_price": self.last_trade_price,
        }
        text = json.dumps(summary, separators=(",", ":"))
        return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


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
                for change in {e["asset_id"]: e for e in frame["price_changes"]}.values():
                    self.books[change["asset_id"]].check(change)
            case "tick_size_change":
                book = self.books[frame["asset_id"]]
                assert frame["old_tick_size"] == book.tick_size
                book.tick_size = frame["new_tick_size"]
            case "last_trade_price":
                # Of whichever token: it is the market's.
                for book in self.books.values():
                    book.last_trade_price = f"{float(frame['price']):.3f}"
                    if not book.proven:
                        book.check()

    def settled(self) -> None:
        """All that was told has been proven."""
        for book in self.books.values():
            book.settled()
