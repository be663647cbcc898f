"""What a run has seen, made by hand: markets, signals, orders, and a large run by chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from backtest.engine.assumptions import Assumptions, Bracket
from backtest.engine.latency import Latency
from backtest.engine.observations import (
    CHART_POINTS,
    DELAYS_S,
    HORIZONS_S,
    SIZES_USD,
    UNKNOWN,
    Lane,
    MarketSeen,
    Observations,
    OrderEnd,
    OrderSeen,
    SignalRows,
    WhatIf,
)
from protocol.fee import FeeSchedule, taker_fee_e6
from protocol.market import DOWN, UP
from tests.support.configuration_builders import a_configuration

START_MS = 1_700_000_100_000
"""When the first market's window begins."""
WINDOW_MS = 900_000
SHARE_E6 = 1_000_000
CRYPTO_FEE = FeeSchedule(rate=Decimal("0.07"), exponent=1)


def a_market(
    number: int = 0,
    *,
    paid: str | None = UP,
    series: str = "btc-15m",
    slot: int | None = None,
    tick_e4: int = 100,
    fee: FeeSchedule = CRYPTO_FEE,
) -> MarketSeen:
    """The `number`th; its window is the `slot`th of a row of them, by default its own number.

    `paid`: Up, Down, "split", or None where it is not known.
    """
    start_ms = START_MS + (number if slot is None else slot) * WINDOW_MS
    payouts = {UP: (SHARE_E6, 0), DOWN: (0, SHARE_E6), "split": (SHARE_E6 // 2, SHARE_E6 // 2)}
    up_e6, down_e6 = (None, None) if paid is None else payouts[paid]
    return MarketSeen(
        slug=f"{series}-{number}",
        series=series,
        condition_id=f"0xc{number}",
        start_ms=start_ms,
        end_ms=start_ms + WINDOW_MS,
        tick_e4=tick_e4,
        fee=fee,
        up_payout_e6=up_e6,
        down_payout_e6=down_e6,
        moments=901,
        first_at_ms=start_ms,
        last_at_ms=start_ms + WINDOW_MS,
        longest_gap_ms=2_000,
    )


@dataclass(kw_only=True)
class ASignal:
    """One row of `SignalRows`. Prices not given stay what they were: bid and ask."""

    market: int = 0
    after_ms: int = 10_000
    """Since the first market's start plus `market` windows."""
    is_up: bool = True
    episode: int | None = None
    """None: an episode of its own."""
    tick_e4: int = 100
    strength: float = 0.6
    edge_ticks: float = 1.0
    bid_e4: int = 4_900
    ask_e4: int = 5_000
    max_price_e4: int | None = None
    """None: 5% above the ask, on a grid of 0.01."""
    bid_after_e4: Sequence[int] | None = None
    ask_after_e4: Sequence[int] | None = None
    held: Sequence[Sequence[int]] | None = None
    """Bids and asks of both brackets, as many as 2 x HORIZONS_S; None: as after the decision."""
    ask_waited_e4: Sequence[int] | None = None
    ask_waited_next_e4: Sequence[int] | None = None
    arrival_ask_e4: tuple[int, int] | None = None
    size_price_e4: Sequence[float] = field(default_factory=lambda: [np.nan] * len(SIZES_USD))

    @property
    def at_ms(self) -> int:
        return START_MS + self.market * WINDOW_MS + self.after_ms


def signal_rows(signals: Sequence[ASignal]) -> SignalRows:
    """In the order given, which has to be that of time."""

    def prices(rows: list[Sequence[int]], columns: int) -> NDArray[np.int32]:
        return np.array(rows, dtype=np.int32).reshape(len(signals), columns)

    own = max((each.episode for each in signals if each.episode is not None), default=-1) + 1
    return SignalRows(
        at_ms=np.array([each.at_ms for each in signals], dtype=np.int64),
        market=np.array([each.market for each in signals], dtype=np.int32),
        is_up=np.array([each.is_up for each in signals], dtype=np.bool_),
        episode=np.array(
            [own + i if each.episode is None else each.episode for i, each in enumerate(signals)],
            dtype=np.int32,
        ),
        tick_e4=np.array([each.tick_e4 for each in signals], dtype=np.int32),
        strength=np.array([each.strength for each in signals], dtype=np.float64),
        edge_ticks=np.array([each.edge_ticks for each in signals], dtype=np.float64),
        to_close_ms=np.array([WINDOW_MS - each.after_ms for each in signals], dtype=np.int64),
        bid_e4=np.array([each.bid_e4 for each in signals], dtype=np.int32),
        ask_e4=np.array([each.ask_e4 for each in signals], dtype=np.int32),
        max_price_e4=np.array(
            [
                each.ask_e4 * 105 // 10_000 * 100
                if each.max_price_e4 is None
                else each.max_price_e4
                for each in signals
            ],
            dtype=np.int32,
        ),
        bid_after_e4=prices(
            [each.bid_after_e4 or [each.bid_e4] * len(HORIZONS_S) for each in signals],
            len(HORIZONS_S),
        ),
        ask_after_e4=prices(
            [each.ask_after_e4 or [each.ask_e4] * len(HORIZONS_S) for each in signals],
            len(HORIZONS_S),
        ),
        bid_held_e4=prices(
            [
                each.held[0] if each.held else 2 * list(each.bid_after_e4 or [each.bid_e4] * 4)
                for each in signals
            ],
            2 * len(HORIZONS_S),
        ),
        ask_held_e4=prices(
            [
                each.held[1] if each.held else 2 * list(each.ask_after_e4 or [each.ask_e4] * 4)
                for each in signals
            ],
            2 * len(HORIZONS_S),
        ),
        ask_waited_e4=prices(
            [each.ask_waited_e4 or [each.ask_e4] * len(DELAYS_S) for each in signals],
            len(DELAYS_S),
        ),
        ask_waited_next_e4=prices(
            [each.ask_waited_next_e4 or [each.ask_e4] * len(DELAYS_S) for each in signals],
            len(DELAYS_S),
        ),
        arrival_ask_e4=prices(
            [each.arrival_ask_e4 or (each.ask_e4, each.ask_e4) for each in signals], 2
        ),
        size_price_e4=np.array([each.size_price_e4 for each in signals], dtype=np.float64).reshape(
            len(signals), len(SIZES_USD)
        ),
    )


def an_order(
    market: MarketSeen,
    index: int,
    *,
    outcome: str = UP,
    after_ms: int = 10_000,
    price_e4: int = 5_000,
    signal_price_e4: int | None = None,
    shares: int = 2,
    end: OrderEnd = OrderEnd.FILLED,
    strength: float = 0.6,
    other_price_e4: int | None = None,
) -> OrderSeen:
    """Of the `index`th market; filled at `price_e4` and settled, unless `end` says otherwise.

    `other_price_e4`: what the other outcome would have cost; by default 1.01 less the price.
    """
    signal_price_e4 = price_e4 if signal_price_e4 is None else signal_price_e4
    at_ms = market.start_ms + after_ms
    order = OrderSeen(
        market=index,
        outcome=outcome,
        decided_at_ms=at_ms,
        arrived_at_ms=at_ms + 255,
        met_at_ms=at_ms + 200,
        signal_price_e4=signal_price_e4,
        max_price_e4=signal_price_e4 * 105 // 10_000 * 100,
        tick_e4=market.tick_e4,
        spend_e6=price_e4 * shares * 100,
        strength=strength,
        to_close_ms=market.end_ms - at_ms,
        end=end,
        arrival_ask_e4=price_e4,
    )
    if end not in (OrderEnd.FILLED, OrderEnd.PARTLY):
        return order
    other_price_e4 = 10_100 - price_e4 if other_price_e4 is None else other_price_e4
    own = _bought(market, price_e4, shares)
    other = _bought(market, other_price_e4, shares)
    order.filled_spend_e6, order.filled_size_e6, order.fee_e6 = (
        own.spend_e6,
        own.size_e6,
        own.fee_e6,
    )
    order.up, order.down = (own, other) if outcome == UP else (other, own)
    payout = market.up_payout_e6 if outcome == UP else market.down_payout_e6
    if payout is not None:
        order.payout_e6 = own.size_e6 * payout // SHARE_E6
        order.pnl_e6 = order.payout_e6 - own.spend_e6 - own.fee_e6
    return order


def _bought(market: MarketSeen, price_e4: int, shares: int) -> WhatIf:
    size_e6 = shares * SHARE_E6
    fee_e6 = taker_fee_e6(market.fee, price_e4, size_e6)
    return WhatIf(spend_e6=price_e4 * shares * 100, size_e6=size_e6, fee_e6=fee_e6)


def a_lane(
    orders: Sequence[OrderSeen] = (),
    *,
    bracket: Bracket = Bracket.UNCHANGED,
    poll_phase_ms: int | None = None,
    refused: dict[str, int] | None = None,
    signals: int = 0,
) -> Lane:
    """The stream's, or a scanner's phase."""
    return Lane(
        name="stream" if poll_phase_ms is None else f"scan at {poll_phase_ms} ms",
        bracket=bracket,
        poll_phase_ms=poll_phase_ms,
        orders=list(orders),
        refused=Counter(refused or {}),
        signals=signals,
    )


def observations(
    markets: Sequence[MarketSeen] = (),
    signals: Sequence[ASignal] | SignalRows = (),
    orders: Sequence[OrderSeen] = (),
    *,
    orders_next: Sequence[OrderSeen] | None = None,
    polling: Sequence[Lane] = (),
    holds: dict[str, int] | None = None,
    refused: dict[str, int] | None = None,
) -> Observations:
    """One run; `orders` are the unchanged lane's, and the next one's where it has none."""
    rows = signals if isinstance(signals, SignalRows) else signal_rows(signals)
    both = (orders, orders if orders_next is None else orders_next)
    return Observations(
        feed="made by hand",
        strategy="book_imbalance_crypto",
        strength_name="imbalance",
        configuration=a_configuration(),
        assumptions=Assumptions(latency=Latency.constant(5)),
        moments=len(rows) + sum((holds or {}).values()),
        holds=Counter(holds or {}),
        signals=rows,
        markets=list(markets),
        lanes=[
            a_lane(each, bracket=bracket, refused=refused, signals=len(rows))
            for bracket, each in zip(Bracket, both, strict=True)
        ],
        polling=list(polling),
        exclusions=[],
    )


def a_large_run(
    *, seed: int = 1, signals: int = 3_000, markets: int = 18, phases: int = 30
) -> Observations:
    """As large as the bundled markets', by chance: prices walk, every signal may be wrong."""
    chance = np.random.default_rng(seed)
    seen = [
        a_market(number, paid=UP if chance.random() < 0.5 else DOWN) for number in range(markets)
    ]
    for market in seen:
        steps = chance.integers(-100, 101, CHART_POINTS).cumsum()
        market.chart_at_ms = np.linspace(
            market.start_ms, market.end_ms, CHART_POINTS, dtype=np.int64
        ).tolist()
        market.chart_mid_e4 = np.clip(5_000 + steps, 100, 9_900).astype(float).tolist()
    rows = _random_rows(chance, signals, seen)
    for market, count in zip(seen, np.bincount(rows.market, minlength=markets), strict=True):
        market.signals = int(count)
    return observations(
        seen,
        rows,
        _random_orders(chance, seen),
        orders_next=_random_orders(chance, seen),
        polling=[
            a_lane(
                _random_orders(chance, seen),
                bracket=bracket,
                poll_phase_ms=phase * 1_000,
                signals=9,
            )
            for phase in range(phases)
            for bracket in Bracket
        ],
        holds={"outside_price_zone": 5_478, "too_close_to_end": 4_883, "no_imbalance": 2_516},
        refused={"market_claimed": signals - markets},
    )


def _random_orders(chance: np.random.Generator, markets: list[MarketSeen]) -> list[OrderSeen]:
    orders = []
    for index, market in enumerate(markets):
        price_e4 = int(chance.integers(35, 66)) * 100
        orders.append(
            an_order(
                market,
                index,
                outcome=UP if chance.random() < 0.5 else DOWN,
                after_ms=int(chance.integers(0, WINDOW_MS - 300_000)),
                price_e4=price_e4,
                signal_price_e4=price_e4 + int(chance.integers(-2, 3)) * 100,
                end=OrderEnd.FILLED if chance.random() < 0.9 else OrderEnd.NO_MATCH,
            )
        )
    return orders


def _random_rows(chance: np.random.Generator, count: int, markets: list[MarketSeen]) -> SignalRows:
    market = np.sort(chance.integers(0, len(markets), count)).astype(np.int32)
    after_ms = chance.integers(0, WINDOW_MS - 300_000, count)
    starts = np.array([each.start_ms for each in markets], dtype=np.int64)
    at_ms = starts[market] + after_ms
    order = np.argsort(at_ms, kind="stable")
    market, at_ms, after_ms = market[order], at_ms[order], after_ms[order]
    ask = chance.integers(35, 66, count).astype(np.int32) * 100
    bid = ask - 100

    def walked(columns: int, spread: int) -> NDArray[np.int32]:
        steps = chance.integers(-2, 3, (count, columns)).cumsum(axis=1) * 100
        prices: NDArray[np.int32] = np.clip(ask[:, None] + steps - spread, 100, 9_900).astype(
            np.int32
        )
        prices[chance.random((count, columns)) < 0.01] = UNKNOWN
        return prices

    first = chance.random(count) < 0.4
    sizes = ask[:, None] + np.array([0, 10, 50, 110, 170.0])
    return SignalRows(
        at_ms=at_ms,
        market=market,
        is_up=chance.random(count) < 0.5,
        episode=np.cumsum(first).astype(np.int32),
        tick_e4=np.full(count, 100, dtype=np.int32),
        strength=chance.uniform(0.5, 1.0, count),
        edge_ticks=chance.normal(1, 1, count),
        to_close_ms=(WINDOW_MS - after_ms).astype(np.int64),
        bid_e4=bid,
        ask_e4=ask,
        max_price_e4=(ask * 105 // 10_000 * 100).astype(np.int32),
        bid_after_e4=walked(len(HORIZONS_S), 100),
        ask_after_e4=walked(len(HORIZONS_S), 0),
        bid_held_e4=walked(2 * len(HORIZONS_S), 100),
        ask_held_e4=walked(2 * len(HORIZONS_S), 0),
        ask_waited_e4=walked(len(DELAYS_S), 0),
        ask_waited_next_e4=walked(len(DELAYS_S), 0),
        arrival_ask_e4=walked(2, 0),
        size_price_e4=np.where(first[:, None], sizes, np.nan),
    )
