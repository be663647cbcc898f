"""What waiting and size cost."""

from __future__ import annotations

import numpy as np
import pytest

from backtest.engine.observations import DELAYS_S, SIZES_USD, UNKNOWN
from backtest.measures.prepared import prepare
from backtest.measures.sections import Waiting
from backtest.measures.waiting import seen_by, sizes, waiting
from tests.support.backtest_builders import ASignal, a_market, observations


def waiting_of(*signals: ASignal) -> Waiting:
    return waiting(prepare(observations([a_market()], signals)))


def late(price_e4: int) -> ASignal:
    """What the ask is at every delay; the limit of 0.50 is 0.52."""
    return ASignal(ask_waited_e4=[price_e4] * len(DELAYS_S))


def test_how_far_the_price_is_and_what_refuses_it() -> None:
    prices = (5_000, 5_200, 5_300, 4_800, 4_700)
    lines = waiting_of(*(late(each) for each in prices), late(UNKNOWN)).delays
    assert [each.delay_s for each in lines] == list(DELAYS_S)
    waited = lines[3].waited.unchanged
    assert (waited.n, waited.unknown) == (5, 1)
    assert waited.median_pct == pytest.approx(4.0)
    assert waited.mean_ticks == pytest.approx(0.0)
    assert waited.limit_refuses == 0.2  # 0.53
    assert waited.both_ways_refuse == 0.4  # 0.47, too
    assert lines[3].waited.next.median_pct == 0.0


def test_what_is_never_known_says_nothing() -> None:
    waited = waiting_of(late(UNKNOWN)).delays[0].waited.unchanged
    assert (waited.n, waited.unknown, waited.median_pct) == (0, 1, None)


def test_a_signal_lasts_to_the_book_after_its_last_one() -> None:
    # A book a second: the first episode is 2 s and one book, the second one book.
    section = waiting_of(
        ASignal(after_ms=1_000, episode=0),
        ASignal(after_ms=2_000, episode=1, is_up=False),
        ASignal(after_ms=3_000, episode=0),
    )
    assert section.episodes == 2
    assert section.episode_median_s == pytest.approx(2.0)
    shares = {each.every_s: each.share for each in section.scans}
    assert shares[30] == pytest.approx((3 + 1) / 2 / 30)


def test_a_scan_sees_what_lasts_longer_than_its_period() -> None:
    assert seen_by(np.array([40_000.0, 15_000.0]), 30) == 0.75
    assert seen_by(np.zeros(0), 30) is None


def test_what_a_larger_order_pays_more() -> None:
    nan = float("nan")
    signals = [
        ASignal(episode=0, size_price_e4=[5_000, 5_010, 5_050, 5_200, nan]),
        ASignal(episode=0),
        ASignal(episode=1, size_price_e4=[5_000, 5_030, 5_050, nan, nan]),
    ]
    lines = sizes(prepare(observations([a_market()], signals)))
    assert [each.usd for each in lines] == list(SIZES_USD)
    assert [each.held for each in lines] == [2, 2, 2, 1, 0]
    assert [each.books for each in lines] == [2] * 5
    assert [each.held_share for each in lines] == [1, 1, 1, 0.5, 0]
    assert [each.extra_ticks for each in lines] == [0, pytest.approx(0.2), 0.5, 2.0, None]


def test_without_signals_nothing_lasts() -> None:
    section = waiting_of()
    assert (section.episodes, section.episode_median_s) == (0, None)
    assert sizes(prepare(observations([a_market()])))[0].held_share is None
