"""The stream and a scanner beside each other: a page in Markdown with its pictures. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from textwrap import TextWrapper
from typing import Final, TypeVar

import msgspec

from backtest.engine.assumptions import Bracket, Polling
from backtest.engine.observations import Lane, Observations
from backtest.measures.execution import execution
from backtest.measures.prepared import Prepared, filled_orders, prepare
from backtest.measures.sections import Both, Comparison, Estimate, ExecutionEnds, Rate, Rival
from backtest.pictures.canvas import drawing, file_svg, signed
from backtest.pictures.phases import draw_phases
from backtest.pictures.waiting import WAITING_CAPTION, draw_waiting
from backtest.report.build import report_of
from backtest.report.report import BacktestReport

PAGE: Final = "streaming-or-polling.md"
WAITING: Final = "streaming-or-polling-waiting.svg"
PHASES: Final = "streaming-or-polling-phases.svg"
_DELAYS_S: Final = (0, 1, 5, 10, 30, 60, 120)
_BOTH_WAYS: Final = "check both ways refuses"
_NONE: Final = "\u2013"
_WRAPPED: Final = TextWrapper(width=100, break_long_words=False, break_on_hyphens=False)
_POINT: Final = TextWrapper(
    width=100,
    initial_indent="- ",
    subsequent_indent="  ",
    break_long_words=False,
    break_on_hyphens=False,
)
_T = TypeVar("_T")


class WayToTrade(msgspec.Struct, frozen=True, kw_only=True):
    """The stream, or all phases of the scanner together, in one bracket."""

    execution: ExecutionEnds
    compared: Comparison
    returns: list[float]
    """On stake, one an account that bought something."""


def made(seen: Observations) -> dict[str, str]:
    """The files by name, of a run with a scanner.

    The same observations make the same ones, to the last byte.
    """
    poll, prepared, report = _poll_of(seen), prepare(seen), report_of(seen)
    stream, scanner = (
        Both(*(way(prepared, report, bracket) for bracket in Bracket))
        for way in (_stream, _scanner)
    )
    lines = [
        *_opening(report, poll),
        *_table(report, poll, stream, scanner),
        *_waiting(report, seen.configuration.order.slippage_max_bps),
        *_result(report, stream, scanner),
        *_cannot_tell(report),
    ]
    with drawing():
        waiting = draw_waiting(report.waiting)
        phases = draw_phases(
            Both(scanner.unchanged.returns, scanner.next.returns),
            Both(*(_return(scanner.of(bracket)) for bracket in Bracket)),
            Both(*(_return(stream.of(bracket)) for bracket in Bracket)),
        )
        return {
            PAGE: "\n".join(lines).rstrip("\n") + "\n",
            WAITING: file_svg(waiting, "What waiting costs") + "\n",
            PHASES: file_svg(phases, "What each scanner earned") + "\n",
        }


def _stream(run: Prepared, report: BacktestReport, bracket: Bracket) -> WayToTrade:
    return WayToTrade(
        execution=report.execution.of(bracket),
        compared=_compared(report, bracket, Rival.STRATEGY),
        returns=_returns([run.seen.lane(bracket)]),
    )


def _scanner(run: Prepared, report: BacktestReport, bracket: Bracket) -> WayToTrade:
    lanes = [lane for lane in run.seen.polling if lane.bracket is bracket]
    orders = [order for lane in lanes for order in lane.orders]
    together = Lane(name="scanner", bracket=bracket, orders=orders)
    return WayToTrade(
        execution=execution(run, together, filled_orders(run, orders)),
        compared=_compared(report, bracket, Rival.SCANNER),
        returns=_returns(lanes),
    )


def _compared(report: BacktestReport, bracket: Bracket, rival: Rival) -> Comparison:
    return next(line for line in report.compared.of(bracket) if line.rival is rival)


def _return(way: WayToTrade) -> float | None:
    return way.compared.return_on_stake.value


def _returns(lanes: Sequence[Lane]) -> list[float]:
    found = []
    for lane in lanes:
        settled = [order for order in lane.orders if order.pnl_e6 is not None]
        spent_e6 = sum(order.filled_spend_e6 for order in settled)
        if spent_e6:
            found.append(sum(order.pnl_e6 or 0 for order in settled) / spent_e6)
    return found


# -- the page --------------------------------------------------------------------------------------


def _poll_of(seen: Observations) -> Polling:
    if seen.assumptions.poll is None:
        raise ValueError("there is no scanner to compare with")
    return seen.assumptions.poll


def _opening(report: BacktestReport, poll: Polling) -> Iterator[str]:
    assumed = {each.name: each.value for each in report.assumptions}
    trust, worth = report.trust, report.worth
    least_ms, most_ms = poll.execution.knots[0][1], poll.execution.knots[-1][1]
    yield """\
# Streaming or polling

