"""The view of positions and P&L, over HTTP, against what the commands say."""

from __future__ import annotations

import html
import re
import time
from decimal import Decimal
from typing import Any

import msgspec

from executor.console.equity_sums import DAY_MS
from executor.console.positions import PositionsView
from executor.console.positions_limits import GroupUse, limits_of, limits_of_group
from executor.reports import positions_of
from functions.core.account import Redemption, utc_day
from functions.core.account_status import status_of
from functions.core.claim import Claim, ClaimState
from functions.core.collective import CollectiveLimits, CollectiveState
from functions.core.collective_configuration import CollectiveConfiguration, collective_row
from protocol.snapshot import BookSnapshot
from tests.support.account_builders import LIMITS, make_account, make_claim, make_open
from tests.support.console_app import ConsoleApp, console_app
from tests.support.fake_ports import MemoryStore
from tests.support.trading_builders import market, snapshot

NAME = "one-paper"
SCRIPT = "<script>alert(1)</script>"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def a_store(*claims: Claim, name: str = NAME, **changes: Any) -> MemoryStore:
    store = MemoryStore(name=name)
    store.item = make_account(*claims, **changes)
    return store


def serving(*stores: MemoryStore) -> Any:
    named = {each.account_name: each for each in stores}
    strategies = ",".join(f"{name.removesuffix('-paper')}=book_imbalance_crypto" for name in named)
    return console_app(PositionsView, stores=named, strategies=strategies)


def ledger_of(store: MemoryStore, *claims: Claim) -> None:
    for each in claims:
        store.rows[each.claimed_at_ms, each.intent_id] = each


def settled(number: int, pnl_e6: int, *, ago_ms: int = 3_600_000, **changes: Any) -> Claim:
    at_ms = now_ms() - ago_ms
    return make_open(
        f"m{number}",
        **{
            "state": ClaimState.SETTLED,
            "version": 5,
            "claimed_at_ms": at_ms - 600_000,
            "settled_at_ms": at_ms,
            "pnl_e6": pnl_e6,
            "payout_e6": max(0, pnl_e6 + 1_138_500),
            **changes,
        },
    )


async def read_ledger(console: ConsoleApp) -> PositionsView:
    view = console.views[0]
    assert isinstance(view, PositionsView)
    for _ in range(31):
        await read_on(view)
    return view


async def read_on(view: PositionsView) -> None:
    for name in view._shared.accounts.of:
        await view._ledger.read(name)


def give(view: PositionsView, *books: BookSnapshot) -> None:
    for each in books:
        view._books._keep(each)
    view._books.problem = ""


