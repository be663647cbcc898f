"""What leads to an order, and what is refused before anything is called."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import pytest

from functions.core.clock_doubt import BEHIND_BELIEVED_MS, SERIES_MAX
from functions.core.gate import GateConfig
from functions.core.gate import hold_reason_of as gate_says
from functions.core.hold import HoldReason
from functions.handlers import evaluate
from functions.handlers.evaluate import BookLook
from protocol.book import Proof
from protocol.snapshot import BookSnapshot
from runtime.instant import Instant
from tests.functions.handlers.conftest import Clock
from tests.support.metrics_builders import counted
from tests.support.strategies import AlwaysBuy
from tests.support.trading_builders import market, snapshot, stale
from tests.support.trading_desk import HOT_PATH, Desk


async def test_a_book_without_a_signal_calls_nothing() -> None:
    desk = Desk()
    assert not await desk.handle(snapshot([("0.49", 1)], [("0.50", 1)]))
    assert not await desk.handle(stale(snapshot(), by_ms=2_000))
    assert desk.calls == []
    assert desk.told == []


async def test_a_signal_that_lasts_for_hundreds_of_books_is_one_order() -> None:
    desk = Desk()
    info = market()
    for _ in range(300):
        await desk.handle(snapshot(of=info))
    assert desk.calls == HOT_PATH  # the 299 others were foreseen to be refused
    assert [(d.result, d.reason) for d in desk.told] == [
        ("executed", "matched"),
        ("refused", "cooldown"),
    ]


async def test_repeats_within_the_window_are_counted_not_told() -> None:
    desk = Desk(max_positions=0, cooldown_ms=0)
    info = market()
    for _ in range(5):
        await desk.handle(snapshot(of=info))
    assert [(d.reason, d.repeats) for d in desk.told] == [("max_positions", 0)]


async def test_a_full_account_is_asked_once_and_then_believed() -> None:
    desk = Desk(max_positions=1)
    for number in range(5):
        await desk.handle(snapshot(of=market(f"0x{number}")))
    assert desk.calls == [*HOT_PATH, "prepare", "claim"]
    assert [d.reason for d in desk.told] == ["matched", *["max_positions"] * 4]


# -- the gate stands before every strategy -------------------------------------------------------


def dark() -> BookSnapshot:
    return msgspec.structs.replace(snapshot([], []), proof=Proof.NONE)


def too_close() -> BookSnapshot:
    return snapshot(of=market(end_ms=time.time_ns() // 1_000_000 + 299_000))


def old_on_arrival() -> BookSnapshot:
    now_ms = time.time_ns() // 1_000_000
    return msgspec.structs.replace(snapshot(), venue_timestamp_ms=now_ms - 60_000)


@pytest.mark.parametrize(
    ("reason", "book"),
    [
        (HoldReason.DARK, dark),
        (HoldReason.UNPROVEN, lambda: msgspec.structs.replace(snapshot(), proof=Proof.TOP)),
        (HoldReason.STALE_BOOK, lambda: stale(snapshot(), by_ms=2_000)),
        (HoldReason.STALE_BOOK, old_on_arrival),
        (HoldReason.NOT_ACCEPTING, lambda: snapshot(of=market(accepting=False))),
        (HoldReason.NOT_STARTED, lambda: snapshot(of=market(start_ms=2**53, end_ms=2**54))),
        (HoldReason.TOO_CLOSE_TO_END, too_close),
    ],
)
async def test_a_strategy_that_always_buys_cannot_trade_what_the_gate_refuses(
    reason: HoldReason, book: Callable[[], BookSnapshot]
) -> None:
    desk = Desk(strategy=AlwaysBuy, proof_min=Proof.CHECKSUM)
    assert await desk.handle(snapshot(of=market("0xgood")))
    assert desk.calls == HOT_PATH
    assert not await desk.handle(book())
    assert desk.calls == HOT_PATH
    assert counted(desk.metrics, "holds_total", reason=reason) == 1


def test_accounts_that_are_asked_about_one_book_have_each_its_own_gate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[GateConfig] = []

    def hold_reason_of(book: BookSnapshot, gate: GateConfig, now_ms: int) -> HoldReason | None:
        asked.append(gate)
        return gate_says(book, gate, now_ms)

    monkeypatch.setattr(evaluate, "hold_reason_of", hold_reason_of)
    limits_ms = (1_000, 1_000, 2_000, 1_000)
    desks = [Desk(strategy=AlwaysBuy, book_age_max_ms=limit_ms) for limit_ms in limits_ms]
    book, delivered = stale(snapshot(), by_ms=1_500), Instant()
    desks[0].memories.note(book)
    view = desks[0].memories.view(book, delivered.now_ns() // 1_000_000)
    look = BookLook(book, view, delivered)
    bought = [
        desk.account.evaluator.consider(look, desk.account.configuration) is not None
        for desk in desks
    ]
    assert bought == [False, False, True, False]
    assert [gate.book_age_max_ms for gate in asked] == [1_000, 2_000, 1_000]  # not twice the same


# -- a clock that is behind ----------------------------------------------------------------------


async def test_where_one_book_shows_that_our_clock_is_behind_no_other_of_its_feeder_is_young(
    clock: Clock,
) -> None:
    """A book that has waited for as long as the clock is behind looks as if it had just come."""
    desk, lag_ns = Desk(strategy=AlwaysBuy, cooldown_ms=0), 5_000_000_000

    def waited(condition_id: str, series: str = "btc-15m") -> BookSnapshot:
        info = market(condition_id, start_ms=clock.now_ms - 300_000, end_ms=clock.now_ms + 600_000)
        info = msgspec.structs.replace(info, series=series)
        return snapshot(of=info, received_at_ns=clock.time_ns())

    new = waited("0xc1")
    new = msgspec.structs.replace(
        new,
        received_at_ns=new.received_at_ns + lag_ns,
        published_at_ns=new.published_at_ns + lag_ns,
    )
    assert not await desk.handle(new)
    assert not await desk.handle(waited("0xc2"))
    assert desk.calls == []
    assert await desk.handle(waited("0xc3", series="eth-15m"))  # of another feeder, perhaps
    behind = counted(desk.metrics, "holds_total", reason=HoldReason.CLOCK_BEHIND)
    assert behind == 2
    clock.now_ms += BEHIND_BELIEVED_MS  # nothing has shown it again: somebody has set it right
    assert await desk.handle(waited("0xc2"))


def test_what_is_remembered_of_clocks_is_bounded(clock: Clock) -> None:
    desk = Desk()
    for number in range(3 * SERIES_MAX):
        of = msgspec.structs.replace(market(), series=f"s{number}")
        early = snapshot(of=of, received_at_ns=clock.time_ns() + 10**10)
        assert desk.consider(early, Instant()) is None
    assert len(desk.account.evaluator._clock_doubt._until_ms) <= SERIES_MAX
