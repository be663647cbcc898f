"""Our book keeping beside that of published libraries: same frames, same process, in turn.

    python -m benchmarks.peers --site DIR

DIR is where the peers were installed, apart from this project, which does not depend on them:
`pip install --target DIR polyws polypulse "nautilus_trader[polymarket]"`. What is not there is left
out, and said so. DIR is searched last, so our own versions of shared packages win.

A change is one entry of a `price_change`: decoded from bytes and applied to a book of 60 levels a
side. What each does with it:
- ours: best prices and the venue's hash over the whole book are checked after every frame;
- ours, best prices only: the same frames without hashes;
- floor: what any Python has to do that checks the hash, and nothing else: our decoder, and SHA-1
  over a book's text that is there already;
- nautilus_trader: the adapter's decoder and its steps from a quote to the Rust/Cython order book,
  without its message bus; it checks nothing;
- polyws: its parser, cache, spread and midpoint, without its callbacks; it checks nothing;
- polypulse: `BookFeed` from text to its callback; it checks nothing.
Each one's best prices at the end are compared with the venue's. In processor time, in turn; a ratio
is taken within each turn.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias

from rich.console import Console
from rich.table import Table

from benchmarks import report
from benchmarks.stats import quartiles, ratios
from feeder.core.market.session_table import SessionTable
from protocol.fee import FeeSchedule
from protocol.market import MarketInfo, Outcome
from protocol.series import parse_series
from sandbox.simulator.text import PRICE_TEXT, book_hash, size_text
from tests.support.arguments import folder
from venue.wire.market_channel import Malformed, Pong, UnknownEvent, decode_frame

FRAMES: Final = 4_000
TURNS: Final = 7
LEVELS: Final = 60
TICK_E4: Final = 10
START_MS: Final = 1_757_908_860_000
UP, DOWN = "7" + "1" * 76, "5" + "2" * 76
MARKET: Final = "0x" + "ab" * 32

Levels: TypeAlias = dict[int, int]
Top: TypeAlias = tuple[str, str]
Contender: TypeAlias = Callable[[Sequence[bytes]], Top]
"""Takes all frames; returns best bid and best ask of the Up token."""


class _Book:
    """Both tokens of one market: the second one mirrors the first."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.now_ms = START_MS
        self.bids: Levels = {5_000 - n * TICK_E4: self._size() for n in range(1, LEVELS)}
        self.asks: Levels = {5_000 + n * TICK_E4: self._size() for n in range(1, LEVELS)}

    def frames(self) -> list[bytes]:
        """The books, then as many changes as are asked for."""
        books = [self._book(token_id) for token_id in (UP, DOWN)]
        opening = f"[{','.join(books)}]".encode()
        return [opening, *[self._change() for _ in range(FRAMES)]]

    def best(self) -> Top:
        return PRICE_TEXT[max(self.bids)], PRICE_TEXT[min(self.asks)]

    def _size(self) -> int:
        return self._random.randint(100, 100_000) * 10_000

    def _sides(self, token_id: str) -> tuple[str, str]:
        bids, asks = self.bids, self.asks
        if token_id == DOWN:
            bids = {10_000 - price: size for price, size in self.asks.items()}
            asks = {10_000 - price: size for price, size in self.bids.items()}
        return _json(bids, False), _json(asks, True)

    def _hash(self, token_id: str) -> str:
        bids, asks = self._sides(token_id)
        return book_hash(
            market=MARKET, asset_id=token_id, timestamp_ms=self.now_ms, bids=bids, asks=asks,
            min_order_size="5", tick_size="0.001", neg_risk=False, last_trade_price="0.500",
        )  # fmt: skip

    def _book(self, token_id: str) -> str:
        bids, asks = self._sides(token_id)
        return (
            f'{{"market":"{MARKET}","asset_id":"{token_id}","timestamp":"{self.now_ms}",'
            f'"hash":"{self._hash(token_id)}","bids":{bids},"asks":{asks},"tick_size":"0.001",'
            f'"event_type":"book","last_trade_price":"0.500"}}'
        )

    def _change(self) -> bytes:
        self.now_ms += 2
        side = self._random.choice(("BUY", "SELL"))
        levels, other = (self.bids, self.asks) if side == "BUY" else (self.asks, self.bids)
        if len(levels) > LEVELS and self._random.random() < 0.5:
            price, size = self._random.choice(tuple(levels)), 0
        else:
            reach = min(int(self._random.expovariate(0.15)) + 1, 2 * LEVELS) * TICK_E4
            price = (min(other) - reach) if side == "BUY" else (max(other) + reach)
            size = self._size()
        if size:
            levels[price] = size
        else:
            del levels[price]
        bid, ask = self.best()
        opposite = "SELL" if side == "BUY" else "BUY"
        mirrored = PRICE_TEXT[10_000 - int(min(self.asks))], PRICE_TEXT[10_000 - max(self.bids)]
        entries = ", ".join(
            f'{{"asset_id":"{token_id}", "price":"{PRICE_TEXT[at]}", "size":"{size_text(size)}", '
            f'"side":"{taken}", "hash":"{self._hash(token_id)}", "best_bid":"{best[0]}", '
            f'"best_ask":"{best[1]}"}}'
            for token_id, at, taken, best in (
                (UP, price, side, (bid, ask)),
                (DOWN, 10_000 - price, opposite, mirrored),
            )
        )
        return (
            f'{{"market":"{MARKET}", "price_changes":[{entries}], '
            f'"timestamp":"{self.now_ms}", "event_type":"price_change"}}'
        ).encode()


