"""Recordings of the bundled form as a feed: one file a market, those that come with the project
or others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from backtest.feed.events import (
    Exclusion,
    FeedError,
    FeedEvent,
    LeftOut,
    MarketPaid,
    check_file,
    check_payouts,
    is_time,
)
from backtest.feed.merged import Source, merged
from functions.core.evidence import Resolution
from protocol.market import DOWN, UP
from protocol.units import parse_price_e4
from recordings.books import market_of, snapshots_of
from recordings.loader import BundledRecordingError, Header, bundled, load_header, load_readable

AROUND_MAX_MS: Final = 7 * 86_400_000
"""No book of a market is so long before its start or after its end."""


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
        header, last_ns, late, strange, damage = file.header, -1, 0, 0, ""
        first_ms, end_ms = header.start_ms - AROUND_MAX_MS, header.end_ms + AROUND_MAX_MS
        try:
            recording, damage = load_readable(file.path)
            for snapshot in snapshots_of(recording):
                if not first_ms <= snapshot.received_at_ns // 1_000_000 <= end_ms:
                    strange += 1
                    continue
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
            used = "what follows the damage" if last_ns >= 0 else "it"
            text = f"{used} is not used: {damage}"
            self._while_reading.append(_excluded(LeftOut.DAMAGED, file.path.name, 1, text))
        if late:
            text = "older than the book before"
            self._while_reading.append(_excluded(LeftOut.OUT_OF_ORDER, header.slug, late, text))
        if strange:
            text = "of a time that is more than a week before or after the market"
            self._while_reading.append(_excluded(LeftOut.UNREADABLE, header.slug, strange, text))
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
        check_file(path)
        header, first_ms = load_header(path)
        _check_window(header)
        payouts_e6 = [parse_price_e4(text) * 100 for text in header.payouts]
        check_payouts(payouts_e6)
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
        first_at_ms=_first_at_ms(header, first_ms or 0),
        resolution=Resolution(
            payouts_e6=dict(zip(tokens, payouts_e6, strict=True)), source="recording"
        ),
    )


def _first_at_ms(header: Header, first_ms: int) -> int:
    """None of its books that is used is older."""
    if -AROUND_MAX_MS <= first_ms <= header.end_ms - header.start_ms + AROUND_MAX_MS:
        return header.start_ms + first_ms
    return header.start_ms - AROUND_MAX_MS  # the first one is left out


def _check_window(header: Header) -> None:
    start_ms, end_ms = header.start_ms, header.end_ms
    if not is_time(start_ms) or not is_time(end_ms) or start_ms >= end_ms:
        raise ValueError(f"a market from {start_ms} to {end_ms}, in epoch milliseconds")
