"""A recording as large as is wanted, quickly: what the venue sends, with its checksums, made up.

One market after another of each series, each with its listing, its first books, changes of both
tokens' books at a steady rate, and what it paid. A level's size changes, and now and then the best
bid goes and comes, so that prices move. About 30 MB of lines a second; nothing is kept but the
books.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from feeder.recording.format import (
    Closed,
    Listed,
    Opened,
    Paid,
    Record,
    Started,
    Stopped,
    Unfollowed,
    encode_record,
    frame_of,
)
from feeder.recording.part_files import GZIP
from protocol.fee import FeeSchedule
from protocol.market import MarketInfo, Outcome

WINDOW_MS: Final = 900_000
START_MS: Final = 1_790_586_000_000
LEVELS: Final = 20
_MEMBER_BYTES: Final = 1 << 19
_FILE_BYTES: Final = 256 << 20
"""Of lines; the writer's own files are smaller or larger, as it wants."""
_PAID_AFTER_MS: Final = 60_000
_TAIL: Final = (
    b',"min_order_size":"5","tick_size":"0.01","neg_risk":false,"last_trade_price":"0.500"}'
)


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What was written."""

    line_bytes: int
    file_bytes: int
    frames: int
    markets: int


class _Side:
    """One token's book: its levels as JSON, worst first."""

    def __init__(self, market: str, token_id: str, cents: tuple[list[int], list[int]]) -> None:
        self.token_id = token_id
        self.prices = [[f"0.{cent:02}" for cent in side] for side in cents]
        self.levels = [
            [f'{{"price":"{price}","size":"100"}}' for price in side] for side in self.prices
        ]
        self._head = f'{{"market":"{market}","asset_id":"{token_id}","timestamp":"'

    def json(self) -> tuple[str, str]:
        bids, asks = self.levels
        return f"[{','.join(filter(None, bids))}]", f"[{','.join(filter(None, asks))}]"

    def hash(self, at_ms: int) -> str:
        bids, asks = self.json()
        text = f'{self._head}{at_ms}","hash":"","bids":{bids},"asks":{asks}'
        return hashlib.sha1(text.encode() + _TAIL, usedforsecurity=False).hexdigest()

    def best(self, side: int) -> str:
        return self.prices[side][-1 if self.levels[side][-1] else -2]


class _Market:
    def __init__(self, info: MarketInfo) -> None:
        self.info = info
        up, down = (outcome.token_id for outcome in info.outcomes)
        bids, asks = list(range(50 - LEVELS, 50)), list(range(50 + LEVELS, 50, -1))
        mirrored = [100 - cent for cent in asks], [100 - cent for cent in bids]
        market = info.condition_id
        self.books = _Side(market, up, (bids, asks)), _Side(market, down, mirrored)

    def opening(self, at_ms: int) -> bytes:
        books = []
        for book in self.books:
            bids, asks = book.json()
            books.append(
                f'{{"market":"{self.info.condition_id}","asset_id":"{book.token_id}",'
                f'"timestamp":"{at_ms}","hash":"{book.hash(at_ms)}","bids":{bids},"asks":{asks},'
                '"tick_size":"0.01","event_type":"book","last_trade_price":"0.500"}'
            )
        return f"[{','.join(books)}]".encode()

    def change(self, at_ms: int, rng: Random) -> bytes:
        number = int(rng.random() * 1_000_000)
        side, level, size = number % 2, number // 2 % LEVELS, str(number % 997 + 1)
        if level == LEVELS - 1 and side == 0 and self.books[0].levels[0][-1]:
            size = "0"
        entries = []
        for at, book in zip((side, 1 - side), self.books, strict=True):
            price = book.prices[at][level]
            book.levels[at][level] = f'{{"price":"{price}","size":"{size}"}}' if size != "0" else ""
            entries.append((book, price, "SELL" if at else "BUY"))
        changes = ", ".join(
            f'{{"asset_id":"{book.token_id}", "price":"{price}", "size":"{size}", "side":"{name}", '
            f'"hash":"{book.hash(at_ms)}", "best_bid":"{book.best(0)}", '
            f'"best_ask":"{book.best(1)}"}}'
            for book, price, name in entries
        )
        return (
            f'{{"market":"{self.info.condition_id}", "price_changes":[{changes}], '
            f'"timestamp":"{at_ms}", "event_type":"price_change"}}'
        ).encode()


