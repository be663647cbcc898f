"""Tables as Parquet files, read in batches: never in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from backtest.feed.events import FeedError
from backtest.feed.table_rows import (
    BATCH_ROWS,
    LEVEL_COLUMNS,
    Lists,
    Place,
    RawRows,
    epoch_ms_in,
    missing_columns,
)

_SMALL_GROUP_ROWS: Final = 65_536
"""Row groups of a size that two of them can be kept (some 40 MB each)."""
_KEYS_AT_ONCE: Final = 65_536


def _pyarrow(name: str) -> Any:
    try:
        import pyarrow.parquet  # noqa: PLC0415 - an extra, and slow: only for who has Parquet
    except ImportError as error:
        raise FeedError(
            f"{name}: Parquet needs the package pyarrow: pip install 'streaming-executor[backtest]'"
        ) from error
    return pyarrow


class ParquetTable:
    """A Parquet file. Raises FeedError where it is none, or a column has another type.

    A row group that is damaged is read up to its damage: `damages` says of the others' first row
    how many rows are lost with it, and why.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._arrow = _pyarrow(path.name)
        file = self._opened()
        self.columns: list[str] = file.schema_arrow.names
        self.group_rows = [
            file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)
        ]
        self._small_group = lru_cache(maxsize=2)(self._read_group)
        self.damages: dict[int, tuple[int, str]] = {}
        """By the number of the first row that is lost; the first of all is 1."""

    @property
    def name(self) -> str:
        """Of the file."""
        return self._path.name

    def batches(self, columns: list[str], rows_at_once: int) -> Iterator[Any]:
        """All rows, as Arrow's record batches. Raises FeedError for any damage."""
        for group in range(len(self.group_rows)):
            yield from self._batches(group, columns, rows_at_once)

    def keys(self, columns: list[str]) -> Iterator[tuple[int, Any]]:
        """(rows before it, record batch) of these columns, of all rows that `slices` can read."""
        begin, damage, found = 0, None, False
        for group, rows in enumerate(self.group_rows):
            before = begin
            for rows_at_once in (_KEYS_AT_ONCE, BATCH_ROWS):  # as finely as `slices`, where needed
                read = begin
                try:
                    for batch in self._batches(group, columns, rows_at_once):
                        fresh = batch.slice(min(before - read, len(batch)))
                        read += len(batch)
                        if len(fresh):
                            yield before, fresh
                            before, found = before + len(fresh), True
                    break
                except FeedError as error:
                    damage = damage or error
            begin += rows
        if damage is not None and not found:
            raise damage

    def slices(self, columns: list[str], first: int, count: int) -> Iterator[tuple[int, Any]]:
        """(rows before it, record batch) of so many rows from row `first` on; the first is 0."""
        begin, end = 0, first + count
        for group, rows in enumerate(self.group_rows):
            start, stop = max(first - begin, 0), min(end - begin, rows)
            if start < stop:
                read = start
                try:
                    for batch in self._of_group(group, columns, start, stop):
                        yield begin + read, batch
                        read += len(batch)
                except FeedError as error:
                    self.damages[begin + read + 1] = (stop - read, str(error))
            begin += rows

    def cast(self, column: Any, kind: Any, ours: str) -> Any:
        """Raises FeedError naming the column."""
        try:
            return column.cast(kind)
        except self._arrow.ArrowException as error:
            raise FeedError(f"{self.name}: column {ours}: {_one_line(error)}") from error

    def times(self, column: Any, ours: str) -> list[int | None]:
        """Epoch milliseconds: integers, or Arrow's timestamps; None for a value that is none."""
        arrow = self._arrow
        if arrow.types.is_timestamp(column.type):
            column = column.cast(arrow.timestamp("ms", tz=column.type.tz), safe=False)
        try:
            times: list[int | None] = column.cast(arrow.int64()).to_pylist()
        except arrow.ArrowNotImplementedError as error:
            raise FeedError(f"{self.name}: column {ours}: {_one_line(error)}") from error
        except arrow.ArrowInvalid:  # some are none: NaN, a text
            return [_whole(value) for value in column.to_pylist()]
        return times

    def values(self, column: Any, ours: str) -> list[Any]:
        """As Python has them."""
        try:
            values: list[Any] = column.to_pylist()
        except (ValueError, self._arrow.ArrowException) as error:
            raise FeedError(f"{self.name}: column {ours}: {_one_line(error)}") from error
        return values

    def texts(self, column: Any, ours: str) -> list[str | None]:
        """As strings; None for bytes that are no UTF-8."""
        arrow = self._arrow
        if arrow.types.is_binary(column.type) or arrow.types.is_large_binary(column.type):
            return [_text(value) for value in column.to_pylist()]
        texts: list[str | None] = self.cast(column, arrow.string(), ours).to_pylist()
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
                self._path, pre_buffer=False, buffer_size=1 << 20, page_checksum_verification=True
            )
        except (OSError, self._arrow.ArrowException) as error:
            raise self._damaged(error) from error
        except UnicodeEncodeError as error:
            text = "Parquet cannot be read from a path that is no UTF-8"
            raise FeedError(f"{self._path}: {text}") from error

    def _of_group(self, group: int, columns: list[str], start: int, stop: int) -> Iterator[Any]:
        if self.group_rows[group] <= _SMALL_GROUP_ROWS:
            table = self._small_group(group, tuple(columns))
            if table is not None:
                yield from table.slice(start, stop - start).to_batches(max_chunksize=BATCH_ROWS)
                return
        begin = 0
        for batch in self._batches(group, columns, BATCH_ROWS):
            first, last = max(start - begin, 0), min(stop - begin, len(batch))
            if first < last:
                yield batch.slice(first, last - first)
            begin += len(batch)
            if begin >= stop:
                return

    def _batches(self, group: int, columns: list[str], rows: int) -> Iterator[Any]:
        try:
            yield from self._opened().iter_batches(
                rows, row_groups=[group], columns=columns, use_threads=False
            )
        except (OSError, self._arrow.ArrowException) as error:
            raise self._damaged(error) from error

    def _read_group(self, group: int, columns: tuple[str, ...]) -> Any:
        """None where it is damaged: it is then read as far as that goes."""
        try:
            return self._opened().read_row_group(group, columns=[*columns], use_threads=False)
        except (OSError, self._arrow.ArrowException):
            return None

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

    @property
    def damages(self) -> dict[int, tuple[int, str]]:
        """What could not be read so far: first row to how many, and why."""
        return self._table.damages

    def row_keys(self) -> Iterator[tuple[int, int, str | None, int | None]]:
        """Number and offset (`Place`), market and time of every row that can be read, and of the
        last one."""
        row, table = 0, self._table
        market_id, ts = self._columns["market_id"], self._columns["ts"]
        for before, batch in table.keys([market_id, ts]):
            if row == 0 and before:
                yield 1, 0, None, None
            row = before + len(batch)
            ids = table.texts(batch.column(market_id), market_id)
            times = table.times(batch.column(ts), ts)
            yield from zip(range(before + 1, row + 1), range(before, row), ids, times, strict=True)
        if row < (rows := sum(table.group_rows)):
            yield rows, rows - 1, None, None

    def rows(self, place: Place, count: int) -> Iterator[RawRows]:
        """So many rows from a place on; `damages` has those that cannot be read."""
        table, names = self._table, self._columns
        for before, batch in table.slices([*names.values()], place.offset, count):
            column = {ours: batch.column(theirs) for ours, theirs in names.items()}
            bid_px, bid_sz, ask_px, ask_sz = (
                table.lists(column[ours], names[ours]) for ours in LEVEL_COLUMNS
            )
            yield RawRows(
                first_row=before + 1,
                market_ids=table.texts(column["market_id"], names["market_id"]),
                times_ms=table.times(column["ts"], names["ts"]),
                sides=[
                    text and text.upper() for text in table.texts(column["side"], names["side"])
                ],
                levels=(bid_px, bid_sz, ask_px, ask_sz),
            )


def _whole(value: object) -> int | None:
    """A whole number, also as a float, a decimal or a text; None for what is none."""
    if isinstance(value, int):
        return value
    if isinstance(value, float | Decimal):
        return int(value) if value == value // 1 else None
    return epoch_ms_in(value) if isinstance(value, str) else None


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
