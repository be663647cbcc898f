"""One of four things that can be said, and one sentence that says it. Pure.

By the markout after 60 s of all signals, after costs: it has the most power of all measures, for
there are many more signals than orders, and a price after a minute is far less random than a
payout. It has to be beyond zero in both brackets, and neither the settled P&L nor the
filled orders' own markouts may contradict it: what is traded may be what does not pay.
"""

from __future__ import annotations

from math import ceil
from typing import Final

import numpy as np

from backtest.engine.assumptions import Bracket
from backtest.measures.intervals import WORTH_SHOWING, Floats, Indices, blocks_needed
from backtest.measures.markout import MEASURED_AT_S, after_costs_ticks, plain_mean
from backtest.measures.money import settled_of
from backtest.measures.prepared import FilledOrders, Prepared
from backtest.measures.sections import (
    Both,
    Estimate,
    Markouts,
    Money,
    Verdict,
    VerdictKind,
    Worth,
)
from protocol.units import PRICE_SCALE

BLOCKS_MIN: Final = 10
RARER_MIN: Final = 3
"""How often the rarer outcome of what was bought must be expected among the blocks. Below it an
interval knows nothing of the one market that would turn it: fair bets at 0.95 look like a sure gain
in 41 of 100 runs of 18 markets, in 9 where it is expected 2.5 times (5 are what 95% promises).
"""
UNKNOWN_SHARE_MAX: Final = 0.5


def verdict(run: Prepared, worth: Worth, money: Both[Money], filled: Both[FilledOrders]) -> Verdict:
    """VERDICT."""
    estimates = Both(*(_at_60_s(worth.signals_markouts.of(each)) for each in Bracket))
    needed = _markets_needed(run, *_of_markouts(run))
    settled = settled_of(filled.unchanged)
    needed_by_pnl = _markets_needed(
        run, settled.market, settled.pnl_e6, settled.spent_e6, WORTH_SHOWING
    )
    kind, sentence = _said(run, worth, estimates, money)
    if kind is VerdictKind.NOTHING_SHOWN:
        sentence += _needed_text(needed, needed_by_pnl, len(run.seen.markets))
    return Verdict(
        kind=kind,
        sentence=sentence,
        markets=len(run.seen.markets),
        blocks=len(np.unique(run.blocks.of_market[run.market])),
        markets_needed=needed,
        markets_needed_by_pnl=needed_by_pnl,
    )


def _said(
    run: Prepared, worth: Worth, estimates: Both[Estimate], money: Both[Money]
) -> tuple[VerdictKind, str]:
    poor = _too_poor(run, worth, estimates)
    if poor:
        return VerdictKind.TOO_POOR, f"The data are too poor: {poor}."
    figures = (
        f"{MEASURED_AT_S} s after an order a share has gained {_ticks(estimates.unchanged)} ticks"
        f" beyond price and fee, {_ticks(estimates.next)} if its order met the next book"
    )
    filled = [_at_60_s(worth.filled_markouts.of(each)) for each in Bracket]
    gains = all((estimates.of(each).low or 0) > 0 for each in Bracket)
    losses = all((estimates.of(each).high or 0) < 0 for each in Bracket)
    returns = [money.of(each).return_on_stake for each in Bracket]
    paid_loss = any(each.high is not None and each.high < 0 for each in returns)
    paid_gain = any(each.low is not None and each.low > 0 for each in returns)
    own_loss = any(each.high is not None and each.high < 0 for each in filled)
    own_gain = any(each.low is not None and each.low > 0 for each in filled)
    why = "that may be luck"
    if (gains and own_loss) or (losses and own_gain):
        why = "but the orders that were filled, few of the signals, show the opposite"
    if (gains and paid_loss) or (losses and paid_gain):
        why = "but what was paid out in the end says the opposite"
    if (gains or losses) and why == "that may be luck":
        kind = VerdictKind.EDGE_SHOWN if gains else VerdictKind.LOSS_SHOWN
        what = "An edge" if gains else "A loss"
        payouts = "what was paid out does not contradict it"
        if all(each.value is None for each in returns):
            payouts = "nothing was paid out that could contradict it"
        return kind, f"{what} is shown: {figures}; {payouts}."
    return VerdictKind.NOTHING_SHOWN, f"Nothing is shown: {figures}; {why}."