def write_large_recording(
    directory: Path, *, line_bytes: int, frames_per_s: float = 40, series: int = 1
) -> Written:
    """Write into an empty directory until there are so many bytes of lines."""
    directory.mkdir(parents=True, exist_ok=True)
    names = [f"{coin}-15m" for coin in ("btc", "eth", "sol", "xrp", "doge", "bnb")[:series]]
    begin = Started(
        at_ns=START_MS * 1_000_000,
        mono_ns=0,
        format=1,
        run="large",
        part=1,
        market_ws_url="ws://127.0.0.1:1",
        gamma_url="http://127.0.0.1:1",
        series=tuple(names),
    )
    written = in_file = packed = frames = markets = part = 0
    member: list[bytes] = []
    waiting = 0
    path = directory
    for record in _records(begin, names, frames_per_s):
        line = encode_record(record)
        frames += record.__class__.__name__ == "Frame"
        markets += isinstance(record, Listed)
        member.append(line)
        waiting += len(line)
        written += len(line)
        enough = written >= line_bytes
        if waiting >= _MEMBER_BYTES or enough:
            if not part or in_file >= _FILE_BYTES:
                part += 1
                in_file = 0
                path = directory / f"part-{part:06}-20260928T000000Z.jsonl.gz"
                if part > 1:
                    head = msgspec.structs.replace(begin, part=part, at_ns=record.at_ns)
                    member.insert(0, encode_record(head))
            deflate = zlib.compressobj(1, zlib.DEFLATED, GZIP)
            packing = deflate.compress(b"".join(member)) + deflate.flush()
            with path.open("ab") as file:
                file.write(packing)
            packed += len(packing)
            in_file += waiting
            member, waiting = [], 0
        if enough:
            break
    return Written(line_bytes=written, file_bytes=packed, frames=frames, markets=markets)


def _records(begin: Started, names: list[str], frames_per_s: float) -> Iterator[Record]:
    """Without end: the caller has enough at some time."""
    yield begin
    yield Opened(**_at(START_MS), conn=1)
    rng = Random(1)
    step_ms = 1000 / (frames_per_s * len(names))
    window = 0
    unpaid: list[MarketInfo] = []
    while True:
        start_ms = START_MS + window * WINDOW_MS
        markets = [_Market(_info(name, start_ms)) for name in names]
        for market in markets:
            yield Listed(**_at(start_ms), market=market.info)
            yield frame_of(market.opening(start_ms), conn=1, **_at(start_ms))
        at_ms, number = start_ms + step_ms, 0
        while at_ms < start_ms + WINDOW_MS:
            if unpaid and at_ms > start_ms + _PAID_AFTER_MS:
                for info in unpaid:
                    yield _paid(info, int(at_ms))
                unpaid = []
            now_ms = int(at_ms)
            frame = markets[number % len(markets)].change(now_ms, rng)
            yield frame_of(frame, conn=1, **_at(now_ms))
            at_ms, number = at_ms + step_ms, number + 1
        unpaid = [market.info for market in markets]
        for info in unpaid:
            yield Unfollowed(**_at(int(at_ms)), condition_id=info.condition_id)
        window += 1


def closing(at_ms: int) -> list[Record]:
    """What a recorder ends with that is stopped."""
    return [Closed(**_at(at_ms), conn=1, why=Closed.OURS), Stopped(**_at(at_ms))]


def _at(at_ms: int) -> dict[str, int]:
    return {"at_ns": at_ms * 1_000_000, "mono_ns": (at_ms - START_MS) * 1_000_000}


def _paid(info: MarketInfo, at_ms: int) -> Paid:
    up, down = (outcome.token_id for outcome in info.outcomes)
    return Paid(
        **_at(at_ms),
        condition_id=info.condition_id,
        payouts_e6={up: 1_000_000, down: 0},
        source="gamma",
    )


def _info(series: str, start_ms: int) -> MarketInfo:
    coin = series.partition("-")[0]
    digest = hashlib.sha256(f"{series}-{start_ms}".encode()).hexdigest()
    return MarketInfo(
        condition_id=f"0x{digest}",
        slug=f"{coin}-updown-15m-{start_ms // 1000}",
        series=series,
        outcomes=(
            Outcome(name="Up", token_id=str(int(digest[:60], 16))),
            Outcome(name="Down", token_id=str(int(digest[2:62], 16))),
        ),
        start_ms=start_ms,
        end_ms=start_ms + WINDOW_MS,
        tick_size_e4=100,
        min_order_size_e6=5_000_000,
        fee=FeeSchedule(rate=Decimal("0.07"), exponent=1),
        neg_risk=False,
        accepting=True,
    )
