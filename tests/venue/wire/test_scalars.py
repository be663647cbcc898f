"""Token ids and truths: read alike in every answer, in whatever spelling."""

from __future__ import annotations

import json
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.market import MarketInfo
from tests.support import canned_venue as canned
from tests.venue.wire.test_listing import DOWN, MARKET, SERIES, START_S, UP, listed
from venue.wire.clob_market import read_clob_market
from venue.wire.listing import parse_listing, read_result
from venue.wire.market_record import read_market_record
from venue.wire.scalars import token_id, truth
from venue.wire.trades import Rejection, read_trade

ODD = [
    "null", '""', '" "', "1", "0", "2", "1.0", "-1", "1e3", '"007"', f'" {UP} "', UP,
    f'"{UP}"', "true", "false", '"True"', '" FALSE\\n"', '"\\u0074rue"', '"\\"true\\""', '"yes"',
    '"null"', "[]", "{}", '["true"]', '"1"', '"0"', '"0x1"', '"a.b"', '"a b"', '"\\u0661"',
    '"\\ud800"', "1" * 200,
]  # fmt: skip
spellings = st.one_of(
    st.sampled_from(ODD),
    st.integers(-5, 10**80).map(str),
    st.text(max_size=12).map(json.dumps),
    st.sampled_from(["true", "false", UP]).flatmap(
        lambda text: st.builds(
            lambda before, after, capitals: json.dumps(
                before + (text.upper() if capitals else text) + after
            ),
            st.text(" \t\n", max_size=2),
            st.text(" \t\n", max_size=2),
            st.booleans(),
        )
    ),
)


def told(read: Callable[[], object]) -> object:
    """What a reader says, or that it refuses."""
    try:
        return read()
    except (ValueError, AssertionError):
        return ValueError


def written(answer: object, spelling: str) -> bytes:
    """The answer, with the spelling in place of "@"."""
    return json.dumps(answer).replace('"@"', spelling).encode()


@given(spellings)
@example(f'" {UP} "')
def test_every_reader_reads_a_token_id_alike(spelling: str) -> None:
    alone = told(lambda: token_id(msgspec.Raw(spelling.encode())))
    clob = written({"t": [{"t": "@", "o": "Up"}, {"t": "other", "o": "Down"}]}, spelling)
    gamma = written([{"markets": [listed(clobTokenIds=["@", "other"])]}], spelling)
    ended = written(
        [{"markets": [listed(closed=True, clobTokenIds=["@", "other"], outcomePrices=[1, 0])]}],
        spelling,
    )
    record = written(
        {
            "condition_id": MARKET,
            "closed": True,
            "tokens": [{"token_id": "@", "winner": True}, {"token_id": "other"}],
        },
        spelling,
    )
    trade = written(canned.trade(asset_id="@"), spelling)
    wanted = alone if isinstance(alone, str) else "none"
    read: dict[str, object] = {
        "clob": told(lambda: read_clob_market(clob, MARKET).outcomes[0].token_id),
        "gamma": told(lambda: _listed(gamma).outcomes[0].token_id),
        "ended": told(lambda: next(iter(read_result(ended, MARKET, wanted).payouts_e6 or {}))),
        "record": told(
            lambda: next(iter(read_market_record(record, MARKET, wanted).payouts_e6 or {}))
        ),
        "trade": told(lambda: _traded(trade)),
    }
    assert read == dict.fromkeys(read, alone)


@given(spellings)
@example("1")
@example('" FALSE\\n"')
def test_every_reader_reads_a_truth_alike(spelling: str) -> None:
    alone = told(lambda: truth(msgspec.Raw(spelling.encode())))
    said = alone if alone is ValueError else bool(alone)
    clob = written({"t": [{"t": UP, "o": "Up"}], "nr": "@"}, spelling)
    gamma = written([{"markets": [listed(negRisk="@")]}], spelling)
    ended = written([{"markets": [listed(closed="@", outcomePrices=[1, 0])]}], spelling)
    closed = written({"condition_id": MARKET, "closed": "@", "tokens": []}, spelling)
    won = written(
        {
            "condition_id": MARKET,
            "closed": True,
            "tokens": [{"token_id": UP, "winner": "@"}, {"token_id": DOWN}],
        },
        spelling,
    )
    read: dict[str, object] = {
        "clob": told(lambda: read_clob_market(clob, MARKET).neg_risk),
        "gamma": told(lambda: _listed(gamma).neg_risk),
        "ended": told(lambda: read_result(ended, MARKET, UP).closed),
        "closed": told(lambda: read_market_record(closed, MARKET, UP).closed),
        "won": told(lambda: read_market_record(won, MARKET, UP).payouts_e6 is not None),
    }
    assert read == dict.fromkeys(read, said)


def _listed(payload: bytes) -> MarketInfo:
    market = parse_listing(payload, SERIES, START_S)
    assert market is not None
    return market


def _traded(payload: bytes) -> str:
    trade = read_trade(payload)
    assert not isinstance(trade, Rejection)
    return trade.fill.token_id


@pytest.mark.parametrize("written", ["true", '"True"', '" TRUE "', "1", '"1"', '"\\u0074rue"'])
def test_true_has_many_spellings(written: str) -> None:
    assert truth(msgspec.Raw(written.encode())) is True


@pytest.mark.parametrize("written", ["", "null", '""', '" "', '"null"'])
def test_nothing_said_is_neither(written: str) -> None:
    assert truth(msgspec.Raw(written.encode())) is None
