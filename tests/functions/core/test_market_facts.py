from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from functions.core.market_facts import difference, stricter
from protocol.fee import NO_FEE, FeeSchedule, taker_fee_e6
from protocol.market import DOWN, UP, Outcome
from tests.support.trading_builders import clob_market, market

LISTED = market()


def named(*pairs: tuple[str, str]) -> tuple[Outcome, ...]:
    return tuple(Outcome(name=name, token_id=token) for token, name in pairs)


@pytest.mark.parametrize(
    "outcomes",
    [
        named(("0xc1-up", "Up"), ("0xc1-down", "Down")),
        named(("0xc1-down", "Down"), ("0xc1-up", "Up")),
        named(("0xc1-up", "UP"), ("0xc1-down", "down")),
        named(("0xc1-up", " Up\t"), ("0xc1-down", "Down\n")),
    ],
)
def test_names_agree_in_any_order_case_and_spacing(outcomes: tuple[Outcome, ...]) -> None:
    assert difference(LISTED, clob_market(outcomes=outcomes)) is None


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        (named(("0xc1-up", "Down"), ("0xc1-down", "Up")), "'down' in the listing, 'up' at the"),
        (named(("0xc1-up", "Yes"), ("0xc1-down", "No")), "'no' at the CLOB"),
        (named(("0xc1-up", "Up"), ("0xc1-down", "Up")), "'up' at the CLOB"),
        (named(("0xc1-up", "Up"), ("0xc1-down", "")), "'' at the CLOB"),
        (named(("0xc2-up", "Up"), ("0xc2-down", "Down")), "other tokens"),
        (named(("0xc1-up", "Up"), ("0xc2-down", "Down")), "other tokens"),
        (named(("0xc1-up", "Up"), ("0xc1-up", "Down")), "other tokens"),
        (named(("0xc1-up", "Up")), "names 1 tokens"),
        (named(("0xc1-up", "Up"), ("0xc1-down", "Down"), ("3", "Same")), "names 3 tokens"),
        ((), "names 0 tokens"),
    ],
)
def test_whatever_contradicts_the_listing_is_said(outcomes: tuple[Outcome, ...], said: str) -> None:
    told = difference(LISTED, clob_market(outcomes=outcomes))
    assert told is not None
    assert said in told


@pytest.mark.parametrize("listed", [True, False])
def test_another_kind_of_contract_contradicts_the_listing(listed: bool) -> None:
    info = msgspec.structs.replace(LISTED, neg_risk=listed)
    told = difference(info, clob_market(neg_risk=not listed))
    assert told is not None
    assert "neg_risk" in told
    assert difference(info, clob_market(neg_risk=listed)) is None


def test_outcomes_that_only_differ_in_case_cannot_be_told_apart() -> None:
    both = named(("0xc1-up", "up"), ("0xc1-down", "UP"))
    info = msgspec.structs.replace(LISTED, outcomes=(both[0], both[1]))
    told = difference(info, clob_market(outcomes=both))
    assert told is not None
    assert "told apart" in told


@pytest.mark.parametrize(
    ("tick", "minimum", "fee", "expected"),
    [
        (None, None, None, (100, 5_000_000, LISTED.fee)),
        (10, 1_000_000, NO_FEE, (100, 5_000_000, LISTED.fee)),
        (1_000, 15_000_000, None, (1_000, 15_000_000, LISTED.fee)),
    ],
)
def test_the_stricter_of_tick_and_minimum_counts(
    tick: int | None,
    minimum: int | None,
    fee: FeeSchedule | None,
    expected: tuple[int, int, FeeSchedule],
) -> None:
    facts = stricter(LISTED, clob_market(tick_size_e4=tick, min_order_size_e6=minimum, fee=fee))
    assert (facts.tick_size_e4, facts.min_order_size_e6, facts.fee) == expected


def test_the_higher_fee_counts() -> None:
    dearer = FeeSchedule(rate=Decimal("0.1"), exponent=1)
    assert stricter(LISTED, clob_market(fee=dearer)).fee == dearer
    free = msgspec.structs.replace(LISTED, fee=NO_FEE)
    assert stricter(free, clob_market()).fee == LISTED.fee


def test_facts_that_agree_are_the_listing_itself() -> None:
    assert stricter(LISTED, clob_market()) == LISTED
    assert {each.name for each in LISTED.outcomes} == {UP, DOWN}


@pytest.mark.parametrize("price_e4", [500, 2_000, 5_000, 8_000, 9_500])
def test_the_fee_that_counts_is_no_lower_than_either_at_any_price(price_e4: int) -> None:
    steep = FeeSchedule(rate=Decimal("0.25"), exponent=2)
    flat = FeeSchedule(rate=Decimal("0.06"), exponent=1)
    for one, other in ((steep, flat), (flat, steep)):
        info = stricter(msgspec.structs.replace(LISTED, fee=one), clob_market(fee=other))
        fees = [taker_fee_e6(each, price_e4, 10**9) for each in (info.fee, steep, flat)]
        assert fees[0] == max(fees)
