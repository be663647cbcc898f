"""The sections that only count: TRUST, FUNNEL, MARKETS, and the assumptions by name. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from backtest.engine.assumptions import Bracket
from backtest.engine.observations import Lane, MarketSeen, Observations, OrderSeen
from backtest.measures.markout import plain_mean
from backtest.measures.prepared import FILLED, Prepared, book_every_ms, offered_e4
from backtest.measures.sections import Both
from backtest.report.report import (
    Assumption,
    Funnel,
    FunnelEnd,
    MarketEntry,
    MarketLine,
    MarketMoney,
    SignalSpan,
    Trust,
)
from protocol.market import DOWN, UP
from protocol.units import PRICE_SCALE


def trust(run: Prepared) -> Trust:
    """TRUST: what the data can tell."""
    seen, markets = run.seen, run.seen.markets
    used = [each for each in markets if each.moments]
    excluded: Counter[str] = Counter()
    for exclusion in seen.exclusions:
        excluded[exclusion.why] += exclusion.count
    arrival = offered_e4(run.rows.arrival_ask_e4)
    both_known = ~np.isnan(arrival).any(axis=1)
    differs = arrival[both_known, 1] - arrival[both_known, 0]
    arrivals = [
        each.arrived_at_ms - each.decided_at_ms for lane in seen.lanes for each in lane.orders
    ]
    assumptions = seen.assumptions
    return Trust(
        first_at_ms=min((each.first_at_ms for each in used), default=None),
        last_at_ms=max((each.last_at_ms for each in used), default=None),
        moments=seen.moments,
        markets=len(markets),
        resolved_markets=sum(each.up_payout_e6 is not None for each in markets),
        blocks=run.blocks.count,
        book_every_ms=median_book_every_ms(run),
        arrival_ms=float(np.median(arrivals))
        if arrivals
        else assumptions.latency.median_ms + assumptions.taker_delay_ms,
        longest_gap_ms=max((each.longest_gap_ms for each in markets), default=0),
        missing_windows=missing_windows(markets),
        unknown_share=Both(
            *(plain_mean(run.paid_in(each).unknown.astype(np.float64)) for each in Bracket)
        ),
        brackets_differ_share=plain_mean((differs != 0).astype(np.float64)),
        brackets_differ_ticks=plain_mean(differs / run.tick_e4[both_known]),
        exclusions=list(seen.exclusions),
        excluded=_most_frequent_first(excluded),
    )


def missing_windows(markets: Sequence[MarketSeen]) -> int:
    """How many windows of a series lie between its first and its last one and are not there.

    Of series whose windows follow each other, all as long; of others nobody can say.
    """
    starts: dict[tuple[str, int], set[int]] = {}
    for each in markets:
        starts.setdefault((each.series, each.end_ms - each.start_ms), set()).add(each.start_ms)
    missing = 0
    for (_, length_ms), of_series in starts.items():
        first_ms, last_ms = min(of_series), max(of_series)
        if length_ms > 0 and all(not (each - first_ms) % length_ms for each in of_series):
            missing += (last_ms - first_ms) // length_ms + 1 - len(of_series)
    return missing


def median_book_every_ms(run: Prepared) -> float | None:
    """Median over the markets."""
    every_ms = [each for market in run.seen.markets if (each := book_every_ms(market)) is not None]
    return float(np.median(every_ms)) if every_ms else None


def funnel(run: Prepared) -> Funnel:
    """FUNNEL."""
    seen = run.seen
    return Funnel(
        moments=seen.moments,
        holds=_most_frequent_first(seen.holds),
        signals=len(seen.signals),
        episodes=len(np.unique(seen.signals.episode)),
        after=Both(*(_funnel_end(seen.lane(each)) for each in Bracket)),
    )


def _funnel_end(lane: Lane) -> FunnelEnd:
    ends = Counter(each.end.value for each in lane.orders)
    return FunnelEnd(
        refused=_most_frequent_first(lane.refused),
        orders=len(lane.orders),
        ends=_most_frequent_first(ends),
        filled=sum(ends[each] for each in FILLED),
    )


def _most_frequent_first(counts: Mapping[str, int]) -> dict[str, int]:
    # Plain strings, and an order that does not hang on which was seen first.
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return {str(reason): count for reason, count in ordered if count}


# -- MARKETS ---------------------------------------------------------------------------------------


def market_lines(run: Prepared) -> list[MarketLine]:
    """MARKETS, in order of time."""
    seen = run.seen
    by_bracket = {each: _orders_by_market(seen, each) for each in Bracket}
    spans = _spans_by_market(run)
    lines = [
        _market_line(
            run,
            index,
            {bracket: orders[index] for bracket, orders in by_bracket.items()},
            spans[index],
        )
        for index in range(len(seen.markets))
    ]
    return sorted(lines, key=lambda each: (each.start_ms, each.end_ms, each.slug))


def _market_line(
    run: Prepared, index: int, orders: Mapping[Bracket, list[OrderSeen]], spans: list[SignalSpan]
) -> MarketLine:
    market = run.seen.markets[index]
    return MarketLine(
        slug=market.slug,
        series=market.series,
        start_ms=market.start_ms,
        end_ms=market.end_ms,
        block=int(run.blocks.of_market[index]),
        paid=_paid_text(market),
        moments=market.moments,
        signals=market.signals,
        longest_gap_ms=market.longest_gap_ms,
        money=Both(*(_market_money(orders[each]) for each in Bracket)),
        chart_at_ms=list(market.chart_at_ms),
        chart_mid_e4=[None if math.isnan(each) else float(each) for each in market.chart_mid_e4],
        entries=[
            MarketEntry(
                bracket=bracket,
                at_ms=each.decided_at_ms if each.met_at_ms is None else each.arrived_at_ms,
                outcome=each.outcome,
                price_e4=round(each.filled_spend_e6 * PRICE_SCALE / each.filled_size_e6),
                pnl_e6=each.pnl_e6,
            )
            for bracket in Bracket
            for each in orders[bracket]
            if each.end in FILLED and each.filled_size_e6
        ],
        spans=spans,
    )


def _market_money(orders: list[OrderSeen]) -> MarketMoney:
    filled = [each for each in orders if each.end in FILLED]
    known = [each.pnl_e6 for each in filled if each.pnl_e6 is not None]
    return MarketMoney(
        orders=len(orders),
        filled=len(filled),
        spent_e6=sum(each.filled_spend_e6 for each in filled),
        pnl_e6=sum(known) if known else None,
    )


def _paid_text(market: MarketSeen) -> str:
    up_e6, down_e6 = market.up_payout_e6, market.down_payout_e6
    if up_e6 is None or down_e6 is None:
        return ""
    if min(up_e6, down_e6) > 0 or up_e6 == down_e6:
        return "split"
    return UP if up_e6 > down_e6 else DOWN


def _orders_by_market(seen: Observations, bracket: Bracket) -> list[list[OrderSeen]]:
    by_market: list[list[OrderSeen]] = [[] for _ in seen.markets]
    for order in seen.lane(bracket).orders:
        by_market[order.market].append(order)
    return by_market


def _spans_by_market(run: Prepared) -> list[list[SignalSpan]]:
    rows = run.rows
    by_market: list[list[SignalSpan]] = [[] for _ in run.seen.markets]
    if not len(rows):
        return by_market
    _, first, episode = np.unique(rows.episode, return_index=True, return_inverse=True)
    last_at_ms = np.zeros(len(first), dtype=np.int64)
    np.maximum.at(last_at_ms, episode, rows.at_ms)
    for market, first_ms, last_ms, is_up in zip(
        rows.market[first].tolist(),
        rows.at_ms[first].tolist(),
        last_at_ms.tolist(),
        rows.is_up[first].tolist(),
        strict=True,
    ):
        outcome = UP if is_up else DOWN
        by_market[market].append(
            SignalSpan(first_at_ms=first_ms, last_at_ms=last_ms, outcome=outcome)
        )
    return by_market


# -- assumptions -----------------------------------------------------------------------------------


def assumption_lines(seen: Observations) -> list[Assumption]:
    """What was taken for granted, each by its name."""
    assumptions, settings = seen.assumptions, seen.configuration.settings
    rates = sorted({each.fee.rate for each in seen.markets})
    entries, poll = settings.max_entries_per_market, assumptions.poll
    lines = (
        (
            "latency",
            assumptions.latency.name,
            "From the decision to the venue; a book is decided on when it was received.",
        ),
        (
            "taker_delay",
            f"{assumptions.taker_delay_ms} ms",
            "How long the venue holds an order that takes before it matches it.",
        ),
        (
            "bracket",
            "unchanged, next",
            "An order meets the last recorded book at or before its arrival, and the first after"
            " it: everything is given for both.",
        ),
        (
            "depletion",
            "until the level changes",
            "What an order took of a level is gone until a later one meets another size there; what"
            " changed and changed back in between is gone, too.",
        ),
        (
            "fee",
            ", ".join(f"{rate:f}" for rate in rates) or "none",
            "Shares x rate x (p(1-p))^exponent, each level at its own price, rounded up.",
        ),
        (
            "settlement",
            "as recorded",
            "A share pays 1, 0, or what a split or a void says; nothing is sold before.",
        ),
        (
            "positions",
            "end with their market",
            "A slot is free from then on; a live one waits for the payout, some minutes longer.",
        ),
        (
            "capital",
            "not limited",
            "What is bought needs no balance: only the account's limits say how much is held.",
        ),
        (
            "gaps_over_s",
            f"{assumptions.gap_over_ms / 1_000:g}",
            "An order that would meet a book so old, or none for so long, is left out.",
        ),
        (
            "min_size",
            "enforced" if settings.enforce_min_order_size else "not enforced",
            "Whether the market's minimum size, meant for resting orders, binds ours.",
        ),
        (
            "entries_a_market",
            "not limited" if entries is None else f"{entries}",
            "How often a market is entered, beside its cooldown and the number of positions.",
        ),
        (
            "poll",
            "none"
            if poll is None
            else f"every {poll.every_ms / 1_000:g} s, executed after {poll.execution.name}",
            "The scanner that the stream is compared with, over all phases of its period.",
        ),
        ("seed", f"{assumptions.seed}", "Of latencies and intervals: the same run, the same text."),
    )
    return [Assumption(name=name, value=value, text=text) for name, value, text in lines]
