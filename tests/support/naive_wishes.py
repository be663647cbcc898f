"""What a strategy wants on each book and at each scan: production code, asked one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from backtest.engine.assumptions import Assumptions
from backtest.feed.events import FeedEvent, MarketPaid, event_at_ms
from functions.core.ask import ask_strategy
from functions.core.configuration import Configuration
from functions.core.gate import hold_reason_of
from functions.core.market_memories import MarketMemories
from functions.core.strategy_failures import StrategyFailures
from functions.core.trade import Trade
from protocol.market import DOWN, UP, MarketInfo
from protocol.snapshot import BookSnapshot
from strategies.interface import Strategy


@dataclass(frozen=True)
class Wish:
    """A trade that the strategy wants."""

    at_ms: int
    market: MarketInfo
    trade: Trade
    takes_ms: int
    other_limit_e4: int
    """Of a like order for the other outcome, 5% above its ask on the tick grid; 0: none."""


@dataclass
class NaiveRun:
    """What the strategy wanted, and when."""

    stream: dict[int, Wish]
    """By the index of the event that it was decided on."""
    scans: dict[int, list[Wish]]
    """By the second."""
    holds: int


def wishes_of(
    events: Sequence[FeedEvent],
    strategy: type[Strategy],
    configuration: Configuration,
    assumptions: Assumptions,
) -> NaiveRun:
    """Of the stream and of the scanner; each counts the strategy's failures for itself."""
    memories, last = MarketMemories(), dict[str, BookSnapshot]()
    failures, scans_failures = StrategyFailures(), StrategyFailures()
    run, ended = NaiveRun({}, {}, 0), set[str]()

    def asked(snapshot: BookSnapshot, now_ms: int, failed: StrategyFailures) -> Trade | None:
        if hold_reason_of(snapshot, configuration.gate, now_ms) is not None or failed.disabled:
            return None
        view = memories.view(snapshot, now_ms)
        assert view is not None
        try:
            answer = ask_strategy(strategy, view, configuration)
        except ValueError:
            failed.note(now_ms)
            return None
        return answer if isinstance(answer, Trade) else None

    for moment in moments_between(events, assumptions):
        if isinstance(moment, int):
            for book in last.values():
                market, scan_ms = book.market, moment * 1_000
                age_ms = scan_ms - book.received_at_ns // 10**6
                poll = assumptions.poll
                if poll is None or market.condition_id in ended:
                    continue
                if age_ms > assumptions.gap_over_ms:
                    continue
                if not market.start_ms <= scan_ms < market.end_ms:
                    continue
                trade = asked(_fresh(book, scan_ms), scan_ms, scans_failures)
                if trade is not None:
                    what = f"scan:{market.condition_id}:{scan_ms}"
                    takes_ms = poll.execution.draw_ms(what, assumptions.seed)
                    takes_ms += assumptions.taker_delay_ms
                    limit_e4 = _other_limit_e4(book, trade)
                    wish = Wish(scan_ms, market, trade, takes_ms, limit_e4)
                    run.scans.setdefault(moment, []).append(wish)
            continue
        index, event = moment
        if isinstance(event, MarketPaid):
            ended.add(event.condition_id)
            continue
        market, now_ms = event.market, event_at_ms(event)
        if market.condition_id in ended or now_ms > market.end_ms:
            run.holds += 1
            ended.add(market.condition_id)
            continue
        last[market.condition_id] = event
        memories.note(event)
        trade = asked(event, now_ms, failures)
        if trade is None:
            run.holds += 1
            continue
        takes_ms = assumptions.latency.draw_ms(f"{market.condition_id}:{now_ms}", assumptions.seed)
        takes_ms += assumptions.taker_delay_ms
        limit_e4 = _other_limit_e4(event, trade)
        run.stream[index] = Wish(now_ms, market, trade, takes_ms, limit_e4)
    return run


def moments_between(
    events: Sequence[FeedEvent], assumptions: Assumptions
) -> Iterator[int | tuple[int, FeedEvent]]:
    """Events by index, and between them each second in which a scanner looks."""
    scan_s = event_at_ms(events[0]) // 1_000
    for index, event in enumerate(events):
        while assumptions.poll is not None and scan_s * 1_000 < event_at_ms(event):
            yield scan_s
            scan_s += 1
        yield index, event


def _other_limit_e4(snapshot: BookSnapshot, trade: Trade) -> int:
    ask_e4 = snapshot.book_of(DOWN if trade.outcome == UP else UP).best_ask_e4 or 0
    tick_e4 = snapshot.market.tick_size_e4
    return int(Fraction(ask_e4) * Fraction(105, 100) / tick_e4) * tick_e4


def _fresh(book: BookSnapshot, at_ms: int) -> BookSnapshot:
    """The same, received now."""
    return BookSnapshot(
        market=book.market,
        books=book.books,
        proof=book.proof,
        venue_timestamp_ms=at_ms,
        received_at_ns=at_ms * 10**6,
        published_at_ns=at_ms * 10**6,
        epoch=book.epoch,
        sequence=book.sequence,
    )
