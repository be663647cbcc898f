"""Recordings of the bundled form as a feed: one file a market, those that come with the project
or others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec

from backtest.feed.events import Exclusion, FeedError, FeedEvent, LeftOut, MarketPaid
from backtest.feed.merged import Source, merged
from functions.core.evidence import Resolution
from protocol.bounds import EPOCH_MS_MAX
from protocol.market import DOWN, UP
from protocol.units import parse_price_e4
from recordings.books import market_of, snapshots_of
from recordings.loader import BundledRecordingError, Header, bundled, load_header, load_readable


class _MarketFile(msgspec.Struct, frozen=True, kw_only=True):
    path: Path
    header: Header
    first_at_ms: int
    resolution: Resolution


class BundledFeed:
    """The markets of these files in order of time; without any, those of the project.

    A damaged file is used as far as it can be read. Raises FeedError where none can be, or where
    two are of the same market.
    """

    def __init__(self, paths: Sequence[Path] = ()) -> None:
        self._ours = not paths
        self._unusable: list[Exclusion] = []
        self._while_reading: list[Exclusion] = []
        self._files = self._usable(paths or bundled())

    @property
    def name(self) -> str:
        """How many markets, whose they are, and their licence."""
        count = len(self._files)
        markets = (
            f"{count} {'bundled ' if self._ours else ''}{'market' if count == 1 else 'markets'}"
        )
        sources = "; ".join(sorted({file.header.source for file in self._files}))
        changed = "; what was changed: recordings/ATTRIBUTION.md" if self._ours else ""
        return f"{markets} ({sources}{changed})" if sources else markets

    @property
    def exclusions(self) -> list[Exclusion]:
        """What has been left out of what was read so far."""
        return self._unusable + self._while_reading

    def __iter__(self) -> Iterator[FeedEvent]:
        """Each market's books, and at its end what it paid."""
        self._while_reading = []
        return merged(
            Source(first_at_ms=file.first_at_ms, events=partial(self._events, file))
            for file in self._files
        )

    def _usable(self, paths: Sequence[Path]) -> list[_MarketFile]:
        files: dict[str, _MarketFile] = {}
        for path in paths:
            try:
                file = _market_file(path)
            except ValueError as error:
                self._unusable.append(_excluded(LeftOut.DAMAGED, path.name, 1, str(error)))
                continue
            other = files.setdefault(file.header.condition_id, file)
            if other is not file:
                raise FeedError(f"{path} and {other.path} are of the same market: give one of them")
        if not files:
            raise FeedError(self._unusable[0].text)
        return [file for file in files.values() if self._is_up_down(file.header)]

    def _is_up_down(self, header: Header) -> bool:
        if set(header.outcomes) == {UP, DOWN}:
            return True
        text = "its outcomes are {} and {}".format(*header.outcomes)
        self._unusable.append(_excluded(LeftOut.NOT_UP_DOWN, header.slug, 1, text))
        return False

    def _events(self, file: _MarketFile) -> Iterator[FeedEvent]:
        header, last_ns, late = file.header, -1, 0
        try:
            recording, damage = load_readable(file.path)
            for snapshot in snapshots_of(recording):
                if snapshot.received_at_ns < last_ns:
                    late += 1
                    continue
                last_ns = snapshot.received_at_ns
                yield snapshot
        except OSError as error:
            damage = f"cannot read it: {error.strerror or error}"
        except BundledRecordingError as error:
            damage = str(error)
        if damage:
            text = f"what follows the damage is not used: {damage}"
            self._while_reading.append(_excluded(LeftOut.DAMAGED, file.path.name, 1, text))
        if late:
            text = "older than the book before"
            self._while_reading.append(_excluded(LeftOut.OUT_OF_ORDER, header.slug, late, text))
        if last_ns < 0:
            text = "there is no book in it"
            self._while_reading.append(_excluded(LeftOut.UNREADABLE, header.slug, 1, text))
            return
        yield MarketPaid(
            condition_id=header.condition_id,
            slug=header.slug,
            at_ms=max(header.end_ms, last_ns // 1_000_000),
            resolution=file.resolution,
        )


def _excluded(why: LeftOut, where: str, count: int, text: str) -> Exclusion:
    return Exclusion(why=why, where=where, count=count, text=text)


def _market_file(path: Path) -> _MarketFile:
    """Raises ValueError with one line that names the file."""
    try:
        header, first_ms = load_header(path)
        _check_window(header)
        payouts = [parse_price_e4(text) * 100 for text in header.payouts]
    except BundledRecordingError:
        raise
    except OSError as error:
        raise ValueError(f"{path.name}: cannot read it: {error.strerror or error}") from error
    except ValueError as error:
        raise ValueError(f"{path.name}: not a recording: {error}") from error
    tokens = [outcome.token_id for outcome in market_of(header).outcomes]
    return _MarketFile(
        path=path,
        header=header,
        first_at_ms=header.start_ms + (first_ms or 0),
        resolution=Resolution(
            payouts_e6=dict(zip(tokens, payouts, strict=True)), source="recording"
        ),
    )


def _check_window(header: Header) -> None:
    if not 0 <= header.start_ms < header.end_ms <= EPOCH_MS_MAX:
        raise ValueError(f"a market from {header.start_ms} to {header.end_ms}")
