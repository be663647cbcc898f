"""A backtest's report as text: what a number looks like, and that all of it fits a terminal."""

from __future__ import annotations

from functools import cache

import msgspec
import pytest
from rich.console import Console, RenderableType

from backtest.engine.observations import Observations
from backtest.feed.events import Exclusion, LeftOut
from backtest.measures.sections import Both, Estimate, Rate, VerdictKind
from backtest.report.build import report_of
from backtest.report.report import BacktestReport
from backtest.sweep.result import (
    Agreement,
    Half,
    Luck,
    SweepResult,
    SweptAxis,
    SweptPoint,
)
from executor.backtest_rendering import report_view
from executor.backtest_rendering.figures import (
    fraction,
    number,
    percent,
    rate,
    rate_of,
    returns,
    small,
    ticks,
    usd,
    words,
)
from executor.backtest_rendering.orders import MARKETS_MAX
from executor.backtest_rendering.signals import EXCLUSIONS_MAX
from executor.backtest_rendering.swept import sweep_view
from executor.rendering import BAD, GOOD
from tests.support.backtest_builders import (
    ASignal,
    a_large_run,
    a_market,
    an_order,
    observations,
)


@cache
def large() -> BacktestReport:
    return report_of(a_large_run(signals=400, phases=2))


def text_of(view: RenderableType, width: int = 240) -> str:
    console = Console(width=width, highlight=False, color_system=None)
    with console.capture() as capture:
        console.print(view)
    return capture.get()


def estimate(value: float, low: float | None = None, high: float | None = None) -> Estimate:
    return Estimate(value=value, low=low, high=high, n=9, blocks=9)


# -- numbers ---------------------------------------------------------------------------------------


def test_numbers_have_a_sign_only_where_it_says_something() -> None:
    assert number(1.26, sign=True) == "+1.3"
    assert number(-0.04, sign=True) == "0.0"
    assert number(None) == "-"
    assert percent(-0.004, sign=True) == "0%"
    assert usd(1_234_567_890) == "+1,234.57"
    assert usd(-4_000) == "0.00"
    assert usd(None) == "-"


@pytest.mark.parametrize(
    ("hits", "of", "shown"),
    [
        (0, 10, "0%"),
        (10, 10, "100%"),
        (5_478, 16_657, "33%"),
        (877, 16_657, "5.3%"),
        (1, 16_657, "<0.1%"),
        (16_656, 16_657, ">99.9%"),
        (2_842, 2_872, "99.0%"),
        (1, 0, "-"),
    ],
)
def test_a_share_never_looks_like_none_or_all_when_it_is_not(
    hits: int, of: int, shown: str
) -> None:
    assert fraction(hits, of) == shown


def test_small_shares_are_not_nothing() -> None:
    assert (small(0.0001), small(0.0), small(None)) == ("<0.1%", "0%", "-")


def test_intervals_are_coloured_where_zero_is_outside() -> None:
    within, above = ticks(estimate(0.5, -1.34, 2.36)), ticks(estimate(0.5, 0.2, 0.8))
    below, bare = ticks(estimate(-0.5, -0.8, -0.2)), ticks(estimate(0.5))
    assert (within.plain, within.style) == ("+0.5 [-1.3, +2.4]", "")
    assert (above.style, below.style) == (GOOD, BAD)
    assert (bare.plain, bare.style) == ("+0.5", "")
    assert ticks(Estimate()).plain == "-"
    assert ticks(estimate(6.8, -8.4, 22.8)).plain == "+7 [-8, +23]"
    assert returns(estimate(0.05, -0.41, 0.51)).plain == "+5% [-41, +51]"


def test_rates_have_wilson_s_interval() -> None:
    won = Rate(hits=10, of=18, independent=18, value=10 / 18, low=0.337, high=0.754)
    assert rate(won) == "56% [34, 75]"
    assert rate_of(won) == "56% of 18 [34, 75]"
    assert (rate(Rate()), rate_of(Rate())) == ("-", "-")


def test_reasons_are_words() -> None:
    assert words("outside_price_zone") == "outside price zone"


