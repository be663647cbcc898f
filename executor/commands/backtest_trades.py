"""Every order of a backtest as CSV, for a spreadsheet: exact decimals, units in the names."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, TypeAlias

from backtest.engine.observations import UNKNOWN, Lane, MarketSeen, Observations, OrderSeen
from protocol.units import price_decimal, size_decimal, usd_decimal

_Cell: TypeAlias = str | int | float
_COLUMNS: Final[dict[str, Callable[[Lane, MarketSeen, OrderSeen], _Cell]]] = {
    "bracket": lambda lane, _, __: lane.bracket.value,
    "market": lambda _, market, __: market.slug,
    "series": lambda _, market, __: market.series,
    "outcome": lambda _, __, order: order.outcome,
    "decided_at_utc": lambda _, __, order: _utc(order.decided_at_ms),
    "decided_at_ms": lambda _, __, order: order.decided_at_ms,
    "arrived_at_ms": lambda _, __, order: order.arrived_at_ms,
    "book_met_at_ms": lambda _, __, order: "" if order.met_at_ms is None else order.met_at_ms,
    "to_close_ms": lambda _, __, order: order.to_close_ms,
    "strength": lambda _, __, order: "" if order.strength != order.strength else order.strength,
    "decided_on_usd": lambda _, __, order: _price(order.signal_price_e4),
    "limit_usd": lambda _, __, order: _price(order.max_price_e4),
    "ask_met_usd": lambda _, __, order: _price(order.arrival_ask_e4),
    "to_spend_usd": lambda _, __, order: _usd(order.spend_e6),
    "end": lambda _, __, order: order.end.value,
    "left_out": lambda _, __, order: "" if order.left_out is None else order.left_out.value,
    "spent_usd": lambda _, __, order: _usd(order.filled_spend_e6),
    "shares": lambda _, __, order: _plain(size_decimal(order.filled_size_e6)),
    "fee_usd": lambda _, __, order: _usd(order.fee_e6),
    "paid_out_usd": lambda _, __, order: _usd(order.payout_e6),
    "pnl_usd": lambda _, __, order: _usd(order.pnl_e6),
}


def trades_csv(seen: Observations) -> bytes:
    """Orders in order of time, the unchanged bracket first."""
    written = io.StringIO(newline="")
    writer = csv.writer(written)
    writer.writerow(_COLUMNS)
    writer.writerows(_rows(seen))
    return written.getvalue().encode("utf-8", "backslashreplace")


def _rows(seen: Observations) -> Iterable[list[_Cell]]:
    for lane in seen.lanes:
        for order in lane.orders:
            market = seen.markets[order.market]
            yield [cell(lane, market, order) for cell in _COLUMNS.values()]


def _utc(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="milliseconds")


def _price(price_e4: int) -> str:
    return "" if price_e4 == UNKNOWN else _plain(price_decimal(price_e4))


def _usd(amount_e6: int | None) -> str:
    return "" if amount_e6 is None else _plain(usd_decimal(amount_e6))


def _plain(value: Decimal) -> str:
    return f"{value:f}"
