"""The venue's checksum of a whole book, and the inputs of it that no level carries.

The hash of a book is the SHA-1 of this compact JSON (source: `generate_orderbook_summary_hash` of
the venue's own clients, executed on captured frames):

    {"market","asset_id","timestamp","hash":"","bids","asks",
     "min_order_size","tick_size","neg_risk","last_trade_price"}

1. A match over *any* candidate for the last fields proves levels, token and timestamp: nobody finds
   another book with the same SHA-1 by accident (2^-160). So trying candidates is sound, and the
   trade price need not have come yet (py-clob-client-v2#117: up to 88 ms later).
2. The trade price is the last field. Everything before it is hashed once; a candidate costs a copy
   of that state and a few bytes.
3. What is tried is bounded: the prices known, those of the levels that have just changed, then the
   grid of 0.001, each with this tick size and the one before (the other line may still be there).
   Without hope (`unknown`) no grid.
4. Words of the venue are adopted from a book that they proved, or while nothing is proven yet: a
   corrupted frame of one connection must not spoil the checks of the other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import msgspec

from protocol.market import MarketInfo
from protocol.units import PRICE_SCALE, parse_price_e4, parse_size_e6, price_decimal, size_decimal
from venue.wire.market_channel import BookEvent, PriceChange

if TYPE_CHECKING:
    from hashlib import _Hash

# The present one, and those that the other line, or a message that is late, may still mean.
_KNOWN_MAX: Final = 4
_LATEST_MS: Final = 10**15


def _trade_text(price_e4: int) -> str:
    """As the venue hashes it: three decimals ("0.500"), four where the price needs them."""
    return f"{price_decimal(price_e4):.{3 if price_e4 % 10 == 0 else 4}f}"


def _end(text: str) -> bytes:
    """What follows `"last_trade_price":"`."""
    return text.encode() + b'"}'


_CENTS: Final = [_end(_trade_text(price_e4)) for price_e4 in range(0, PRICE_SCALE + 1, 100)]
_MILLS: Final = [_end(_trade_text(price_e4)) for price_e4 in range(10, PRICE_SCALE, 10)]
_GRID: Final = tuple(dict.fromkeys([_end(""), *_CENTS, *_MILLS]))


class _Inputs(msgspec.Struct, frozen=True):
    """The market's metadata, spelled as the venue hashes it."""

    min_order_size: str
    tick_size: str
    neg_risk: bool

    def tail(self) -> bytes:
        """The JSON between the asks and the text of the trade price."""
        return (
            f',"min_order_size":"{self.min_order_size}","tick_size":"{self.tick_size}",'
            f'"neg_risk":{"true" if self.neg_risk else "false"},"last_trade_price":"'
        ).encode()


