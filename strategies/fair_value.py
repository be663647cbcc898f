"""`fair_value`: buy an outcome that is cheaper than a barrier model says, by the market's own mid.

The market pays Up if a price ends above where it began. With the price a Brownian motion without
drift, that is digital-option pricing (Black and Scholes 1973; Bachelier 1900 for the motion): at
distance x from the barrier and tau seconds to the close, Up is worth Phi(x / (s * sqrt(tau))). The
venue's books do not show x or s, but a mid m does show their ratio: w = Phi^-1(m) * sqrt(tau) is
x / s, by the market's own idea of s. If that idea is right, w moves with a variance of one a
second. So the variance that w has really shown is (s realised / s priced)^2, and

    fair value of Up = Phi(w / (ratio * sqrt(tau))).

A ratio below one says that the market prices more uncertainty than there is, and makes the
favourite cheap; above one it makes the outsider cheap. A few dozen books measure a ratio badly, so
it begins at one with a weight of `prior_s` seconds, and has a floor.

Assumes: no drift, no jumps, a volatility that goes on as it was within `window_s`, mids that mean
something (a wide or empty book's does not), and that a resting tie and the oracle's own delay do
not matter. It does not look at the coin: the market may know better. Rounding of prices to ticks
makes w move more than the price does; books at least `step_s` apart make that a small part.

Only what came after the window's start counts: before, there is no barrier. The memory may miss
books (others went to another worker, or a newer one displaced them): the estimate takes each
increment with the time that it took, so fewer books make it rougher, not wrong.
"""

from __future__ import annotations

from enum import StrEnum
from math import isfinite, sqrt
from statistics import NormalDist
from typing import Final, NamedTuple

from protocol.market import DOWN, UP
from protocol.units import PRICE_SCALE
from strategies.interface import Hold, Signal, Strategy
from strategies.memory import BookRow
from strategies.parameters import StrategyParameters, parameter
from strategies.view import MarketView

_NORMAL: Final = NormalDist()
_SAMPLES_MAX: Final = 96
"""Whatever window and step are: so a decision has a bound."""


class FairValue(Strategy):
    """See the module's text."""

    name = "fair_value"

    class Parameters(StrategyParameters):
        """How the value is estimated, and when it is acted on; prices in 1e-4 USD."""

        edge_min_ticks: float = parameter(
            2.0,
            "How much cheaper than its fair value an outcome must be, ask and fee together, "
            "in ticks.",
            ge=0,
            le=100,
            tunable=True,
        )
        window_s: float = parameter(
            90.0, "How far back the volatility is measured, in seconds.", ge=5, le=900, tunable=True
        )
        step_s: float = parameter(
            2.0,
            "Books at least so far apart are compared, in seconds.",
            ge=0.1,
            le=60,
            tunable=True,
        )
        smoothing_s: float = parameter(
            5.0,
            "Over how long the distance to the barrier is averaged, in seconds; 0: the newest mid.",
            ge=0,
            le=60,
            tunable=True,
        )
        samples_min: int = parameter(
            15, "The fewest books that a volatility is measured by.", ge=3, le=90, tunable=True
        )
        seen_min_s: float = parameter(
            30.0, "The shortest time that they must span, in seconds.", ge=1, le=900, tunable=True
        )
        prior_s: float = parameter(
            60.0,
            "How long a time the market's own volatility counts for beside the measured one, "
            "in seconds.",
            ge=0,
            le=3_600,
            tunable=True,
        )
        volatility_min_ratio: float = parameter(
            0.6,
            "The floor of measured over priced volatility: less is taken for too few trades.",
            ge=0.1,
            le=1,
            tunable=True,
        )
        time_to_close_min_s: float = parameter(
            120.0,
            "How long before its close a market is left alone, in seconds: the model's errors "
            "grow without bound towards it.",
            ge=1,
            le=86_400,
            tunable=True,
        )
        mid_min_e4: int = parameter(
            1_000, "The lowest mid of Up that is traded.", ge=0, le=10_000, tunable=True
        )
        mid_max_e4: int = parameter(
            9_000, "The highest mid of Up that is traded.", ge=0, le=10_000, tunable=True
        )
        spread_max_e4: int = parameter(
            200, "The widest spread of Up, now and in what is measured.", ge=1, le=10_000,
            tunable=True,
        )  # fmt: skip

    class Reason(StrEnum):
        """Why it holds, in the order of the checks."""

        ONE_SIDED = "one_sided"
        CROSSED = "crossed"
        OUTSIDE_PRICE_ZONE = "outside_price_zone"
        SPREAD_TOO_WIDE = "spread_too_wide"
        TOO_CLOSE_TO_CLOSE = "too_close_to_close"
        SAME_PRICES = "same_prices"
        TOO_FEW_BOOKS = "too_few_books"
        NO_EDGE = "no_edge"

    @staticmethod
    def decide(view: MarketView, parameters: Parameters, now_ms: int) -> Signal | Hold:
        """Decide on one book and those before it; `now_ms` does not matter here."""
        up, reason = view.up, FairValue.Reason
        mid_e4, spread_e4 = up.mid_e4, up.spread_e4
        if mid_e4 is None or spread_e4 is None or view.down.spread_e4 is None:
            return Hold(reason.ONE_SIDED)
        if spread_e4 <= 0 or view.down.spread_e4 <= 0:
            return Hold(reason.CROSSED)
        if not parameters.mid_min_e4 <= mid_e4 <= parameters.mid_max_e4:
            return Hold(reason.OUTSIDE_PRICE_ZONE)
        if spread_e4 > parameters.spread_max_e4:
            return Hold(reason.SPREAD_TOO_WIDE)
        left_s = view.time_to_close_ms / 1_000
        if left_s < parameters.time_to_close_min_s:
            return Hold(reason.TOO_CLOSE_TO_CLOSE)
        # The value hardly moves where the prices do not, and most books do not move them: measuring
        # costs ten times what has been asked so far.
        rows = view.memory.rows
        if len(rows) < parameters.samples_min:
            return Hold(reason.TOO_FEW_BOOKS)
        if _prices(rows[-1]) == _prices(rows[-2]):
            return Hold(reason.SAME_PRICES)

        measured = _measure(view, parameters)
        if measured is None:
            return Hold(reason.TOO_FEW_BOOKS)
        ratio = max(parameters.volatility_min_ratio, measured.volatility_ratio)
        fair_e4 = _fair_e4(measured, parameters, left_s)
        best = _best(view, fair_e4)
        if best is None or best[0] < parameters.edge_min_ticks:
            return Hold(reason.NO_EDGE)
        edge_ticks, outcome, value_e4 = best
        return Signal(
            outcome=outcome,
            numbers={
                "fair_up_e4": fair_e4,
                "edge_ticks": edge_ticks,
                "volatility_ratio": ratio,
                "distance_sqrt_s": measured.distance,
                "samples": float(measured.samples),
                "seen_s": measured.seen_s,
            },
            value_e4=value_e4,
        )

    @staticmethod
    def bids_seen(parameters: Parameters) -> int:
        """The best one; all else it reads in memory."""
        return 1

    @staticmethod
    def measures(view: MarketView, parameters: Parameters, now_ms: int) -> dict[str, float]:
        """What `decide` compares; the edge is that of the outcome that is cheaper."""
        up = view.up
        left_s = view.time_to_close_ms / 1_000
        numbers: dict[str, float] = {"time_to_close_s": left_s}
        if up.mid_e4 is not None and up.spread_e4 is not None:
            numbers |= {"mid_e4": up.mid_e4, "spread_e4": up.spread_e4}
        measured = _measure(view, parameters) if view.memory.rows else None
        if measured is None or left_s <= 0:
            return numbers
        numbers |= {
            "samples": float(measured.samples),
            "seen_s": measured.seen_s,
            "measured_volatility_ratio": measured.volatility_ratio,
        }
        best = _best(view, _fair_e4(measured, parameters, left_s))
        if best is not None:
            numbers["edge_ticks"] = best[0]
        return numbers


