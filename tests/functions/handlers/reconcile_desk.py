"""The account with a scripted venue, as reconciliation finds them."""

from __future__ import annotations

from collections import deque

import msgspec

from functions.core.claim import Claim
from functions.core.evidence import OrderLookup
from functions.core.lifecycle import (
    COUNT_AFTER_MS,
    LOOKUP_SPACING_MS,
    LOOKUPS_MIN,
    apply_answer,
)
from functions.handlers.reconcile import ReconcileReport, reconcile
from protocol.decision import Timeline
from tests.functions.handlers.conftest import Clock
from tests.support.fake_ports import MemoryStore, ScriptedRecords
from tests.support.trading_builders import MADE_AT_MS, a_claim
from venue.wire.order_answer import Unknown

RELEASE_AFTER_MS = COUNT_AFTER_MS + (LOOKUPS_MIN - 1) * LOOKUP_SPACING_MS
"""The earliest that nothing found may release."""


def sure(claim: Claim | None) -> Claim:
    assert claim is not None
    return claim


def unknown(**changes: object) -> Claim:
    claim = apply_answer(a_claim(**changes), Unknown(text="timeout"), MADE_AT_MS, Timeline())
    return sure(claim)


class Desk:
    def __init__(self, clock: Clock, *claims: Claim) -> None:
        self.clock = clock
        self.store = MemoryStore()
        self.records = ScriptedRecords()
        self.records.clock = lambda: clock.now_ms
        self.put(*claims)

    def put(self, *claims: Claim) -> None:
        assert self.store.item is not None
        self.store.item = msgspec.structs.replace(
            self.store.item, claims={claim.slot: claim for claim in claims}
        )

    @property
    def claim(self) -> Claim:
        [claim] = self.store.claims.values()
        return claim

    def shows(self, *looks: OrderLookup, order_id: str = "0xOrder1") -> None:
        self.records.looks[order_id] = deque(looks)

    async def run(self, after_ms: int = 0) -> ReconcileReport:
        self.clock.now_ms += after_ms
        return await reconcile(self.store, self.records)