def _json(levels: Levels, descending: bool) -> str:
    texts = [
        f'{{"price":"{PRICE_TEXT[price]}","size":"{size_text(levels[price])}"}}'
        for price in sorted(levels, reverse=descending)
    ]
    return f"[{','.join(texts)}]"


def ours(frames: Sequence[bytes]) -> Top:
    """Decode, apply, check. A frame every 2 ms, so that no check is put off or skipped."""
    table = SessionTable([parse_series("btc-15m")])
    table.follow(_market(), START_MS)
    table.connected(0, (UP, DOWN), START_MS)
    received_at_ns = START_MS * 1_000_000
    session = None
    for frame in frames:
        received_at_ns += 2_000_000
        for event in decode_frame(frame):
            if not isinstance(event, Malformed | Pong | UnknownEvent):
                session = table.apply(0, event, received_at_ns).session
    assert session is not None
    snapshot = table.snapshot(session, received_at_ns, 1)
    assert snapshot is not None, "our own books are in doubt"
    book = snapshot.book_of("Up")
    return PRICE_TEXT[book.best_bid_e4 or 0], PRICE_TEXT[book.best_ask_e4 or 0]


def _market() -> MarketInfo:
    return MarketInfo(
        condition_id=MARKET,
        slug="btc-updown-15m-1757908800",
        series="btc-15m",
        outcomes=(Outcome(name="Up", token_id=UP), Outcome(name="Down", token_id=DOWN)),
        start_ms=START_MS - 60_000,
        end_ms=START_MS + 840_000,
        tick_size_e4=TICK_E4,
        min_order_size_e6=5_000_000,
        fee=FeeSchedule(rate=Decimal("0.07"), exponent=1),
        neg_risk=False,
        accepting=True,
    )


def _nautilus() -> Contender:
    enums: Any = importlib.import_module("nautilus_trader.model.enums")
    data: Any = importlib.import_module("nautilus_trader.model.data")
    book_of: Any = importlib.import_module("nautilus_trader.model.book").OrderBook
    model: Any = importlib.import_module("nautilus_trader.model.objects")
    identifiers: Any = importlib.import_module("nautilus_trader.model.identifiers")
    instruments: Any = importlib.import_module("nautilus_trader.model.instruments")
    adapter = "nautilus_trader.adapters.polymarket."
    schemas: Any = importlib.import_module(adapter + "schemas.book")
    types: Any = importlib.import_module(adapter + "websocket.types")
    millis_to_nanos: Any = importlib.import_module("nautilus_trader.core.datetime").millis_to_nanos
    msgspec: Any = importlib.import_module("msgspec")
    decode = msgspec.json.Decoder(types.MARKET_WS_MESSAGE).decode

    def instrument(token_id: str) -> Any:
        return instruments.BinaryOption(
            instrument_id=identifiers.InstrumentId.from_str(f"{token_id}.POLYMARKET"),
            raw_symbol=identifiers.Symbol(token_id), outcome="Up", description="Up",
            asset_class=enums.AssetClass.ALTERNATIVE, currency=model.Currency.from_str("USDC"),
            price_precision=3, price_increment=model.Price.from_str("0.001"),
            size_precision=6, size_increment=model.Quantity.from_str("0.000001"),
            activation_ns=0, expiration_ns=0, max_quantity=None, min_quantity=None,
            maker_fee=Decimal(0), taker_fee=Decimal(0), ts_event=0, ts_init=0,
        )  # fmt: skip

    known = {token_id: instrument(token_id) for token_id in (UP, DOWN)}

    def play(frames: Sequence[bytes]) -> Top:
        books = {token: book_of(each.id, enums.BookType.L2_MBP) for token, each in known.items()}
        for frame in frames:
            message = decode(frame)
            for item in message if isinstance(message, list) else (message,):
                now_ns = time.time_ns()
                if isinstance(item, schemas.PolymarketBookSnapshot):
                    snapshot = item.parse_to_snapshot(known[item.asset_id], ts_init=now_ns)
                    books[item.asset_id].apply_deltas(snapshot)
                    continue
                for change in item.price_changes:
                    each = known[change.asset_id]
                    buy = change.side == schemas.PolymarketOrderSide.BUY
                    order = data.BookOrder(
                        side=enums.OrderSide.BUY if buy else enums.OrderSide.SELL,
                        price=each.make_price(float(change.price)),
                        size=each.make_qty(float(change.size)),
                        order_id=0,
                    )
                    action = enums.BookAction.UPDATE if order.size > 0 else enums.BookAction.DELETE
                    delta = data.OrderBookDelta(
                        instrument_id=each.id, action=action, order=order,
                        flags=enums.RecordFlag.F_LAST, sequence=0,
                        ts_event=millis_to_nanos(float(item.timestamp)), ts_init=now_ns,
                    )  # fmt: skip
                    books[change.asset_id].apply(data.OrderBookDeltas(each.id, [delta]))
        return _trimmed(books[UP].best_bid_price()), _trimmed(books[UP].best_ask_price())

    return play


