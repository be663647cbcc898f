"""A replay's report in lines of plain text, for a terminal and for the sandbox. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from backtest.replay.all_books import AccountAnswers
from backtest.replay.answers import DecidedTrade
from backtest.replay.history import NotAgain, NotRemade
from backtest.replay.replay import Different, ReplayReport
from protocol.units import PRICE_SCALE, usd_decimal

HINTS: Final = {
    NotAgain.STRATEGY_NOT_LOADED: "name its file: --strategy ./my_strategy.py",
    NotAgain.BOOKS_MISSING: "the recorder was away, or the file is damaged",
    NotAgain.CONFIGURATION_MISSING: "STRATEGIES names the accounts whose it records",
}


def verdict_line(report: ReplayReport) -> str:
    """The first line: whether every decision is the same again."""
    if not report.decisions:
        return f"nothing to replay: no decision in {report.recording}" + (
            "" if report.books else ", and no book: `executor record --books` records them"
        )
    compared = f"{report.decisions:,} {_decisions(report.decisions)}"
    if report.again < report.decisions:
        compared += f", {report.again:,} of them made again"
    if not report.again:
        return f"nothing to replay: {compared}"
    if report.different:
        return f"{compared}: {report.different:,} DIFFERENT, {report.equal:,} equal"
    return f"{compared}: all equal"


def lines_of(report: ReplayReport) -> Iterator[str]:
    """What stands below the verdict."""
    for why, count in report.not_again.items():
        first = next(each for each in report.not_again_first if each.why == why)
        yield _not_again_line(why, count, first)
    if report.different > 1:
        told = ", ".join(f"{name} of {count:,}" for name, count in report.unlike.items())
        yield f"what differs: {told}"
    for difference in report.differences:
        yield from difference_lines(difference)
    if (more := report.different - len(report.differences)) > 0:
        yield f"... and {more:,} more"
    if report.twice:
        yield f"{report.twice:,} decisions stand in the recording twice; compared once"
    for damage in report.damages:
        yield f"DAMAGED: {damage.file}: {damage.bytes:,} bytes from {damage.offset:,}: {damage.why}"
    if report.unreadable:
        yield f"UNREADABLE: {report.unreadable:,}; the first: {report.first_unreadable}"
    if report.gaps:
        yield f"MISSED by the recorder, {report.gaps:,} times; the first: {report.missed[0]}"
    yield (
        "not compared, because not logged: whatever was held, and signals like one that was logged "
        f"shortly before ({report.repeats:,} of them are counted in a later decision)"
    )
    yield from _all_books_lines(report)


def difference_lines(each: Different) -> Iterator[str]:
    """One decision that is another one now."""
    yield ""
    yield (
        f"{each.decision_id}  {each.account} ({each.strategy})  {each.market}  "
        f"{_time(each.asked_at_ms)} UTC"
    )
    yield (
        f"  book {each.book}, received {_time(each.book_received_at_ms)}: "
        f"Up {_price(each.up_bid_e4)} / {_price(each.up_ask_e4)}, "
        f"Down {_price(each.down_bid_e4)} / {_price(each.down_ask_e4)}"
    )
    yield f"  configuration {each.config_version}: {each.parameters} {each.settings}"
    yield f"  logged: {_answer(each.logged)}"
    yield f"  now:    {_answer(each.again)}"
    for unlike in () if isinstance(each.again, str) else each.unlike:
        yield f"  {unlike.name}: logged {unlike.logged}, now {unlike.again}"


def _answer(answer: DecidedTrade | str) -> str:
    if isinstance(answer, str):
        return answer
    numbers = "  ".join(f"{name} {number:g}" for name, number in answer.numbers.items())
    return (
        f"buys {answer.outcome} for {usd_decimal(answer.spend_e6):f} USD at most at "
        f"{_price(answer.max_price_e4)}, ask {_price(answer.signal_price_e4)}, "
        f"edge {answer.edge_after_costs_ticks:+.2f} ticks: {numbers}"
    )


def _not_again_line(why: str, count: int, first: NotRemade) -> str:
    of = f"{first.decision_id} of {first.account}: " if first.decision_id else ""
    hint = HINTS.get(first.why)
    return f"not made again, {why}: {count:,}; the first: {of}{first.text}" + (
        f" ({hint})" if hint else ""
    )


def _all_books_lines(report: ReplayReport) -> Iterator[str]:
    left = [
        f"{report.books_superseded:,} that came after a newer one" * bool(report.books_superseded),
        f"{report.books_before_configuration:,} before any configuration"
        * bool(report.books_before_configuration),
    ]
    but = ", ".join(filter(None, left))
    yield f"all {report.books:,} books decided again{f' (but {but})' if but else ''}:"
    for each in report.accounts:
        yield f"  {_answers_line(each)}"
    yield f"  digest of all answers: {report.answers_digest}"


def _answers_line(each: AccountAnswers) -> str:
    if each.why_not and not each.books:
        return f"{each.account} ({each.strategy}): not asked: {each.why_not}"
    holds = ", ".join(f"{count:,} {reason}" for reason, count in each.holds.items())
    unasked = f"; not asked {each.not_asked:,} times: {each.why_not}" if each.not_asked else ""
    return (
        f"{each.account} ({each.strategy}): {each.books:,} books, {each.signals:,} signals; "
        f"held: {holds or 'none'}{unasked}"
    )


def _decisions(count: int) -> str:
    return "decision" if count == 1 else "decisions"


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _price(price_e4: int | None) -> str:
    return "-" if price_e4 is None else f"{price_e4 / PRICE_SCALE:g}"
