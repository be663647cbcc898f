"""A naive venue of one token: dicts of texts, hashed by the venue's own client as the oracle.

It says what the real market channel says: a version is a timestamp and a hash, a trade comes in
several frames of one version, each hash may include the next change already, the last trade price
enters the hash before it is announced, later books carry neither tick size nor trade price.

Not modelled: the other token, and rates.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, TypeAlias

import msgspec
from py_clob_client.utilities import (
    generate_orderbook_summary_hash,
    parse_raw_orderbook_summary,
)

from feeder.core.book.checksum import BookChecksum
from feeder.core.book.token_book import SnapshotResult, TokenBook
from protocol.book import Level, Proof
from protocol.fee import NO_FEE
from protocol.market import MarketInfo, Outcome
from protocol.units import parse_price_e4, parse_size_e6
from tests.support.market_channel_frames import DOWN, MARKET, UP
from venue.wire.market_channel import BookEvent, PriceChange, WireLevel

Side: TypeAlias = Literal["BUY", "SELL"]
Change: TypeAlias = tuple[Side, str, str]
"""(side, price, new size)."""
Frame: TypeAlias = tuple[int, PriceChange]
Levels: TypeAlias = tuple[tuple[Level, ...], tuple[Level, ...]]
"""Best first, in the units of the book builder."""

INFO = MarketInfo(
    condition_id=MARKET,
    slug="btc-updown-15m-1757908800",
    series="btc-15m",
    outcomes=(Outcome(name="Up", token_id=UP), Outcome(name="Down", token_id=DOWN)),
    start_ms=1_757_908_800_000,
    end_ms=1_757_909_700_000,
    tick_size_e4=100,
    min_order_size_e6=5_000_000,
    fee=NO_FEE,
    neg_risk=False,
    accepting=True,
)
FAR: tuple[Change, ...] = (("BUY", "0.01", "9"), ("SELL", "0.99", "9"))
TOP: tuple[Change, ...] = (("BUY", "0.52", "100"), ("SELL", "0.53", "50.5"))
SECOND_NS = 1_000_000_000


def hash_of(event: BookEvent) -> str:
    """The venue's hash of a book that carries all its inputs."""
    raw = msgspec.to_builtins(event)
    return str(
        generate_orderbook_summary_hash(
            parse_raw_orderbook_summary(raw | {"timestamp": str(event.timestamp)})
        )
    )


class Venue:
    """One token's book, and every version that it ever had."""

    def __init__(self, *changes: Change, timestamp_ms: int = 1_757_908_892_000) -> None:
        self.sides: dict[Side, dict[str, str]] = {"BUY": {}, "SELL": {}}
        self.timestamp_ms = timestamp_ms
        self.last_trade_price = ""
        self.tick_size = "0.01"
        self.min_order_size = "5"
        self.versions: dict[tuple[int, str], Levels] = {}
        self.answers: list[BookEvent] = []
        self._put(changes)
        self._note()

    def rest(self, back: int = 0) -> BookEvent:
        """What `GET /book` answers, or answered `back` versions ago."""
        return self.answers[-1 - min(back, len(self.answers) - 1)]

    def book(self) -> BookEvent:
        """What the channel sends after a trade: levels and hash only."""
        return msgspec.structs.replace(
            self.rest(), tick_size=None, min_order_size=None, neg_risk=None, last_trade_price=None
        )

    def change(
        self, *changes: Change, later_ms: int = 1, ahead: Change | None = None
    ) -> list[Frame]:
        """One version, told in as many frames as there are changes.

        With `ahead`, its hash includes that change, which is still to come.
        """
        self.timestamp_ms += later_ms
        self._put(changes)
        if ahead is not None:
            before = {side: levels.copy() for side, levels in self.sides.items()}
            self._put([ahead])
            hashed = self._note()
            self.sides, _ = before, self.answers.pop()
        else:
            hashed = self._note()
        best_bid, best_ask = self._best()
        return [
            (self.timestamp_ms, PriceChange(UP, price, size, side, best_bid, best_ask, hashed))
            for side, price, size in changes
        ]

    def trade(self, price: str, *changes: Change, later_ms: int = 1) -> list[Frame]:
        """A trade at a price, and what it does to the levels."""
        self.last_trade_price = f"{Decimal(price):.3f}"
        return self.change(*changes, later_ms=later_ms)

    def change_tick_size(self, tick_size: str) -> None:
        """From the next version on it is hashed; the last one is answered with it, too."""
        self.tick_size = tick_size
        self.timestamp_ms += 1
        self._note()

    @property
    def levels(self) -> Levels:
        bids, asks = (
            sorted(
                ((parse_price_e4(price), parse_size_e6(size)) for price, size in side.items()),
                reverse=reverse,
            )
            for side, reverse in ((self.sides["BUY"], True), (self.sides["SELL"], False))
        )
        return tuple(bids), tuple(asks)

    def _best(self) -> tuple[str, str]:
        bids, asks = self.sides["BUY"], self.sides["SELL"]
        return max(bids, key=Decimal, default="0"), min(asks, key=Decimal, default="1")

    def _put(self, changes: tuple[Change, ...] | list[Change]) -> None:
        for side, price, size in changes:
            if Decimal(size):
                self.sides[side][price] = size
            else:
                self.sides[side].pop(price, None)

    def _note(self) -> str:
        bids = sorted(self.sides["BUY"].items(), key=lambda level: Decimal(level[0]))
        asks = sorted(self.sides["SELL"].items(), key=lambda level: -Decimal(level[0]))
        event = BookEvent(
            market=MARKET,
            timestamp=self.timestamp_ms,
            asset_id=UP,
            bids=[WireLevel(*level) for level in bids],
            asks=[WireLevel(*level) for level in asks],
            hash="",
            tick_size=self.tick_size,
            min_order_size=self.min_order_size,
            neg_risk=False,
            last_trade_price=self.last_trade_price,
        )
        event = msgspec.structs.replace(event, hash=hash_of(event))
        self.versions[event.timestamp, event.hash or ""] = self.levels
        self.answers.append(event)
        return event.hash or ""


def followed(venue: Venue) -> TokenBook:
    """A book of this venue's, proven by its checksum."""
    book = TokenBook(UP, BookChecksum(INFO))
    assert book.replace(venue.rest(), from_rest=False) is SnapshotResult.TAKEN
    assert (book.trouble, book.proof) == (None, Proof.CHECKSUM)
    return book


def tell(book: TokenBook, *frames: Frame, at_ns: int | None = None) -> None:
    """Deliver each delta as a frame of its own, at the venue's time or at `at_ns`."""
    for timestamp_ms, change in frames:
        if book.change(change, timestamp_ms):
            book.check(change, timestamp_ms * 1_000_000 if at_ns is None else at_ns)


def is_venues(book: TokenBook, venue: Venue) -> bool:
    """Whether the book is the venue's of this moment, and proven to be."""
    now, last = book.published(), venue.rest()
    return (
        book.trouble is None
        and book.proof is Proof.CHECKSUM
        and (now.timestamp_ms, now.hash) == (last.timestamp, last.hash)
        and (now.bids, now.asks) == venue.levels
    )
