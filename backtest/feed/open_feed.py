"""What a path means: a file, or a folder, of one of the kinds of recordings that can be read."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from backtest.feed.bundled import BundledFeed
from backtest.feed.events import Exclusion, Feed, FeedError, FeedEvent, MarketPaid
from backtest.feed.merged import Source, merged
from backtest.feed.tables import TablesFeed, tables_in

RECOGNISED: Final = (
    "recognised are a file *.jsonl.gz of the bundled form or a folder of them, a folder that "
    "`executor record` has written, and a folder with books.parquet and markets.parquet, or "
    "books.csv and markets.csv"
)


class MergedFeed:
    """Several feeds as one. Raises FeedError where two of them have the same market."""

    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._feeds = feeds
        self.name = "; ".join(feed.name for feed in feeds)

    @property
    def exclusions(self) -> list[Exclusion]:
        """Of all of them."""
        return [exclusion for feed in self._feeds for exclusion in feed.exclusions]

    def __iter__(self) -> Iterator[FeedEvent]:
        """In order of time."""
        owners: dict[str, Feed] = {}
        # When a feed begins is not known before it is opened, so all of them are.
        return merged(
            Source(first_at_ms=0, events=partial(self._checked, feed, owners))
            for feed in self._feeds
        )

    def _checked(self, feed: Feed, owners: dict[str, Feed]) -> Iterator[FeedEvent]:
        for event in feed:
            market = event if isinstance(event, MarketPaid) else event.market
            owner = owners.setdefault(market.condition_id, feed)
            if owner is not feed:
                raise FeedError(
                    f"{market.slug} is in two recordings: {owner.name}, and {feed.name}: "
                    "give one of them"
                )
            yield event


def open_feed(paths: Sequence[Path], columns: Mapping[str, str] | None = None) -> Feed:
    """The recordings at these paths as one feed; without paths, the bundled markets. `columns`: our
    name of a table's column to the file's.

    Raises FeedError with one line for a person.
    """
    files: list[Path] = []
    feeds: list[Feed] = []
    tables = False
    for path in {path.resolve(): path for path in paths}.values():
        try:
            found = _opened(path, columns)
        except OSError as error:
            raise FeedError(f"{path}: cannot read it: {error.strerror or error}") from error
        tables = tables or isinstance(found, TablesFeed)
        if isinstance(found, list):
            files += found
        else:
            feeds.append(found)
    if columns and not tables:
        raise FeedError("columns are for tables, Parquet or CSV, and none is given")
    if files or not feeds:
        feeds.insert(0, BundledFeed([*{path.resolve(): path for path in files}.values()]))
    return feeds[0] if len(feeds) == 1 else MergedFeed(feeds)


def _opened(path: Path, columns: Mapping[str, str] | None) -> Feed | list[Path]:
    """A feed, or files of the bundled form."""
    if path.is_file():
        if not path.name.endswith(".jsonl.gz"):
            raise FeedError(f"{path}: not a recording: {RECOGNISED}")
        return _recorded(path) if _is_part(path) else [path]
    if not path.is_dir():
        raise FeedError(f"{path}: no such file or folder: {RECOGNISED}")
    if any(path.glob("part-*.jsonl.gz")):
        return _recorded(path)
    if tables_in(path) is not None:
        return TablesFeed(path, columns)
    if files := sorted(path.glob("*.jsonl.gz")):
        return files
    raise FeedError(f"{path}: there is no recording in it: {RECOGNISED}")


def _recorded(path: Path) -> Feed:
    # Here, because it needs the feeder's code: who has no such recording need not wait for that.
    from backtest.feed.recorded import RecordedFeed  # noqa: PLC0415

    return RecordedFeed(path)


class _Kind(msgspec.Struct):
    kind: str = ""


def _is_part(path: Path) -> bool:
    """Whether `executor record` has written it: each of its lines says its kind."""
    try:
        with gzip.open(path) as file:
            return bool(msgspec.json.decode(file.readline(), type=_Kind).kind)
    except (OSError, EOFError, zlib.error, ValueError):
        return False
