"""Whose eyes a lookup was made with, and what it is worth."""

from __future__ import annotations

import pytest

from functions.core.claim import NOBODY, Claim, ClaimState, Trader, trader_of
from functions.core.evidence import OrderLookup, plausible_trades, sees
from functions.core.lifecycle import COUNT_AFTER_MS, LOOKUP_SPACING_MS, apply_lookup, apply_trades
from protocol.fill import TradeStatus
from tests.support.trading_builders import (
    MADE_AT_MS,
    MARKET_END_MS,
    STRANGER,
    TRADER,
    a_claim,
    a_fill,
    a_look,
)

CLAIMED, UNKNOWN, OPEN, RELEASED, _ = ClaimState
OTHER_WALLET = Trader(signer=TRADER.signer, wallet=STRANGER.wallet)
FAILED = TradeStatus.FAILED


def after_looks(claim: Claim, look: OrderLookup, times: int = 9) -> Claim:
    """The claim after so many lookups, each late enough to count, before and after the end."""
    for number in range(times):
        now_ms = MADE_AT_MS + COUNT_AFTER_MS + number * LOOKUP_SPACING_MS
        claim = apply_lookup(claim, look, now_ms) or claim
        claim = apply_lookup(claim, look, now_ms + 10 * MARKET_END_MS) or claim
    return claim


@pytest.mark.parametrize("state", [CLAIMED, UNKNOWN, OPEN])
@pytest.mark.parametrize("eyes", [STRANGER, OTHER_WALLET, NOBODY])
@pytest.mark.parametrize("status", ["", "canceled", "unmatched"])
def test_what_a_stranger_does_not_see_is_never_evidence(
    state: ClaimState, eyes: Trader, status: str
) -> None:
    claim = a_claim(state=state)
    assert after_looks(claim, a_look(status=status, seen_by=eyes)) == claim
    assert after_looks(claim, a_look(status=status)).state is RELEASED


@pytest.mark.parametrize("eyes", [STRANGER, OTHER_WALLET, NOBODY])
def test_a_stranger_s_part_of_the_trades_is_not_all_of_them(eyes: Trader) -> None:
    """Who was the other side of a trade sees that trade, and not the others."""
    claim = apply_trades(a_claim(), [a_fill("t1", size_e6=1_000_000)], MADE_AT_MS + 100)
    assert claim is not None
    failed = a_fill("t1", FAILED, size_e6=1_000_000)
    seen = after_looks(claim, a_look(failed, seen_by=eyes))
    assert seen.state is not RELEASED
    assert after_looks(claim, a_look(failed)).state is RELEASED


@pytest.mark.parametrize("eyes", [STRANGER, OTHER_WALLET, NOBODY])
def test_what_a_stranger_sees_is_there(eyes: Trader) -> None:
    found = apply_lookup(a_claim(), a_look(a_fill(), seen_by=eyes), MADE_AT_MS)
    assert found is not None
    assert (found.state, found.filled_size_e6) == (OPEN, 2_000_000)
    waiting = apply_lookup(a_claim(), a_look(status="live", seen_by=eyes), MADE_AT_MS)
    assert waiting is not None
    assert waiting.state is OPEN


def test_looks_of_a_stranger_are_not_counted_between_our_own() -> None:
    claim = a_claim()
    for number, eyes in enumerate([TRADER, STRANGER, TRADER, STRANGER, STRANGER, TRADER]):
        assert claim.state is not RELEASED
        now_ms = MADE_AT_MS + COUNT_AFTER_MS + number * LOOKUP_SPACING_MS
        claim = apply_lookup(claim, a_look(seen_by=eyes), now_ms) or claim
    assert claim.state is RELEASED


@pytest.mark.parametrize("eyes", [TRADER, STRANGER, NOBODY])
def test_a_claim_that_does_not_say_whose_it_is_is_released_by_nobody_s_silence(
    eyes: Trader,
) -> None:
    """An older version that rewrites a claim drops its trader; and the wallet may change."""
    older = a_claim(trader=NOBODY)
    assert not sees(eyes, older)
    assert after_looks(older, a_look(seen_by=eyes)) == older
    found = apply_lookup(older, a_look(a_fill(), seen_by=eyes), MADE_AT_MS)
    assert found is not None
    assert found.state is OPEN


@pytest.mark.parametrize("order_id", ["0x" + "ab" * 32, "0xOrder1", "", "PAPER-1", "order-1"])
def test_only_of_a_paper_order_everybody_knows_that_no_venue_has_it(order_id: str) -> None:
    assert not sees(NOBODY, a_claim(order_id=order_id, trader=NOBODY))
    assert sees(NOBODY, a_claim(order_id="paper-1", trader=NOBODY))


def test_a_trader_is_the_same_however_its_addresses_are_written() -> None:
    assert trader_of(TRADER.signer.upper(), TRADER.wallet.upper()) == TRADER


@pytest.mark.parametrize("price_e4", [0, 1, 5_500, 10_000])
def test_no_trade_is_bought_in_millionths_at_any_price(price_e4: int) -> None:
    bought = a_fill(price_e4=price_e4)
    assert plausible_trades(a_claim(), [bought])
    million = a_fill("t2", price_e4=price_e4, size_e6=bought.size_e6 * 1_000_000)
    assert not plausible_trades(a_claim(), [bought, million])
