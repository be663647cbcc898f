"""Fills of a wallet with which two accounts trade: the venue tells each of them all."""

from __future__ import annotations

import msgspec
import pytest
from structlog.testing import capture_logs

from functions.core.claim import ClaimState
from functions.handlers.on_fill import on_fill
from functions.worker_metrics import WorkerMetrics
from runtime.line_throttle import LineThrottle
from tests.support.fake_ports import NEW_ACCOUNT, MemoryStore
from tests.support.trading_builders import TRADER, a_claim, a_fill

OURS, THEIRS, BY_HAND = (a_fill(f"t-{order}", order_id=order) for order in ("0xa", "0xB", "0xhand"))


class Desk:
    def __init__(self) -> None:
        self.store = MemoryStore(name="alpha")
        self.sibling = MemoryStore(table=self.store.table, name="beta")
        self.store.table.joined[TRADER.wallet] = {"alpha", "beta"}
        for store, order_id in ((self.store, "0xa"), (self.sibling, "0xb")):
            claim = a_claim(order_id=order_id)
            store.item = msgspec.structs.replace(NEW_ACCOUNT, claims={claim.slot: claim})
        self.metrics = WorkerMetrics()
        self.warnings = LineThrottle()

    async def told(self, *fills: object, wallet: str = TRADER.wallet) -> tuple[float, float]:
        """(foreign, untold) after these."""
        await on_fill(self.store, self.metrics, fills, wallet=wallet, warnings=self.warnings)  # type: ignore[arg-type]
        value = self.metrics.registry.get_sample_value
        return tuple(  # type: ignore[return-value]
            value(f"worker_fills_{name}_total") or 0.0 for name in ("foreign", "untold")
        )


@pytest.mark.parametrize("filed", [False, True])
async def test_a_fill_of_a_sibling_s_order_is_not_foreign_and_left_to_it(filed: bool) -> None:
    desk = Desk()
    if filed:
        [claim] = desk.sibling.claims.values()
        ended = msgspec.structs.replace(claim, state=ClaimState.RELEASED, version=3)
        await desk.sibling.put_ledger(ended)
        desk.sibling.item = NEW_ACCOUNT
    before = desk.sibling.item
    assert await desk.told(OURS, THEIRS) == (0, 0)
    assert desk.sibling.item == before
    assert await desk.told(BY_HAND, THEIRS) == (1, 0)
    [ours] = desk.store.claims.values()
    assert set(ours.fills) == {"t-0xa"}


async def test_without_a_wallet_whatever_is_not_one_s_own_is_foreign() -> None:
    desk = Desk()
    assert await desk.told(THEIRS, wallet="") == (1, 0)
    assert desk.sibling.calls == []


@pytest.mark.parametrize("call", ["account", "ledger"])
async def test_while_a_sibling_cannot_be_read_nothing_is_called_foreign_or_comes_again(
    call: str,
) -> None:
    desk = Desk()
    desk.sibling.failures[call] = 10
    with capture_logs() as logs:
        for number in range(1, 4):
            assert await desk.told(BY_HAND) == (0, number)
    assert [(log["event"], log["orders"]) for log in logs] == [("fills_untold", 1)]  # one a minute
    assert "beta, which trades with the same wallet" in logs[0]["error"]
    assert await desk.told(OURS) == (0, 3)
    [ours] = desk.store.claims.values()
    assert set(ours.fills) == {"t-0xa"}


async def test_who_trades_with_the_wallet_cannot_be_read() -> None:
    desk = Desk()
    desk.store.failures["accounts_of_wallet"] = 1
    assert await desk.told(BY_HAND) == (0, 1)
    assert await desk.told(BY_HAND) == (1, 1)


async def test_of_two_siblings_one_that_knows_is_enough() -> None:
    desk = Desk()
    desk.store.table.joined[TRADER.wallet].add("gone")
    assert await desk.told(THEIRS) == (0, 0)
    assert await desk.told(BY_HAND) == (0, 1)
