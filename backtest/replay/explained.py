"""One decision explained from a recording: what it saw, by what it was measured, what came of it.

Reads the recording twice: for the decision with its books, and for what its market showed later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

from backtest.replay.answers import (
    CannotAskError,
    Strategies,
    Unlike,
    differences_of,
    made_again,
)
from backtest.replay.history import ConfigurationRead, DecisionHistory, NotRemade, Remade
from feeder.recording.format import Paid, Published, Record, payload
from feeder.recording.reader import RecordingReader
from functions.core.configuration import ConfigurationError, ConfigurationRow, settings_in
from functions.core.gate_checks import NumberCheck, gate_checks
from protocol.book import Book, Level, Proof
from protocol.decision import Decision, stages_ns
from protocol.fee import taker_fee_e6
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot, ProtocolError, decode_snapshot
from protocol.units import PRICE_SCALE, SIZE_SCALE

LEVELS_SHOWN: Final = 5
HORIZONS_S: Final = (1, 5, 10, 30, 60)
MATCHES_MAX: Final = 10
ID_LENGTH_MIN: Final = 6
_SHARES: Final = 1_000
"""Whose fee is looked up: that of one is rounded to too much."""
_E6_IN_E4: Final = SIZE_SCALE // PRICE_SCALE


class NoSuchDecisionError(Exception):
    """None has that id."""


class AmbiguousIdError(ValueError):
    """Several decisions' ids begin so."""


class BestLevels(msgspec.Struct, frozen=True, kw_only=True):
    """The best levels of one outcome's book, best first: (1e-4 USD, 1e-6 shares)."""

    outcome: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class SeenBook(msgspec.Struct, frozen=True, kw_only=True):
    """The book that was decided on."""

    version: str
    """epoch:sequence"""
    proof: Proof
    received_at_ms: int
    venue_timestamp_ms: int
    ladders: list[BestLevels]
    memory_rows: int
    memory_from_ms: int | None
    """When the oldest of them was received."""
    start_ms: int | None
    """When the first book of the window that the worker had was received."""


class MarkoutLater(msgspec.Struct, frozen=True, kw_only=True):
    """What a share was worth later, less what it cost, in ticks; None: not known."""

    after_s: int | None
    """None: at resolution."""
    bid_e4: int | None
    mid_e4: float | None
    """At resolution: what was paid."""
    by_mid_ticks: float | None
    by_bid_ticks: float | None
    after_fee_ticks: float | None
    """By the mid, less the fee."""
    why_not: str = ""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the order."""

    source: str
    """`decision`: as it was logged; `account` or `ledger`: as it is now."""
    state: str
    order_id: str
    spent_e6: int
    size_e6: int
    fee_e6: int
    fills: list[str]
    payout_e6: int | None
    pnl_e6: int | None
    text: str


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """What `executor explain --json` prints."""

    source: str
    """The recording, or `decision table`."""
    decision: Decision
    book: SeenBook | None
    why_no_book: str
    gate: list[NumberCheck]
    settings: str
    """Of the configuration, as JSON; empty: not known."""
    parameters: str
    again: str
    """What the code at hand decides: `equal`, `different`, or why it cannot be asked."""
    unlike: list[Unlike]
    stages_ms: dict[str, float]
    evidence: Evidence | None
    """None: nothing was claimed."""
    evidence_note: str
    price_e4: float
    """What a share cost, or would have cost at the signal's ask."""
    fee_ticks: float | None
    markouts: list[MarkoutLater]


def explain(
    path: Path,
    prefix: str,
    strategies: Strategies,
    tell: Callable[[float], None] = lambda _: None,
) -> Explained:
    """The decision whose id begins with `prefix`. Raises RecordingError, NoSuchDecisionError,
    AmbiguousIdError. `tell` is called now and then with the share that was read, from 0 to 1; it
    is read twice."""
    first = RecordingReader(path, without_frames=True, tell=lambda share: tell(share / 2))
    again = RecordingReader(path, without_frames=True, tell=lambda share: tell((1 + share) / 2))
    return explain_records(first, again, str(path), prefix, strategies)


