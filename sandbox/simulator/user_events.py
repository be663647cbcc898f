"""What the user channel and the look-ups say about orders and trades, field by field as documented.

`timestamp` is in milliseconds, every other time in seconds. A killed order has no `size_matched`,
and the reason in its status. `fee_rate_bps` is "0" as in the venue's own example. An order that
matched at once is announced as one UPDATE with status MATCHED; whether the real venue sends a
PLACEMENT before it is not known. An order whose trades failed still says what it had matched; what
the real venue says is not known.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from sandbox.simulator.journal import JournalTrade, VenueOrder
from sandbox.simulator.text import PRICE_TEXT, size_text

_encoder = msgspec.json.Encoder()


def order_event(record: VenueOrder, kind: Literal["UPDATE", "CANCELLATION"] = "UPDATE") -> str:
    """`order` event of the user channel."""
    return _encoder.encode(
        {
            "event_type": "order",
            **order_json(record),
            "type": kind,
            "order_owner": record.order.owner,
            "created_at": str(record.created_at_ms // 1000),
            "timestamp": str(record.since_ms),
        }
    ).decode()


def trade_event(trade: JournalTrade) -> str:
    """`trade` event of the user channel."""
    return _encoder.encode(
        {
            "event_type": "trade",
            "type": "TRADE",
            **_trade(trade),
            "trade_owner": trade.owner,
            "timestamp": str(trade.updated_at_ms),
        }
    ).decode()


def order_json(record: VenueOrder) -> dict[str, Any]:
    """An order as `GET /data/order/{id}` answers it."""
    order = record.order
    return {
        "id": order.order_id,
        "status": record.status,
        "owner": order.owner,
        "maker_address": order.maker,
        "market": record.condition_id,
        "asset_id": order.token_id,
        "side": order.side,
        "original_size": size_text(order.taker_amount_e6),
        "size_matched": (
            "" if record.size_matched_e6 is None else size_text(record.size_matched_e6)
        ),
        "price": PRICE_TEXT[record.limit_e4],
        "outcome": record.outcome,
        "expiration": "0",
        "order_type": order.order_type,
        "associate_trades": list(record.trade_ids),
        "created_at": record.created_at_ms // 1000,
    }


def trade_json(trade: JournalTrade) -> dict[str, Any]:
    """A trade as `GET /data/trades` answers it, where the status has a prefix.

    Source: the official client, which takes both forms. Order statuses have been seen without.
    """
    return {**_trade(trade), "status": f"TRADE_STATUS_{trade.status}"}


def _trade(trade: JournalTrade) -> dict[str, Any]:
    return {
        "id": trade.trade_id,
        "taker_order_id": trade.order_id,
        "market": trade.condition_id,
        "asset_id": trade.token_id,
        "side": "BUY",
        "size": size_text(trade.fill.size_e6),
        "fee_rate_bps": "0",
        "price": PRICE_TEXT[trade.fill.price_e4],
        "status": trade.status,
        "match_time": str(trade.matched_at_ms // 1000),
        "last_update": str(trade.updated_at_ms // 1000),
        "outcome": trade.outcome,
        "bucket_index": 0,
        "owner": trade.owner,
        "maker_address": trade.maker_address,
        "transaction_hash": trade.transaction_hash,
        "trader_side": "TAKER",
        "maker_orders": [],
    }
