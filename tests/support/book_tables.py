"""Tables of books and markets as others have them, small: for what reads them."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

START_MS = 1_790_586_000_000
Levels = list[tuple[float, float]]
Row = dict[str, Any]


def table_market(number: int = 1, **changed: object) -> Row:
    """Market `m1` is the first window, `m2` the one after it."""
    start_ms = START_MS + (number - 1) * 900_000
    return {
        "market_id": f"m{number}",
        "slug": f"btc-updown-15m-{start_ms // 1_000}",
        "start_ts": start_ms,
        "end_ts": start_ms + 900_000,
        "outcome_up": "Up",
        "outcome_down": "Down",
        "payout_up": 0.0,
        "payout_down": 1.0,
    } | changed


def table_book(
    at_ms: int, side: str, bids: Levels, asks: Levels, market_id: str = "m1", **changed: object
) -> Row:
    """`at_ms` since START_MS."""
    return {
        "market_id": market_id,
        "ts": START_MS + at_ms,
        "side": side,
        "bid_px": [price for price, _ in bids],
        "bid_sz": [size for _, size in bids],
        "ask_px": [price for price, _ in asks],
        "ask_sz": [size for _, size in asks],
    } | changed


def write_tables(
    folder: Path, kind: str, books: Sequence[Row], markets: Sequence[Row], group_rows: int = 1_000
) -> Path:
    """`kind`: parquet or csv."""
    folder.mkdir(exist_ok=True)
    for name, rows in (("books", books), ("markets", markets)):
        path = folder / f"{name}.{kind}"
        if kind == "parquet":
            table = pyarrow.Table.from_pylist([*rows])
            parquet.write_table(table, path, row_group_size=group_rows)
            continue
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(rows[0])
            writer.writerows([_cell(value) for value in row.values()] for row in rows)
    return folder


def _cell(value: object) -> object:
    return json.dumps(value) if isinstance(value, list) else value
