"""Tables as CSV files, read line by line: never in memory as a whole."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import numpy as np

from backtest.feed.events import FeedError
from backtest.feed.table_rows import (
    BATCH_ROWS,
    BOOK_COLUMNS,
    LEVEL_COLUMNS,
    Lists,
    Place,
    RawRows,
    epoch_ms_in,
    missing_columns,
)

_LINE_BYTES_MAX: Final = 1 << 20
"""Of a CSV file; what is longer has one field at least that is too long for the reader."""


class CsvTable:
    """A CSV file with a header line, UTF-8. Raises FeedError, here and while it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        _, self.columns = next(self.rows(0), (0, []))
        if not self.columns:
            raise FeedError(f"{path.name}: there is no header line in it: not CSV in UTF-8")

    @property
    def name(self) -> str:
        """Of the file."""
        return self._path.name

    def rows(self, offset: int) -> Iterator[tuple[int, list[str]]]:
        """(offset of its first byte, fields) of each row from an offset on; empty lines not. What
        is no CSV is a row without fields."""
        try:
            with self._path.open("rb") as file:
                file.seek(offset)
                reader = csv.reader(_decoded(file))
                while True:
                    try:
                        # The reader takes a row's lines and none after them.
                        for fields in reader:
                            if fields:
                                yield offset, fields
                            offset = file.tell()
                        return
                    except csv.Error:
                        yield offset, []
                    offset = file.tell()
        except OSError as error:
            raise FeedError(f"{self.name}: cannot read it: {error.strerror or error}") from error


def _decoded(file: BinaryIO) -> Iterator[str]:
    while line := file.readline(_LINE_BYTES_MAX):  # not `for`: it reads ahead, `tell` is wanted
        yield line.decode("utf-8-sig", errors="replace")


class CsvBooks:
    """A CSV file of books; lists of levels are JSON. `columns` as of ParquetBooks."""

    def __init__(self, path: Path, columns: Mapping[str, str]) -> None:
        self._table = CsvTable(path)
        missing_columns(path.name, columns, self._table.columns)
        self._at = {ours: self._table.columns.index(columns[ours]) for ours in BOOK_COLUMNS}
        self._width = len(self._table.columns)

    @property
    def name(self) -> str:
        """Of the file."""
        return self._table.name

    @property
    def damages(self) -> dict[int, tuple[int, str]]:
        """None: a line that cannot be read costs itself only."""
        return {}

    def row_keys(self) -> Iterator[tuple[int, int, str | None, int | None]]:
        """Number and offset (`Place`), market and time of every row."""
        market_at, ts_at, rows = self._at["market_id"], self._at["ts"], self._table.rows(0)
        next(rows, None)
        for row, (offset, fields) in enumerate(rows, start=1):
            if len(fields) == self._width:
                yield row, offset, fields[market_at], epoch_ms_in(fields[ts_at])
            else:
                yield row, offset, None, None

    def rows(self, place: Place, count: int) -> Iterator[RawRows]:
        """So many rows from a place on."""
        rows = islice(self._table.rows(place.offset), count)
        row = place.row
        while batch := [fields for _, fields in islice(rows, BATCH_ROWS)]:
            bid_px, bid_sz, ask_px, ask_sz = (
                _lists(self._column(batch, ours)) for ours in LEVEL_COLUMNS
            )
            yield RawRows(
                first_row=row,
                market_ids=[*self._column(batch, "market_id")],
                times_ms=[epoch_ms_in(text) for text in self._column(batch, "ts")],
                sides=[text.upper() for text in self._column(batch, "side")],
                levels=(bid_px, bid_sz, ask_px, ask_sz),
            )
            row += len(batch)

    def _column(self, batch: list[list[str]], ours: str) -> list[str]:
        """A row of another width is empty: its fields may be any column's."""
        at = self._at[ours]
        return [fields[at] if len(fields) == self._width else "" for fields in batch]


_numbers: Final = msgspec.json.Decoder(list[float])


def _lists(texts: list[str]) -> Lists:
    values: list[float] = []
    offsets, readable = [0], []
    for text in texts:
        try:
            values += _numbers.decode(text)
        except (ValueError, RecursionError):
            readable.append(False)
        else:
            readable.append(True)
        offsets.append(len(values))
    return Lists(
        np.array(values, dtype=np.float64),
        np.array(offsets, dtype=np.int64),
        np.array(readable, dtype=np.bool_),
    )
