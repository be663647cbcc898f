"""A recording as two workers and a recorder make it, without any of them running: production's
memories, gate, strategies and reports on made-up books."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from backtest.replay.answers import asked_again
from feeder.recording.format import (
    Configured,
    Record,
    decided_of,
    encode_record,
    published_of,
)
from functions.core.configuration import ConfigurationRow, configuration_of
from functions.core.market_memories import MarketMemories
from functions.core.trade import Trade
from functions.handlers.report_decisions import DecisionReporter, timeline_of
from protocol.book import Book, Level
from protocol.decision import Decision, encode_decision
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot, encode_snapshot
from strategies.book_imbalance import BookImbalance
from tests.support.configuration_builders import a_row
from tests.support.message_builders import DOWN_TOKEN, UP_TOKEN, snapshot
from tests.support.recording_files import started

ACCOUNT = "book_imbalance_crypto"
STEP_MS = 1_100
"""More than a refusal is reported only once in."""


def books(count: int, seed: int = 1) -> list[BookSnapshot]:
    """Of one market, received a second after the other, from its start on."""
    drawn, plain = random.Random(seed), snapshot()
    made = []
    for number in range(1, count + 1):
        at_ms = plain.market.start_ms + number * STEP_MS
        bid_e4 = 5_000 + drawn.randrange(-3, 4) * 100
        bid, ask = (drawn.randrange(5, 50) * 1_000_000 for _ in range(2))
        bids: tuple[Level, ...] = ((bid_e4, bid), (bid_e4 - 100, 9_000_000))
        asks: tuple[Level, ...] = ((bid_e4 + 100, ask), (bid_e4 + 200, 9_000_000))
        made.append(
            msgspec.structs.replace(
                plain,
                books=(
                    Book(token_id=UP_TOKEN, bids=bids, asks=asks),
                    Book(token_id=DOWN_TOKEN, bids=mirrored(asks), asks=mirrored(bids)),
                ),
                venue_timestamp_ms=at_ms,
                received_at_ns=at_ms * 10**6,
                published_at_ns=at_ms * 10**6 + 100_000,
                epoch=7,
                sequence=number,
            )
        )
    return made


def mirrored(levels: tuple[Level, ...]) -> tuple[Level, ...]:
    return tuple((10_000 - price_e4, size_e6) for price_e4, size_e6 in levels)


def row(version: int = 1, *, cooldown_s: float = 0, **parameters: Any) -> ConfigurationRow:
    """Of `book_imbalance_crypto`."""
    parameters = {"imbalance_min": 0.3} | parameters
    return a_row(version, parameters=BookImbalance.Parameters(**parameters), cooldown_s=cooldown_s)


def published(book: BookSnapshot, payload: bytes | None = None) -> Record:
    message = encode_snapshot(book) if payload is None else payload
    at_ns = book.received_at_ns + 1_000_000
    return published_of(message, subject="book.btc-15m.x", at_ns=at_ns, mono_ns=at_ns)


def decided(decision: Decision) -> Record:
    at_ns = decision.decided_at_ms * 10**6 + 2_000_000
    message = encode_decision(decision)
    return decided_of(message, subject="decision.a", at_ns=at_ns, mono_ns=at_ns)


def configured(configuration: ConfigurationRow, account: str = ACCOUNT, at_ns: int = 1) -> Record:
    text = msgspec.json.encode(configuration).decode()
    return Configured(at_ns=at_ns, mono_ns=at_ns, account=account, text=text)


def at(record: Record, at_ns: int) -> Record:
    """The same, recorded at another time."""
    return msgspec.structs.replace(record, at_ns=at_ns, mono_ns=at_ns)


def decisions(
    made: list[BookSnapshot],
    configuration_row: ConfigurationRow,
    *,
    traded_as: MarketInfo | None = None,
) -> list[Decision]:
    """What two workers, each of which sees every second book, decide and report; the market is
    `traded_as` where it is not as published."""
    told: list[Decision] = []
    strategy = BookImbalance
    configuration = configuration_of(configuration_row, strategy.name, strategy.Parameters)
    for worker in range(2):
        reporter = DecisionReporter(
            account_name=ACCOUNT, worker=f"w{worker}", publish=told.append, refusal_window_ms=0
        )
        memories = MarketMemories()
        for each in made[worker::2]:
            memories.note(each)
            book = msgspec.structs.replace(each, market=traded_as or each.market)
            now_ms = book.received_at_ns // 1_000_000 + 1
            view = memories.view(book, now_ms)
            answer = asked_again(book, view, now_ms, strategy, configuration)
            if isinstance(answer, Trade):
                timeline = timeline_of(book, now_ms * 10**6, now_ms * 10**6)
                answer = msgspec.structs.replace(answer, traded_as=traded_as)
                reporter.refused(book, answer, "cooldown", timeline)
    return sorted(told, key=lambda each: each.decided_at_ms)


def in_order(records: Iterable[Record]) -> list[Record]:
    """By the time of the recorder."""
    return sorted(records, key=lambda each: each.at_ns)


@cache
def history(count: int = 40, traded_as: MarketInfo | None = None) -> list[Record]:
    """A whole one."""
    made, version = books(count), row()
    told = decisions(made, version, traded_as=traded_as)
    return in_order([started(), configured(version), *map(published, made), *map(decided, told)])


def write(path: Path, records: Iterable[Record], rest: bytes = b"") -> Path:
    """As a file of a recording; `rest` follows its lines."""
    file = path / "part-000001-20231114T000000Z.jsonl.gz"
    file.write_bytes(gzip.compress(b"".join(map(encode_record, records)), mtime=0) + rest)
    return file
