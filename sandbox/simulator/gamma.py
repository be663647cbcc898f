"""The listing as the Gamma API answers it: JSON inside strings, prices as JSON numbers.

A resolution shows here `lag_ms` later than at the CLOB: the real one lags by up to 15 minutes.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sandbox.simulator.contracts import EXCHANGE_V3, exchange_for
from sandbox.simulator.market import Market
from sandbox.simulator.text import decimal_text

_LISTED_BEFORE_MS = 86_400_000
"""`startDate` is the time of listing, about a day before the window."""


def event_json(market: Market, now_ms: int, lag_ms: int = 0) -> dict[str, Any]:
    """One event with its one market, as it stands at `now_ms`."""
    shown = market_json(market, now_ms, lag_ms)
    alike = ("id", "slug", "startDate", "endDate", "active", "closed", "archived", "negRisk")
    return {
        **{name: shown[name] for name in alike},
        "ticker": market.slug,
        "title": shown["question"],
        "markets": [shown],
    }


def market_json(market: Market, now_ms: int, lag_ms: int = 0) -> dict[str, Any]:
    """The market alone, as `/markets` lists it."""
    ended, resolved = now_ms >= market.end_ms, market.resolved_at(now_ms - lag_ms)
    tokens = [book.token_id for book in market.books]
    newer = all(exchange_for(token, neg_risk=False)[0] == EXCHANGE_V3 for token in tokens)
    return {
        "id": str(int(market.condition_id[2:14], 16)),
        "version": "v2" if newer else "v1",
        "question": f"Simulated: {market.slug}",
        "conditionId": market.condition_id,
        "slug": market.slug,
        "outcomes": json.dumps(list(market.outcomes)),
        "outcomePrices": json.dumps(_prices(market, resolved=resolved)),
        "clobTokenIds": json.dumps(tokens),
        "startDate": _iso(market.start_ms - _LISTED_BEFORE_MS),
        "endDate": _iso(market.end_ms),
        "eventStartTime": _iso(market.start_ms),
        "enableOrderBook": True,
        "orderPriceMinTickSize": market.tick_size_e4 / 10_000,
        "orderMinSize": market.min_order_size_e6 / 1_000_000,
        "acceptingOrders": market.accepting and not ended and not market.resolved_at(now_ms),
        "active": True,
        "closed": resolved,
        "archived": False,
        "negRisk": market.neg_risk,
        "feesEnabled": market.fee.rate > 0,
        "feeSchedule": {
            "exponent": market.fee.exponent,
            "rate": float(market.fee.rate),
            "takerOnly": True,
            "rebateRate": 0.2,
        },
    }


def _prices(market: Market, *, resolved: bool) -> list[str]:
    if resolved and market.payouts is not None:
        return [decimal_text(paid) for paid in market.payouts]
    mids = []
    for book in market.books:
        bids, asks = book.bids(), book.asks()
        mids.append(Decimal(bids[0][0] + asks[0][0]) / 20_000 if bids and asks else Decimal("0.5"))
    return [decimal_text(mid) for mid in mids]


def _iso(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
