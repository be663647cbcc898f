"""What a book costs the feeder: decode and apply a change, build and encode a snapshot.

The frames are generated, with the shape of real ones: `price_change` with two entries (both tokens
at once, the second one mirrored), best prices and the venue's checksum included (`_top`: without
it), most changes near the top, books of 40 to 99 levels a side. They come two milliseconds apart,
so every one is verified, and on one line; `frame_on_both_lines` is what a frame costs that comes on
both, once where the second line takes over what the first has made of the same bytes, and once
where each does all of it. Median and best of many batches, of this one quartiles too, in CPU time:
what else a shared machine does counts less that way.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from py_clob_client.utilities import generate_orderbook_summary_hash, parse_raw_orderbook_summary

from feeder.core.market.session_table import SessionTable
from protocol.book import Proof
from protocol.fee import FeeSchedule
from protocol.market import MarketInfo, Outcome
from protocol.series import parse_series
from protocol.snapshot import decode_snapshot, encode_snapshot
from venue.wire.market_channel import BookEvent, KnownEvent, PriceChangeEvent, decode_frame

FRAMES: Final = 2_000
BATCHES: Final = 30
LEVELS_MIN, LEVELS_MAX = 40, 99
_UP, _DOWN = "7" + "1" * 76, "5" + "2" * 76
_MARKET: Final = "0x" + "ab" * 32
_BEGIN_MS: Final = 1_757_908_892_351
_TICK_E4: Final = 10


class _Venue:
    """One market's book on the 0.001 grid, and the frames that its random changes make."""

    def __init__(self, seed: int, *, hashed: bool) -> None:
        self._random = random.Random(seed)
        self._hashed = hashed
        self._timestamp_ms = _BEGIN_MS
        mid_e4 = 5_000
        self._bids = {mid_e4 - n * _TICK_E4: self._size() for n in range(1, 71)}
        self._asks = {mid_e4 + n * _TICK_E4: self._size() for n in range(1, 71)}

    @property
    def levels(self) -> int:
        """Levels of the thinner side."""
        return min(len(self._bids), len(self._asks))

    def books(self) -> bytes:
        """The array frame that a subscription is answered with; levels worst first."""
        return _encode(self._books())

    def _books(self) -> list[dict[str, Any]]:
        bids, asks = sorted(self._bids.items()), sorted(self._asks.items(), reverse=True)
        mirrored = [(10_000 - price, size) for price, size in asks]
        mirrored_asks = [(10_000 - price, size) for price, size in bids]
        return [self._book(_UP, bids, asks), self._book(_DOWN, mirrored, mirrored_asks)]

    def change(self) -> bytes:
        """One `price_change` frame with an entry for each token."""
        buy = self._random.random() < 0.5
        side, opposite = (self._bids, self._asks) if buy else (self._asks, self._bids)
        best = max(side) if buy else min(side)
        step = -_TICK_E4 if buy else _TICK_E4
        price = best + step * min(int(self._random.expovariate(0.15)), 90)
        if self._random.random() < 0.1:  # a better price, if there is room for one
            price = best - step
        size = self._size()
        crossing = price >= min(opposite) if buy else price <= max(opposite)
        removing = self._random.random() < 0.5 and len(side) > (LEVELS_MIN + LEVELS_MAX) // 2
        if crossing or removing or len(side) >= LEVELS_MAX:
            price, size = (price if price in side else best), "0"
        if size == "0" and len(side) > LEVELS_MIN:
            del side[price]
        else:
            side[price] = size = size if size != "0" else self._size()
        bid, ask = max(self._bids), min(self._asks)
        self._timestamp_ms += 2
        up = _entry(_UP, "BUY" if buy else "SELL", price, size, bid, ask)
        down = _entry(
            *(_DOWN, "SELL" if buy else "BUY", 10_000 - price, size), *(10_000 - ask, 10_000 - bid)
        )
        up["hash"], down["hash"] = (each["hash"] for each in self._books())
        return _encode(
            {
                "market": _MARKET,
                "price_changes": [up, down],
                "timestamp": str(self._timestamp_ms),
                "event_type": "price_change",
            }
        )

    def _size(self) -> str:
        kind = self._random.random()
        if kind < 0.3:
            return str(self._random.randint(1, 500))
        return f"{self._random.randint(1, 10**6) / 100:.2f}"

    def _book(
        self, token_id: str, bids: list[tuple[int, str]], asks: list[tuple[int, str]]
    ) -> dict[str, Any]:
        told = {
            "market": _MARKET,
            "asset_id": token_id,
            "timestamp": str(self._timestamp_ms),
            "hash": "",
            "bids": [{"price": _text(price), "size": size} for price, size in bids],
            "asks": [{"price": _text(price), "size": size} for price, size in asks],
            "event_type": "book",
            "last_trade_price": "0.500",
            "min_order_size": "5",
            "neg_risk": False,
            "tick_size": "0.001",
        }
        if self._hashed:
            told["hash"] = generate_orderbook_summary_hash(parse_raw_orderbook_summary(told))
        return told


def _entry(
    token_id: str, side: str, price_e4: int, size: str, bid_e4: int, ask_e4: int
) -> dict[str, str]:
    return {
        "asset_id": token_id,
        "price": _text(price_e4),
        "size": size,
        "side": side,
        "best_bid": _text(bid_e4),
        "best_ask": _text(ask_e4),
    }


def _text(price_e4: int) -> str:
    return f"{price_e4 / 10_000:.4f}".rstrip("0")


def _encode(event: object) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()


