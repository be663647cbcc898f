"""TRUST, FUNNEL, MARKETS and the assumptions: what is only counted."""

from __future__ import annotations

import math

from backtest.engine.assumptions import Assumptions
from backtest.engine.latency import Latency
from backtest.engine.observations import UNKNOWN, OrderEnd
from backtest.feed.events import Exclusion, LeftOut
from backtest.measures.prepared import prepare
from backtest.report.facts import assumption_lines, funnel, market_lines, missing_windows, trust
from protocol.fee import NO_FEE
from protocol.market import DOWN
from tests.support.backtest_builders import ASignal, a_market, an_order, observations


def test_what_the_data_can_tell() -> None:
    signals = [
        ASignal(arrival_ask_e4=(5_000, 5_100)),
        ASignal(arrival_ask_e4=(5_000, 5_000)),
        ASignal(arrival_ask_e4=(5_000, UNKNOWN)),
    ]
    markets = [a_market(0), a_market(1, paid=None, slot=0), a_market(2)]
    markets[1].longest_gap_ms = 11_000
    seen = observations(markets, signals)
    seen.exclusions = [
        Exclusion(why=LeftOut.GAP, where="a", count=1),
        Exclusion(why=LeftOut.UNPROVEN, where="a", count=5),
        Exclusion(why=LeftOut.GAP, where="b", count=2),
    ]
    section = trust(prepare(seen))
    assert (section.markets, section.resolved_markets, section.blocks) == (3, 2, 2)
    assert section.book_every_ms == 1_000.0
    assert section.longest_gap_ms == 11_000
    assert section.arrival_ms == 255
    assert (section.unknown_share.unchanged, section.unknown_share.next) == (0.0, 1 / 3)
    assert (section.brackets_differ_share, section.brackets_differ_ticks) == (0.5, 0.5)
    assert section.excluded == {"unproven": 5, "gap": 3}
    assert len(section.exclusions) == 3


def test_windows_that_are_missing_are_counted() -> None:
    def missing(*slots: int, series: str = "btc-15m") -> int:
        markets = [a_market(n, slot=slot, series=series) for n, slot in enumerate(slots)]
        return trust(prepare(observations(markets))).missing_windows

    assert [missing(), missing(3), missing(0, 1, 2), missing(0, 2, 5)] == [0, 0, 0, 3]
    two = [a_market(0, slot=0), a_market(1, slot=1, series="eth-15m"), a_market(2, slot=2)]
    assert missing_windows(two) == 1
    two[2].start_ms += 7  # windows that do not follow each other
    two[2].end_ms += 7
    assert missing_windows(two) == 0


def test_a_book_or_none_has_no_time_between_books() -> None:
    market = a_market()
    market.moments = 1
    assert trust(prepare(observations([market]))).book_every_ms is None
    assert trust(prepare(observations())).first_at_ms is None


def test_the_funnel_narrows_from_books_to_fills() -> None:
    market = a_market()
    ends = (OrderEnd.FILLED, OrderEnd.NO_MATCH, OrderEnd.NO_MATCH, OrderEnd.PARTLY)
    orders = [an_order(market, 0, end=end) for end in ends]
    signals = [ASignal(episode=0), ASignal(episode=0), ASignal(episode=1)]
    seen = observations(
        [market], signals, orders, orders_next=[], holds={"a": 1, "b": 2}, refused={"cooldown": 1}
    )
    section = funnel(prepare(seen))
    assert list(section.holds.items()) == [("b", 2), ("a", 1)]
    assert (section.moments, section.signals, section.episodes) == (6, 3, 2)
    unchanged = section.after.unchanged
    assert (unchanged.refused, unchanged.orders, unchanged.filled) == ({"cooldown": 1}, 4, 2)
    assert list(unchanged.ends) == ["no_match", "filled", "partly_filled"]
    assert section.after.next.orders == 0


def test_markets_in_order_of_time_with_their_entries() -> None:
    markets = [a_market(1, paid=DOWN), a_market(0, paid="split"), a_market(2, paid=None)]
    markets[0].chart_at_ms, markets[0].chart_mid_e4 = [1, 2], [5_050.0, math.nan]
    order = an_order(markets[0], 0, outcome=DOWN, price_e4=4_500)
    signals = [ASignal(market=0, episode=7), ASignal(market=0, after_ms=12_000, episode=7)]
    lines = market_lines(prepare(observations(markets, signals, [order], orders_next=[])))
    assert [(each.slug, each.paid, each.block) for each in lines] == [
        ("btc-15m-0", "split", 0),
        ("btc-15m-1", "Down", 1),
        ("btc-15m-2", "", 2),
    ]
    bought = lines[1]
    assert bought.chart_mid_e4 == [5_050.0, None]
    assert [(each.outcome, each.price_e4, each.pnl_e6) for each in bought.entries] == [
        ("Down", 4_500, order.pnl_e6)
    ]
    assert (bought.money.unchanged.filled, bought.money.next.filled) == (1, 0)
    assert (bought.money.unchanged.pnl_e6, bought.money.next.pnl_e6) == (order.pnl_e6, None)
    assert [each.last_at_ms - each.first_at_ms for each in bought.spans] == [2_000]


def test_assumptions_have_their_names() -> None:
    seen = observations([a_market(), a_market(1, fee=NO_FEE)])
    lines = {each.name: each.value for each in assumption_lines(seen)}
    assert list(lines) == [
        "latency",
        "taker_delay",
        "bracket",
        "depletion",
        "fee",
        "settlement",
        "positions",
        "capital",
        "gaps_over_s",
        "min_size",
        "entries_a_market",
        "poll",
        "seed",
    ]
    assert lines["latency"] == "5 ms"
    assert lines["fee"] == "0, 0.07"
    assert lines["entries_a_market"] == "not limited"
    assert lines["poll"] == "every 30 s, executed after 30 to 120 s"


def test_without_a_scanner_it_is_said() -> None:
    seen = observations()
    seen.assumptions = Assumptions(latency=Latency.constant(1), poll=None)
    lines = {each.name: each.value for each in assumption_lines(seen)}
    assert (lines["poll"], lines["fee"]) == ("none", "none")
