from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import pytest

from functions.core.gate import GateConfig, hold_reason_of
from functions.core.hold import HoldReason
from protocol.book import Proof
from protocol.snapshot import BookSnapshot
from tests.support.trading_builders import market, snapshot

CONFIG = GateConfig()


def refusal(book: BookSnapshot, config: GateConfig = CONFIG) -> HoldReason | None:
    return hold_reason_of(book, config, time.time_ns() // 1_000_000)


def proven(proof: Proof, book: BookSnapshot | None = None) -> BookSnapshot:
    return msgspec.structs.replace(book or snapshot(), proof=proof)


def test_a_fresh_proven_book_of_an_open_market_passes() -> None:
    assert refusal(snapshot()) is None


@pytest.mark.parametrize(
    ("reason", "book"),
    [
        (HoldReason.DARK, lambda: proven(Proof.NONE, snapshot([], []))),
        # Whatever its age: it says that there is no book, which does not get better by being old.
        (HoldReason.DARK, lambda: proven(Proof.NONE, snapshot([], [], received_at_ns=0))),
        (HoldReason.STALE_BOOK, lambda: snapshot(received_at_ns=time.time_ns() - 10**12)),
        (HoldReason.CLOCK_BEHIND, lambda: snapshot(received_at_ns=time.time_ns() + 10**12)),
        (HoldReason.CLOCK_BEHIND, lambda: snapshot(received_at_ns=time.time_ns() + 2 * 10**8)),
        (HoldReason.NOT_ACCEPTING, lambda: snapshot(of=market(accepting=False))),
    ],
)
def test_each_refusal_has_its_reason(reason: HoldReason, book: Callable[[], BookSnapshot]) -> None:
    assert refusal(book()) is reason


@pytest.mark.parametrize("demanded", list(Proof))
@pytest.mark.parametrize("carried", list(Proof))
def test_a_book_is_acted_on_with_the_proof_that_is_demanded_or_a_better_one(
    carried: Proof, demanded: Proof
) -> None:
    reason = refusal(proven(carried), GateConfig(proof_min=demanded))
    if carried is Proof.NONE:  # nobody can demand that little: a dark market has no book
        assert reason is HoldReason.DARK
    elif carried.rank < demanded.rank:
        assert reason is HoldReason.UNPROVEN
    else:
        assert reason is None


def test_by_default_the_best_prices_must_be_proven() -> None:
    assert CONFIG.proof_min is Proof.TOP


def test_a_clock_may_be_behind_by_a_tenth_of_a_second() -> None:
    now_ms = time.time_ns() // 1_000_000
    for early_ms, expected in ((100, None), (101, HoldReason.CLOCK_BEHIND)):
        book = snapshot(received_at_ns=(now_ms + early_ms) * 1_000_000)
        assert hold_reason_of(book, CONFIG, now_ms) is expected


@pytest.mark.parametrize("age_ms", [-100, 0, 900])
def test_a_book_that_looks_young_was_not_published_in_our_future(age_ms: int) -> None:
    """A quiet market's book is as old as our clock is behind."""
    now_ms = time.time_ns() // 1_000_000
    for early_ms, expected in ((100, None), (101, HoldReason.CLOCK_BEHIND)):
        book = msgspec.structs.replace(
            snapshot(received_at_ns=(now_ms - age_ms) * 1_000_000),
            published_at_ns=(now_ms + early_ms) * 1_000_000,
        )
        assert hold_reason_of(book, CONFIG, now_ms) is expected


def test_time_to_close_is_checked_to_the_millisecond() -> None:
    info = market(start_ms=0, end_ms=900_000)
    for now_ms, expected in ((600_000, None), (600_001, HoldReason.TOO_CLOSE_TO_END)):
        book = snapshot(of=info, received_at_ns=now_ms * 1_000_000)
        assert hold_reason_of(book, CONFIG, now_ms) is expected


def test_a_frame_that_was_old_when_the_feeder_read_it_is_stale() -> None:
    now_ms = time.time_ns() // 1_000_000
    for age_ms, expected in ((1_900, None), (2_100, HoldReason.STALE_BOOK)):
        book = msgspec.structs.replace(snapshot(), venue_timestamp_ms=now_ms - age_ms)
        assert hold_reason_of(book, CONFIG, now_ms) is expected


@pytest.mark.parametrize("received_ms", [0, -900])
def test_a_book_from_the_venue_s_future_means_that_our_clocks_are_behind(received_ms: int) -> None:
    now_ms = time.time_ns() // 1_000_000
    for early_ms, expected in ((1_000, None), (1_001, HoldReason.CLOCK_BEHIND)):
        book = msgspec.structs.replace(
            snapshot(received_at_ns=(now_ms + received_ms) * 1_000_000),
            venue_timestamp_ms=now_ms + early_ms,
        )
        assert hold_reason_of(book, CONFIG, now_ms) is expected


def test_a_window_that_has_not_begun_is_refused() -> None:
    info = market(start_ms=1_000, end_ms=901_000)
    book = snapshot(of=info, received_at_ns=999 * 1_000_000)
    assert hold_reason_of(book, CONFIG, 999) is HoldReason.NOT_STARTED
