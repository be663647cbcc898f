"""The CSV of a backtest's orders."""

from __future__ import annotations

import csv
import io

from backtest.engine.observations import OrderEnd
from backtest.feed.events import LeftOut
from executor.commands.backtest_trades import trades_csv
from tests.support.backtest_builders import START_MS, a_market, an_order, observations


def test_every_order_of_both_brackets_is_a_row() -> None:
    market = a_market(0, paid="Up")
    filled = an_order(market, 0, price_e4=5_100, signal_price_e4=5_000, shares=2)
    missed = an_order(market, 0, end=OrderEnd.LEFT_OUT, strength=float("nan"))
    missed.left_out, missed.met_at_ms, missed.arrival_ask_e4 = LeftOut.GAP, None, -1
    written = trades_csv(observations([market], (), [filled], orders_next=[missed]))

    first, second = csv.DictReader(io.StringIO(written.decode(), newline=""))
    assert first == {
        "bracket": "unchanged",
        "market": "btc-15m-0",
        "series": "btc-15m",
        "outcome": "Up",
        "decided_at_utc": "2023-11-14T22:15:10.000+00:00",
        "decided_at_ms": str(START_MS + 10_000),
        "arrived_at_ms": str(START_MS + 10_255),
        "book_met_at_ms": str(START_MS + 10_200),
        "to_close_ms": "890000",
        "strength": "0.6",
        "decided_on_usd": "0.5000",
        "limit_usd": "0.5200",
        "ask_met_usd": "0.5100",
        "to_spend_usd": "1.020000",
        "end": "filled",
        "left_out": "",
        "spent_usd": "1.020000",
        "shares": "2.000000",
        "fee_usd": "0.034986",
        "paid_out_usd": "2.000000",
        "pnl_usd": "0.945014",
    }
    assert second["bracket"] == "next"
    assert (second["end"], second["left_out"]) == ("left_out", "gap")
    for unknown in ("book_met_at_ms", "strength", "ask_met_usd", "paid_out_usd", "pnl_usd"):
        assert second[unknown] == ""
