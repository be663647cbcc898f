"""A recording summed up: its records one by one to counts and verdicts.

A new connection makes every book unknown until its next `book`, and so do records that were lost.
Nothing that the venue sends raises here; memory is bounded by the number of markets.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec

from feeder.recording.format import (
    Closed,
    Configured,
    Decided,
    Frame,
    Listed,
    Lost,
    Missed,
    Opened,
    Paid,
    Published,
    Record,
    Sent,
    Started,
    Stopped,
    Unfollowed,
    payload,
)
from feeder.recording.inspected_market import Checks, InspectedMarket, MarketReport
from protocol.market import MarketInfo
from venue.wire.market_channel import (
    BookEvent,
    Event,
    FrameFault,
    LastTradeEvent,
    Malformed,
    Pong,
    PriceChangeEvent,
    TickSizeChangeEvent,
    UnknownEvent,
    decode_frame,
)

LOSSES_LISTED_MAX: Final = 100
_NS: Final = 1_000_000_000
_TYPES: Final[dict[type[Event], str]] = {
    BookEvent: "book",
    PriceChangeEvent: "price_change",
    LastTradeEvent: "last_trade_price",
    TickSizeChangeEvent: "tick_size_change",
    UnknownEvent: "unknown",
    Pong: "PONG",
    Malformed: "rejected",
}


class TypeCount(msgspec.Struct, kw_only=True):
    """Frames by the type of their first event; events by their own."""

    frames: int = 0
    events: int = 0
    bytes: int = 0


class Loss(msgspec.Struct, kw_only=True):
    """A connection that ended, times in epoch milliseconds."""

    conn: int
    at_ms: int
    lasted_ms: int
    why: str


class Inspection(msgspec.Struct, kw_only=True):
    """All of it; times in epoch milliseconds."""

    started_ms: int
    ended_ms: int
    duration_ms: int
    runs: int
    stopped: bool
    """Whether the last process ended in order; one that was killed or still runs did not."""
    series: list[str]
    frames: int
    frame_bytes: int
    frames_per_s: float
    frames_per_s_max: int
    types: dict[str, TypeCount]
    rejected: dict[str, int]
    first_rejected: str
    connections: int
    losses: list[Loss]
    """The first LOSSES_LISTED_MAX of `lost_connections`."""
    lost_connections: int
    lost_records: int
    published: int
    """Books, as they went from the feeders to the workers."""
    decisions: int
    configurations: int
    """Versions of accounts' configurations, each counted once."""
    paid_markets: int
    unpaid_markets: int
    """With frames, and ended by the recording's end; what they paid is not in it."""
    missed: dict[str, int]
    """How often something of these kinds did not come to the recorder."""
    unlisted_events: int
    """Of markets that the recording does not describe."""
    checks: Checks
    markets: list[MarketReport]


