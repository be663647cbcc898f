from __future__ import annotations

import re
from random import Random

import pytest

from feeder.core.book.token_book import Trouble
from tests.fuzz.venue import Market
from tests.support.session_bench import ANY_MARKET, Bench, info_of
from venue.wire.market_channel import FrameFault, Malformed


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.open()
    return bench


def malformed(market: str | None, token_id: str | None = None) -> Malformed:
    return Malformed(FrameFault.MALFORMED, "why", market, token_id)


def test_a_rejected_frame_doubts_the_markets_it_may_have_been_about_on_its_line(
    bench: Bench,
) -> None:
    bench.table.follow(info_of(Market(8, Random(8), hidden_inputs=False)), bench.now_ms)
    assert bench.table.distrust(0, malformed(""), bench.now_ms) == ()
    assert bench.table.distrust(0, malformed("0xunknown"), bench.now_ms) == ()
    doubts = (Trouble.BAD_FRAME,) * 2
    assert bench.table.distrust(0, malformed(bench.market.condition_id), bench.now_ms) == doubts
    assert (
        bench.table.distrust(0, ANY_MARKET, bench.now_ms) == ()
    )  # in doubt, or without books already
    assert bench.table.distrust(1, ANY_MARKET, bench.now_ms) == doubts
    assert not bench.session.ready


def test_a_malformed_entry_doubts_the_book_of_its_token_and_no_other(bench: Bench) -> None:
    first, second = bench.market.tokens
    bad = malformed(bench.market.condition_id, first.token_id)
    assert bench.table.distrust(0, bad, bench.now_ms) == (Trouble.BAD_FRAME,)
    assert bench.session.views[0].books[second.token_id].trouble is None
    stranger = malformed(bench.market.condition_id, "9")
    assert bench.table.distrust(0, stranger, bench.now_ms) == (Trouble.BAD_FRAME,)  # the second's
    assert bench.session.views[0].troubles() == (Trouble.BAD_FRAME,) * 2


def test_a_quiet_book_is_back_with_the_next_answer_after_a_malformed_entry(bench: Bench) -> None:
    first, _ = bench.market.tokens
    bench.pass_ms(400)  # the venue has no newer version of it than ours
    bad = malformed(bench.market.condition_id, first.token_id)
    for line in (0, 1):
        bench.table.distrust(line, bad, bench.now_ms)
    (request,) = [
        request for request in bench.pass_ms(0).requests if request.token_id == first.token_id
    ]
    assert bench.answer(request).taken == 2


def test_an_entry_with_a_wrong_number_spoils_none_of_its_siblings(bench: Bench) -> None:
    first, second = bench.market.tokens
    frame = bench.change()
    applied = bench.send(0, frame.replace(b'"size":"7"', b'"size":"1e3"', 1))
    (bad,) = applied.malformed
    assert (bad.fault, bad.token_id) == (FrameFault.INVALID_NUMBER, first.token_id)
    assert "price_changes[0]: " in bad.reason
    assert (applied.updates, applied.troubles) == (1, (Trouble.BAD_FRAME,))
    assert bench.session.views[0].books[second.token_id].proven


def test_an_entry_with_a_wrong_best_price_spoils_none_of_its_siblings(bench: Bench) -> None:
    first, second = bench.market.tokens
    frame = re.sub(rb'"best_bid":"[^"]*"', b'"best_bid":"x"', bench.change(), count=1)
    applied = bench.send(0, frame)
    (bad,) = applied.malformed
    assert (bad.token_id, applied.troubles) == (first.token_id, (Trouble.BAD_FRAME,))
    assert bench.session.views[0].books[second.token_id].proven
