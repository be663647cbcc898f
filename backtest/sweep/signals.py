"""Where each point wants to buy: by the strategy's vectorised twin, or by asking the strategy.

Either way what is ordered is made by production's `trade_of`, and each order's part in the market
(`Offer`) is shared by all points that want it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

import numpy as np

from backtest.sweep.desk import BRACKETS, Offer
from backtest.sweep.features import TWINS, Wants
from backtest.sweep.moments import Batch, Ints
from functions.core.ask import ask_strategy, bids_wanted
from functions.core.configuration import Configuration
from functions.core.strategy_failures import StrategyFailures
from functions.core.strategy_rules import said_of
from functions.core.trade import Trade, trade_of
from protocol.book import PUBLISHED_LEVELS_MAX
from protocol.market import DOWN, UP
from strategies.interface import Hold, Signal, Strategy
from strategies.view import MarketView


class _Offers:
    """Of one batch, each made once."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._made: dict[tuple[int, str, int, int], Offer] = {}

    def of(self, moment: int, trade: Trade) -> Offer:
        key = (moment, trade.outcome, trade.max_price_e4, trade.spend_e6)
        offer = self._made.get(key)
        if offer is None:
            batch = self._batch
            position = int(batch.position[moment])
            offer = self._made[key] = Offer(
                trade=trade,
                market=batch.views[moment].market,
                market_index=int(batch.market[moment]),
                now_ms=int(batch.at_ms[moment]),
                strength=nan,
                other_max_price_e4=0,  # what the other outcome would have bought is not asked
                number=f"{position}-{trade.outcome}-{trade.max_price_e4}-{trade.spend_e6}",
                arrivals=tuple(batch.arrivals[bracket][moment] for bracket in BRACKETS),
                claims=[],
                came=[None] * len(BRACKETS),
            )
        return offer


class TwinSignals:
    """Of one batch, by the twin."""

    def __init__(self, batch: Batch, strategy: type[Strategy], points: list[Configuration]) -> None:
        self._batch = batch
        self._points = points
        self._order, self._version = points[0].order, points[0].version
        self.spend_e6 = self._order.spend_e6
        """Of each offer."""
        self._strategy = strategy
        self._bids_max = np.array([view.bids_max for view in batch.views], dtype=np.int64)
        self._twin = TWINS[strategy](batch.views, [point.parameters for point in points])
        self._offers = _Offers(batch)
        self._made: dict[tuple[int, bool], Offer | None] = {}

    def of(self, point: int) -> _Wanted:
        """Where the point with this number wants to buy."""
        parameters = self._points[point].parameters
        wants = self._twin.wants(parameters)
        if self._bids_max.min(initial=PUBLISHED_LEVELS_MAX) < PUBLISHED_LEVELS_MAX:
            wants = np.where(self._bids_max < bids_wanted(self._strategy, parameters), 0, wants)
        return _Wanted(self, wants)

    def offer(self, moment: int, *, is_up: bool) -> Offer | None:
        """What is offered by who wants that; None where it cannot be ordered."""
        key = (moment, is_up)
        if key not in self._made:
            signal = Signal(outcome=UP if is_up else DOWN, numbers={})
            trade = trade_of(signal, self._batch.views[moment], self._order, self._version)
            wanted = None if isinstance(trade, Hold) else self._offers.of(moment, trade)
            self._made[key] = wanted
        return self._made[key]


class _Wanted:
    """One point's, by the twin."""

    def __init__(self, signals: TwinSignals, wants: Wants) -> None:
        self.moments: Ints = np.flatnonzero(wants)
        self.least_e6 = signals.spend_e6
        self._signals, self._wants = signals, wants

    def offer(self, moment: int) -> Offer | None:
        return self._signals.offer(moment, is_up=bool(self._wants[moment] > 0))


class Asking:
    """Asks the strategy itself about each moment, at every point."""

    def __init__(self, strategy: type[Strategy], points: Sequence[Configuration]) -> None:
        self._strategy, self._points = strategy, points
        self._failures = [StrategyFailures() for _ in points]
        self._wanted: list[list[tuple[int, Trade]]] = [[] for _ in points]
        """By point: (position, trade)."""
        self.error = ""
        """The first thing that the strategy raised."""

    def ask(self, event: int, view: MarketView) -> None:
        """About one moment, in order of time."""
        for point, failures, wanted in zip(self._points, self._failures, self._wanted, strict=True):
            if failures.disabled:
                continue
            try:
                answer = ask_strategy(self._strategy, view, point)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a strategy may raise anything
                failures.note(view.now_ms)
                if not self.error:
                    self.error = f"{view.market.slug}: {said_of(error)}"
                continue
            if isinstance(answer, Trade):
                wanted.append((2 * event, answer))

    def signals(self, batch: Batch) -> AskedSignals:
        """Of a batch; once."""
        wanted: list[list[tuple[int, Trade]]] = []
        for number, each in enumerate(self._wanted):
            wanted.append([one for one in each if one[0] < batch.end])
            self._wanted[number] = each[len(wanted[-1]) :]
        return AskedSignals(batch, wanted)


class AskedSignals:
    """Of one batch, by asking."""

    def __init__(self, batch: Batch, wanted: list[list[tuple[int, Trade]]]) -> None:
        self._offers = _Offers(batch)
        self._moments = {
            position: moment for moment, position in enumerate(batch.position.tolist())
        }
        self._wanted = wanted

    def of(self, point: int) -> _Asked:
        """Where the point with this number wants to buy."""
        trades = {self._moments[position]: trade for position, trade in self._wanted[point]}
        return _Asked(self._offers, trades)


class _Asked:
    """One point's, by asking."""

    def __init__(self, offers: _Offers, trades: dict[int, Trade]) -> None:
        self.moments: Ints = np.array(sorted(trades), dtype=np.int64)
        self.least_e6 = min((trade.spend_e6 for trade in trades.values()), default=0)
        self._offers, self._trades = offers, trades

    def offer(self, moment: int) -> Offer | None:
        return self._offers.of(moment, self._trades[moment])
