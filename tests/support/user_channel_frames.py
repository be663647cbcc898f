"""Trades and orders as the venue's user channel writes them, for tests: numbers are strings."""

from __future__ import annotations

import json
from typing import Any

from venue.auth import Credentials

MARKET = "0xbd31dc8a20211944f6b70f31557f1001557b59905b7738480ca09bd4532f84af"
TOKEN = "52114319501245915516055106046884209969926127482827954674443846427813813222426"
ORDER = "0x06bc63e346ed4ceddce9efd6b3af37c8f8f440c92fe7da6b2d0f9e4ccbc50c42"
MATCHED_AT_S = 1_672_290_701

CREDENTIALS = Credentials(
    address="0x6e0c80c90ea6c15917308F820Eac91Ce2724B5b5",
    key="9180014b-33c8-9240-a14b-bdca11c0a465",
    secret="qLkKd9wyXl_3m-ZEmrvZ-9Ur0hWZ8bYcW0kqcG0TQTk=",
    passphrase="7e2f4d0c1b9a8e6f5d4c3b2a19087f6e5d4c3b2a",
)
SECRETS = (CREDENTIALS.key, CREDENTIALS.secret, CREDENTIALS.passphrase)


def trade(trade_id: str = "28c4d2eb-bbea", status: str = "MATCHED", **more: Any) -> dict[str, Any]:
    return {
        "asset_id": TOKEN,
        "event_type": "trade",
        "id": trade_id,
        "last_update": str(MATCHED_AT_S + 1),
        "maker_orders": [
            {
                "asset_id": TOKEN,
                "matched_amount": "10",
                "order_id": "0xff354cd7ca7539dfa9c28d90943ab5779a4eac34b9b37a757d7b32bdfb11790b",
                "outcome": "YES",
                "owner": "another",
                "price": "0.57",
            }
        ],
        "market": MARKET,
        "match_time": str(MATCHED_AT_S),
        "outcome": "YES",
        "owner": "9180014b-33c8-9240-a14b-bdca11c0a465",
        "price": "0.57",
        "side": "BUY",
        "size": "10",
        "status": status,
        "taker_order_id": ORDER,
        "timestamp": str(MATCHED_AT_S + 2),
        "trade_owner": "9180014b-33c8-9240-a14b-bdca11c0a465",
        "type": "TRADE",
        **more,
    }


def order(change: str = "PLACEMENT", **more: Any) -> dict[str, Any]:
    return {
        "asset_id": TOKEN,
        "associate_trades": None,
        "event_type": "order",
        "id": ORDER,
        "market": MARKET,
        "order_owner": "9180014b-33c8-9240-a14b-bdca11c0a465",
        "original_size": "10",
        "outcome": "YES",
        "owner": "9180014b-33c8-9240-a14b-bdca11c0a465",
        "price": "0.57",
        "side": "BUY",
        "size_matched": "0",
        "timestamp": "1672290687",
        "type": change,
        **more,
    }


def page(*trades: dict[str, Any], next_cursor: str = "LTE=") -> bytes:
    """An answer of `GET /data/trades`, where statuses have a prefix and events no type."""
    shown = [
        {key: value for key, value in each.items() if key != "event_type"}
        | {"status": _listed_status(each["status"])}
        for each in trades
    ]
    return json.dumps(
        {"data": shown, "next_cursor": next_cursor, "limit": 100, "count": len(shown)}
    ).encode()


def _listed_status(status: Any) -> Any:
    if not isinstance(status, str) or not status or status.upper().startswith("TRADE_STATUS_"):
        return status
    return f"TRADE_STATUS_{status}"
