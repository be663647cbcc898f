"""What a report says of signals and books: WORTH, TRUST, FUNNEL, COST OF WAITING, SIZE. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from backtest.feed.events import Exclusion, LeftOut
from backtest.measures.sections import (
    Both,
    MarkoutAfter,
    Markouts,
    SizeLine,
    Waiting,
    Worth,
)
from backtest.report.report import Funnel, FunnelEnd, Trust
from executor.backtest_rendering.figures import (
    NONE,
    both,
    count,
    fraction,
    many,
    number,
    percent,
    reasons,
    section,
    small,
    table,
    ticks,
    words,
)
from executor.rendering import CARE, duration, facts_table, moment, plain

_DIGITS_S: Final = 2
EXCLUSIONS_MAX: Final = 8
"""So many places are listed."""
_TEXT_MAX: Final = 240
_FILLED: Final = ("filled", "partly_filled")


def worth_view(worth: Worth) -> RenderableType:
    """WORTH."""
    parts: list[RenderableType] = list(_cost(worth))
    moved = {each.after_s: each.moved_ticks for each in worth.moved}
    rows = table("all signals, mid", "the mid moves", "unchanged", "next")
    for after_s, pair in _by_time(worth.signals_markouts):
        rows.add_row(
            _after(after_s),
            ticks(moved[after_s]) if after_s in moved else NONE,
            ticks(pair.unchanged.mid_after_fee),
            ticks(pair.next.mid_after_fee),
        )
    sold = table("all signals, bid *", "", "unchanged", "next")
    filled = table("filled orders, mid", "", "unchanged", "next")
    for after_s, pair in _by_time(worth.signals_markouts):
        if after_s is not None:
            bids = pair.unchanged.bid_after_fee, pair.next.bid_after_fee
            sold.add_row(_after(after_s), "", *map(ticks, bids))
    for after_s, pair in _by_time(worth.filled_markouts):
        mids = pair.unchanged.mid_after_fee, pair.next.mid_after_fee
        filled.add_row(_after(after_s), "", *map(ticks, mids))
    for each in (rows, sold, filled):
        _aligned(each)
        if each.row_count:
            parts += ["", each]
        if each is sold and each.row_count:
            parts.append(plain("* the fee of selling is not counted yet", "dim"))
    return section("WORTH", "what the signal predicts, less what an entry costs; ticks", *parts)


def _cost(worth: Worth) -> Iterator[Text]:
    if worth.hurdle_ticks is None:
        yield plain("no signal: there is nothing to be worth anything")
        return
    yield plain(
        f"An entry costs {number(worth.hurdle_ticks)} ticks: half the spread "
        f"{number(worth.half_spread_ticks)}, the fee {number(worth.fee_ticks)}. "
        "Below: what a share is worth so long after it was bought, by mid or bid, less its price "
        "and the fee; how far the mid moves is since the signal."
    )
    if worth.claimed_edge_ticks is not None:
        claimed = number(worth.claimed_edge_ticks, sign=True)
        yield plain(
            f"By the strategy's own value of a share (the mid, where it names none) an entry gains "
            f"{claimed} ticks after costs."
        )
    markouts = worth.signals_markouts
    unknown = ""
    if markouts.unchanged.unknown or markouts.next.unknown:
        tell = both(markouts, lambda one: count(one.unknown))
        unknown = f"; of {tell} the books cannot tell"
    yield plain(
        f"Of {many(worth.signals, 'signal')} the order's limit refuses "
        f"{both(markouts, lambda one: count(one.refused))} (unchanged / next){unknown}: "
        "those are not in the tables."
    )


def _by_time(markouts: Both[Markouts]) -> Iterator[tuple[int | None, Both[MarkoutAfter]]]:
    following = {each.after_s: each for each in markouts.next.rows}
    for each in markouts.unchanged.rows:
        yield each.after_s, Both(each, following[each.after_s])


def _aligned(rows: Table) -> None:
    """Tables below each other, their columns, too."""
    for column, width in zip(rows.columns, (19, 16, 17, 17), strict=True):
        column.min_width = width


def _after(after_s: int | None) -> str:
    return "paid out at the end" if after_s is None else f"after {after_s} s"


def trust_view(trust: Trust) -> RenderableType:
    """TRUST."""
    rows = facts_table()
    if trust.first_at_ms is not None and trust.last_at_ms is not None:
        span = duration(trust.last_at_ms - trust.first_at_ms)
        first, last = moment(trust.first_at_ms), moment(trust.last_at_ms)
        rows.add_row("time", f"{first} to {last} UTC ({span})")
    rows.add_row("books", f"{count(trust.moments)} moments with both outcomes' books")
    rows.add_row("markets", _markets(trust))
    if trust.book_every_ms is not None:
        pace = f"a book every {number(trust.book_every_ms / 1000, _DIGITS_S)} s"
        if trust.arrival_ms is not None:
            pace += f"; an order arrives {number(trust.arrival_ms / 1000, _DIGITS_S)} s after it"
            pace += " was decided"
        rows.add_row("pace", f"{pace}; longest gap {number(trust.longest_gap_ms / 1000)} s")
    rows.add_row("brackets", _brackets(trust))
    if any(share for share in (trust.unknown_share.unchanged, trust.unknown_share.next)):
        shares = both(trust.unknown_share, small)
        rows.add_row("cannot tell", f"{shares} of the signals: no book near their arrival")
    excluded = ", ".join(f"{found:,} {reason}" for reason, found in reasons(trust.excluded))
    rows.add_row("left out", plain(excluded or "nothing", CARE if excluded else ""))
    for line in _left_out(trust.exclusions):
        rows.add_row("", line)
    return section("TRUST", "what these books can tell", rows)


def _left_out(exclusions: list[Exclusion]) -> Iterator[Text]:
    """What and where, of files before what is of markets; the last line counts the others."""
    kinds = list(LeftOut)
    listed = sorted(exclusions, key=lambda each: kinds.index(each.why))
    for each in listed[:EXCLUSIONS_MAX]:
        more = f": {each.text}" if each.text else ""
        text = f"{each.count:,} {words(each.why)}, {each.where[:_TEXT_MAX]}{more}"
        yield plain(text if len(text) <= _TEXT_MAX else f"{text[:_TEXT_MAX]} ...")
    if len(listed) > EXCLUSIONS_MAX:
        yield plain(f"... and {len(listed) - EXCLUSIONS_MAX:,} more: --json has them all")


def _markets(trust: Trust) -> str:
    unpaid = trust.markets - trust.resolved_markets
    paid = f"; of {count(unpaid)} it is not known what they paid" if unpaid else ""
    if trust.missing_windows:
        paid += f"; between them {many(trust.missing_windows, 'window')} without any book"
    if trust.blocks == trust.markets:
        return f"{count(trust.markets)}, no two at one time{paid}"
    blocks = count(trust.blocks)
    return (
        f"{count(trust.markets)}{paid}; as those at one time move together, they count as {blocks}"
    )


def _brackets(trust: Trust) -> str:
    share, apart = trust.brackets_differ_share, trust.brackets_differ_ticks
    if share is None or apart is None:
        return "no signal is known in both"
    which = "dearer" if apart >= 0 else "cheaper"
    return (
        f"the ask of {percent(share)} of the signals is another one in the next book: "
        f"{number(abs(apart), _DIGITS_S)} ticks {which} on average"
    )


def funnel_view(funnel: Funnel) -> RenderableType:
    """FUNNEL."""
    every, signals, after = funnel.moments, funnel.signals, funnel.after
    seen = table("", "of all")
    seen.add_column("", justify="right", no_wrap=True)
    seen.add_row("books looked at", count(every), "", style="bold")
    for reason, found in reasons(funnel.holds):
        seen.add_row(plain(f"  {reason}"), count(found), fraction(found, every))
    name = plain(f"signals, in {many(funnel.episodes, 'episode')}")
    seen.add_row(name, count(signals), fraction(signals, every), style="bold")

    rows = table("", "unchanged", "next", "of the signals")
    for reason in _names(after.unchanged.refused, after.next.refused):
        pair = Both(after.unchanged.refused.get(reason, 0), after.next.refused.get(reason, 0))
        _pair(rows, f"  refused: {words(reason)}", pair, signals)
    _pair(rows, "orders", _of(after, "orders"), signals, "bold")
    for end in _names(after.unchanged.ends, after.next.ends):
        pair = Both(after.unchanged.ends.get(end, 0), after.next.ends.get(end, 0))
        if end not in _FILLED and (pair.unchanged or pair.next):
            _pair(rows, f"  {words(end)}", pair, 0)
    _pair(rows, "filled", _of(after, "filled"), 0, "bold")
    for each in (seen, rows):
        each.columns[0].min_width = 34
        each.columns[1].min_width = 9
    return section("FUNNEL", "from books to fills", seen, rows)


def _of(after: Both[FunnelEnd], field: str) -> Both[int]:
    return Both(getattr(after.unchanged, field), getattr(after.next, field))


def _pair(rows: Table, name: str, pair: Both[int], of: int, style: str = "") -> None:
    share = ""
    if of:
        first, last = fraction(pair.unchanged, of), fraction(pair.next, of)
        share = first if first == last else f"{first} / {last}"
    rows.add_row(plain(name), count(pair.unchanged), count(pair.next), share, style=style)


def _names(first: dict[str, int], second: dict[str, int]) -> list[str]:
    names = dict.fromkeys([*first, *second])
    return sorted(names, key=lambda name: -max(first.get(name, 0), second.get(name, 0)))


def waiting_view(waiting: Waiting) -> RenderableType:
    """COST OF WAITING."""
    rows = table("after", "off by, median", "dearer, ticks", "limit refuses", "both ways *")
    for line in waiting.delays:
        rows.add_row(
            f"{line.delay_s:g} s",
            both(line.waited, lambda one: percent(_share(one.median_pct), 1)),
            both(line.waited, lambda one: number(one.mean_ticks, sign=True)),
            both(line.waited, lambda one: percent(one.limit_refuses)),
            both(line.waited, lambda one: percent(one.both_ways_refuse)),
        )
    check = "* a check that refuses prices as far below the decided one, too"
    parts: list[RenderableType] = [rows, plain(check, "dim")]
    if waiting.episode_median_s is not None:
        scans = ", ".join(f"{each.every_s} s {percent(each.share)}" for each in waiting.scans)
        seen = f" A scan sees of them: every {scans}." if scans else ""
        lasts = number(waiting.episode_median_s)
        parts += ["", plain(f"A signal lasts {lasts} s (median).{seen}")]
    return section(
        "COST OF WAITING", "the ask later against the one decided on; unchanged / next", *parts
    )


def _share(value: float | None) -> float | None:
    return None if value is None else value / 100


def size_view(sizes: list[SizeLine]) -> RenderableType:
    """SIZE."""
    rows = table("an order of", "costs more, ticks", "books that hold so much")
    for each in sizes:
        rows.add_row(
            f"{each.usd:,} USD", number(each.extra_ticks, sign=True), percent(each.held_share)
        )
    return section("SIZE", "what a larger order pays more a share, in the book decided on", rows)