# -- the whole -------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 120])
def test_it_fits_the_terminal_and_nothing_is_cut_off(width: int) -> None:
    text = text_of(report_view(large(), swept()), width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width


def test_the_verdict_is_first() -> None:
    text = text_of(report_view(large()))
    assert text.startswith(f"VERDICT  {large().verdict.kind.upper()}\n")
    assert large().verdict.sentence in " ".join(text.split())


@pytest.mark.parametrize("kind", VerdictKind)
def test_every_verdict_can_be_said(kind: VerdictKind) -> None:
    verdict = msgspec.structs.replace(large().verdict, kind=kind)
    report = msgspec.structs.replace(large(), verdict=verdict)
    assert text_of(report_view(report)).startswith(f"VERDICT  {kind.upper()}\n")


@pytest.mark.parametrize("seen", [observations(), observations([a_market(paid=None)])])
def test_a_run_in_which_nothing_happened_is_a_report(seen: Observations) -> None:
    text = text_of(report_view(report_of(seen)), 80)
    assert "no signal: there is nothing to be worth anything" in text
    assert "nan" not in text.lower().split()
    assert "None" not in text


def test_both_brackets_stand_beside_each_other() -> None:
    lines = text_of(report_view(large())).splitlines()
    (line,) = [each for each in lines if each.startswith("  orders filled and paid out")]
    money = large().money
    assert line.split()[5:] == [
        *(f"{money.unchanged.settled} of {money.unchanged.filled}").split(),
        *(f"{money.next.settled} of {money.next.filled}").split(),
    ]


def test_many_markets_are_cut_and_counted() -> None:
    many = msgspec.structs.replace(large(), markets=large().markets * 5)
    text = text_of(report_view(many))
    assert f"... and {len(many.markets) - MARKETS_MAX} more: --json has them all" in text


def test_what_is_left_out_is_listed_with_its_place_and_reason() -> None:
    exclusions = [
        Exclusion(why=LeftOut.GAP, where=f"btc-15m-{number}", count=2, text="orders, next")
        for number in range(EXCLUSIONS_MAX)
    ]
    damaged = Exclusion(why=LeftOut.DAMAGED, where="a\x1b.gz", count=1, text="cut " * 200)
    trust = msgspec.structs.replace(large().trust, exclusions=[*exclusions, damaged])
    report = msgspec.structs.replace(large(), trust=trust)
    text = " ".join(text_of(report_view(report), 80).split())
    assert "1 damaged, a .gz: cut cut" in text
    assert f"2 gap, btc-15m-{EXCLUSIONS_MAX - 2}: orders, next ... and 1 more: --json" in text
    assert text.index("1 damaged, a") < text.index("2 gap, btc-15m-0: orders")
    assert f"btc-15m-{EXCLUSIONS_MAX - 1}: orders" not in text
    assert text.count("cut") < 70


def test_what_came_from_outside_cannot_move_the_cursor() -> None:
    report = msgspec.structs.replace(large(), feed="a\x1b[2Jfeed [bold]x[/bold] https://a.b/c")
    text = text_of(report_view(report))
    assert "\x1b" not in text
    assert "[bold]x[/bold] https://a.b/c" in text


# -- a sweep ---------------------------------------------------------------------------------------


def half(pnl_e6: int) -> Both[Half]:
    one = Half(
        orders=9,
        filled=9,
        settled=9,
        spent_e6=9_900_000,
        pnl_e6=pnl_e6,
        return_on_stake=pnl_e6 / 9_900_000,
    )
    return Both(one, one)


def swept(reached_share: float = 0.34) -> SweepResult:
    """Ten points, of which production ran two, and the default."""
    luck = Luck(
        draws=100,
        best_pnl_e6=6_900_000,
        median_pnl_e6=5_000_000,
        p95_pnl_e6=9_000_000,
        reached_share=reached_share,
        quantiles_e6=(),
    )
    points = [
        SweptPoint(
            parameters={"levels": number, "imbalance_min": 0.5},
            train=half(6_900_000 - number),
            test=half(-1_600_000 if number else 100_000),
        )
        for number in range(10)
    ]
    return SweepResult(
        strategy="book_imbalance_crypto",
        axes=[SweptAxis(name="levels", values=tuple(range(10)), default=5)],
        is_grid=True,
        trials=10,
        train_share=0.5,
        train_blocks=9,
        test_blocks=9,
        train_markets=9,
        test_markets=9,
        split_at_ms=1_790_594_100_000,
        points=points,
        best=list(range(10)),
        default=points[5],
        luck=Both(luck, luck),
        agreement=Agreement(points=3, orders=54),
        twin=True,
    )


def test_no_point_stands_without_its_test_half_and_without_what_luck_makes() -> None:
    text = " ".join(text_of(sweep_view(swept())).split())
    assert text.startswith("SWEEP 10 points tried; unchanged / next")
    assert "levels=0, imbalance_min=0.5 +6.90 / +6.90 +70 / +70 +0.10 / +0.10 +1 / +1" in text
    assert "levels=2" not in text  # production has not run it again
    assert "By luck alone the best of 10 points would make +5.00 / +5.00 in the train half" in text
    assert "Luck does as well 34 / 34 times in 100: nothing but luck is shown" in text
    assert "Of the 2 points that were best in the train half, 1 / 1 earned anything in the" in text
    assert "3 points with 54 orders were run again by the code that trades: all agree" in text


def test_more_than_luck_is_said_without_a_warning() -> None:
    assert "1 / 1 times in 100." in " ".join(text_of(sweep_view(swept(0.01))).split())


def test_without_orders_there_is_nothing_to_choose_by() -> None:
    none = msgspec.structs.replace(swept(), luck=None, best=[])
    assert "there is nothing to choose by" in text_of(sweep_view(none))


def test_what_would_flatter_is_said_beside_it() -> None:
    markets = [
        a_market(slot, slot=slot, paid="Up" if slot % 3 else "Down") for slot in (1, 2, 4, 5)
    ]
    orders = [an_order(each, index) for index, each in enumerate(markets)]
    report = report_of(observations(markets, [ASignal()], orders))
    text = text_of(report_view(report))
    assert "4, no two at one time; between them 1 window without any book" in text
    assert "by the low end of its interval it bets nothing" in text
    assert "some leave zero out by luck" in text
    sure = [a_market(slot) for slot in range(40)]
    bought = [an_order(each, index) for index, each in enumerate(sure)]
    text = text_of(report_view(report_of(observations(sure, [ASignal()], bought))))
    assert "without any book" not in text
    assert "low end of its interval" not in text
