"""Tables as files: Parquet in batches, CSV line by line. Neither is ever in memory as a whole."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

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
)

_SMALL_GROUP_ROWS: Final = 65_536
"""Row groups of a size that two of them can be kept (some 40 MB each)."""
_KEYS_AT_ONCE: Final = 65_536


def missing_columns(name: str, wanted: Mapping[str, str], there: list[str]) -> None:
    """Raises FeedError with one line that names what is missing, and what there is. `wanted`: our
    name of a column to the file's."""
    missing = [
        theirs if ours == theirs else f"{theirs} (for {ours})"
        for ours, theirs in wanted.items()
        if theirs not in there
    ]
    if missing:
        raise FeedError(
            f"{name}: no column {', '.join(missing)}; there are: {', '.join(there) or 'none'}"
        )


def _pyarrow(name: str) -> Any:
    try:
        import pyarrow.parquet  # noqa: PLC0415 - an extra, and slow: only for who has Parquet
    except ImportError as error:
        raise FeedError(
            f"{name}: Parquet needs the package pyarrow: pip install 'streaming-executor[backtest]'"
        ) from error
    return pyarrow


class ParquetTable:
    """A Parquet file. Raises FeedError, here and while it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._arrow = _pyarrow(path.name)
        file = self._opened()
        self.columns: list[str] = file.schema_arrow.names
        self.group_rows = [
            file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)
        ]
        self._small_group = lru_cache(maxsize=2)(self._read_group)

    @property
    def name(self) -> str:
        """Of the file."""
        return self._path.name

    def batches(self, columns: list[str], rows_at_once: int) -> Iterator[Any]:
        """All rows, as Arrow's record batches."""
        try:
            yield from self._opened().iter_batches(rows_at_once, columns=columns, use_threads=False)
        except (OSError, self._arrow.ArrowException) as error:
            raise self._damaged(error) from error

    def slices(self, columns: list[str], first: int, count: int) -> Iterator[Any]:
        """So many rows from row `first` (the first is 0) on, as record batches."""
        begin, end = 0, first + count
        for group, rows in enumerate(self.group_rows):
            if begin < end and begin + rows > first:
                start, stop = max(first - begin, 0), min(end - begin, rows)
                yield from self._of_group(group, columns, start, stop)
            begin += rows

    def cast(self, column: Any, kind: Any, ours: str) -> Any:
        """Raises FeedError naming the column."""
        try:
            return column.cast(kind)
        except self._arrow.ArrowException as error:
            raise FeedError(f"{self.name}: column {ours}: {_one_line(error)}") from error

    def times(self, column: Any, ours: str) -> list[int | None]:
        """Epoch milliseconds: integers, or Arrow's timestamps."""
        if self._arrow.types.is_timestamp(column.type):
            zone = column.type.tz
            column = column.cast(self._arrow.timestamp("ms", tz=zone), safe=False)
        times: list[int | None] = self.cast(column, self._arrow.int64(), ours).to_pylist()
        return times

    def texts(self, column: Any, ours: str) -> list[str | None]:
        """As strings."""
        texts: list[str | None] = self.cast(column, self._arrow.string(), ours).to_pylist()
        return texts

    def lists(self, column: Any, ours: str) -> Lists:
        """As lists of floats."""
        arrow = self._arrow
        column = self.cast(column, arrow.large_list(arrow.float64()), ours)
        readable = column.is_valid().to_numpy(zero_copy_only=False)
        offsets = column.offsets.to_numpy().astype(np.int64)
        values = column.values.to_numpy(zero_copy_only=False)[offsets[0] : offsets[-1]]
        return Lists(values, offsets - offsets[0], readable)

    def _opened(self) -> Any:
        try:
            # Without them a whole row group is read ahead.
            return self._arrow.parquet.ParquetFile(
                self._path, pre_buffer=False, buffer_size=1 << 20
            )
        except (OSError, self._arrow.ArrowException) as error:
            raise self._damaged(error) from error

    def _of_group(self, group: int, columns: list[str], start: int, stop: int) -> Iterator[Any]:
        if self.group_rows[group] <= _SMALL_GROUP_ROWS:
            table = self._small_group(group, tuple(columns))
            yield from table.slice(start, stop - start).to_batches(max_chunksize=BATCH_ROWS)
            return
        begin = 0
        try:
            for batch in self._opened().iter_batches(
                BATCH_ROWS, row_groups=[group], columns=columns, use_threads=False
            ):
                first, last = max(start - begin, 0), min(stop - begin, len(batch))
                if first < last:
                    yield batch.slice(first, last - first)
                begin += len(batch)
                if begin >= stop:
                    return
        except (OSError, self._arrow.ArrowException) as error:
            raise self._damaged(error) from error

    def _read_group(self, group: int, columns: tuple[str, ...]) -> Any:
        try:
            return self._opened().read_row_group(group, columns=[*columns], use_threads=False)
        except (OSError, self._arrow.ArrowException) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> FeedError:
        return FeedError(f"{self.name}: cannot read it: {_one_line(error)}")