def _too_poor(run: Prepared, worth: Worth, estimates: Both[Estimate]) -> str:
    """Why nothing can be said; empty where something can."""
    if not (books := run.seen.moments):
        return "there is no book that can be used: TRUST has what was left out, and why"
    if not worth.signals:
        text = f"there was no signal on {books:,} books of {_markets(run)}"
        for reason, count in run.seen.holds.most_common(1):
            text += f"; {count / books:.0%} of them were held as {reason.replace('_', ' ')}"
        return text
    for bracket in Bracket:
        estimate, markouts = estimates.of(bracket), worth.signals_markouts.of(bracket)
        unknown = 1 - (estimate.n + markouts.refused) / worth.signals
        if unknown > UNKNOWN_SHARE_MAX:
            return (
                f"of {unknown:.0%} of the signals the recording does not say what they would have"
                f" paid, or what a share was worth {MEASURED_AT_S} s later ({bracket})"
            )
        if estimate.blocks < BLOCKS_MIN:
            return (
                f"signals with a price are in {_blocks(estimate.blocks)} (markets that are open at"
                f" the same time are one), and it takes {BLOCKS_MIN} to tell an edge from luck"
                f" ({bracket})"
            )
        prices = run.paid_in(bracket).price_e4 / PRICE_SCALE
        rarer = rarer_expected(prices, estimate.blocks)
        if rarer is not None and rarer < RARER_MIN:
            return (
                f"at a mean price of {plain_mean(prices):.2f} USD the rarer outcome decides, and in"
                f" {_blocks(estimate.blocks)} of markets it is expected {rarer:.1f} times; below"
                f" {RARER_MIN} luck cannot be told from an edge ({bracket})"
            )
    return ""


def rarer_expected(prices: Floats, blocks: int) -> float | None:
    """How often the rarer outcome is expected in so many blocks, if prices (USD a share, NaN counts
    not) are right; None without one."""
    rarer = plain_mean(np.minimum(prices, 1 - prices))
    return None if rarer is None else rarer * blocks


def _at_60_s(markouts: Markouts) -> Estimate:
    rows = markouts.rows
    return next(each.mid_after_fee for each in rows if each.after_s == MEASURED_AT_S)


def _of_markouts(run: Prepared) -> tuple[Indices, Floats, Floats, float]:
    """(market, above, below, what to show) for `blocks_needed`; the stake is the mean price."""
    markouts = after_costs_ticks(run, Bracket.UNCHANGED)
    stake = plain_mean(run.paid_in(Bracket.UNCHANGED).price_e4 / run.tick_e4) or 0.0
    return run.market, markouts, np.ones(len(markouts)), WORTH_SHOWING * stake


def _markets_needed(
    run: Prepared, market: Indices, above: Floats, below: Floats, smallest: float
) -> int | None:
    blocks = blocks_needed(run.blocks, market, above, below, smallest)
    if blocks is None:
        return None
    return ceil(blocks * len(run.seen.markets) / run.blocks.count)


def _needed_text(needed: int | None, by_pnl: int | None, markets: int) -> str:
    if needed is None:
        return ""
    payouts = "" if by_pnl is None else f", or {_about(by_pnl)} by what they pay out"
    enough = ": such an edge would probably have shown" if needed <= markets else ""
    return (
        f" To show an edge of {WORTH_SHOWING:.0%} of the stake takes about {_about(needed)} markets"
        f" by prices after {MEASURED_AT_S} s{payouts}; here are {markets}{enough}."
    )


def _about(number: int) -> str:
    """Two digits of it: more would be a lie."""
    return f"{int(float(f'{number:.1e}')):,}"


def _ticks(estimate: Estimate) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "unknown"
    # A zero is added to what was rounded: -0.0 becomes 0.0.
    value, low, high = (
        round(each, 1) + 0.0 for each in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def _markets(run: Prepared) -> str:
    count = len(run.seen.markets)
    return f"{count} market" if count == 1 else f"{count} markets"


def _blocks(count: int) -> str:
    return f"{count} block" if count == 1 else f"{count} blocks"