class Inspector:
    """`take` every record in order, then ask for the `result`."""

    def __init__(self) -> None:
        self._markets: dict[str, InspectedMarket] = {}
        self._types: dict[str, TypeCount] = {}
        self._rejected: Counter[str] = Counter()
        self._first_rejected = ""
        self._runs: dict[str, None] = {}
        self._series: dict[str, None] = {}
        self._first_ns = self._last_ns = 0
        self._frames = self._bytes = 0
        self._second = self._in_second = self._in_second_max = 0
        self._opened: dict[int, int] = {}
        self._connections = self._lost_connections = 0
        self._losses: list[Loss] = []
        self._lost_records = self._unlisted = 0
        self._published = self._decisions = 0
        self._configurations: set[tuple[str, str]] = set()
        self._paid: set[str] = set()
        self._missed: Counter[str] = Counter()
        self._stopped = False

    def take(self, record: Record) -> None:
        """The next record."""
        self._first_ns = self._first_ns or record.at_ns
        self._last_ns = max(self._last_ns, record.at_ns)
        self._stopped = isinstance(record, Stopped)
        if isinstance(record, Frame):
            self._take_frame(record)
        elif isinstance(record, Published | Decided | Configured | Paid | Missed):
            self._take_history(record)
        elif isinstance(record, Listed):
            self._list(record.market)
        elif isinstance(record, Opened):
            self._connections += 1
            self._opened[record.conn] = record.at_ns
            self._forget_books()
        elif isinstance(record, Closed):
            self._close(record)
        elif isinstance(record, Lost):
            self._lost_records += record.records
            self._forget_books()
        elif isinstance(record, Started):
            self._series.update(dict.fromkeys(record.series))
            if record.run not in self._runs:  # the connections of an earlier run died with it
                self._runs[record.run] = None
                self._opened.clear()
                self._forget_books()
        elif isinstance(record, Unfollowed):
            market = self._markets.get(record.condition_id)
            if market is not None and market.heard_at_ms is not None:
                market.heard(record.at_ns // 1_000_000)
        else:
            assert isinstance(record, Sent | Stopped)  # noqa: S101 - nothing to count there

    def result(self) -> Inspection:
        """What was found so far. Ask once: it counts the silence until the end."""
        ended_ms = self._last_ns // 1_000_000
        markets = [market.end(ended_ms) for market in self._markets.values()]
        total = Checks()
        for report in markets:
            for field in Checks.__struct_fields__:
                setattr(total, field, getattr(total, field) + getattr(report.checks, field))
        duration_ns = self._last_ns - self._first_ns
        return Inspection(
            started_ms=self._first_ns // 1_000_000,
            ended_ms=ended_ms,
            duration_ms=duration_ns // 1_000_000,
            runs=len(self._runs),
            stopped=self._stopped,
            series=list(self._series),
            frames=self._frames,
            frame_bytes=self._bytes,
            frames_per_s=self._frames * _NS / duration_ns if duration_ns else 0.0,
            frames_per_s_max=self._in_second_max,
            types=self._types,
            rejected=dict(self._rejected),
            first_rejected=self._first_rejected,
            connections=self._connections,
            losses=self._losses,
            lost_connections=self._lost_connections,
            lost_records=self._lost_records,
            published=self._published,
            decisions=self._decisions,
            configurations=len(self._configurations),
            paid_markets=len(self._paid),
            unpaid_markets=sum(
                market.report.frames > 0 and market.info.end_ms <= ended_ms
                for condition_id, market in self._markets.items()
                if condition_id not in self._paid
            ),
            missed=dict(self._missed),
            unlisted_events=self._unlisted,
            checks=total,
            markets=markets,
        )

    def _take_history(self, record: Published | Decided | Configured | Paid | Missed) -> None:
        """What went between our processes, and what markets paid."""
        if isinstance(record, Published):
            self._published += 1
        elif isinstance(record, Decided):
            self._decisions += 1
        elif isinstance(record, Configured):
            self._configurations.add((record.account, record.text))
        elif isinstance(record, Paid):
            self._paid.add(record.condition_id)
        else:
            self._missed[record.what] += 1

    def _list(self, info: MarketInfo) -> None:
        known = self._markets.get(info.condition_id)
        if known is None or known.token_ids != {each.token_id for each in info.outcomes}:
            self._markets[info.condition_id] = InspectedMarket(info)

    def _forget_books(self) -> None:
        for market in self._markets.values():
            market.forget_books()

    def _close(self, record: Closed) -> None:
        opened_ns = self._opened.pop(record.conn, record.at_ns)
        if record.why == Closed.OURS:
            return
        self._lost_connections += 1
        if len(self._losses) < LOSSES_LISTED_MAX:
            lasted_ms = (record.at_ns - opened_ns) // 1_000_000
            at_ms = record.at_ns // 1_000_000
            self._losses.append(
                Loss(conn=record.conn, at_ms=at_ms, lasted_ms=lasted_ms, why=record.why)
            )

    def _take_frame(self, record: Frame) -> None:
        received = payload(record)
        self._frames += 1
        self._bytes += len(received)
        second = record.at_ns // _NS
        self._in_second = self._in_second + 1 if second == self._second else 1
        self._second = second
        self._in_second_max = max(self._in_second_max, self._in_second)
        events = decode_frame(received)
        self._type(_TYPES[events[0].__class__] if events else "empty", received)
        touched: dict[str, InspectedMarket] = {}
        for event in events:
            if isinstance(event, Malformed):
                self._reject(event.fault, event.reason, record)
                continue
            self._types.setdefault(_TYPES[event.__class__], TypeCount()).events += 1
            if isinstance(event, Pong | UnknownEvent):
                continue
            market = self._markets.get(event.market)
            if market is None:
                self._unlisted += 1
                continue
            touched[event.market] = market
            try:
                market.apply(event, record.at_ns // 1_000_000)
            except ValueError as error:
                self._reject(FrameFault.INVALID_NUMBER, str(error), record)
        for market in touched.values():
            market.report.frames += 1
            market.heard(record.at_ns // 1_000_000)

    def _type(self, name: str, received: bytes) -> None:
        count = self._types.setdefault(name, TypeCount())
        count.frames += 1
        count.bytes += len(received)

    def _reject(self, fault: FrameFault, text: str, record: Frame) -> None:
        self._rejected[fault.value] += 1
        self._first_rejected = self._first_rejected or f"at_ns {record.at_ns}: {text[:300]}"
