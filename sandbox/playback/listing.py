"""The listing of recorded markets, moved to where a feeder looks for it.

A market is listed under its own slug, as recorded. Besides, the market that the tape is at is
listed as the window of its series that runs now, and the one after it as the next window: same ids,
other slug and times. So a feeder follows the tape from window to window, a little early or late.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from protocol.market import MarketInfo
from protocol.series import parse_series
from protocol.units import price_decimal, size_decimal


class RecordedListing:
    """Of the markets in a recording; a market may be given several times."""

    def __init__(self, listings: Iterable[MarketInfo]) -> None:
        self.markets: dict[str, MarketInfo] = {}
        """By condition id: its first listing that accepted orders, else its first."""
        for info in listings:
            known = self.markets.setdefault(info.condition_id, info)
            if info.accepting and not known.accepting:
                self.markets[info.condition_id] = info

    @property
    def series(self) -> list[str]:
        """Names of the recorded series."""
        return list(dict.fromkeys(info.series for info in self.markets.values()))

    def market(self, slug: str, *, now_s: float, tape_ms: int) -> MarketInfo | None:
        """What is listed under a slug while the tape is at `tape_ms` (epoch milliseconds)."""
        for info in self.markets.values():
            if info.slug == slug:
                return info
        for name in self.series:
            series = parse_series(name)
            current_s = series.window_start_s(now_s)
            for ahead, start_s in enumerate((current_s, series.next_start_s(current_s))):
                if series.slug(start_s) == slug:
                    found = self._on_tape(name, ahead, tape_ms)
                    if found is None:
                        return None
                    start_ms, end_ms = start_s * 1000, series.next_start_s(start_s) * 1000
                    return msgspec.structs.replace(
                        found, slug=slug, start_ms=start_ms, end_ms=end_ms
                    )
        return None

    def _on_tape(self, series: str, ahead: int, tape_ms: int) -> MarketInfo | None:
        infos = sorted(
            (info for info in self.markets.values() if info.series == series),
            key=lambda info: info.start_ms,
        )
        index = max(sum(info.start_ms <= tape_ms for info in infos) - 1, 0) + ahead
        return infos[index] if index < len(infos) else None


def event_json(info: MarketInfo) -> dict[str, Any]:
    """As the Gamma API answers: JSON inside strings, prices as JSON numbers."""
    market = {
        "conditionId": info.condition_id,
        "slug": info.slug,
        "question": f"Recorded: {info.slug}",
        "outcomes": json.dumps([outcome.name for outcome in info.outcomes]),
        "clobTokenIds": json.dumps([outcome.token_id for outcome in info.outcomes]),
        "endDate": _iso(info.end_ms),
        "eventStartTime": _iso(info.start_ms),
        "orderPriceMinTickSize": float(price_decimal(info.tick_size_e4)),
        "orderMinSize": float(size_decimal(info.min_order_size_e6)),
        "acceptingOrders": info.accepting,
        "active": True,
        "closed": False,
        "negRisk": info.neg_risk,
        "feesEnabled": info.fee.rate > 0,
        "feeSchedule": {
            "rate": float(info.fee.rate),
            "exponent": info.fee.exponent,
            "takerOnly": True,
        },
    }
    return {"slug": info.slug, "ticker": info.slug, "negRisk": info.neg_risk, "markets": [market]}


def _iso(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