def _table() -> SessionTable:
    table = SessionTable([parse_series("btc-15m")])
    table.follow(
        MarketInfo(
            condition_id=_MARKET,
            slug="btc-updown-15m-1757908800",
            series="btc-15m",
            outcomes=(Outcome(name="Up", token_id=_UP), Outcome(name="Down", token_id=_DOWN)),
            start_ms=1_757_908_800_000,
            end_ms=1_757_909_700_000,
            tick_size_e4=_TICK_E4,
            min_order_size_e6=5_000_000,
            fee=FeeSchedule(rate=Decimal("0.07"), exponent=1),
            neg_risk=False,
            accepting=True,
        ),
        now_ms=_BEGIN_MS,
    )
    table.connected(0, {_UP, _DOWN}, _BEGIN_MS)
    return table


def _known(payload: bytes) -> list[KnownEvent]:
    return [e for e in decode_frame(payload) if isinstance(e, BookEvent | PriceChangeEvent)]


def _measure(name: str, batch: Callable[[], object], operations: int) -> dict[str, float]:
    """Microseconds an operation: median and best batch."""
    batch()
    taken = []
    for _ in range(BATCHES):
        begun = time.process_time_ns()
        batch()
        taken.append((time.process_time_ns() - begun) / 1_000 / operations)
    return {f"{name}_us": statistics.median(taken), f"{name}_best_us": min(taken)}


def _both_lines(feed: _Feed) -> dict[str, float]:
    """Microseconds a frame on both lines, interleaved: shared, and each line by itself."""
    taken: dict[str, list[float]] = {"frame_on_both_lines": [], "frame_on_both_lines_unshared": []}
    for _ in range(BATCHES + 1):
        for name, times in taken.items():
            begun = time.process_time_ns()
            feed.both_lines(shared=name == "frame_on_both_lines")
            times.append((time.process_time_ns() - begun) / 1_000 / FRAMES)
    figures: dict[str, float] = {}
    for name, times in taken.items():
        low, median, high = statistics.quantiles(times[1:], n=4)
        figures |= {f"{name}_us": median, f"{name}_q1_us": low, f"{name}_q3_us": high}
    return figures


class _Feed:
    """Frames of one market, and what a feeder does with them."""

    def __init__(self, *, hashed: bool) -> None:
        venue = _Venue(seed=1, hashed=hashed)
        self.first = venue.books()
        self.frames = [venue.change() for _ in range(FRAMES)]
        self.levels_a_side = venue.levels
        self._books = _known(self.first)
        self._changes = [_known(payload)[0] for payload in self.frames]

    def begun(self) -> SessionTable:
        """A table that has the first books."""
        table = _table()
        for event in self._books:
            table.apply(0, event, _BEGIN_MS * 1_000_000)
        return table

    def decode(self) -> None:
        for payload in self.frames:
            decode_frame(payload)

    def apply(self) -> SessionTable:
        table = self.begun()
        for event in self._changes:
            table.apply(0, event, event.timestamp * 1_000_000)
        return table

    def decode_and_apply(self) -> None:
        table = self.begun()
        for payload in self.frames:
            for event in decode_frame(payload):
                if isinstance(event, PriceChangeEvent):
                    table.apply(0, event, event.timestamp * 1_000_000)

    def both_lines(self, *, shared: bool) -> None:
        """Each frame comes on one line, then on the other."""
        decode = lru_cache(16)(decode_frame) if shared else decode_frame
        table = self.begun()
        table.connected(1, {_UP, _DOWN}, _BEGIN_MS)
        for book in self._books:
            table.apply(1, book, _BEGIN_MS * 1_000_000)
        for payload in self.frames:
            for line in (0, 1):
                for event in decode(payload):
                    if isinstance(event, PriceChangeEvent):
                        table.apply(line, event, event.timestamp * 1_000_000)

    def decode_and_apply_books(self) -> None:
        table = _table()
        for event in decode_frame(self.first):
            if isinstance(event, BookEvent):
                table.apply(0, event, _BEGIN_MS * 1_000_000)


def run() -> dict[str, float]:
    """Every figure by name; microseconds where it ends in `_us`."""
    feed, bare = _Feed(hashed=True), _Feed(hashed=False)
    table = feed.apply()
    (session,) = table
    now_ns = time.time_ns()
    snapshot = table.snapshot(session, now_ns, 1)
    # Every change was taken, and the last one is proven.
    assert snapshot is not None
    assert snapshot.proof is Proof.CHECKSUM
    encoded = encode_snapshot(snapshot)
    return {
        **_measure("price_change_entry", feed.decode_and_apply, 2 * FRAMES),
        **_measure("price_change_entry_decode", feed.decode, 2 * FRAMES),
        **_measure("price_change_entry_apply", feed.apply, 2 * FRAMES),
        **_measure("price_change_entry_top", bare.decode_and_apply, 2 * FRAMES),
        **_measure("price_change_entry_top_apply", bare.apply, 2 * FRAMES),
        **_both_lines(feed),
        **_measure("book_decode_and_apply", feed.decode_and_apply_books, 2),
        **_measure("snapshot_build", lambda: table.snapshot(session, now_ns, 1), 1),
        **_measure("snapshot_encode", lambda: encode_snapshot(snapshot), 1),
        **_measure("snapshot_decode", lambda: decode_snapshot(encoded), 1),
        "price_change_bytes": statistics.mean(map(len, feed.frames)),
        "snapshot_bytes": float(len(encoded)),
        "levels_a_side": float(feed.levels_a_side),
    }


def main() -> None:
    """Print the figures, as JSON and for a person."""
    results = run()
    print(json.dumps(results))
    width = max(map(len, results))
    for name, value in results.items():
        print(f"{name:<{width}}  {value:10.2f}")


if __name__ == "__main__":
    main()
