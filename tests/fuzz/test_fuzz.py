"""The fuzz target itself: a short slice of it, and that it can fail.

The long run is `python -m tests.fuzz`.
"""

from __future__ import annotations

import json
from random import Random

import pytest
from py_clob_client.clob_types import OrderBookSummary, OrderSummary
from py_clob_client.utilities import generate_orderbook_summary_hash

from feeder.core.book.checksum import BookChecksum
from tests.fuzz.__main__ import smallest
from tests.fuzz.damage import DAMAGES
from tests.fuzz.play import Round, Score, WrongBookError
from tests.fuzz.unshared import play_both
from tests.fuzz.venue import Venue

ROUNDS = range(8)


def test_no_damage_shows_a_wrong_book() -> None:
    total = Score()
    for number in ROUNDS:
        total.add(Round(7, number).play())
    assert total.frames > 12_000
    assert total.proven > total.shown / 2
    assert total.troubles.keys() >= {"checksum", "bad_frame", "top_mismatch"}
    assert total.requests > 50


def test_a_round_is_a_function_of_its_seed() -> None:
    score = Round(3, 1).play()
    assert Round(3, 1).play() == score
    assert Round(4, 1).play() != score


def test_without_the_checksum_wrong_books_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        BookChecksum, "_match", lambda *_, **__: True
    )  # whatever the venue's hash says
    with pytest.raises(WrongBookError):
        for number in range(1, 4):
            Round(7, number).play()


def test_the_venue_hashes_as_its_own_client_does() -> None:
    venue = Venue(Random(5))
    for _ in range(200):
        venue.step()
    for market in venue.markets:
        for token in market.tokens:
            if not market.hidden_inputs:
                book = json.loads(market.rest_book(token))
                stated = book["hash"]
                book["bids"] = [OrderSummary(**level) for level in book["bids"]]
                book["asks"] = [OrderSummary(**level) for level in book["asks"]]
                assert generate_orderbook_summary_hash(OrderBookSummary(**book)) == stated


def test_every_damage_is_done_and_none_fails_by_itself() -> None:
    venue = Venue(Random(5))
    frames = [venue.opening(), *[frame for _ in range(60) for frame in venue.step()]]
    for damage in DAMAGES:
        done = [damage(f, frames[:n], Random(n)) != [f] for n, f in enumerate(frames)]
        assert any(done), damage.__name__


def test_a_failure_is_made_smaller() -> None:
    damages = [str(n) for n in range(57)]
    assert smallest(damages, lambda kept: {"3", "44", "45"} <= set(kept)) == ["3", "44", "45"]
    assert smallest(damages, lambda kept: True) == []


def test_what_the_lines_share_changes_nothing_that_can_be_seen() -> None:
    assert play_both(7, 1).shown > 300
