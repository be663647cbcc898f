"""Frames that the real venue sent: its hashes are ours, for both tokens (captures/README.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from feeder.core.book.checksum import BookChecksum
from feeder.core.book.token_book import SnapshotResult, TokenBook
from protocol.book import Proof
from protocol.fee import NO_FEE
from protocol.market import MarketInfo, Outcome
from venue.wire.market_channel import BookEvent, PriceChangeEvent, decode_frame

CAPTURE = json.loads(
    Path(__file__).with_name("captures").joinpath("btc-updown-5m-1786845300.json").read_text()
)
UP, DOWN = CAPTURE["tokens"]["Up"], CAPTURE["tokens"]["Down"]


def test_every_version_of_the_token_with_an_opening_book_is_proven() -> None:
    book = TokenBook(DOWN, _formula())
    assert book.replace(_opening(), from_rest=False) is SnapshotResult.TAKEN
    assert book.proof is Proof.CHECKSUM
    _proven_by_every_frame(book)


def test_the_mirror_of_that_book_is_the_other_tokens_with_the_same_trade_price() -> None:
    book, mirror = TokenBook(UP, _formula()), _opening(mirrored=True)
    assert book.replace(mirror, from_rest=False) is SnapshotResult.TAKEN
    assert book.proof is not Proof.CHECKSUM  # the venue's hash of this one was not captured
    _proven_by_every_frame(book)


@pytest.mark.parametrize("skipped", [0, 1, 4, 12])
def test_one_lost_frame_is_noticed_until_its_level_is_set_again(skipped: int) -> None:
    book = TokenBook(DOWN, _formula())
    book.replace(_opening(), from_rest=False)
    frames = list(_frames())
    lost, *later = [_entry(event, DOWN) for event in frames[skipped:]]
    mended = next(
        (n for n, each in enumerate(later) if (each.side, each.price) == (lost.side, lost.price)),
        len(later),
    )
    for n, event in enumerate(frames):
        if n != skipped and book.trouble is None:
            _apply(book, event)
            expected = n < skipped or n > skipped + mended
            assert (book.proof is Proof.CHECKSUM) is expected


def _proven_by_every_frame(book: TokenBook) -> None:
    for event in _frames():
        _apply(book, event)
        assert (book.proof, book.timestamp_ms) == (Proof.CHECKSUM, event.timestamp)
        assert book.hash == _entry(event, book.token_id).hash


def _apply(book: TokenBook, event: PriceChangeEvent) -> None:
    change = _entry(event, book.token_id)
    assert book.change(change, event.timestamp)
    book.check(change, event.timestamp * 1_000_000)
    book.verify_deferred()


def _entry(event: PriceChangeEvent, token_id: str) -> Any:
    (change,) = [each for each in event.price_changes if each.asset_id == token_id]
    return change


def _opening(mirrored: bool = False) -> BookEvent:
    opening = CAPTURE["opening"]
    bids, asks = opening["bids"], opening["asks"]
    if mirrored:
        bids, asks = (
            [[_mirrored(price), size] for price, size in asks],
            [[_mirrored(price), size] for price, size in bids],
        )
    (event,) = decode_frame(
        json.dumps(
            {
                "event_type": "book",
                "market": CAPTURE["market"],
                "asset_id": UP if mirrored else DOWN,
                "timestamp": opening["timestamp"],
                "hash": "" if mirrored else opening["hash"],
                "bids": [{"price": price, "size": size} for price, size in bids],
                "asks": [{"price": price, "size": size} for price, size in asks],
                "tick_size": opening["tick_size"],
                "last_trade_price": opening["last_trade_price"],
            }
        ).encode()
    )
    assert isinstance(event, BookEvent)
    return event


def _frames() -> Iterator[PriceChangeEvent]:
    for timestamp, side, price, size, hash_of_down, hash_of_up in CAPTURE["changes"]:
        entries = (
            (DOWN, side, price, hash_of_down, "0.82", "0.83"),
            (UP, "SELL" if side == "BUY" else "BUY", _mirrored(price), hash_of_up, "0.17", "0.18"),
        )
        changes = [
            {
                "asset_id": token_id, "side": each_side, "price": each_price, "size": size,
                "hash": digest, "best_bid": bid, "best_ask": ask,
            }
            for token_id, each_side, each_price, digest, bid, ask in entries
        ]  # fmt: skip
        frame = {
            "event_type": "price_change",
            "market": CAPTURE["market"],
            "timestamp": timestamp,
            "price_changes": changes,
        }
        (event,) = decode_frame(json.dumps(frame).encode())
        assert isinstance(event, PriceChangeEvent)
        yield event


def _mirrored(price: str) -> str:
    return f"{(1 - Decimal(price)).normalize():f}"


def _formula() -> BookChecksum:
    return BookChecksum(
        MarketInfo(
            condition_id=CAPTURE["market"],
            slug="btc-updown-5m-1786845300",
            series="btc-5m",
            outcomes=(Outcome(name="Up", token_id=UP), Outcome(name="Down", token_id=DOWN)),
            start_ms=1_786_845_300_000,
            end_ms=1_786_845_600_000,
            tick_size_e4=100,
            min_order_size_e6=5_000_000,
            fee=NO_FEE,
            neg_risk=False,
            accepting=True,
        )
    )