def explain_records(
    first: Iterable[Record],
    again: Iterable[Record],
    source: str,
    prefix: str,
    strategies: Strategies,
) -> Explained:
    """The same of any records, which are read once and then `again`; `source`: what they are of.
    Raises likewise."""
    found: dict[str, Decision] = {}

    def wanted(decision: Decision) -> bool:
        if not decision.decision_id.startswith(prefix):
            return False
        if len(found) < MATCHES_MAX or decision.decision_id == prefix:
            found[decision.decision_id] = decision
        return True

    rows: dict[tuple[str, int], ConfigurationRow] = {}
    remade: Remade | None = None
    why = ""
    for event in DecisionHistory(first, wanted):
        if isinstance(event, ConfigurationRead):
            rows[event.account, event.row.version] = event.row
        elif isinstance(event, Remade):
            if remade is None or event.decision.decision_id == prefix:
                remade = event
        elif isinstance(event, NotRemade) and event.decision_id:
            why = event.text
    decision = the_one(found, prefix, f"no decision in {source}")
    if remade is not None and remade.decision.decision_id != decision.decision_id:
        remade = None
    row = rows.get((decision.strategy, decision.config_version))
    market = remade.snapshot.market if remade is not None else decision.market
    later = _later(again, decision, market)
    return explained(decision, source, row, remade, why, strategies, later)


def the_one(found: dict[str, Decision], prefix: str, nowhere: str) -> Decision:
    """The only one, or the one with just that id. Raises NoSuchDecisionError, AmbiguousIdError."""
    if prefix in found:
        return found[prefix]
    if not found:
        raise NoSuchDecisionError(f"{nowhere} has an id that begins with {prefix}")
    if len(found) > 1:
        raise AmbiguousIdError(f"{prefix} begins the ids of several: {', '.join(sorted(found))}")
    (decision,) = found.values()
    return decision


class Later(msgspec.Struct):
    """What the market of a decision showed afterwards."""

    market: MarketInfo | None
    books: dict[int, BookSnapshot] = {}
    """By horizon in seconds: the last one at or before it."""
    ended_ns: int = 0
    """When the recording ended."""
    payouts_e6: dict[str, int] = {}


def _later(records: Iterable[Record], decision: Decision, market: MarketInfo | None) -> Later:
    later = Later(market)
    condition, at_ms = decision.condition_id, decision.decided_at_ms
    for record in records:
        later.ended_ns = max(later.ended_ns, record.at_ns)
        if isinstance(record, Paid) and record.condition_id == condition:
            later.payouts_e6 = record.payouts_e6
        if not isinstance(record, Published) or condition not in (record.text or ""):
            continue
        try:
            snapshot = decode_snapshot(payload(record))
        except ProtocolError:
            continue
        if snapshot.market.condition_id != condition:
            continue
        later.market = later.market or snapshot.market
        received_ms = snapshot.received_at_ns // 1_000_000
        for horizon_s in HORIZONS_S:
            if received_ms > at_ms + horizon_s * 1_000:
                continue
            last = later.books.get(horizon_s)
            if last is None or last.received_at_ns <= snapshot.received_at_ns:
                later.books[horizon_s] = snapshot
    return later


def explained(
    decision: Decision,
    source: str,
    row: ConfigurationRow | None,
    remade: Remade | None,
    why_no_book: str,
    strategies: Strategies,
    later: Later | None,
) -> Explained:
    """All that is known of it; `later` is None where there is no recording."""
    again, unlike, gate = "", list[Unlike](), list[NumberCheck]()
    if remade is not None:
        try:
            answer = made_again(remade, strategies)
            unlike = differences_of(remade, answer)
            again = "different" if unlike else "equal"
        except CannotAskError as error:
            again = str(error)
        try:
            config = settings_in(remade.row).gate_config()
            gate = gate_checks(remade.snapshot, config, decision.asked_at_ms)
        except ConfigurationError as error:
            again = again or str(error)
    filled = decision.filled_size_e6
    ask_e4 = float(decision.signal_price_e4)
    price_e4 = decision.filled_spend_e6 * PRICE_SCALE / filled if filled else ask_e4
    market = None if later is None else later.market
    fee_ticks = None if market is None else _fee_ticks(market, price_e4)
    return Explained(
        source=source,
        decision=decision,
        book=None if remade is None else _seen_book(remade),
        why_no_book=why_no_book,
        gate=gate,
        settings="" if row is None else row.values,
        parameters="" if row is None else row.parameters,
        again=again,
        unlike=unlike,
        stages_ms={
            name: round(took_ns / 1e6, 3) for name, took_ns in stages_ns(decision.timeline).items()
        },
        evidence=_as_logged(decision),
        evidence_note="",
        price_e4=price_e4,
        fee_ticks=fee_ticks,
        markouts=[] if later is None else _markouts(decision, later, price_e4, fee_ticks),
    )


