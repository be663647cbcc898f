"""What a reader would not look for."""

from __future__ import annotations

from backtest.engine.assumptions import Assumptions, Bracket
from backtest.engine.latency import Latency
from backtest.engine.observations import UNKNOWN, Observations, OrderEnd
from backtest.feed.events import Exclusion, LeftOut
from backtest.measures.comparisons import comparisons
from backtest.measures.money import money
from backtest.measures.prepared import filled_orders, prepare
from backtest.measures.sections import Both
from backtest.measures.warnings import warnings
from functions.core.hold import HoldReason
from protocol.fee import NO_FEE
from protocol.market import DOWN, UP
from tests.support.backtest_builders import ASignal, a_lane, a_market, an_order, observations


def warned(seen: Observations, every_ms: float | None = None) -> list[str]:
    run = prepare(seen)
    filled = Both(*(filled_orders(run, lane.orders) for lane in seen.lanes))
    earned = Both(*(money(run, filled.of(each)) for each in Bracket))
    compared = Both(*(comparisons(run, each, filled.of(each)) for each in Bracket))
    return warnings(run, earned, compared, every_ms)


def test_what_dominates_is_said_once() -> None:
    seen = observations(
        [a_market()], [ASignal()] * 200, [an_order(a_market(), 0)], refused={"cooldown": 198}
    )
    assert [each for each in warned(seen) if "refused" in each] == [
        "99% of the signals were refused as cooldown"
    ]


def test_nearly_all_is_not_all() -> None:
    holds = {"no_imbalance": 9_999}
    seen = observations([a_market()], [ASignal()], holds=holds)
    assert "99.9% of the books were held back as no_imbalance" in warned(seen)
    assert "all 9,999 books were held back as no_imbalance" in warned(
        observations([a_market()], holds=holds)
    )


def test_what_does_not_dominate_is_not_said() -> None:
    seen = observations([a_market()], [ASignal()] * 50, holds={"no_imbalance": 50})
    assert not [each for each in warned(seen) if "held back" in each]


def test_orders_that_crowd_the_opening() -> None:
    market = a_market()
    early, late = an_order(market, 0, after_ms=9_000), an_order(market, 0, after_ms=60_000)
    signals = [ASignal()]
    assert "all 2 orders are within 10 s of their window's opening (unchanged)" in warned(
        observations([market], signals, [early, early])
    )
    assert "2 of 3 orders are within 10 s of their window's opening (next)" in warned(
        observations([market], signals, [early, early, late])
    )
    assert not [
        each for each in warned(observations([market], signals, [early, late])) if "opening" in each
    ]


def test_a_latency_that_the_recording_cannot_show() -> None:
    seen = observations([a_market()], [ASignal()])
    text = (
        "a latency below 1.0 s cannot be told apart: this recording has a book every 1.0 s"
        " (median), and orders arrive after 0.26 s"
    )
    assert text in warned(seen, 1_028.0)
    assert not [each for each in warned(seen, 100.0) if "latency" in each]
    seen.assumptions = Assumptions(latency=Latency.constant(30_000))
    assert not [each for each in warned(seen, 1_028.0) if "latency" in each]


def test_one_split_is_more_than_all_that_was_earned() -> None:
    markets = [a_market(0, paid=UP, fee=NO_FEE), a_market(1, paid=DOWN, fee=NO_FEE)]
    orders = [an_order(each, index) for index, each in enumerate(markets)]
    assert (
        "had one market split (btc-15m-0), P&L would be -1.00 USD instead of +0.00 USD (unchanged)"
        in warned(observations(markets, [ASignal()], orders))
    )


def test_rivals_that_earned_more() -> None:
    market = a_market(paid=UP, fee=NO_FEE)
    order = an_order(market, 0, outcome=DOWN, price_e4=5_000, other_price_e4=5_000)
    assert (
        "better than the strategy (-100% of its stake): always Up +100%, coin toss +0%,"
        " against the signal +100% (unchanged)"
    ) in warned(observations([market], [ASignal()], [order]))


def test_brackets_that_disagree() -> None:
    market = a_market(fee=NO_FEE)
    won, lost = an_order(market, 0), an_order(market, 0, outcome=DOWN)
    seen = observations([market], [ASignal()], [won], orders_next=[lost])
    assert (
        "the brackets disagree: +100% of the stake if an order met the last book, -100% if the next"
        in warned(seen)
    )


