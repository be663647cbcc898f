"""What must hold of every run, whatever is in the feed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.engine.assumptions import Bracket
from backtest.engine.observations import Lane, Observations
from backtest.engine.run import run
from backtest.feed.events import FeedEvent, LeftOut, MarketPaid, event_at_ms
from protocol.book import Book
from protocol.snapshot import BookSnapshot
from tests.support.made_up_feeds import (
    Failing,
    Leaning,
    ListFeed,
    assumptions_of,
    digest,
    made_up_configuration,
    made_up_events,
    plain,
)

ROOT: Final = Path(__file__).parents[3]
SEEDS: Final = st.integers(0, 10_000)
FEW: Final = settings(max_examples=12, deadline=None)


def seen_of(events: list[FeedEvent], seed: int, **changes: Any) -> Observations:
    assumptions = msgspec.structs.replace(assumptions_of(seed), **changes)
    return run(ListFeed(events), Leaning, made_up_configuration(seed), assumptions)


def lanes_of(seen: Observations) -> Iterator[Lane]:
    yield from (*seen.lanes, *seen.polling)


@FEW
@given(SEEDS)
def test_an_order_meets_the_book_of_its_bracket(seed: int) -> None:
    events = made_up_events(seed)
    seen = seen_of(events, seed)
    times: dict[str, list[int]] = {}
    for event in events:
        if isinstance(event, BookSnapshot):
            times.setdefault(event.market.condition_id, []).append(event_at_ms(event))
    for lane in lanes_of(seen):
        for order in lane.orders:
            met_ms, arrived_ms = order.met_at_ms, order.arrived_at_ms
            assert order.decided_at_ms <= arrived_ms
            if met_ms is None:
                assert order.filled_size_e6 == 0
                continue
            market = times[seen.markets[order.market].condition_id]
            assert met_ms in market
            if lane.bracket is Bracket.UNCHANGED:
                assert met_ms <= arrived_ms
                assert not any(met_ms < at_ms <= arrived_ms for at_ms in market)
            else:
                assert arrived_ms < met_ms
                assert not any(arrived_ms < at_ms < met_ms for at_ms in market)
            assert met_ms < seen.markets[order.market].end_ms


@FEW
@given(SEEDS, st.integers(0, 200))
def test_another_future_changes_nothing_before_it(seed: int, index: int) -> None:
    events = made_up_events(seed)
    index %= len(events)
    other = [*events[:index], *map(_otherwise, events[index:])]
    before_ms = event_at_ms(events[index])
    assert decided_before(seen_of(events, seed), before_ms) == decided_before(
        seen_of(other, seed), before_ms
    )
    # And none at all: the recording ends there.
    cut = seen_of(events[:index], seed)
    assert decided_before(seen_of(events, seed), before_ms)[0] == decided_before(cut, before_ms)[0]


def _otherwise(event: FeedEvent) -> FeedEvent:
    """A while later, with other books and another winner."""
    if isinstance(event, MarketPaid):
        swapped = dict(
            zip(
                event.resolution.payouts_e6,
                reversed(event.resolution.payouts_e6.values()),
                strict=True,
            )
        )
        resolution = msgspec.structs.replace(event.resolution, payouts_e6=swapped)
        return msgspec.structs.replace(event, at_ms=event.at_ms + 7, resolution=resolution)
    first, second = (
        msgspec.structs.replace(book, asks=tuple((p, 3 * size) for p, size in book.asks[1:]))
        for book in event.books
    )
    books: tuple[Book, Book] = (first, second)
    ns = event.received_at_ns + 7_000_000
    return msgspec.structs.replace(event, books=books, received_at_ns=ns, published_at_ns=ns)


def decided_before(seen: Observations, before_ms: int) -> tuple[object, object]:
    """What was decided, by the stream and by the scanner."""
    rows = seen.signals
    signals = [
        (at_ms, int(market), bool(is_up), float(strength), int(max_price_e4))
        for at_ms, market, is_up, strength, max_price_e4 in zip(
            rows.at_ms.tolist(),
            rows.market,
            rows.is_up,
            rows.strength,
            rows.max_price_e4,
            strict=True,
        )
        if at_ms < before_ms
    ]

    def orders(lane: Lane) -> list[tuple[object, ...]]:
        return [
            (each.market, each.outcome, each.decided_at_ms, each.arrived_at_ms, each.spend_e6)
            for each in lane.orders
            if each.decided_at_ms < before_ms
        ]

    return (signals, [orders(lane) for lane in seen.lanes]), [*map(orders, seen.polling)]


@FEW
@given(SEEDS)
def test_a_scanner_beside_it_changes_nothing_of_the_stream(seed: int) -> None:
    events, configuration = made_up_events(seed), made_up_configuration(seed, Failing)
    polled = assumptions_of(seed - seed % 3)
    assert polled.poll is not None
    alone = msgspec.structs.replace(polled, poll=None)
    with_it = run(ListFeed(events), Failing, configuration, polled)
    without = run(ListFeed(events), Failing, configuration, alone)
    assert plain((with_it.lanes, with_it.signals, with_it.holds, with_it.markets)) == plain(
        (without.lanes, without.signals, without.holds, without.markets)
    )


@FEW
@given(SEEDS)
def test_money_is_what_the_ledger_says(seed: int) -> None:
    seen = seen_of(made_up_events(seed), seed)
    for lane in lanes_of(seen):
        assert lane.signals == len(lane.orders) + lane.refused.total()
        for order in lane.orders:
            market = seen.markets[order.market]
            pays_e6 = market.up_payout_e6 if order.outcome == "Up" else market.down_payout_e6
            own = order.up if order.outcome == "Up" else order.down
            filled = (order.filled_spend_e6, order.filled_size_e6, order.fee_e6)
            assert own is None or (own.spend_e6, own.size_e6, own.fee_e6) == filled
            assert order.filled_spend_e6 <= order.spend_e6
            assert order.filled_spend_e6 * 10_000 <= (
                order.max_price_e4 * order.filled_size_e6 + 40_000
            )
            if not order.filled_size_e6 or pays_e6 is None:
                assert (order.payout_e6, order.pnl_e6) == (None, None)
                continue
            assert order.payout_e6 == order.filled_size_e6 * pays_e6 // 1_000_000
            assert order.pnl_e6 == order.payout_e6 - order.filled_spend_e6 - order.fee_e6
    unresolved = {each.where for each in seen.exclusions if each.why is LeftOut.UNRESOLVED}
    assert unresolved == {each.slug for each in seen.markets if each.up_payout_e6 is None}


def test_the_same_run_is_the_same_to_the_byte_in_every_process() -> None:
    code = "from tests.support.made_up_feeds import digest; print(digest())"
    processes = [
        subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for hash_seed in ("1", "4711")
    ]
    said = {process.communicate(timeout=50)[0].strip() for process in processes}
    assert said == {digest()}


@pytest.mark.parametrize("strategy", [Leaning, Failing])
def test_and_again_in_this_one(strategy: type[Leaning]) -> None:
    events, configuration = made_up_events(3), made_up_configuration(3, strategy)
    twice = {
        plain(run(ListFeed(events), strategy, configuration, assumptions_of(3))) for _ in range(2)
    }
    assert len(twice) == 1
