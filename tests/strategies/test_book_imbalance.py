from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.core.hold import HoldReason
from functions.core.trade import OrderConfig, Trade
from protocol.snapshot import BookSnapshot
from strategies.book_imbalance import BookImbalance
from strategies.interface import Hold
from strategies.parameters import StrategyParameters
from tests.support.strategies import decided
from tests.support.trading_builders import BULLISH_ASKS, BULLISH_BIDS, Levels, market, snapshot

ORDER = OrderConfig()
Reason = BookImbalance.Reason


def decide(
    book: BookSnapshot,
    order: OrderConfig = ORDER,
    parameters: StrategyParameters | None = None,
) -> Trade | Hold:
    return decided(BookImbalance, book, order=order, parameters=parameters)


def test_a_positive_imbalance_buys_up_at_ups_best_ask() -> None:
    book = snapshot()
    trade = decide(book)
    assert isinstance(trade, Trade)
    assert (trade.outcome, trade.token_id) == ("Up", "0xc1-up")
    assert trade.numbers["imbalance"] == pytest.approx(0.6)
    assert trade.signal_price_e4 == 5000
    assert trade.max_price_e4 == 5200  # 0.525, down to the tick grid
    assert trade.spend_e6 == 1_100_000


def test_a_negative_imbalance_buys_downs_token_at_downs_own_price() -> None:
    # Down's real book is one cent dearer than the mirror of Up's.
    down: tuple[Levels, Levels] = ([("0.51", 400)], [("0.53", 300), ("0.54", 50)])
    book = snapshot([("0.48", 100)], [("0.50", 400)], down=down)
    trade = decide(book)
    assert isinstance(trade, Trade)
    assert (trade.outcome, trade.token_id) == ("Down", "0xc1-down")
    assert trade.signal_price_e4 == 5300
    assert trade.max_price_e4 == 5500  # 0.5565


def test_only_the_best_levels_count() -> None:
    # Five balanced levels at the top, an enormous bid below them.
    bids: Levels = [(f"0.{49 - i}", 100) for i in range(5)] + [("0.10", 1_000_000)]
    asks: Levels = [(f"0.{50 + i}", 100) for i in range(5)]
    assert decide(snapshot(bids, asks)) == Hold(Reason.NO_IMBALANCE)


@pytest.mark.parametrize(
    ("reason", "book"),
    [
        (HoldReason.ONE_SIDED, lambda: snapshot([], BULLISH_ASKS)),
        (HoldReason.ONE_SIDED, lambda: snapshot(BULLISH_BIDS, [])),
        (HoldReason.CROSSED, lambda: snapshot([("0.50", 400)], [("0.50", 100)])),
        (
            Reason.OUTSIDE_PRICE_ZONE,
            lambda: snapshot([("0.71", 400)], [("0.72", 100)]),
        ),
        (
            Reason.OUTSIDE_PRICE_ZONE,
            lambda: snapshot([("0.28", 400)], [("0.29", 100)]),
        ),
        (Reason.SPREAD_TOO_WIDE, lambda: snapshot([("0.48", 400)], [("0.51", 100)])),
        (Reason.NO_IMBALANCE, lambda: snapshot([("0.49", 100)], [("0.50", 100)])),
        (HoldReason.THIN_ASKS, lambda: snapshot([("0.49", 100)], [("0.50", 2), ("0.60", 10)])),
        # The Down book disagrees with its mirror:
        (
            HoldReason.ONE_SIDED,
            lambda: snapshot([("0.49", 1)], [("0.50", 9)], down=([("0.49", 9)], [])),
        ),
        (
            Reason.SPREAD_TOO_WIDE,
            lambda: snapshot([("0.49", 1)], [("0.50", 9)], down=([("0.40", 9)], [("0.50", 9)])),
        ),
        (
            HoldReason.CROSSED,
            lambda: snapshot([("0.49", 1)], [("0.50", 9)], down=([("0.52", 9)], [("0.51", 9)])),
        ),
    ],
)
def test_each_refusal_has_its_reason(reason: HoldReason, book: Callable[[], BookSnapshot]) -> None:
    assert decide(book()) == Hold(reason)


def test_an_order_below_a_dollar_is_refused_before_it_is_claimed() -> None:
    order = OrderConfig(spend_e6=990_000)
    assert decide(snapshot(), order) == Hold(HoldReason.BELOW_MINIMUM)


def test_the_minimum_size_binds_only_when_enforced() -> None:
    # 1.10 USD at 0.52 is 2.1 shares, below the market's five.
    assert isinstance(decide(snapshot()), Trade)
    enforced = OrderConfig(enforce_min_order_size=True)
    assert decide(snapshot(), enforced) == Hold(HoldReason.BELOW_MINIMUM)
    # At the highest price it may pay, 2.60 USD buys exactly five shares.
    enough = OrderConfig(enforce_min_order_size=True, spend_e6=2_600_000)
    assert isinstance(decide(snapshot(), enough), Trade)


@given(
    ask_ticks=st.integers(300, 700),
    tick_e4=st.sampled_from([1, 5, 10, 25, 50, 100]),
    slippage_bps=st.integers(0, 2_000),
)
def test_the_limit_is_on_the_grid_and_never_beyond_the_slippage(
    ask_ticks: int, tick_e4: int, slippage_bps: int
) -> None:
    ask_e4 = ask_ticks * 10 // tick_e4 * tick_e4
    price = lambda e4: str(Decimal(e4) / 10_000)  # noqa: E731 - one short formula
    book = snapshot(
        [(price(ask_e4 - tick_e4), 9_000)],
        [(price(ask_e4), 1_000)],
        of=market(tick_size_e4=tick_e4),
    )
    order = OrderConfig(slippage_max_bps=slippage_bps)
    trade = decide(book, order, BookImbalance.Parameters(mid_min_e4=0, mid_max_e4=10_000))
    assert isinstance(trade, Trade)
    assert trade.max_price_e4 % tick_e4 == 0
    assert trade.signal_price_e4 <= trade.max_price_e4 <= 10_000 - tick_e4
    assert trade.max_price_e4 * 10_000 <= trade.signal_price_e4 * (10_000 + slippage_bps)
