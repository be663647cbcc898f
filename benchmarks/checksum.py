"""What proving a book by the venue's checksum costs, one change at a time.

Books of 99 levels (every cent of a market: 50 bids, 49 asks) and of 99 levels a side (the 0.001
grid). A change is one level's new size, most of them near the top; each is hashed by the venue's
own client, and each is verified, as if they came more than a millisecond apart. Best and median of
many batches, in CPU time: what else a shared machine does counts less that way.
"""

from __future__ import annotations

import hashlib
import random
import statistics
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

from py_clob_client.utilities import generate_orderbook_summary_hash, parse_raw_orderbook_summary

from feeder.core.book.checksum import BookChecksum
from feeder.core.book.token_book import TokenBook
from protocol.book import Proof
from protocol.fee import NO_FEE
from protocol.market import MarketInfo, Outcome
from venue.wire.market_channel import BookEvent, PriceChange, WireLevel

CHANGES: Final = 1_000
BATCHES: Final = 40
_BEGIN_MS: Final = 1_757_908_892_000
_TOKEN: Final = "7" + "1" * 76
_INFO: Final = MarketInfo(
    condition_id="0x" + "ab" * 32,
    slug="btc-updown-15m-1757908800",
    series="btc-15m",
    outcomes=(Outcome(name="Up", token_id=_TOKEN), Outcome(name="Down", token_id="5" + "2" * 76)),
    start_ms=1_757_908_800_000,
    end_ms=1_757_909_700_000,
    tick_size_e4=100,
    min_order_size_e6=5_000_000,
    fee=NO_FEE,
    neg_risk=False,
    accepting=True,
)


class _Venue:
    """A book of a fixed number of levels whose sizes change."""

    def __init__(self, bids: Sequence[str], asks: Sequence[str]) -> None:
        self._random = random.Random(1)
        self._bids = {price: self._size() for price in bids}
        self._asks = {price: self._size() for price in asks}
        self._timestamp_ms = _BEGIN_MS

    def change(self) -> tuple[int, PriceChange]:
        """The next one, near the top more often than far from it."""
        buy = self._random.random() < 0.5
        side = self._bids if buy else self._asks
        prices = list(side)  # worst first
        price = prices[-1 - min(int(self._random.expovariate(0.15)), len(prices) - 1)]
        side[price] = self._size()
        self._timestamp_ms += 1
        best = list(self._bids)[-1], list(self._asks)[-1]
        hashed = self.book().hash
        side_name: Any = "BUY" if buy else "SELL"
        return self._timestamp_ms, PriceChange(_TOKEN, price, side[price], side_name, *best, hashed)

    def book(self) -> BookEvent:
        """As `GET /book` answers."""
        raw: dict[str, Any] = {
            "market": _INFO.condition_id,
            "asset_id": _TOKEN,
            "timestamp": str(self._timestamp_ms),
            "hash": "",
            "bids": [{"price": price, "size": size} for price, size in self._bids.items()],
            "asks": [{"price": price, "size": size} for price, size in self._asks.items()],
            "min_order_size": "5",
            "tick_size": "0.01",
            "neg_risk": False,
            "last_trade_price": "0.500",
        }
        raw["hash"] = generate_orderbook_summary_hash(parse_raw_orderbook_summary(raw))
        raw["timestamp"] = self._timestamp_ms
        bids, asks = ([WireLevel(**level) for level in raw[side]] for side in ("bids", "asks"))
        return BookEvent(**raw | {"bids": bids, "asks": asks})

    def _size(self) -> str:
        return f"{self._random.randint(1, 10**6) / 100:.2f}".rstrip("0").rstrip(".")


def _measure(
    name: str, operations: int, batch: Callable[[], object], before: Callable[[], object]
) -> dict[str, float]:
    """Microseconds an operation: median and best batch."""
    taken = []
    for _ in range(BATCHES):
        before()
        begun = time.process_time_ns()
        batch()
        taken.append((time.process_time_ns() - begun) / 1_000 / operations)
    return {f"{name}_us": statistics.median(taken), f"{name}_best_us": min(taken)}


def _figures(name: str, venue: _Venue) -> dict[str, float]:
    first = venue.book()
    changes = [venue.change() for _ in range(CHANGES)]
    last = venue.book()
    bare = [
        (at_ms, PriceChange(_TOKEN, c.price, c.size, c.side, c.best_bid, c.best_ask))
        for at_ms, c in changes
    ]
    book = TokenBook(_TOKEN, BookChecksum(_INFO))
    received_ns = time.time_ns()

    def begin() -> None:
        book.reset()
        book.replace(first, from_rest=True)

    def apply(told: Sequence[tuple[int, PriceChange]], proof: Proof) -> None:
        nonlocal received_ns
        for at_ms, change in told:
            received_ns += 2_000_000
            book.change(change, at_ms)
            book.check(change, received_ns)
        assert book.proof is proof

    payload = _payload(last)

    def sha1() -> None:
        for _ in range(CHANGES):
            hashlib.sha1(payload, usedforsecurity=False).hexdigest()

    checksum = BookChecksum(_INFO)
    sides = _json(last.bids), _json(last.asks)

    def wrong() -> None:
        assert not checksum.matches(_TOKEN, last.timestamp, *sides, "0" * 40)

    return {
        **_measure(f"{name}_checksum", CHANGES, lambda: apply(changes, Proof.CHECKSUM), begin),
        **_measure(f"{name}_top", CHANGES, lambda: apply(bare, Proof.TOP), begin),
        **_measure(f"{name}_sha1_alone", CHANGES, sha1, lambda: None),
        **_measure(f"{name}_all_trade_prices", 1, wrong, lambda: None),
        **_measure(f"{name}_snapshot", 1, lambda: book.replace(first, from_rest=True), book.reset),
        f"{name}_hashed_bytes": len(payload),
    }


def _json(levels: list[WireLevel] | None) -> str:
    """As `Ladder.json` has it."""
    return ",".join(f'{{"price":"{level.price}","size":"{level.size}"}}' for level in levels or ())


def _payload(book: BookEvent) -> bytes:
    """About what is hashed."""
    return b'{"market":"%b","bids":[%b],"asks":[%b]}' % (
        (_INFO.condition_id + _TOKEN).encode().ljust(270),
        _json(book.bids).encode(),
        _json(book.asks).encode(),
    )


def _prices(*e4: int) -> list[str]:
    return [f"{Decimal(each).scaleb(-4).normalize():f}" for each in e4]


def run() -> dict[str, float]:
    """Every figure by name; microseconds where it ends in `_us`."""
    return {
        **_figures(
            "levels_99",
            _Venue(_prices(*range(100, 5_001, 100)), _prices(*range(9_900, 5_000, -100))),
        ),
        **_figures(
            "levels_99_a_side",
            _Venue(_prices(*range(4_010, 5_000, 10)), _prices(*range(5_990, 5_000, -10))),
        ),
    }


if __name__ == "__main__":
    for figure, value in run().items():
        print(f"{figure:40} {value:10.2f}")
