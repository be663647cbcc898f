"""CLOB `GET /clob-markets/{condition_id}`, in every spelling that may be meant."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from protocol.fee import FeeSchedule
from protocol.market import Outcome
from venue.wire.clob_market import ClobMarket, read_clob_market
from venue.wire.errors import WireError

ID = "0x" + "ab" * 32
UP, DOWN = "1" * 77, "2" * 77
DOCUMENTED: dict[str, Any] = {
    "gst": None,
    "r": {},
    "t": [{"t": UP, "o": "Up"}, {"t": DOWN, "o": "Down"}],
    "mos": 5,
    "mts": 0.01,
    "mbf": 0,
    "tbf": 0,
    "rfqe": True,
    "itode": True,
    "ibce": True,
    "nr": False,
    "ao": True,
    "fd": {"r": 0.07, "e": 1, "to": True},
    "oas": 123,
}
"""Fields as in the venue's API reference."""


def read(**changes: Any) -> ClobMarket:
    body = {key: value for key, value in {**DOCUMENTED, **changes}.items() if value is not ...}
    return read_clob_market(json.dumps(body).encode(), ID)


def test_the_documented_form_is_read() -> None:
    assert read() == ClobMarket(
        outcomes=(Outcome(name="Up", token_id=UP), Outcome(name="Down", token_id=DOWN)),
        neg_risk=False,
        tick_size_e4=100,
        min_order_size_e6=5_000_000,
        fee=FeeSchedule(rate=Decimal("0.07"), exponent=1),
        taker_delay_ms=250,
    )


def test_tokens_alone_are_enough() -> None:
    body = json.dumps({"t": DOCUMENTED["t"]}).encode()
    read = read_clob_market(body, ID)
    assert (read.neg_risk, read.tick_size_e4, read.min_order_size_e6) == (False, None, None)
    assert (read.fee, read.taker_delay_ms) == (None, None)


@pytest.mark.parametrize("token", [UP, int(UP), f" {UP} "])
def test_a_token_may_be_text_or_a_number(token: object) -> None:
    assert read(t=[{"t": token, "o": "Up"}]).outcomes[0].token_id == UP


@pytest.mark.parametrize(
    "changes",
    [
        {"t": ...},
        {"t": None},
        {"t": "[]"},
        {"t": [{"o": "Up"}]},
        {"t": [{"t": "", "o": "Up"}]},
        {"t": [{"t": None, "o": "Up"}]},
        {"t": [{"t": UP}]},
        {"t": [{"t": UP, "o": None}]},
        {"nr": "perhaps"},
        {"nr": 2},
        {"mts": "abc"},
        {"mts": 0},
        {"mts": 1},
        {"mts": True},
        {"mts": "0.00001"},
        {"mos": "many"},
        {"mos": -5},
        {"c": "0x" + "cd" * 32},
    ],
)
def test_what_is_needed_and_unreadable_is_an_error(changes: dict[str, Any]) -> None:
    with pytest.raises(WireError, match="clob-market"):
        read(**changes)


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"<html>", b'{"error":"market not found"}'])
def test_what_is_no_market_is_an_error(body: bytes) -> None:
    with pytest.raises(WireError):
        read_clob_market(body, ID)


@pytest.mark.parametrize("wanted", [True, "true", "True", 1, "1"])
def test_true_has_many_spellings(wanted: object) -> None:
    assert read(nr=wanted).neg_risk
    assert read(itode=wanted).taker_delay_ms == 250


@pytest.mark.parametrize("wanted", [False, "false", 0, "0", "", None, ...])
def test_and_so_has_false(wanted: object) -> None:
    assert not read(nr=wanted).neg_risk
    assert read(itode=wanted).taker_delay_ms is None


@pytest.mark.parametrize(
    ("itode", "sd", "delay_ms"),
    [
        (..., 3, 3_000),
        (..., "3", 3_000),
        (..., 0.5, 500),
        (False, 1, 1_000),
        (True, 0, 250),
        (True, 3, 3_000),
        (True, 0.1, 250),
        (..., 0, None),
        (..., "", None),
        (..., None, None),
        # Nothing is ordered by it, so what cannot be read is only not named.
        (True, "soon", 250),
        ("maybe", 2, 2_000),
        ("maybe", {}, None),
    ],
)
def test_the_longer_delay_counts(itode: object, sd: object, delay_ms: int | None) -> None:
    assert read(itode=itode, sd=sd).taker_delay_ms == delay_ms


@pytest.mark.parametrize("fd", [None, ..., {}, {"r": "x", "e": 1}, {"r": 7, "e": 1}, [], "0.07"])
def test_a_fee_that_cannot_be_read_is_not_named(fd: object) -> None:
    assert read(fd=fd).fee is None


def test_numbers_may_be_text() -> None:
    market = read(mts="0.0010", mos="15", fd={"r": "0.07", "e": "1"})
    assert (market.tick_size_e4, market.min_order_size_e6) == (10, 15_000_000)
    assert market.fee == FeeSchedule(rate=Decimal("0.07"), exponent=1)


def test_the_same_condition_id_in_capitals_is_the_same() -> None:
    assert read(c=ID.upper()).outcomes
