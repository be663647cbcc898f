"""The bundled books through hftbacktest (Rust and numba): level changes in, a decision a moment.

It is given what it is made for: arrays of level changes, and a strategy that numba has compiled.
What it decides by is simpler than any strategy of ours, the sizes at the best prices; it keeps no
memory of books, no account that refuses, no second bracket, no fees per level and no payouts.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from protocol.book import Level
from protocol.snapshot import BookSnapshot

_TICK: Final = 0.001
_LATENCY_NS: Final = 10_000_000


def prepared(markets: Sequence[Sequence[BookSnapshot]]) -> Callable[[], tuple[float, int, int]]:
    """A function that plays all markets once: (seconds, moments, orders). Raises ImportError."""
    hft: Any = importlib.import_module("hftbacktest")
    player = _compiled(hft)
    arrays = [[_events(hft, books, index) for index in (0, 1)] for books in markets]

    def play() -> tuple[float, int, int]:
        seconds, moments, orders = 0.0, 0, 0
        for market in arrays:
            tester = hft.HashMapMarketDepthBacktest([_asset(hft, array) for array in market])
            begun = time.perf_counter()
            seen, sent = player(tester)
            seconds += time.perf_counter() - begun
            moments, orders = moments + seen, orders + sent
            tester.close()
        return seconds, moments, orders

    play()  # compiles
    return play


def _asset(hft: Any, array: Any) -> Any:
    return (
        hft.BacktestAsset()
        .data(array)
        .linear_asset(1.0)
        .constant_order_latency(_LATENCY_NS, _LATENCY_NS)
        .risk_adverse_queue_model()
        .partial_fill_exchange()
        .trading_value_fee_model(0.0, 0.02)
        .tick_size(_TICK)
        .lot_size(0.000001)
        .last_trades_capacity(0)
    )


def _events(hft: Any, books: Sequence[BookSnapshot], index: int) -> Any:
    """The changes of one token's levels, book after book."""
    both = hft.EXCH_EVENT | hft.LOCAL_EVENT | hft.DEPTH_EVENT
    before: tuple[dict[int, int], dict[int, int]] = ({}, {})
    rows: list[tuple[Any, ...]] = []
    for snapshot in books:
        book, ns = snapshot.books[index], snapshot.received_at_ns
        for side, (levels, event) in enumerate(
            ((book.bids, hft.BUY_EVENT), (book.asks, hft.SELL_EVENT))
        ):
            for price_e4, size_e6 in _changes(before[side], levels):
                row = (both | event, ns, ns, price_e4 / 1e4, size_e6 / 1e6, 0, 0, 0.0)
                rows.append(row)
    return np.array(rows, dtype=hft.event_dtype)


def _changes(before: dict[int, int], levels: Sequence[Level]) -> list[Level]:
    now = dict(levels)
    gone = [(price_e4, 0) for price_e4 in before if price_e4 not in now]
    changed = [level for level in levels if before.get(level[0]) != level[1]]
    before.clear()
    before.update(now)
    return gone + changed


def _compiled(hft: Any) -> Any:
    njit: Any = importlib.import_module("numba").njit
    gtc, limit, forever = hft.GTC, hft.LIMIT, 86_400 * 10**9

    def play(tester: Any) -> tuple[int, int]:
        moments, orders, last_ns, free_ns = 0, 0, 0, 0
        while tester.wait_next_feed(False, forever) == 2:
            now_ns = tester.current_timestamp
            if now_ns == last_ns:
                continue
            last_ns = now_ns
            moments += 1
            for asset in range(2):
                depth = tester.depth(asset)
                bid, ask = depth.best_bid_tick, depth.best_ask_tick
                bid_size, ask_size = depth.bid_qty_at_tick(bid), depth.ask_qty_at_tick(ask)
                lean = (bid_size - ask_size) / (bid_size + ask_size + 1e-9)
                if lean > 0.4 and 300 < ask < 700 and now_ns >= free_ns:
                    orders += 1
                    free_ns = now_ns + 300_000_000_000
                    price = round(ask * 1.05) * depth.tick_size
                    tester.submit_buy_order(asset, orders, price, 2.0, gtc, limit, False)
        return moments, orders

    return njit(play)
