"""CLOB `GET /markets/{condition_id}`: only what decides must be readable."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.canned_venue import CONDITION_ID, DOWN, UP, market
from venue.wire.errors import WireError
from venue.wire.market_record import MarketRecord, read_market_record

WON = MarketRecord(closed=True, payouts_e6={UP: 1_000_000, DOWN: 0})
OPEN = MarketRecord(closed=False, payouts_e6=None)


def read(body: Any) -> MarketRecord:
    return read_market_record(json.dumps(body).encode(), CONDITION_ID, UP)


def tokens(*changes: dict[str, object]) -> list[dict[str, object]]:
    """The tokens of a market that Up has won, each with its changes; `...` leaves a field out."""
    told = [{"token_id": UP, "winner": True}, {"token_id": DOWN, "winner": False}]
    both = [{**each, **change} for each, change in zip(told, changes, strict=True)]
    return [{key: value for key, value in each.items() if value is not ...} for each in both]


@pytest.mark.parametrize(
    "changes",
    [
        {"closed": "true"},
        {"closed": 1},
        {"is_50_50_outcome": {}},
        {"outcome": None, "neg_risk": "maybe", "minimum_tick_size": []},
        {"condition_id": f" {CONDITION_ID.upper()} "},
        {"tokens": tokens({"token_id": int(UP)}, {"outcome": None, "price": {}})},
        {"tokens": tokens({"winner": "True"}, {"winner": ...})},
        {"tokens": tokens({"winner": 1}, {"winner": None})},
        {"tokens": tokens({}, {"winner": ""})},
        # What is no token beside the two of the market.
        {"tokens": [*tokens({}, {}), None]},
        {"tokens": [{}, *tokens({}, {}), {"token_id": "", "winner": False}]},
    ],
)
def test_a_winner_is_read_whatever_stands_beside_it(changes: dict[str, object]) -> None:
    assert read({**market(), **changes}) == WON


@pytest.mark.parametrize(
    "changes",
    [{"closed": None}, {"closed": ""}, {"closed": ...}, {"tokens": None}, {"tokens": [None]},
     {"tokens": [{"token_id": UP}, {}]}, {"tokens": ...}],
)  # fmt: skip
def test_a_market_that_names_no_winner_needs_no_tokens(changes: dict[str, object]) -> None:
    body = {**market(closed=False, winner=None), **changes}
    assert read({key: value for key, value in body.items() if value is not ...}) == OPEN


@pytest.mark.parametrize(
    "changes",
    [
        {"condition_id": None},
        {"condition_id": "0x" + "cd" * 32},
        {"closed": "perhaps"},
        {"tokens": tokens({"winner": "perhaps"}, {})},
        {"tokens": tokens({}, {"winner": "perhaps"})},
        {"tokens": tokens({}, {"winner": True})},
        {"tokens": tokens({}, {"token_id": UP})},
        {"tokens": tokens({"token_id": "9"}, {})},
        {"tokens": tokens({}, {"token_id": ...})},
        # A winner that cannot be named.
        {"tokens": [*tokens({"winner": False}, {}), {"winner": True}]},
        {"tokens": [*tokens({}, {}), {"token_id": None, "winner": True}]},
    ],
)
def test_what_decides_and_cannot_be_read_is_an_error(changes: dict[str, object]) -> None:
    with pytest.raises(WireError, match="market"):
        read({**market(), **changes})