def text_of(part: str) -> str:
    """As a person reads it."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", part)).split())


async def test_a_position_is_marked_and_one_without_a_book_is_unknown() -> None:
    dark = make_open("m2", slug=SCRIPT, outcome=SCRIPT)
    store = a_store(make_open("m1", token_id="0xm1-up", fee_rate="0.07"), dark)
    async with serving(store) as console:
        view = await read_ledger(console)
        info = market("0xm1")
        give(view, snapshot([("0.60", 10)], [("0.62", 10)], of=info))
        page = await console.page("/positions")
        assert SCRIPT not in page
        assert html.escape(SCRIPT) in page
        live = text_of(view.parts({})["positions-live"])
        # 2.2 shares at 0.60 are 1.32, less 2.2 x 0.07 x 0.6 x 0.4 = 0.03696; paid 1.1385.
        assert "0.60 1.28 (fee 0.04) +0.14" in live
        assert "unknown unknown: no book of its market has come" in live
        assert "Without a mark 1 of 2" in live
        command = positions_of(NAME, await store.account(), [], now_ms())
        assert [each.size_e6 for each in command.positions] == [2_200_000] * 2
        assert live.count("2.20 0.50 1.10 0.04") == 2


async def test_a_stale_book_marks_nothing() -> None:
    async with serving(a_store(make_open("m1", token_id="0xm1-up"))) as console:
        view = await read_ledger(console)
        old_ns = time.time_ns() - 5 * 10**9
        give(
            view, snapshot([("0.60", 10)], [("0.62", 10)], of=market("0xm1"), received_at_ns=old_ns)
        )
        live = text_of(view.parts({})["positions-live"])
        assert re.search(r"Value after fees, USD unknown Unrealised, USD unknown", live)
        assert re.search(r"unknown: its book is 5\.\d s old", live)


async def test_limits_are_those_of_the_status() -> None:
    today = utc_day(now_ms())
    claims = make_open("m1"), make_claim("m2")
    store = a_store(*claims, pnl_e6={today: -16_000_000}, spent_e6={today: 200_000_000}, entries={})
    async with serving(store) as console:
        parts = console.views[0].parts({})
        limits = text_of(parts["positions-limits"])
        assert "Positions 2 of 3" in limits
        assert "P&L today -16.00 USD, limit -20.00" in limits
        assert "Spent today 200.00 USD, cap 200.00: reached" in limits
        assert parts["positions-limits"].count("share-bar-care") == 1
        assert parts["positions-limits"].count("share-bar-bad") == 1
    status = status_of(NAME, await store.account(), LIMITS, now_ms(), today)
    assert [each.share for each in limits_of(status)][:3] == [2 / 3, 0.8, 1.0]


async def test_what_was_realised_is_the_ledgers_and_agrees_with_the_account() -> None:
    today = utc_day(now_ms())
    rows = [
        settled(1, 961_500, ago_ms=1),
        settled(2, -1_138_500, ago_ms=2, slug="eth-updown-5m-1"),
        settled(3, 500_000, ago_ms=8 * DAY_MS),
        settled(4, 7_000_000, ago_ms=40 * DAY_MS),
        settled(5, 0, ago_ms=3, state=ClaimState.RELEASED, filled_size_e6=0, filled_spend_e6=0),
    ]
    store = a_store(pnl_e6={today: 961_500 - 1_138_500})
    ledger_of(store, *rows)
    async with serving(store) as console:
        view = await read_ledger(console)
        week = text_of(view.parts({})["positions-realised"])
        assert (
            "Realised P&L, 7 days, USD -0.18 Today, by the account, USD -0.18 Entries that ended 2"
            in week
        )
        assert "The accounts say" not in week
        assert "eth-5m -1.14 1 0 1.10 0.04 0.00 0" in week
        assert f"{today} -0.18 2 1" in week
        month = text_of(view.parts({"days": "30"})["positions-realised"])
        assert "Realised P&L, 30 days, USD +0.32" in month
        page = await console.page("/positions?days=30&account=no-such")
        assert 'class="chart"' in page
        store.item = make_account(pnl_e6={today: 0})
        await console.read()
        assert "The accounts say +0.18 USD more of today than these rows" in text_of(
            view.parts({})["positions-realised"]
        )


async def test_what_ends_comes_into_the_sums_however_old_its_claim_is() -> None:
    store = a_store(make_open("m1", claimed_at_ms=now_ms() - 3 * DAY_MS), make_open("m2"))
    async with serving(store) as console:
        view = await read_ledger(console)
        await read_on(view)
        assert len(view._ledger.rows) == 0
        # One of three days ago, one that is not filed yet, one that came and ended between looks.
        old = settled(1, 5_000_000, ago_ms=1, claimed_at_ms=store.claims["0xm1"].claimed_at_ms)
        ledger_of(store, old, settled(3, 1_000_000, ago_ms=1, claimed_at_ms=now_ms()))
        store.item = make_account(settled(2, 2_000_000, ago_ms=1))
        await console.read()
        await read_on(view)
        rows = view._ledger.rows.since(0)
        assert sorted(row.pnl_e6 for row in rows) == [1_000_000, 2_000_000, 5_000_000]


async def test_a_ledger_that_fails_is_said_and_no_row_is_missed() -> None:
    store = a_store(make_open("m1", claimed_at_ms=now_ms() - 3 * DAY_MS))
    async with serving(store) as console:
        view = await read_ledger(console)
        await read_on(view)
        ledger_of(store, settled(1, 5, ago_ms=1, claimed_at_ms=store.claims["0xm1"].claimed_at_ms))
        store.item = make_account()
        await console.read()
        store.failures["ledger"] = 1
        await read_on(view)
        assert "the ledger was not read: ledger: injected" in text_of(
            view.parts({})["positions-realised"]
        )
        await read_on(view)
        assert len(view._ledger.rows) == 1
        assert "not read" not in text_of(view.parts({})["positions-realised"])


async def test_while_the_ledger_is_read_no_sum_is_taken_for_whole() -> None:
    store = a_store()
    async with serving(store) as console:
        view = console.views[0]
        assert "the last 0 of 31 days are there" in view.parts({})["positions-realised"]
        for _ in range(7):
            await read_on(view)
        assert "being read" not in view.parts({})["positions-realised"]
        assert "the last 7 of 31" in view.parts({"days": "30"})["positions-realised"]


async def test_winnings_wait_and_an_account_that_cannot_be_read_is_said() -> None:
    notes = {"0xm1#t#w": Redemption(token_id="t", size_e6=2_200_000, since_ms=now_ms())}
    store = a_store(redeem=notes)
    ledger_of(store, settled(1, 5, ago_ms=1))
    away = a_store(name="two-paper")
    away.failures["account"] = 1
    async with serving(store, away) as console:
        view = await read_ledger(console)
        waiting = text_of(view.parts({})["positions-winnings"])
        assert "btc-updown-15m-m1 one-paper 2.20" in waiting
        live = text_of(view.parts({})["positions-live"])
        assert "two-paper: its positions are not known: account: injected" in live
        assert "No live positions" not in live
        realised = text_of(view.parts({})["positions-realised"])
        assert "Today, by the accounts, USD unknown" in realised
        assert "two-paper" not in text_of(view.parts({"account": NAME})["positions-live"])


async def test_a_groups_limits_are_shown() -> None:
    store = a_store(collective="group-paper")
    group = store.group("group-paper")
    group.item = CollectiveState(exposure_e6=4_000_000, pnl_e6={utc_day(now_ms()): -1_000_000})
    limits = CollectiveConfiguration(collective_exposure_max_usd=Decimal(5))
    row = collective_row(limits, version=1, who="t", why="t", made_at_ms=1)
    async with serving(store) as console:
        assert await group.set_configuration(row, 0)
        await console.views[0]._groups.read()
        shown = text_of(console.views[0].parts({})["positions-limits"])
        assert "P&L today, of all -1.00 USD, no limit" in shown
        assert "At stake, of all 4.00 USD, at most 5.00" in shown


def test_a_group_that_has_reached_its_loss_says_so() -> None:
    limits = CollectiveLimits(name="g", config_version=1, daily_loss_limit_e6=5)
    state = CollectiveState(pnl_e6={"2026-01-01": -5})
    group = GroupUse(name="g", state=state, limits=limits)
    assert [each.alarm for each in limits_of_group(group, "2026-01-01")] == [True, False]
    assert [each.alarm for each in limits_of_group(group, "2026-01-02")] == [False, False]
    assert limits_of_group(msgspec.structs.replace(group, state=None), "2026-01-01") == []
