from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.core.strategy import (
    Hold,
    HoldReason,
    StrategyConfig,
    Trade,
    book_imbalance_crypto,
)
from protocol.book import Proof
from protocol.snapshot import BookSnapshot
from tests.support.trading_builders import BULLISH_ASKS, BULLISH_BIDS, Levels, market, snapshot

CONFIG = StrategyConfig()


def decide(book: BookSnapshot, config: StrategyConfig = CONFIG) -> Trade | Hold:
    return book_imbalance_crypto(book, config, time.time_ns() // 1_000_000)


def proven(proof: Proof, book: BookSnapshot | None = None) -> BookSnapshot:
    return msgspec.structs.replace(book or snapshot(), proof=proof)


def test_a_positive_imbalance_buys_up_at_ups_best_ask() -> None:
    book = snapshot()
    trade = decide(book)
    assert isinstance(trade, Trade)
    assert (trade.outcome, trade.token_id) == ("Up", "0xc1-up")
    assert trade.imbalance == pytest.approx(0.6)
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
    assert decide(snapshot(bids, asks)) == Hold(HoldReason.NO_IMBALANCE)


@pytest.mark.parametrize(
    ("reason", "book"),
    [
        (HoldReason.DARK, lambda: proven(Proof.NONE, snapshot([], []))),
        # Whatever its age: it says that there is no book, which does not get better by being old.
        (HoldReason.DARK, lambda: proven(Proof.NONE, snapshot([], [], received_at_ns=0))),
        (HoldReason.STALE_BOOK, lambda: snapshot(received_at_ns=time.time_ns() - 10**12)),
        (HoldReason.STALE_BOOK, lambda: snapshot(received_at_ns=time.time_ns() + 10**12)),
        (HoldReason.NOT_ACCEPTING, lambda: snapshot(of=market(accepting=False))),
        (HoldReason.ONE_SIDED, lambda: snapshot([], BULLISH_ASKS)),
        (HoldReason.ONE_SIDED, lambda: snapshot(BULLISH_BIDS, [])),
        (HoldReason.CROSSED, lambda: snapshot([("0.50", 400)], [("0.50", 100)])),
        (HoldReason.OUTSIDE_PRICE_ZONE, lambda: snapshot([("0.71", 400)], [("0.72", 100)])),
        (HoldReason.OUTSIDE_PRICE_ZONE, lambda: snapshot([("0.28", 400)], [("0.29", 100)])),
        (HoldReason.SPREAD_TOO_WIDE, lambda: snapshot([("0.48", 400)], [("0.51", 100)])),
        (HoldReason.NO_IMBALANCE, lambda: snapshot([("0.49", 100)], [("0.50", 100)])),
        (HoldReason.THIN_ASKS, lambda: snapshot([("0.49", 100)], [("0.50", 2), ("0.60", 10)])),
        # The Down book disagrees with its mirror:
        (
            HoldReason.ONE_SIDED,
            lambda: snapshot([("0.49", 1)], [("0.50", 9)], down=([("0.49", 9)], [])),
        ),
        (
            HoldReason.SPREAD_TOO_WIDE,
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


@pytest.mark.parametrize("demanded", list(Proof))
@pytest.mark.parametrize("carried", list(Proof))
def test_a_book_is_acted_on_with_the_proof_that_is_demanded_or_a_better_one(
    carried: Proof, demanded: Proof
) -> None:
    decision = decide(proven(carried), StrategyConfig(proof_min=demanded))
    if carried is Proof.NONE:  # nobody can demand that little: a dark market has no book
        assert decision == Hold(HoldReason.DARK)
    elif carried.rank < demanded.rank:
        assert decision == Hold(HoldReason.UNPROVEN)
    else:
        assert isinstance(decision, Trade)


def test_by_default_the_best_prices_must_be_proven() -> None:
    assert CONFIG.proof_min is Proof.TOP


def test_time_to_close_is_checked_to_the_millisecond() -> None:
    info = market(start_ms=0, end_ms=900_000)
    for now_ms, expected in ((600_000, Trade), (600_001, Hold)):
        book = snapshot(of=info, received_at_ns=now_ms * 1_000_000)
        assert isinstance(book_imbalance_crypto(book, CONFIG, now_ms), expected)


def test_a_frame_that_was_old_when_the_feeder_read_it_is_stale() -> None:
    now_ms = time.time_ns() // 1_000_000
    for age_ms, expected in ((1_900, Trade), (2_100, Hold)):
        book = msgspec.structs.replace(snapshot(), venue_timestamp_ms=now_ms - age_ms)
        assert isinstance(book_imbalance_crypto(book, CONFIG, now_ms), expected)


def test_a_window_that_has_not_begun_is_refused() -> None:
    info = market(start_ms=1_000, end_ms=901_000)
    book = snapshot(of=info, received_at_ns=999 * 1_000_000)
    assert book_imbalance_crypto(book, CONFIG, 999) == Hold(HoldReason.NOT_STARTED)


def test_an_order_below_a_dollar_is_refused_before_it_is_claimed() -> None:
    config = StrategyConfig(spend_e6=990_000)
    assert decide(snapshot(), config) == Hold(HoldReason.BELOW_MINIMUM)


def test_the_minimum_size_binds_only_when_enforced() -> None:
    # 1.10 USD at 0.52 is 2.1 shares, below the market's five.
    assert isinstance(decide(snapshot()), Trade)
    enforced = StrategyConfig(enforce_min_order_size=True)
    assert decide(snapshot(), enforced) == Hold(HoldReason.BELOW_MINIMUM)
    # At the highest price it may pay, 2.60 USD buys exactly five shares.
    enough = StrategyConfig(enforce_min_order_size=True, spend_e6=2_600_000)
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
    config = StrategyConfig(slippage_max_bps=slippage_bps, mid_min_e4=0, mid_max_e4=10_000)
    trade = decide(book, config)
    assert isinstance(trade, Trade)
    assert trade.max_price_e4 % tick_e4 == 0
    assert trade.signal_price_e4 <= trade.max_price_e4 <= 10_000 - tick_e4
    assert trade.max_price_e4 * 10_000 <= trade.signal_price_e4 * (10_000 + slippage_bps)
