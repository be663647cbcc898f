"""Reconciliation of two accounts that trade with one wallet."""

from __future__ import annotations

import msgspec
import pytest
from structlog.testing import capture_logs

from functions.core.claim import Claim, ClaimState
from functions.core.lifecycle import COUNT_AFTER_MS, apply_trades
from functions.handlers.reconcile import ReconcileReport, reconcile
from functions.ports import UnreadableRowsError
from protocol.fill import TradeStatus
from tests.functions.handlers.conftest import Clock
from tests.functions.handlers.reconcile_desk import sure
from tests.support.fake_ports import NEW_ACCOUNT, Calls, MemoryStore, ScriptedRecords
from tests.support.trading_builders import (
    MADE_AT_MS,
    MARKET_END_MS,
    STRANGER,
    TRADER,
    a_claim,
    a_fill,
)

CONFIRMED = TradeStatus.CONFIRMED
SIZE_E6 = 2_000_000
UP = "up"


def bought(name: str, token_id: str = UP, status: TradeStatus = CONFIRMED) -> Claim:
    order_id = f"0x{name}"
    claim = a_claim(intent_id=name, order_id=order_id, token_id=token_id)
    return sure(apply_trades(claim, [a_fill(f"t-{name}", status, order_id=order_id)], MADE_AT_MS))


