"""Fee and fills, exactly."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from protocol.fee import FeeSchedule, taker_fee_e6
from protocol.units import cost_e6
from sandbox.simulator.market import CRYPTO_FEE
from sandbox.simulator.matching import buy
from sandbox.simulator.rules import fee_e6

prices = st.integers(1, 9_999)
sizes = st.integers(1, 10**13)
fees = st.builds(
    FeeSchedule,
    rate=st.decimals("0", "0.5", places=4),
    exponent=st.integers(0, 1),  # above 1, 28 digits of Decimal are not exact for any size
)
ladders = st.dictionaries(prices, sizes, max_size=8).map(lambda levels: sorted(levels.items()))


@given(fee=fees, price_e4=prices, size_e6=st.integers(0, 10**12))
def test_the_fee_is_the_one_the_system_computes(
    fee: FeeSchedule, price_e4: int, size_e6: int
) -> None:
    assert fee_e6(fee, price_e4, size_e6) == taker_fee_e6(fee, price_e4, size_e6)


def test_the_peak_of_the_crypto_fee_is_the_documented_one() -> None:
    assert fee_e6(CRYPTO_FEE, 5000, 100_000_000) == 1_750_000


@given(asks=ladders, limit_e4=prices, cents=st.integers(100, 10_000_000))
def test_a_buy_takes_the_best_levels_and_never_more_than_it_offers(
    asks: list[tuple[int, int]], limit_e4: int, cents: int
) -> None:
    spend_e6 = cents * 10_000
    fills, complete = buy(asks, limit_e4, spend_e6, CRYPTO_FEE)

    reachable = [level for level in asks if level[0] <= limit_e4]
    assert [fill.price_e4 for fill in fills] == [price for price, _ in reachable[: len(fills)]]
    spent = sum(fill.spend_e6 for fill in fills)
    assert spent <= spend_e6
    assert complete == (spent == spend_e6)
    for fill, (price_e4, size_e6) in zip(fills, reachable, strict=False):
        assert 0 < fill.size_e6 <= size_e6
        assert fill.spend_e6 >= Decimal(fill.price_e4 * fill.size_e6) / 10_000
        assert fill.spend_e6 - cost_e6(price_e4, fill.size_e6) in {0, 1}
    # All but the last level are exhausted, and the last one too unless the money ended.
    full = [fill.size_e6 for fill in fills] == [size for _, size in reachable[: len(fills)]]
    assert complete or (full and len(fills) == len(reachable))
    assert all(fill.size_e6 == size for fill, (_, size) in zip(fills[:-1], reachable, strict=False))
