"""The markets of a folder of tables: what each is, and what it paid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from math import isfinite
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from backtest.feed.events import Exclusion, LeftOut, check_payouts, is_time
from backtest.feed.table_csv import CsvTable
from backtest.feed.table_files import ParquetTable
from backtest.feed.table_rows import missing_columns
from functions.core.evidence import Resolution
from protocol.fee import FeeSchedule, is_rate
from protocol.market import DOWN, UP, MarketInfo
from recordings.books import FEE, market_of
from recordings.loader import FORMAT, Header

MARKET_COLUMNS: Final = ("market_id", "slug", "start_ts", "end_ts", "payout_up", "payout_down")
OPTIONAL_COLUMNS: Final = ("outcome_up", "outcome_down", "fee_rate")
_TIMES: Final = ("start_ts", "end_ts")
_TEXTS: Final = ("market_id", "slug", "outcome_up", "outcome_down")

_Row: TypeAlias = Mapping[str, object]
"""Our name of a column to its value; None and "" are none."""


class TableMarket(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the markets."""

    market: MarketInfo
    resolution: Resolution | None
    """None where it does not say what the market paid."""


class TableMarkets:
    """All of them, by id. Raises FeedError where a column is missing or the file cannot be read."""

    def __init__(self, path: Path, columns: Mapping[str, str]) -> None:
        self.of: dict[str, TableMarket] = {}
        self.left_out: set[str] = set()
        """Ids of those that are not used."""
        self.exclusions: list[Exclusion] = []
        unreadable, first = 0, ""
        for number, row in enumerate(_rows(path, columns), start=1):
            market_id = str(row["market_id"] or "")
            try:
                self._add(market_id, row)
            except ValueError as error:
                unreadable += 1
                first = first or f"row {number}: {error}"
                if market_id not in self.of:
                    self.left_out.add(market_id)
        if unreadable:
            self._exclude(LeftOut.UNREADABLE, path.name, unreadable, f"markets; {first}")

    def _add(self, market_id: str, row: _Row) -> None:
        if not market_id or market_id in self.of:
            raise ValueError(f"market {market_id} is there twice" if market_id else "no market_id")
        outcomes = str(row["outcome_up"] or UP), str(row["outcome_down"] or DOWN)
        slug = str(row["slug"] or "")
        if not slug:
            raise ValueError(f"market {market_id} has no slug")
        if outcomes != (UP, DOWN):
            text = "its outcomes are {} and {}".format(*outcomes)
            self._exclude(LeftOut.NOT_UP_DOWN, slug, 1, text)
            self.left_out.add(market_id)
            return
        start_ms, end_ms = _time(row, "start_ts"), _time(row, "end_ts")
        if start_ms >= end_ms:
            raise ValueError(f"{slug} ends at {end_ms}, before its start at {start_ms}")
        header = Header(
            format=FORMAT,
            slug=slug,
            condition_id=market_id,
            outcomes=outcomes,
            start_ms=start_ms,
            end_ms=end_ms,
            payouts=("", ""),
            source="",
        )
        market = msgspec.structs.replace(market_of(header), fee=_fee(row))
        self.of[market_id] = TableMarket(market=market, resolution=_resolution(market, row))

    def _exclude(self, why: LeftOut, where: str, count: int, text: str) -> None:
        self.exclusions.append(Exclusion(why=why, where=where, count=count, text=text))


def _rows(path: Path, columns: Mapping[str, str]) -> Iterator[_Row]:
    """Rows with all of our columns."""
    theirs = {ours: columns.get(ours, ours) for ours in MARKET_COLUMNS + OPTIONAL_COLUMNS}
    is_parquet = path.suffix == ".parquet"
    table = ParquetTable(path) if is_parquet else CsvTable(path)
    needed = {o: t for o, t in theirs.items() if o in MARKET_COLUMNS or o in columns}
    missing_columns(path.name, needed, table.columns)
    there = {ours: name for ours, name in theirs.items() if name in table.columns}
    none: dict[str, object] = dict.fromkeys(theirs)
    if isinstance(table, ParquetTable):
        for batch in table.batches([*there.values()], 1_024):
            read = [_values(table, batch.column(name), ours, name) for ours, name in there.items()]
            for values in zip(*read, strict=True):
                yield none | dict(zip(there, values, strict=True))
        return
    at = {ours: table.columns.index(name) for ours, name in there.items()}
    lines = table.rows(0)
    next(lines, None)
    for _, fields in lines:
        whole = len(fields) == len(table.columns)
        yield none | {ours: fields[index] if whole else None for ours, index in at.items()}


def _values(table: ParquetTable, column: Any, ours: str, theirs: str) -> list[Any]:
    if ours in _TIMES:
        return table.times(column, theirs)
    return table.texts(column, theirs) if ours in _TEXTS else table.values(column, theirs)


def _time(row: _Row, column: str) -> int:
    value = row[column]
    text = str(value)
    at_ms = int(text) if text.isdigit() and text.isascii() and len(text) < 19 else -1
    if not is_time(at_ms):
        raise ValueError(f"{column} is not in epoch milliseconds: {value}")
    return at_ms


def _number(row: _Row, column: str) -> float | None:
    """None where there is none, and where a float says so."""
    text = str(row[column] if row[column] is not None else "").strip()
    if text.lower() in {"", "nan", "null", "none"}:
        return None
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{column} is no number: {text}") from None
    if not isfinite(value):
        raise ValueError(f"{column} is no number: {text}")
    return value


def _resolution(market: MarketInfo, row: _Row) -> Resolution | None:
    payouts = _number(row, "payout_up"), _number(row, "payout_down")
    payouts_e6: dict[str, int] = {}
    for outcome, payout in zip(market.outcomes, payouts, strict=True):
        if payout is None:
            return None
        if not 0 <= payout <= 1:
            raise ValueError(f"{market.slug} pays {payout} USD for {outcome.name}")
        payouts_e6[outcome.token_id] = round(payout * 1_000_000)
    check_payouts(payouts_e6.values())
    return Resolution(payouts_e6=payouts_e6, source="recording")


def _fee(row: _Row) -> FeeSchedule:
    if _number(row, "fee_rate") is None:
        return FEE
    try:
        rate = Decimal(str(row["fee_rate"]).strip())
    except InvalidOperation:
        rate = Decimal(-1)
    if not is_rate(rate):
        raise ValueError(f"fee_rate is no rate: {row['fee_rate']}")
    return FeeSchedule(rate=rate, exponent=1)