class Desk:
    """Two accounts in one table, `alpha` and `beta`, both with the wallet of the one venue."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.alpha = MemoryStore(name="alpha")
        self.beta = MemoryStore(table=self.alpha.table, name="beta")
        self.stores = {"alpha": self.alpha, "beta": self.beta}
        self.alpha.table.joined[TRADER.wallet] = set(self.stores)
        self.records = ScriptedRecords()
        self.records.clock = lambda: clock.now_ms
        clock.now_ms = MADE_AT_MS + 1_000

    def put(self, **claims: Claim) -> None:
        for name, claim in claims.items():
            store = self.stores[name]
            store.item = msgspec.structs.replace(
                store.item or NEW_ACCOUNT, claims={claim.slot: claim}
            )

    async def run(self, name: str = "alpha", after_ms: int = 0) -> ReconcileReport:
        self.clock.now_ms += after_ms
        return await reconcile(self.stores[name], self.records)

    async def run_both(self) -> list[list[str]]:
        reports = [await self.run(name) for name in self.stores]
        assert not any(report.incomplete or report.failures for report in reports)
        return [report.mismatches for report in reports]


@pytest.fixture
def desk(clock: Clock) -> Desk:
    desk = Desk(clock)
    desk.put(alpha=bought("a"), beta=bought("b"))
    desk.records.held = {"up": 2 * SIZE_E6}
    return desk


async def test_shares_that_a_sibling_claims_are_no_difference(desk: Desk) -> None:
    assert await desk.run_both() == [[], []]


async def test_a_trade_by_hand_is_a_difference_that_says_who_holds_what(desk: Desk) -> None:
    desk.records.held = {"up": 2 * SIZE_E6 + 5}
    said = await desk.run_both()
    assert said[0] == said[1] == [
        "token up: the venue holds 4000005e-6 shares, the claims 4000000e-6"
        " (alpha 2000000e-6, beta 2000000e-6)"
    ]  # fmt: skip
    assert desk.alpha.claims == {"a": bought("a")}
    assert desk.beta.claims == {"b": bought("b")}


async def test_a_token_is_compared_by_who_holds_it(desk: Desk) -> None:
    desk.put(beta=bought("b", "down"))
    desk.records.held = {"up": SIZE_E6, "down": SIZE_E6 - 1}
    alpha, beta = await desk.run_both()
    assert alpha == []
    assert [text.split(":")[0] for text in beta] == ["token down"]


async def test_an_account_of_another_wallet_is_not_asked(desk: Desk) -> None:
    desk.alpha.table.joined[TRADER.wallet] = {"alpha"}
    desk.alpha.table.joined[STRANGER.wallet] = {"beta"}
    assert len((await desk.run()).mismatches) == 1
    assert desk.beta.calls == []


async def test_while_a_sibling_s_trade_is_on_its_way_nothing_is_compared(desk: Desk) -> None:
    desk.put(beta=bought("b", status=TradeStatus.MATCHED))
    desk.records.held = {"up": SIZE_E6}
    report = await desk.run()
    assert (report.mismatches, report.incomplete) == ([], False)


async def test_what_a_sibling_buys_while_balances_are_asked_for_is_no_difference(
    desk: Desk,
) -> None:
    desk.put(beta=bought("b", "down"))

    async def entered() -> None:
        desk.put(beta=bought("b2"))

    desk.records.before["positions"] = entered
    assert (await desk.run()).mismatches == []
    assert (await desk.run()).mismatches == []  # and now it is known


async def test_an_account_that_joins_while_balances_are_asked_for_is_no_difference(
    desk: Desk,
) -> None:
    gamma = MemoryStore(table=desk.alpha.table, name="gamma")

    async def entered() -> None:
        await gamma.join_wallet(TRADER.wallet)
        gamma.item = msgspec.structs.replace(NEW_ACCOUNT, claims={"g": bought("g")})
        desk.records.held = {"up": 3 * SIZE_E6}

    desk.records.before["positions"] = entered
    assert (await desk.run()).mismatches == []
    assert (await desk.run()).mismatches == []


async def test_a_sibling_that_cannot_be_read_is_said_and_is_no_difference(desk: Desk) -> None:
    desk.records.held = {"up": 7}
    for failing in ({"account": 1}, {"account": 2}):
        desk.beta.failures = dict(failing)
        with capture_logs() as logs:
            report = await desk.run()
        assert (report.mismatches, report.incomplete) == ([], True)
        [why] = [log["error"] for log in logs if log["event"] == "reconcile_incomplete"]
        assert why.startswith("positions are not compared: beta, which trades with the same wallet")
        desk.beta.failures = {}
    desk.alpha.failures = {"accounts_of_wallet": 1}
    report = await desk.run()
    assert (report.mismatches, report.incomplete) == ([], True)
    assert len((await desk.run()).mismatches) == 1


async def test_one_that_cannot_be_read_only_the_second_time_is_no_difference(
    desk: Desk,
) -> None:
    async def breaks() -> None:
        desk.beta.failures["account"] = 1

    desk.records.before["positions"] = breaks
    desk.records.held = {"up": 7}
    report = await desk.run()
    assert (report.mismatches, report.incomplete) == ([], True)


async def test_a_name_without_an_account_is_said(desk: Desk) -> None:
    desk.alpha.table.joined[TRADER.wallet].add("typo")
    with capture_logs() as logs:
        report = await desk.run()
    assert report.incomplete
    assert any("there is no account typo" in str(log.get("error")) for log in logs)


async def test_an_account_without_claims_reads_no_other(desk: Desk) -> None:
    desk.alpha.item = NEW_ACCOUNT
    await desk.run()
    assert "accounts_of_wallet" not in desk.alpha.calls
    assert desk.beta.calls == []


async def test_claims_of_an_account_that_is_no_longer_run_count_until_their_market_ends(
    desk: Desk,
) -> None:
    """Nobody settles beta's: alpha's next market is compared all the same."""
    assert (await desk.run()).mismatches == []
    later = msgspec.structs.replace(
        bought("a2", "up2"), condition_id="0xc2", market_end_ms=2 * MARKET_END_MS
    )
    desk.put(alpha=later)
    desk.records.held = {"up": SIZE_E6, "up2": 1}
    report = await desk.run(after_ms=MARKET_END_MS - MADE_AT_MS)
    assert [text.split(":")[0] for text in report.mismatches] == ["token up2"]
    assert not report.incomplete


# -- trades of the hour --------------------------------------------------------------------------


@pytest.mark.parametrize("ended", [False, True])
async def test_a_trade_of_a_sibling_s_order_is_not_foreign(ended: bool, desk: Desk) -> None:
    if ended:
        row = bought("b", "down", TradeStatus.FAILED)
        await desk.beta.put_ledger(msgspec.structs.replace(row, state=ClaimState.RELEASED))
        desk.beta.item = NEW_ACCOUNT
    before, filed = desk.beta.item, desk.beta.filed
    desk.records.held = {"up": SIZE_E6 if ended else 2 * SIZE_E6}
    desk.records.trades = [
        a_fill("t-b", CONFIRMED, order_id="0xB"),
        a_fill("t-a", CONFIRMED, order_id="0xa"),
    ]
    report = await desk.run()
    assert (report.foreign, report.incomplete, report.mismatches) == (0, False, [])
    assert (desk.beta.item, desk.beta.filed) == (before, filed)  # its evidence is its own affair
    desk.records.trades.append(a_fill("by hand", order_id="0xhand"))
    report = await desk.run()
    assert (report.foreign, report.incomplete) == (1, False)


async def test_while_a_sibling_cannot_be_read_no_trade_is_called_foreign(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.records.trades = [a_fill("by hand", order_id="0xhand")]

    async def ledger(*_: int) -> list[Claim]:
        raise UnreadableRowsError([], ["TRADE#1: malformed"])

    with monkeypatch.context() as patched:
        patched.setattr(desk.beta, "ledger", ledger)
        with capture_logs() as logs:
            report = await desk.run()
    assert (report.foreign, report.incomplete) == (0, True)
    [why] = [log["error"] for log in logs if log["event"] == "reconcile_incomplete"]
    assert why.startswith("whose 1 orders are: beta, which trades with the same wallet: 1 of 1 row")
    assert report.mismatches == []
    assert (await desk.run()).foreign == 1


async def test_trades_of_one_s_own_orders_read_no_sibling(desk: Desk) -> None:
    desk.put(alpha=a_claim(order_id="0xa"))
    desk.records.trades = [a_fill("t-a", order_id="0xa")]
    await desk.run(after_ms=COUNT_AFTER_MS)
    assert desk.beta.calls == []


async def test_a_sibling_s_failure_keeps_no_trade_from_its_own_claim(desk: Desk) -> None:
    desk.put(alpha=a_claim(order_id="0xa"))
    desk.records.trades = [
        a_fill("t-a", CONFIRMED, order_id="0xa"),
        a_fill("by hand", order_id="0xhand"),
    ]
    desk.beta.failures = {"account": 9}
    await desk.run()
    [claim] = desk.alpha.claims.values()
    assert claim.filled_size_e6 == SIZE_E6


async def test_both_at_once_see_no_difference(desk: Desk) -> None:
    calls: Calls = []
    desk.alpha.calls = desk.beta.calls = calls
    for _ in range(3):
        assert await desk.run_both() == [[], []]
    assert calls.count("accounts_of_wallet") == 3 * 2 * 2  # before and after, of each