def _fair_e4(measured: _Measured, parameters: FairValue.Parameters, left_s: float) -> float:
    """What Up is worth. Nothing is certain before the close, and no price is beyond the finest
    tick."""
    ratio = max(parameters.volatility_min_ratio, measured.volatility_ratio)
    up_wins = _NORMAL.cdf(measured.distance / (ratio * sqrt(left_s)))
    return min(max(1.0, up_wins * PRICE_SCALE), PRICE_SCALE - 1.0)


def _best(view: MarketView, fair_e4: float) -> tuple[float, str, float] | None:
    """Edge in ticks, outcome and its value, of the outcome that is cheaper."""
    best: tuple[float, str, float] | None = None
    for outcome, value_e4 in ((UP, fair_e4), (DOWN, PRICE_SCALE - fair_e4)):
        edge_ticks = view.edge_after_costs_ticks(outcome, value_e4)
        if edge_ticks is not None and (best is None or edge_ticks > best[0]):
            best = (edge_ticks, outcome, value_e4)
    return best


def _prices(row: BookRow) -> tuple[int, int] | None:
    return (row.bids[0][0], row.asks[0][0]) if row.bids and row.asks else None


class _Measured(NamedTuple):
    distance: float
    """x / s, smoothed, in square roots of a second."""
    volatility_ratio: float
    samples: int
    seen_s: float


def _measure(view: MarketView, parameters: FairValue.Parameters) -> _Measured | None:
    """What the memory says, None where it says too little."""
    end_ms, start_ms = view.market.end_ms, view.market.start_ms
    spread_max_e4, step_ms = parameters.spread_max_e4, parameters.step_s * 1_000
    rows = view.memory.rows
    newest_ms = first_ms = last_ms = rows[-1].at_ms
    oldest_ms = max(start_ms, newest_ms - parameters.window_s * 1_000)
    smooth_ms = newest_ms - parameters.smoothing_s * 1_000
    last_distance, smoothed, in_smoothing, samples = 0.0, 0.0, 0, 0
    variance = 0.0
    for row in reversed(rows):
        at_ms = row.at_ms
        if at_ms < oldest_ms or samples >= _SAMPLES_MAX:
            break
        if samples and last_ms - at_ms < step_ms:
            continue
        if not row.bids or not row.asks:
            continue
        bid_e4, ask_e4 = row.bids[0][0], row.asks[0][0]
        if not 0 < ask_e4 - bid_e4 <= spread_max_e4 or at_ms >= end_ms or at_ms > newest_ms:
            continue
        mid = (bid_e4 + ask_e4) / (2 * PRICE_SCALE)
        if not 0 < mid < 1:
            continue
        distance = _NORMAL.inv_cdf(mid) * sqrt((end_ms - at_ms) / 1_000)
        if samples:
            variance += (last_distance - distance) ** 2
        else:
            first_ms = at_ms
        if at_ms >= smooth_ms or not samples:
            smoothed, in_smoothing = smoothed + distance, in_smoothing + 1
        last_ms, last_distance, samples = at_ms, distance, samples + 1
    seen_s = (first_ms - last_ms) / 1_000
    if samples < parameters.samples_min or seen_s < parameters.seen_min_s:
        return None
    # `seen_min_s` is above zero, so nothing is divided by zero.
    rate = (variance + parameters.prior_s) / (seen_s + parameters.prior_s)
    if not isfinite(rate):
        return None
    return _Measured(smoothed / in_smoothing, sqrt(rate), samples, seen_s)