def _polyws() -> Contender:
    types: Any = importlib.import_module("polyws.types")
    cache_of: Any = importlib.import_module("polyws.order_book").OrderBookCache

    def play(frames: Sequence[bytes]) -> Top:
        cache = cache_of()
        for frame in frames:
            message = json.loads(frame)
            for item in message if isinstance(message, list) else (message,):
                event = types.parse_event(item)
                if event.event_type == "book":
                    cache.replace_book(event)
                    continue
                cache.upsert_price_change(event)
                for change in event.price_changes:
                    if not cache.spread_over(change.asset_id, 0.1):
                        cache.midpoint(change.asset_id)
        book = cache.get_book_entry(UP)
        return book.bids[-1].price, book.asks[-1].price

    return play


def _polypulse() -> Contender:
    feed_of: Any = importlib.import_module("polypulse.feed").BookFeed

    def play(frames: Sequence[bytes]) -> Top:
        feed = feed_of([UP, DOWN], on_update=lambda token_id, event: None)
        for frame in frames:
            feed._handle(frame.decode())  # its only way in but a socket
        return _trimmed(feed.best_bid(UP)), _trimmed(feed.best_ask(UP))

    return play


def _trimmed(price: object) -> str:
    return f"{float(str(price)):.4f}".rstrip("0")


PEERS: Final = {"nautilus_trader": _nautilus, "polyws": _polyws, "polypulse": _polypulse}
OURS: Final = "ours, hash of every change checked"


def _floor(book: _Book) -> Contender:
    texts = [json.dumps(book._sides(token_id)).encode() for token_id in (UP, DOWN)]

    def play(frames: Sequence[bytes]) -> Top:
        for frame in frames:
            decode_frame(frame)
            for text in texts:
                hashlib.sha1(text, usedforsecurity=False).hexdigest()
        return book.best()

    return play


def run() -> dict[str, list[float]]:
    """Changes a second by contender, one figure a turn; what is not importable is left out."""
    book = _Book(seed=1)
    frames = book.frames()
    unproven = [_without_hashes(frame) for frame in frames]
    contenders: dict[str, tuple[Contender, list[bytes]]] = {
        OURS: (ours, frames),
        "ours, best prices only": (ours, unproven),
        "floor: decode, and SHA-1 of a book": (_floor(book), frames),
    }
    for name, prepare in PEERS.items():
        try:
            contenders[name] = (prepare(), frames)
        except ImportError as error:
            print(f"{name}: left out, not importable here ({error})")
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(TURNS):
        for name, (play, given) in contenders.items():
            begun = time.process_time()
            top = play(given)
            taken[name].append(2 * FRAMES / (time.process_time() - begun))
            assert top == book.best(), f"{name} ends with {top}, the venue with {book.best()}"
    return taken


def table(found: Mapping[str, Sequence[float]]) -> Table:
    """Medians and quartiles of what `run` found, and ratios to ours."""
    rows = []
    for name, turns in found.items():
        ratio = ratios(turns, found[OURS])
        each_us = quartiles([1e6 / each for each in turns])
        cells = (quartiles(turns).text(0), each_us.text(1), ratio.text() if ratio else "")
        rows.append((name, *cells))
    columns = ("", "changes/s", "µs a change", "times as many as ours")
    return report.table("changes of a book, on one core", columns, rows)


def _without_hashes(frame: bytes) -> bytes:
    message = json.loads(frame)
    for event in message if isinstance(message, list) else (message,):
        for part in (event, *event.get("price_changes", ())):
            part.pop("hash", None)
    return json.dumps(message).encode()


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--site", type=folder, action="append", default=[], help="where peers are installed"
    )
    sys.path.extend(parser.parse_args().site)
    Console().print(table(run()))


if __name__ == "__main__":
    main()