def _seen_book(remade: Remade) -> SeenBook:
    snapshot, rows, start = remade.snapshot, remade.memory.rows, remade.memory.start
    names = {each.token_id: each.name for each in snapshot.market.outcomes}
    return SeenBook(
        version=f"{snapshot.epoch}:{snapshot.sequence}",
        proof=snapshot.proof,
        received_at_ms=snapshot.received_at_ns // 1_000_000,
        venue_timestamp_ms=snapshot.venue_timestamp_ms,
        ladders=[
            BestLevels(
                outcome=names.get(book.token_id, book.token_id),
                bids=book.bids[:LEVELS_SHOWN],
                asks=book.asks[:LEVELS_SHOWN],
            )
            for book in snapshot.up_and_down() or snapshot.books
        ],
        memory_rows=len(rows),
        memory_from_ms=rows[0].at_ms if rows else None,
        start_ms=None if start is None else start.at_ms,
    )


def _as_logged(decision: Decision) -> Evidence | None:
    if not decision.intent_id:
        return None
    return Evidence(
        source="decision",
        state=decision.state,
        order_id=decision.order_id,
        spent_e6=decision.filled_spend_e6,
        size_e6=decision.filled_size_e6,
        fee_e6=decision.fee_e6,
        fills=[],
        payout_e6=None,
        pnl_e6=None,
        text=decision.text,
    )


# -- what came of it -------------------------------------------------------------------------------


def _fee_ticks(market: MarketInfo, price_e4: float) -> float:
    """Of a share."""
    fee_e6 = taker_fee_e6(market.fee, round(price_e4), _SHARES * SIZE_SCALE)
    return fee_e6 / _SHARES / _E6_IN_E4 / market.tick_size_e4


def _markouts(
    decision: Decision, later: Later, price_e4: float, fee_ticks: float | None
) -> list[MarkoutLater]:
    market = later.market
    if market is None or fee_ticks is None:
        return []
    tick_e4 = market.tick_size_e4

    def markout(
        after_s: int | None, bid_e4: int | None, mid_e4: float | None, why_not: str
    ) -> MarkoutLater:
        by_mid = None if mid_e4 is None else (mid_e4 - price_e4) / tick_e4
        return MarkoutLater(
            after_s=after_s,
            bid_e4=bid_e4,
            mid_e4=mid_e4,
            by_mid_ticks=by_mid,
            by_bid_ticks=None if bid_e4 is None else (bid_e4 - price_e4) / tick_e4,
            after_fee_ticks=None if by_mid is None else by_mid - fee_ticks,
            why_not=why_not,
        )

    found = []
    for after_s in HORIZONS_S:
        at_ms = decision.decided_at_ms + after_s * 1_000
        book: Book | None = None
        why_not = ""
        if at_ms > market.end_ms:
            why_not = "the market had ended"
        elif at_ms > later.ended_ns // 1_000_000:
            why_not = "the recording ends before"
        elif (snapshot := later.books.get(after_s)) is None:
            why_not = "no book is there"
        else:
            books = {each.token_id: each for each in snapshot.books}
            book = books.get(decision.token_id)
            if book is None:
                why_not = "the market has no such token"
            elif book.mid_e4 is None:
                why_not = "no price on both sides then"
        bid_e4 = None if book is None else book.best_bid_e4
        found.append(markout(after_s, bid_e4, None if book is None else book.mid_e4, why_not))
    paid_e6 = later.payouts_e6.get(decision.token_id)
    why_not = "" if paid_e6 is not None else "the recording does not say what the market paid"
    found.append(markout(None, None, None if paid_e6 is None else paid_e6 / _E6_IN_E4, why_not))
    return found
