"""A bundled market as `executor record` would have recorded it from the simulated venue.

Each moment becomes one `price_change` of both tokens, now and then two `book`s, with the venue's
checksums; received when the venue had sent it.
"""

from __future__ import annotations

from collections.abc import Iterator

from feeder.recording.format import (
    Closed,
    Listed,
    Opened,
    Paid,
    Record,
    Started,
    Stopped,
    Unfollowed,
    frame_of,
)
from protocol.market import MarketInfo, Outcome
from protocol.units import to_size_e6
from recordings.loader import Recording
from sandbox.simulator import Market, Venue
from sandbox.simulator.frames import (
    Delta,
    apply_changes,
    opening_book,
    price_change_frame,
    tick_size_frame,
)

PAID_AFTER_MS = 60_000
FINE_TICK_E4 = 10
BOOKS_EVERY = 100
"""Moments; the first one is two `book`s, too."""


def when(at_ms: int) -> dict[str, int]:
    """Times of a record."""
    return {"at_ns": at_ms * 1_000_000, "mono_ns": at_ms * 1_000_000}


def started(at_ms: int, run: str = "a", part: int = 1) -> Started:
    """The first line of a file."""
    return Started(
        **when(at_ms),
        format=1,
        run=run,
        part=part,
        market_ws_url="ws://127.0.0.1:1",
        gamma_url="http://127.0.0.1:1",
        series=("btc-15m",),
    )


def market_of(recording: Recording) -> tuple[Market, MarketInfo]:
    """The simulated venue's market of the recording's window, and its listing."""
    header = recording.header
    market = Venue().add_market(header.slug, start_ms=header.start_ms, end_ms=header.end_ms)
    info = MarketInfo(
        condition_id=market.condition_id,
        slug=market.slug,
        series="btc-15m",
        outcomes=(
            Outcome(name="Up", token_id=market.token("Up")),
            Outcome(name="Down", token_id=market.token("Down")),
        ),
        start_ms=market.start_ms,
        end_ms=market.end_ms,
        tick_size_e4=market.tick_size_e4,
        min_order_size_e6=market.min_order_size_e6,
        fee=market.fee,
        neg_risk=False,
        accepting=True,
    )
    return market, info


def frames_of(recording: Recording, market: Market) -> Iterator[tuple[int, bytes]]:
    """(epoch milliseconds, frame)."""
    tokens = [book.token_id for book in market.books]
    opened = False
    for number, step in enumerate(each for each in recording.steps() if each.changes):
        now_ms = market.start_ms + step.at_ms
        if any(change.price_e4 % market.tick_size_e4 for change in step.changes):
            old_e4, market.tick_size_e4 = market.tick_size_e4, FINE_TICK_E4
            for token_id in tokens if opened else ():
                yield now_ms, tick_size_frame(market, token_id, old_e4, now_ms).encode()
        changes = [(tokens[c.outcome], c.side, c.price_e4, c.size_e6) for c in step.changes]
        tops = apply_changes(market, changes, now_ms)
        if number % BOOKS_EVERY and market.tick_size_e4 != FINE_TICK_E4:
            yield now_ms, price_change_frame(market, Delta(changes, now_ms, tops), tokens).encode()
        else:  # on a new grid every moment is two `book`s: it is what ends the doubt
            for book in market.books:
                book.timestamp_ms = now_ms
            books = [opening_book(market, book) for book in market.books]
            yield now_ms, f"[{','.join(books)}]".encode()
        opened = True


def records_of(recording: Recording, *, paid: bool = True) -> Iterator[Record]:
    """All of it, from a run's start to its stop."""
    market, info = market_of(recording)
    begun = False
    for at_ms, frame in frames_of(recording, market):
        if not begun:
            yield started(at_ms)
            yield Listed(**when(at_ms), market=info)
            yield Opened(**when(at_ms), conn=1)
            begun = True
        yield frame_of(frame, conn=1, **when(at_ms))
    over_ms = info.end_ms + PAID_AFTER_MS
    yield Unfollowed(**when(info.end_ms + 5_000), condition_id=info.condition_id)
    if paid:
        payouts = zip(info.outcomes, recording.payouts, strict=True)
        yield Paid(
            **when(over_ms),
            condition_id=info.condition_id,
            payouts_e6={outcome.token_id: to_size_e6(paid) for outcome, paid in payouts},
            source="gamma",
        )
    yield Closed(**when(over_ms), conn=1, why=Closed.OURS)
    yield Stopped(**when(over_ms))
