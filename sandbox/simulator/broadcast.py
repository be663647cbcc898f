"""Who is sent what on the market channel, and when.

1. A frame goes to every connection that reads one of its tokens, in the order of their numbers,
   because each draws its own chances from a common stream.
2. A connection that reads only one of a market's tokens gets only that token's entries.
3. `market_hash_ahead` is the venue's own mistake, not a connection's, and so the same to all: a
   `price_change` is held back until the market's next one (HASH_AHEAD_S_MAX at most), because its
   hash is to be that of the book after both. Its best prices are its own. Whatever else is sent of
   the market goes after what is held back, which then is as it should be, and does not count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, Protocol

from sandbox.simulator import frames
from sandbox.simulator.fan_out import FanOut
from sandbox.simulator.faults import Chance, Faults
from sandbox.simulator.frames import Delta
from sandbox.simulator.market import Market
from sandbox.simulator.market_faults import HASH_AHEAD, LATE_TRADE, Injections, MarketConnection

HASH_AHEAD_S_MAX: Final = 0.05


class BroadcastVenue(Protocol):
    """What is needed of a venue."""

    faults: Faults
    chance: Chance
    injections: Injections
    market_feed: FanOut[MarketConnection]


class Broadcast:
    """Sends the frames of all markets."""

    def __init__(self, host: BroadcastVenue) -> None:
        self._host = host
        self._held: dict[str, Delta] = {}
        """By condition id."""

    def send(self, token_id: str, text: str) -> None:
        """Send a frame that is about one token."""
        for connection in self._readers((token_id,)):
            connection.send(text)

    def changes(self, market: Market, delta: Delta) -> None:
        """Send a `price_change` of changes that are applied already."""
        tokens = delta.tops.keys()
        texts: dict[frozenset[str], str] = {}
        for connection in self._readers(tokens):
            wanted = frozenset(tokens & connection.tokens)
            text = texts.get(wanted)
            if text is None:
                text = texts[wanted] = frames.price_change_frame(market, delta, wanted)
            connection.send(text)

    def last_trade(self, market: Market, token_id: str, text: str) -> None:
        """Send a `last_trade_price`, late when a fault says so."""
        late_ms = self._host.faults.late_trade_ms
        if not late_ms:
            self.send(token_id, text)
            return
        self._note(LATE_TRADE, market, (token_id,))
        asyncio.get_running_loop().call_later(late_ms / 1000, self.send, token_id, text)

    # ---- the hash of the next change

    def may_hold(self, market: Market, delta: Delta) -> bool:
        """Keep a `price_change` for the next one, if a fault says so; whether it was kept.

        Call it after `look_ahead`, so that nothing is held back already.
        """
        rate = self._host.faults.market_hash_ahead
        if not rate or not self._host.chance.draw(HASH_AHEAD, rate):
            return False
        self._held[market.condition_id] = delta
        asyncio.get_running_loop().call_later(HASH_AHEAD_S_MAX, self._expire, market, delta)
        return True

    def look_ahead(self, market: Market, following: Delta) -> None:
        """Send what is held back, with hashes that have the following changes already."""
        held = self._held.pop(market.condition_id, None)
        if held is None:
            return
        tops = held.tops | {
            book.token_id: top._replace(hash=frames.hash_stamped(market, book, held.now_ms))
            for book in market.books
            if book.token_id in following.tops
            if (top := held.tops.get(book.token_id)) is not None
        }
        self._note(HASH_AHEAD, market, tops)
        self.changes(market, held._replace(tops=tops))

    def release(self, market: Market) -> None:
        """Send what is held back as it should be; before the market's books change otherwise."""
        held = self._held.pop(market.condition_id, None)
        if held is not None:
            self.changes(market, held)

    def _expire(self, market: Market, delta: Delta) -> None:
        if self._held.get(market.condition_id) is delta:
            self.release(market)

    # ---- readers

    def _note(self, kind: str, market: Market, tokens: Iterable[str]) -> None:
        for connection in self._readers(tokens):
            self._host.injections.note(kind, connection.number, market.condition_id)

    def _readers(self, tokens: Iterable[str]) -> list[MarketConnection]:
        found = set().union(*(self._host.market_feed.readers(token) for token in tokens))
        return sorted(found, key=lambda connection: connection.number)