class ParquetBooks:
    """A Parquet file of books. `columns`: our name of each of BOOK_COLUMNS to the file's."""

    def __init__(self, path: Path, columns: Mapping[str, str]) -> None:
        self._table = ParquetTable(path)
        self._columns = columns
        missing_columns(path.name, columns, self._table.columns)

    @property
    def name(self) -> str:
        """Of the file."""
        return self._table.name

    def row_keys(self) -> Iterator[tuple[int, int, str | None, int | None]]:
        """Number and offset (`Place`), market and time of every row."""
        row, table = 0, self._table
        market_id, ts = self._columns["market_id"], self._columns["ts"]
        for batch in table.batches([market_id, ts], _KEYS_AT_ONCE):
            ids = table.texts(batch.column(market_id), market_id)
            times, after = table.times(batch.column(ts), ts), row + len(batch)
            yield from zip(range(row + 1, after + 1), range(row, after), ids, times, strict=True)
            row = after

    def rows(self, place: Place, count: int) -> Iterator[RawRows]:
        """So many rows from a place on."""
        table, row, names = self._table, place.row, self._columns
        for batch in table.slices([*names.values()], place.offset, count):
            column = {ours: batch.column(theirs) for ours, theirs in names.items()}
            bid_px, bid_sz, ask_px, ask_sz = (
                table.lists(column[ours], names[ours]) for ours in LEVEL_COLUMNS
            )
            yield RawRows(
                first_row=row,
                market_ids=table.texts(column["market_id"], names["market_id"]),
                times_ms=table.times(column["ts"], names["ts"]),
                sides=[
                    text and text.upper() for text in table.texts(column["side"], names["side"])
                ],
                levels=(bid_px, bid_sz, ask_px, ask_sz),
            )
            row += len(batch)


class CsvTable:
    """A CSV file with a header line, UTF-8. Raises FeedError, here and while it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        _, self.columns = next(self.rows(0), (0, []))
        if not self.columns:
            raise FeedError(f"{path.name}: there is no header line in it")

    @property
    def name(self) -> str:
        """Of the file."""
        return self._path.name

    def rows(self, offset: int) -> Iterator[tuple[int, list[str]]]:
        """(offset of its first byte, fields) of each row from an offset on; empty lines not."""
        try:
            with self._path.open("rb") as file:
                file.seek(offset)
                reader = csv.reader(_decoded(file))
                # The reader takes a row's lines and none after them.
                for fields in reader:
                    if fields:
                        yield offset, fields
                    offset = file.tell()
        except OSError as error:
            raise FeedError(f"{self.name}: cannot read it: {error.strerror or error}") from error
        except csv.Error as error:
            raise FeedError(f"{self.name}: not CSV: {error}") from error


def _decoded(file: BinaryIO) -> Iterator[str]:
    while line := file.readline():  # not `for`: it reads ahead, and `tell` is wanted
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

    def row_keys(self) -> Iterator[tuple[int, int, str | None, int | None]]:
        """Number and offset (`Place`), market and time of every row."""
        market_at, ts_at, rows = self._at["market_id"], self._at["ts"], self._table.rows(0)
        next(rows, None)
        for row, (offset, fields) in enumerate(rows, start=1):
            if len(fields) == self._width:
                yield row, offset, fields[market_at], _int(fields[ts_at])
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
                times_ms=[_int(text) for text in self._column(batch, "ts")],
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


def _int(text: str) -> int | None:
    return int(text) if text.isdigit() and text.isascii() and len(text) < 19 else None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