class BookChecksum:
    """How the venue hashes the books of one market; both tokens and both lines share it."""

    __slots__ = (
        "_heads",
        "_inputs",
        "_known",
        "_tails",
        "_tick_since_ms",
        "_usual_end",
        "confirmed",
        "unknown",
        "words",
    )

    def __init__(self, info: MarketInfo) -> None:
        """Begin with what the listing says."""
        first, second = (outcome.token_id for outcome in info.outcomes)
        self.confirmed = False
        """Some hash of this market has matched: a mismatch is the book's fault from now on."""
        self.unknown = False
        """No candidate reproduces the venue's hashes; the next snapshot tries again."""
        self.words = 0
        """Grows whenever other words than before are tried first."""
        self._heads = {
            token: f'{{"market":{json.dumps(info.condition_id)},"asset_id":{json.dumps(token)},'
            '"timestamp":"'
            for token in (first, second)
        }
        # Newest first. The trade price is the market's: the same text for both tokens.
        self._known = [_end("")]
        self._inputs = _Inputs(
            f"{size_decimal(info.min_order_size_e6).normalize():f}",
            f"{price_decimal(info.tick_size_e4).normalize():f}",
            info.neg_risk,
        )
        # Of the tick size now, and of the one before.
        self._tails: tuple[bytes, ...] = (self._inputs.tail(),)
        self._usual_end = self._tails[0] + self._known[0]
        self._tick_since_ms = -1

    @property
    def tick_size_e4(self) -> int:
        """The market's tick size, 1e-4 USD."""
        return parse_price_e4(self._inputs.tick_size)

    def learn(self, event: BookEvent) -> None:
        """Adopt the venue's own spelling of what a book carries.

        `TokenBook.replace` calls it, for a book that has proven it or while nothing is proven.
        Raises ValueError naming a field that is not a number.
        """
        inputs = self._stated(event)
        if not self._is_tick(inputs.tick_size):
            self._tick_since_ms = event.timestamp
        elif event.tick_size:
            self._tick_since_ms = min(self._tick_since_ms, event.timestamp)
        self._adopt(inputs)

    def traded(self, token_id: str, price: str) -> None:
        """Note a trade of either token. Raises ValueError naming what is not a price."""
        end = _end(_trade_text(parse_price_e4(price)))
        if token_id in self._heads:
            self._remember(end)

    def tick_size(self, tick_size: str, timestamp_ms: int | None = None) -> None:
        """Note a `tick_size_change`, at the venue's time if it is given.

        Raises ValueError naming what is not a tick size.
        """
        _check_tick_size(tick_size)
        if not self._is_tick(tick_size):
            # Without a time every book that names another one is old, until one names this.
            self._tick_since_ms = _LATEST_MS if timestamp_ms is None else timestamp_ms
        self._adopt(msgspec.structs.replace(self._inputs, tick_size=tick_size))

    def is_outdated(self, event: BookEvent) -> bool:
        """Whether a book is of a tick size that has changed since; of the very millisecond it is.

        Raises ValueError naming a field that is not a number.
        """
        stated = self._stated(event)
        return event.timestamp <= self._tick_since_ms and not self._is_tick(stated.tick_size)

    def matches(
        self,
        token_id: str,
        timestamp_ms: int,
        bids: str,
        asks: str,
        wanted: str,
        *,
        search: bool = True,
        changes: Iterable[PriceChange] = (),
    ) -> bool:
        """Whether `wanted` is the hash of this book; sides are as `Ladder.json` has them.

        Tries the trade prices known, those of the levels that `changes` changed, and then, if it
        shall `search`, all others. Remembers what matched.
        """
        book = _book(self._heads[token_id], timestamp_ms, bids, asks)
        # Nearly every book is hashed with the words of the one before, and so only once.
        state = hashlib.sha1(book, usedforsecurity=False)
        state.update(self._usual_end)
        if state.hexdigest() == wanted:
            self.confirmed, self.unknown = True, False
            return True
        return self._match(self._tails, book, wanted, search=search, changes=changes)

    def proves(self, event: BookEvent, bids: str, asks: str) -> bool:
        """Whether a book's own hash is that of these sides and of what else the book says.

        Raises ValueError naming a field that is not a number.
        """
        tail = self._stated(event).tail()
        if event.last_trade_price:
            try:
                parse_price_e4(event.last_trade_price)
            except ValueError as error:
                raise ValueError(f"last_trade_price: {error}") from error
        if event.last_trade_price is not None:
            self._remember(_end(event.last_trade_price))
        book = _book(self._heads[event.asset_id], event.timestamp, bids, asks)
        return self._match((tail,), book, event.hash or "")

    def _match(
        self,
        tails: tuple[bytes, ...],
        book: bytes,
        wanted: str,
        *,
        search: bool = True,
        changes: Iterable[PriceChange] = (),
    ) -> bool:
        try:
            digest = bytes.fromhex(wanted)
        except ValueError:
            return False
        if digest.hex() != wanted:
            return False  # spelled as the venue never does: a name that none of its versions has
        states = [hashlib.sha1(book + tail, usedforsecurity=False) for tail in tails]
        found = _find(states[0], self._known, digest)
        if found is None:  # a trade that has not come yet, or a wrong book
            grid = _GRID if search and not self.unknown else ()
            for ends in (self._known, _traded_at(changes), grid):
                for state in states:
                    found = found or _find(state, ends, digest)
        if found is None:
            return False
        self.confirmed, self.unknown = True, False
        self._remember(found)
        return True

    def _remember(self, end: bytes) -> None:
        known = self._known
        if known[0] == end:
            return
        if end in known:
            known.remove(end)
        known.insert(0, end)
        del known[_KNOWN_MAX:]
        self._words_changed()

    def _adopt(self, inputs: _Inputs) -> None:
        if inputs != self._inputs:
            self._tails = (inputs.tail(), self._inputs.tail())
            self._inputs = inputs
            self._words_changed()

    def _words_changed(self) -> None:
        self.words += 1
        self._usual_end = self._tails[0] + self._known[0]

    def _is_tick(self, tick_size: str) -> bool:
        return parse_price_e4(tick_size) == self.tick_size_e4

    def _stated(self, event: BookEvent) -> _Inputs:
        """What a book says, completed by what is known."""
        now = self._inputs
        min_order_size, tick_size = now.min_order_size, now.tick_size
        if event.min_order_size:
            min_order_size = _text(event.min_order_size)
            try:
                parse_size_e6(min_order_size)
            except ValueError as error:
                raise ValueError(f"min_order_size: {error}") from error
        if event.tick_size:
            tick_size = _text(event.tick_size)
            _check_tick_size(tick_size)
        neg_risk = now.neg_risk if event.neg_risk is None else event.neg_risk
        return _Inputs(min_order_size, tick_size, neg_risk)


def _book(head: str, timestamp_ms: int, bids: str, asks: str) -> bytes:
    """What is hashed, but for its end."""
    return f'{head}{timestamp_ms}","hash":"","bids":[{bids}],"asks":[{asks}]'.encode()


def _traded_at(changes: Iterable[PriceChange]) -> list[bytes]:
    """A trade changes the level that it is made at, in the one token's terms or in the other's."""
    prices = [parse_price_e4(change.price) for change in changes]
    texts = [_trade_text(each) for price in prices for each in (price, PRICE_SCALE - price)]
    return [_end(text) for text in reversed(texts)]


def _find(state: _Hash, ends: tuple[bytes, ...] | list[bytes], wanted: bytes) -> bytes | None:
    for end in ends:
        candidate = state.copy()
        candidate.update(end)
        if candidate.digest() == wanted:
            return end
    return None


def _text(value: str | float) -> str:
    """A number as the venue would write it: the hash has strings only."""
    return value if isinstance(value, str) else f"{value:.6f}".rstrip("0").rstrip(".")


def _check_tick_size(text: str) -> None:
    try:
        tick_size_e4 = parse_price_e4(text)
    except ValueError as error:
        raise ValueError(f"tick_size: {error}") from error
    if not 0 < tick_size_e4 < PRICE_SCALE:
        raise ValueError(f"tick_size: not a tick size: {text!r}")