<!-- Made by `python -m backtest.streaming_or_polling`, and compared by CI: change that instead. -->
"""
    yield from _paragraph(
        "What is it worth to see every book, instead of scanning the markets now and then? Here "
        "the same trading code does both, on the same recorded books."
    )
    yield from _points_of(
        f"**Stream**: it decides on every book. Its order is at the venue {assumed['latency']} "
        "later.",
        f"**Scanner**: it looks every {poll.every_ms // 1000} s, and its order is at the venue "
        f"{_seconds(least_ms)} to {_seconds(most_ms)} later, as in the plan that this project "
        "began with. Nobody chooses the second at which it begins, so each of "
        f"{len(poll.phases_ms)} has an account of its own; the table has them together.",
        f"The venue holds the order of either for another {assumed['taker_delay']}.",
        "**Unchanged**: an order meets the last recorded book at or before it arrives, which is "
        "optimistic. **Next**: the first one after, which is pessimistic. Every figure that "
        "depends on it is given for both.",
    )
    yield from _paragraph(
        f"The strategy is `{report.strategy}`; it and the account are as by default. There are "
        f"{trust.markets} markets, {trust.moments:,} moments with both outcomes' books, and "
        f"{worth.signals:,} signals in {worth.episodes:,} episodes without a pause. Intervals are "
        "of 95%, drawn over whole markets."
    )


def _table(
    report: BacktestReport, poll: Polling, stream: Both[WayToTrade], scanner: Both[WayToTrade]
) -> Iterator[str]:
    ways = (stream.unchanged, stream.next, scanner.unchanged, scanner.next)
    every_s = poll.every_ms // 1000
    share = next((scan.share for scan in report.waiting.scans if scan.every_s == every_s), None)

    def row(name: str, shown: Callable[[WayToTrade], str]) -> str:
        return _row(name, *(shown(way) for way in ways))

    yield "## The table\n"
    yield _row("", "stream, unchanged", "stream, next", "scanner, unchanged", "scanner, next")
    yield "|---|--:|--:|--:|--:|"
    yield _row("episodes that it sees", "100%", "100%", _percent(share), _percent(share))
    yield row("decision to arrival, median", lambda way: _seconds(way.execution.arrival_ms))
    yield row("ask met is off by, median", lambda way: _points(way.execution.met.median_pct))
    yield row("ask met is off by over 5%", lambda way: _percent(way.execution.met.over_5pct_share))
    yield row("orders filled", lambda way: _rate(way.execution.fill_rate))
    yield row("return on stake", lambda way: _estimate(way.compared.return_on_stake))
    more = (_estimate(scanner.of(bracket).compared.strategy_minus) for bracket in Bracket)
    yield _row("the stream returns more by", "", "", *more)
    yield ""
    met = Both(scanner.unchanged.execution.met, scanner.next.execution.met)
    yield from _paragraph(
        "The plan expected a price 30 to 40% away when a scanner's order arrives. Half of them "
        f"are more than {_both(met, lambda one: _points(one.median_pct))} away (unchanged / next). "
        "That the price is gone is no matter of the bracket. Whether that costs money is another "
        "question: see the result."
    )


def _waiting(report: BacktestReport, slippage_max_bps: int) -> Iterator[str]:
    yield "## What waiting costs\n"
    yield from _paragraph(
        "The ask of the token to be bought, against the one that was decided on; all signals; "
        f"unchanged / next. The limit of an order is {slippage_max_bps / 100:g}% above the ask "
        "that was decided on; a check both ways, which a scanner may have, refuses a price as far "
        "below it as well."
    )
    yield _row(
        "order comes after", "off by, median", "dearer by, ticks", "limit refuses", _BOTH_WAYS
    )
    yield "|--:|--:|--:|--:|--:|"
    for line in report.waiting.delays:
        if line.delay_s in _DELAYS_S:
            yield _row(
                f"{line.delay_s:g} s",
                _both(line.waited, lambda one: _points(one.median_pct)),
                _both(line.waited, lambda one: _signed(one.mean_ticks, 1)),
                _both(line.waited, lambda one: _percent(one.limit_refuses)),
                _both(line.waited, lambda one: _percent(one.both_ways_refuse)),
            )
    yield f"\n![How far the ask is after a delay, and what is refused then]({WAITING})\n"
    yield from _paragraph(f"*{WAITING_CAPTION} {_source(report)}*")
    lasts = report.waiting.episode_median_s
    over = "" if lasts is None else f"Half of the episodes last less than {lasts:.1f} s. "
    yield from _paragraph(
        f"{over}Prices move both ways, so an order that comes late is on average only a little "
        "dearer. But it is not filled at the average: what its limit refuses has moved the way "
        "that the signal said, and what is filled cheaper has moved against it."
    )


def _result(
    report: BacktestReport, stream: Both[WayToTrade], scanner: Both[WayToTrade]
) -> Iterator[str]:
    returns = Both(scanner.unchanged.returns, scanner.next.returns)
    lost = _both(returns, lambda every: f"{sum(each < 0 for each in every)} of {len(every)}")
    lowest = _both(returns, lambda every: _signed_percent(min(every, default=None)))
    highest = _both(returns, lambda every: _signed_percent(max(every, default=None)))
    yield "## The result\n"
    yield f"![What each scanner earned of its stake, and the stream]({PHASES})\n"
    yield from _paragraph(
        "*A dot is a scanner that began at another second: the same strategy on the same markets. "
        f"The solid line is the stream. {_source(report)}*"
    )
    yield from _paragraph(
        f"By the second at which it begins a scanner earns from {lowest} to {highest} of its "
        f"stake; {lost} lose (unchanged / next). {_shown(scanner)} {_edge(stream)}"
    )


def _shown(scanner: Both[WayToTrade]) -> str:
    """What can be said of the difference: nothing, where an interval has zero in it."""
    differences = [scanner.of(bracket).compared.strategy_minus for bracket in Bracket]
    more = " / ".join(map(_estimate, differences))
    if all(each.low is not None and each.low > 0 for each in differences):
        return f"The stream returns more, by {more}: shown in both brackets."
    if all(each.high is not None and each.high < 0 for each in differences):
        return f"The stream returns less, by {more}: shown in both brackets."
    return (
        f"The stream returns {more} more: as zero is within an interval, **no difference in money "
        "is shown** by these markets."
    )


def _edge(stream: Both[WayToTrade]) -> str:
    """What can be said of the stream itself."""
    returns = [stream.of(bracket).compared.return_on_stake for bracket in Bracket]
    if all(each.low is not None and each.low > 0 for each in returns):
        return "That the stream itself earns money is shown in both brackets."
    return (
        "Nor is it shown that the stream itself earns money. Speed gets a price nearer to the one "
        "that was decided on; what that is worth, the signal has to show."
    )


def _cannot_tell(report: BacktestReport) -> Iterator[str]:
    trust, verdict = report.trust, report.verdict
    up = sum(market.paid == "Up" for market in report.markets)
    series = ", ".join(sorted({market.series for market in report.markets}))
    hours = ((trust.last_at_ms or 0) - (trust.first_at_ms or 0)) / 3_600_000
    pace = "" if trust.book_every_ms is None else f", {trust.book_every_ms / 1000:.1f} s apart"
    yield "## What these books cannot tell\n"
    yield from _points_of(
        f"What happens between two of them{pace}: unchanged sees no move within that time, next "
        "the move of all of it.",
        f"What is so in general: {trust.markets} markets of {series} within {hours:.0f} hours, of "
        f"which {up} went Up. To show 2% of the stake would take about "
        f"{_many(verdict.markets_needed)} markets by prices 60 s after the orders, and "
        f"{_many(verdict.markets_needed_by_pnl)} by what is paid out.",
        "What a scanner would lose besides: here it remembers each market as the stream does, and "
        "its scan takes no time.",
        "What others do: other takers, the venue's refusals, and what our own orders do to a "
        f"market are not in it. An order is of {report.settings['size_usd']} USD.",
    )
    yield from _paragraph(_source(report))


def _source(report: BacktestReport) -> str:
    return f"Source: {report.feed}."


def _paragraph(text: str) -> Iterator[str]:
    yield _WRAPPED.fill(text)
    yield ""


def _points_of(*texts: str) -> Iterator[str]:
    for text in texts:
        yield _POINT.fill(text)
    yield ""


# -- how figures are written -----------------------------------------------------------------------


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _both(pair: Both[_T], shown: Callable[[_T], str]) -> str:
    return f"{shown(pair.unchanged)} / {shown(pair.next)}"


def _seconds(ms: float | None) -> str:
    return _NONE if ms is None else f"{ms / 1000:.2g} s" if ms < 1_000 else f"{ms / 1000:.0f} s"


def _percent(share: float | None) -> str:
    return _NONE if share is None else f"{100 * share:.0f}%"


def _points(percent: float | None) -> str:
    return _NONE if percent is None else f"{percent:.1f}%"


def _signed(value: float | None, digits: int) -> str:
    return _NONE if value is None else signed(value, digits)


def _signed_percent(share: float | None) -> str:
    return _NONE if share is None else f"{_signed(100 * share, 0)}%"


def _many(count: int | None) -> str:
    """In two digits: it is no more certain than that."""
    if count is None:
        return "more than can be said"
    scale = 10 ** max(0, len(str(count)) - 2)
    return f"{round(count / scale) * scale:,}"


def _rate(rate: Rate) -> str:
    if rate.low is None or rate.high is None:
        return _percent(rate.value)
    return f"{_percent(rate.value)} [{100 * rate.low:.0f}, {100 * rate.high:.0f}]"


def _estimate(estimate: Estimate) -> str:
    """`+5% [-41, +51]`."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return _signed_percent(estimate.value)
    low, high = (_signed(100 * each, 0) for each in (estimate.low, estimate.high))
    return f"{_signed_percent(estimate.value)} [{low}, {high}]"