def test_a_strategy_that_raised() -> None:
    seen = observations(
        [a_market()],
        holds={HoldReason.STRATEGY_ERROR: 3, HoldReason.STRATEGY_DISABLED: 4_000, "one_sided": 9},
    )
    seen.strategy_error = "btc-15m-0: ZeroDivisionError: division by zero"
    assert warned(seen)[:3] == [
        "the strategy raised on 3 books, first btc-15m-0: ZeroDivisionError: division by zero",
        "on 4,000 books the strategy was not asked: it had raised too often",
        "there was no signal",
    ]


def test_what_is_left_out_or_was_under_way() -> None:
    market = a_market()
    ends = (OrderEnd.LEFT_OUT, OrderEnd.FILLED, OrderEnd.WAITING)
    texts = warned(observations([market], [ASignal()], [an_order(market, 0, end=e) for e in ends]))
    assert "under way when the recording ended: 1 orders (next)" in texts
    assert (
        "1 of 3 orders are left out: the recording cannot say what they would have got (next)"
        in texts
    )


def test_what_the_recording_does_not_have() -> None:
    markets = [a_market(n, paid=None, fee=NO_FEE, slot=0) for n in range(3)]
    seen = observations(markets, [ASignal()], holds={"one_sided": 99})
    seen.exclusions = [Exclusion(why=LeftOut.DARK, where="a", count=25)]
    texts = warned(seen)
    assert "of 3 of 3 markets it is not known what they paid" in texts
    assert "no market of this recording has a fee: what is after fees is before them" in texts
    assert "left out as dark: 25; the run has 100 books" in texts
    assert "3 markets count as 1: those that were open at the same time move together" in texts


def test_markets_that_went_one_way() -> None:
    texts = warned(observations([a_market(n) for n in range(4)], [ASignal()]))
    assert "4 of 4 markets paid Up: buying always the same looks clever here" in texts


def test_no_order() -> None:
    assert "no order was made (next)" in warned(observations([a_market()], [ASignal()]))


def test_fills_on_the_very_book_that_was_decided_on_are_said() -> None:
    market = a_market()
    order = an_order(market, 0, after_ms=60_000)
    order.met_at_ms = order.decided_at_ms
    text = "1 of 1 filled orders met the very book that they were decided on (unchanged)"
    assert any(text in each for each in warned(observations([market], [ASignal()], [order])))


def test_signals_that_drop_out_of_the_verdict_are_said() -> None:
    lost = ASignal(bid_after_e4=[UNKNOWN] * 4, ask_after_e4=[UNKNOWN] * 4)
    said = warned(observations([a_market()], [ASignal(), ASignal(), lost]))
    assert sum("33% of the signals with a price it is not known what" in each for each in said) == 2


def test_a_scanner_whose_orders_are_left_out_is_no_fair_comparison() -> None:
    market = a_market()
    ends = [OrderEnd.FILLED, OrderEnd.LEFT_OUT]
    phases = [
        a_lane([an_order(market, 0, end=end)], poll_phase_ms=1_000 * n, bracket=bracket)
        for n, end in enumerate(ends)
        for bracket in Bracket
    ]
    said = warned(observations([market], [ASignal()], [an_order(market, 0)], polling=phases))
    assert sum("of the scanner's orders 0.5 are left out, and 0.5 count" in x for x in said) == 2


def test_a_return_on_sure_things_is_said_to_be_too_sure() -> None:
    markets = [a_market(n) for n in range(18)]
    sure = [an_order(each, n, price_e4=9_500, other_price_e4=600) for n, each in enumerate(markets)]
    said = warned(observations(markets, [ASignal()], sure))
    assert any(
        "at a mean price of 0.95 USD the rarer outcome is expected in 0.9" in x for x in said
    )
    fair = [an_order(each, n) for n, each in enumerate(markets)]
    assert not any("rarer" in each for each in warned(observations(markets, [ASignal()], fair)))


def test_an_ordinary_run_has_nothing_to_warn_of() -> None:
    markets = [a_market(n, paid=UP if n % 2 else DOWN) for n in range(4)]
    orders = [an_order(markets[n], n, after_ms=60_000, shares=9) for n in (1, 3)]
    assert warned(observations(markets, [ASignal()], orders), 100.0) == []
