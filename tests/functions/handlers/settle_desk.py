"""An account in memory to be settled, with what the venue says scripted."""

from __future__ import annotations

import msgspec

from functions.core.account import Redemption
from functions.core.claim import Claim
from functions.core.evidence import Resolution
from functions.core.lifecycle import apply_trades
from functions.handlers.settle import SettleReport, settle
from protocol.fill import TradeStatus
from tests.functions.handlers.conftest import Clock
from tests.support.fake_ports import MemoryStore, ScriptedRecords
from tests.support.trading_builders import (
    MADE_AT_MS,
    MARKET_END_MS,
    TRADER,
    a_claim,
    a_fill,
)

WON = Resolution(payouts_e6={"up": 1_000_000, "down": 0}, source="clob")
LOST = Resolution(payouts_e6={"up": 0, "down": 1_000_000}, source="clob")
SPLIT = Resolution(payouts_e6={"up": 500_000, "down": 500_000}, source="gamma")
FEE_E6 = 34_650
DAY = "2026-09-21"


def bought(status: TradeStatus = TradeStatus.CONFIRMED, **changes: object) -> Claim:
    claim = apply_trades(a_claim(**changes), [a_fill(status=status)], MADE_AT_MS)
    assert claim is not None
    return claim


WAITING = Redemption(token_id="up", wallet=TRADER.wallet, since_ms=MARKET_END_MS)


class Desk:
    def __init__(self, clock: Clock, *claims: Claim) -> None:
        self.store = MemoryStore()
        self.records = ScriptedRecords()
        assert self.store.item is not None
        self.store.item = msgspec.structs.replace(
            self.store.item, claims={claim.slot: claim for claim in claims}
        )
        self.clock = clock
        clock.now_ms = MARKET_END_MS

    @property
    def pnl_e6(self) -> dict[str, int]:
        assert self.store.item is not None
        return self.store.item.pnl_e6

    @property
    def redeem(self) -> dict[str, Redemption]:
        assert self.store.item is not None
        return self.store.item.redeem

    async def run(self, *, redeem: bool = False) -> SettleReport:
        return await settle(self.store, self.records, redeem=redeem)
