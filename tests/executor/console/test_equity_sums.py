"""What the ledger adds up to, against what the account says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.console import equity_sums
from executor.console.equity_sums import (
    DAY_MS,
    LedgerRow,
    LedgerRows,
    equity_of,
    series_of,
    sums_by,
)
from functions.core.claim import ClaimState
from functions.core.evidence import Resolution
from functions.core.lifecycle import apply_answer, apply_resolution
from protocol.decision import Timeline
from tests.support.account_builders import make_claim
from tests.support.fake_ports import MemoryStore
from tests.support.trading_builders import MADE_AT_MS, MARKET_END_MS, a_claim
from venue.wire.order_answer import Accepted, Rejected, RejectReason


def a_row(**changes: Any) -> LedgerRow:
    fields: dict[str, Any] = {
        "account": "a",
        "intent_id": "i",
        "version": 3,
        "claimed_at_ms": MADE_AT_MS,
        "booked_at_ms": MARKET_END_MS,
        "condition_id": "0xc1",
        "market": "btc-updown-15m-1790000000",
        "day": "2026-09-21",
        "series": "btc-15m",
        "size_e6": 2_000_000,
        "spent_e6": 1_000_000,
        "fee_e6": 30_000,
        "payout_e6": 0,
        "pnl_e6": -1_030_000,
    }
    return LedgerRow(**{**fields, **changes})


# An entry: (hours after the first one's end at which it is settled, shares bought, whether it won).
entries = st.lists(
    st.tuples(st.integers(0, 70), st.integers(0, 5_000_000), st.booleans()), max_size=12
)


@given(entries)
def test_a_days_sum_is_what_the_account_says_of_that_day(
    made: list[tuple[int, int, bool]],
) -> None:
    async def lived() -> tuple[MemoryStore, LedgerRows]:
        store, rows = MemoryStore(), LedgerRows()
        for number, (hours, size_e6, won) in enumerate(made):
            begun = a_claim(intent_id=f"i{number}", condition_id=f"0x{number}")
            store._put_claim(begun)
            answer = (
                Accepted(status="matched", spend_e6=size_e6 // 2, size_e6=size_e6)
                if size_e6
                else Rejected(reason=RejectReason.NO_MATCH, text="no")
            )
            answered = apply_answer(begun, answer, MADE_AT_MS + 100, Timeline())
            assert answered is not None
            ended = answered
            await store.move(answered, begun)
            if size_e6:
                settled = apply_resolution(
                    answered,
                    Resolution(payouts_e6={"up": 1_000_000 * won}, source="clob"),
                    MARKET_END_MS + 3_600_000 * hours + 600_000,
                )
                assert settled is not None
                ended = settled
                await store.move(settled, answered)
            await store.put_ledger(ended)
            await store.forget(ended)
        rows.put("a", await store.ledger(0, MADE_AT_MS + 1))
        return store, rows

    store, rows = asyncio.run(lived())
    kept = rows.since(0)
    by_day = {
        day: one.pnl_e6 for day, one in sums_by(kept, lambda row: row.day).items() if one.pnl_e6
    }
    assert by_day == {day: pnl for day, pnl in store._account().pnl_e6.items() if pnl}
    assert sum(each.empty for each in sums_by(kept, lambda row: row.day).values()) == sum(
        1 for _, size_e6, _ in made if not size_e6
    )
    equity = equity_of(kept, MADE_AT_MS, MARKET_END_MS)
    assert equity[-1][1] == pytest.approx(sum(by_day.values()) / 1e6)


def test_sums_tell_entries_from_what_bought_nothing() -> None:
    rows = [
        a_row(),
        a_row(pnl_e6=970_000, payout_e6=2_000_000),
        a_row(size_e6=0, spent_e6=0, fee_e6=0, pnl_e6=0),
    ]
    (one,) = sums_by(rows, lambda row: row.series).values()
    assert (one.name, one.entries, one.won, one.empty) == ("btc-15m", 2, 1, 1)
    assert (one.spent_e6, one.fee_e6, one.payout_e6) == (2_000_000, 60_000, 2_000_000)
    assert one.pnl_e6 == -60_000


@pytest.mark.parametrize(
    ("slug", "series"),
    [
        ("btc-updown-15m-1790000000", "btc-15m"),
        ("eth-updown-4h-1", "eth-4h"),
        ("will-it-rain-tomorrow", "will-it-rain"),
        ("<script>", "<script>"),
        ("", ""),
    ],
)
def test_a_series_is_read_from_the_slug(slug: str, series: str) -> None:
    assert series_of(slug) == series


def test_a_newer_version_takes_the_place_of_an_older_one() -> None:
    rows = LedgerRows()
    settled = make_claim(
        state=ClaimState.SETTLED, version=4, pnl_e6=-5, settled_at_ms=MARKET_END_MS
    )
    rows.put("a", [settled, make_claim("m2"), make_claim("m3", state=ClaimState.OPEN)])
    assert len(rows) == 1, "what has not ended is in no sum"
    newer = make_claim(state=ClaimState.SETTLED, version=6, pnl_e6=7, settled_at_ms=MARKET_END_MS)
    rows.put("a", [newer])
    rows.put("a", [settled])
    rows.put("b", [settled])
    assert [each.pnl_e6 for each in rows.since(0, "a")] == [7]
    assert [each.pnl_e6 for each in rows.since(0)] == [7, -5]
    assert rows.since(MARKET_END_MS + 1) == []


def test_old_rows_go_and_what_there_is_no_room_for_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(equity_sums, "ROWS_MAX", 3)
    rows = LedgerRows()
    claims = [
        make_claim(f"m{n}", state=ClaimState.SETTLED, settled_at_ms=n * DAY_MS) for n in range(1, 6)
    ]
    rows.put("a", claims)
    assert [each.booked_at_ms // DAY_MS for each in rows.since(0)] == [3, 4, 5]
    assert rows.left_out == 2
    version = rows.version
    rows.forget_before(4 * DAY_MS)
    assert len(rows) == 2
    assert rows.version > version


def test_equity_goes_in_steps_from_zero_to_now() -> None:
    def booked(*pnls: tuple[int, int]) -> list[LedgerRow]:
        return [a_row(booked_at_ms=at_ms, pnl_e6=usd * 1_000_000) for at_ms, usd in pnls]

    rows = booked((101_000, 5), (102_000, 0), (103_000, -7), (103_000, 1))
    steps = [(101_000, 0), (101_000, 5), (103_000, 5), (103_000, -2), (103_000, -1), (109_000, -1)]
    assert equity_of(rows, 500, 109_000) == [(41_000, 0), *steps]
    assert equity_of(rows, 100_500, 109_000) == [(100_500, 0), *steps]
    assert equity_of([], 1, 2) == [(1, 0), (2, 0)]
