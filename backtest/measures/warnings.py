"""What dominates a run, and what has no effect in it: what a reader would not look for. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

import numpy as np

from backtest.engine.assumptions import Bracket
from backtest.engine.observations import Observations, OrderEnd
from backtest.feed.events import LeftOut
from backtest.measures.intervals import BLOCKS_FOR_INTERVAL
from backtest.measures.markout import MEASURED_AT_S, after_costs_ticks
from backtest.measures.prepared import FILLED, Prepared
from backtest.measures.sections import Both, Comparison, Money, Rival
from backtest.measures.verdict import RARER_MIN
from functions.core.hold import HoldReason

_DOMINATES: Final = 0.9
_MUCH: Final = 0.1
_OPENING_MS: Final = 10_000
_RETURNS_APART: Final = 0.05
_FEW: Final = 3
_ONE_SIDED: Final = 0.2
"""From a half: beyond 70% or below 30%."""


def warnings(
    run: Prepared,
    money: Both[Money],
    compared: Both[list[Comparison]],
    book_every_ms: float | None,
) -> list[str]:
    """A sentence each, the gravest first."""
    seen = run.seen
    return [
        *_of_the_strategy(seen),
        *_of_the_funnel(seen),
        *_of_the_recording(run, book_every_ms),
        *_of_the_money(run, money, compared),
    ]


def _of_the_strategy(seen: Observations) -> Iterator[str]:
    raised = seen.holds[HoldReason.STRATEGY_ERROR]
    disabled = seen.holds[HoldReason.STRATEGY_DISABLED]
    if raised or seen.strategy_error:
        yield f"the strategy raised on {raised:,} books, first {seen.strategy_error}"
    if disabled:
        yield f"on {disabled:,} books the strategy was not asked: it had raised too often"


def _of_the_funnel(seen: Observations) -> Iterator[str]:
    if not len(seen.signals):
        yield "there was no signal"
    yield from _dominating(seen.holds, seen.moments, "of the books were held back as")
    refused = [
        text
        for lane in seen.lanes
        for text in _dominating(lane.refused, lane.signals, "of the signals were refused as")
    ]
    yield from dict.fromkeys(refused)  # once, where the lanes agree
    for lane in seen.lanes:
        orders, bracket = lane.orders, lane.bracket
        if lane.signals and not orders:
            yield f"no order was made ({bracket})"
        early = sum(
            each.decided_at_ms - seen.markets[each.market].start_ms <= _OPENING_MS
            for each in orders
        )
        if len(orders) > 1 and early > len(orders) / 2:
            how_many = "all" if early == len(orders) else f"{early} of"
            yield (
                f"{how_many} {len(orders)} orders are within {_OPENING_MS // 1_000} s of their"
                f" window's opening ({bracket})"
            )
        under_way = sum(each.end is OrderEnd.WAITING for each in orders)
        if under_way:
            yield f"under way when the recording ended: {under_way} orders ({bracket})"
        left_out = sum(each.end is OrderEnd.LEFT_OUT for each in orders)
        if left_out > _MUCH * len(orders):
            yield (
                f"{left_out} of {len(orders)} orders are left out: the recording cannot say what"
                f" they would have got ({bracket})"
            )


def _dominating(counts: Counter[str], of: int, text: str) -> list[str]:
    return [
        f"{_nearly(count / of)} {text} {reason}"
        if count < of
        else f"all {of:,} {text.removeprefix('of the ')} {reason}"
        for reason, count in counts.most_common(1)
        if of and count >= _DOMINATES * of
    ]


def _nearly(share: float) -> str:
    """In whole percent, and what is not all never as 100%."""
    return f"{share:.0%}" if share < 0.995 else f"{min(share, 0.999):.1%}"


def _of_the_recording(run: Prepared, every_ms: float | None) -> Iterator[str]:
    seen = run.seen
    assumptions = seen.assumptions
    arrival_ms = assumptions.latency.median_ms + assumptions.taker_delay_ms
    if every_ms is not None and arrival_ms < every_ms:
        yield (
            f"a latency below {every_ms / 1_000:.1f} s cannot be told apart: this recording has a"
            f" book every {every_ms / 1_000:.1f} s (median), and orders arrive after"
            f" {arrival_ms / 1_000:.2f} s"
        )
    yield from _of_what_is_known(run)
    markets, blocks = len(seen.markets), run.blocks.count
    if blocks < markets:
        yield (
            f"{markets} markets count as {blocks}: those that were open at the same time move"
            " together"
        )
    unresolved = sum(each.up_payout_e6 is None for each in seen.markets)
    if unresolved:
        yield f"of {unresolved} of {markets} markets it is not known what they paid"
    up_wins = sum((each.up_payout_e6 or 0) > (each.down_payout_e6 or 0) for each in seen.markets)
    resolved = markets - unresolved
    if resolved >= _FEW and abs(up_wins / resolved - 0.5) > _ONE_SIDED:
        yield f"{up_wins} of {resolved} markets paid Up: buying always the same looks clever here"
    if markets and all(not each.fee.rate for each in seen.markets):
        yield "no market of this recording has a fee: what is after fees is before them"
    left_out: Counter[LeftOut] = Counter()
    for each in seen.exclusions:
        left_out[each.why] += each.count
    for why in (LeftOut.DARK, LeftOut.PLACEHOLDER, LeftOut.UNPROVEN, LeftOut.UNREADABLE):
        if left_out[why] > _MUCH * max(seen.moments, 1):
            yield f"left out as {why}: {left_out[why]:,}; the run has {seen.moments:,} books"


def _of_what_is_known(run: Prepared) -> Iterator[str]:
    orders = run.seen.lane(Bracket.UNCHANGED).orders
    filled = [each for each in orders if each.end in FILLED]
    decided_on = sum(each.met_at_ms == each.decided_at_ms for each in filled)
    if decided_on > _MUCH * len(filled):
        yield (
            f"{decided_on} of {len(filled)} filled orders met the very book that they were decided"
            f" on ({Bracket.UNCHANGED}): what their way to the venue costs is in next alone"
        )
    for bracket in Bracket:
        priced = ~np.isnan(run.paid_in(bracket).price_e4)
        unknown = float(
            np.isnan(after_costs_ticks(run, bracket)[priced]).mean() if priced.any() else 0
        )
        if unknown > _MUCH:
            yield (
                f"of {unknown:.0%} of the signals with a price it is not known what a share was"
                f" worth {MEASURED_AT_S} s later ({bracket}): the verdict is by the others, and"
                " gaps come where prices move"
            )


def _of_the_money(
    run: Prepared, money: Both[Money], compared: Both[list[Comparison]]
) -> Iterator[str]:
    first, second = (money.of(each).return_on_stake.value for each in Bracket)
    if (
        first is not None
        and second is not None
        and first * second < 0
        and abs(first - second) > _RETURNS_APART
    ):
        yield (
            f"the brackets disagree: {first:+.0%} of the stake if an order met the last book,"
            f" {second:+.0%} if the next"
        )
    for bracket in Bracket:
        one = money.of(bracket)
        blocks, price = one.return_on_stake.blocks, one.mean_price
        rarer = None if price is None else min(price, 1 - price) * blocks
        if rarer is not None and blocks >= BLOCKS_FOR_INTERVAL and rarer < RARER_MIN:
            yield (
                f"at a mean price of {price:.2f} USD the rarer outcome is expected in {rarer:.1f}"
                f" of {blocks} independent markets ({bracket}): below {RARER_MIN} the interval of"
                " the return is too narrow"
            )
        if one.split is not None and abs(one.split.change_e6) > abs(one.pnl_e6):
            yield (
                f"had one market split ({one.split.slug}), P&L would be"
                f" {_usd(one.split.pnl_e6)} instead of {_usd(one.pnl_e6)} ({bracket})"
            )
        own = one.return_on_stake.value
        for each in compared.of(bracket):
            if each.rival is Rival.SCANNER and each.left_out > _MUCH * (
                each.left_out + each.orders
            ):
                yield (
                    f"of the scanner's orders {each.left_out:.1f} are left out, and"
                    f" {each.orders:.1f} count ({bracket}): the recording cannot say what they"
                    " would have got"
                )
        better = [
            f"{each.rival} {earned:+.0%}"
            for each in compared.of(bracket)
            if (earned := each.return_on_stake.value) is not None
            and own is not None
            and earned > own
        ]
        if better and own is not None:
            yield (
                f"better than the strategy ({own:+.0%} of its stake): {', '.join(better)}"
                f" ({bracket})"
            )


def _usd(amount_e6: int) -> str:
    return f"{amount_e6 / 1_000_000:+.2f} USD"
