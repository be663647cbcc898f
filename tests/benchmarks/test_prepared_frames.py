"""Frames that are written before they are due."""

from __future__ import annotations

import json

from benchmarks.prepared_frames import FrameSource
from benchmarks.scripted_markets import scripted_venue
from sandbox.simulator.frames import hash_of


def test_frames_that_are_written_ahead_have_the_hash_of_the_book_that_the_venue_then_has() -> None:
    venue, markets = scripted_venue(3)
    _, twins = scripted_venue(3)
    source = FrameSource(venue, markets, twins)
    frames = source._write(1_790_000_000.0, 1_000, 200)
    source._send(frames)
    for market in markets:
        newest = next(frame for frame in reversed(frames) if frame.market is market)
        told = {each["asset_id"]: each["hash"] for each in json.loads(newest.text)["price_changes"]}
        assert told == {book.token_id: hash_of(market, book) for book in market.books}
