"""Frames as the venue writes them, for tests: all numbers strings, levels worst first."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

MARKET = "0x" + "ab" * 32
UP = "7" + "1" * 76
DOWN = "5" + "2" * 76

Levels = Iterable[tuple[str, str]]


def book(
    token_id: str = UP,
    bids: Levels = (("0.50", "20"), ("0.52", "100")),
    asks: Levels = (("0.60", "30"), ("0.53", "50.5")),
    *,
    market: str = MARKET,
    timestamp: int = 1_757_908_892_000,
    **more: Any,
) -> dict[str, Any]:
    return {
        "market": market,
        "asset_id": token_id,
        "timestamp": str(timestamp),
        "hash": "0a81f0e6f0e1e4b7a3b8c9d0e1f2a3b4c5d6e7f8",
        "bids": [{"price": price, "size": size} for price, size in bids],
        "asks": [{"price": price, "size": size} for price, size in asks],
        "event_type": "book",
        **more,
    }


def change(
    token_id: str = UP,
    side: str = "BUY",
    price: str = "0.51",
    size: str = "7",
    best_bid: str | None = None,
    best_ask: str | None = None,
) -> dict[str, str]:
    entry = {
        "asset_id": token_id,
        "price": price,
        "size": size,
        "side": side,
        "hash": "56621a121a47ed9333273e21c83b660cff37ae50",
    }
    if best_bid is not None:
        entry["best_bid"] = best_bid
    if best_ask is not None:
        entry["best_ask"] = best_ask
    return entry


def price_change(
    *changes: dict[str, str], market: str = MARKET, timestamp: int = 1_757_908_892_351
) -> dict[str, Any]:
    return {
        "market": market,
        "price_changes": list(changes),
        "timestamp": str(timestamp),
        "event_type": "price_change",
    }


def last_trade(token_id: str = UP, price: str = "0.53", *, market: str = MARKET) -> dict[str, Any]:
    return {
        "asset_id": token_id,
        "event_type": "last_trade_price",
        "fee_rate_bps": "0",
        "market": market,
        "price": price,
        "side": "BUY",
        "size": "219.217767",
        "timestamp": "1750428146322",
        "transaction_hash": "0xeeef",
    }


def tick_size_change(
    token_id: str = UP, new: str = "0.001", *, market: str = MARKET
) -> dict[str, Any]:
    return {
        "event_type": "tick_size_change",
        "asset_id": token_id,
        "market": market,
        "old_tick_size": "0.01",
        "new_tick_size": new,
        "timestamp": "100000000",
    }


def frame(event: dict[str, Any] | list[dict[str, Any]]) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()
