"""The ledger as the console keeps up with it, also after nobody has looked for a while."""

from __future__ import annotations

from executor.console.accounts import AccountsNow
from executor.console.equity_reader import DAYS, RECENT_MS, LedgerReader
from executor.console.equity_sums import DAY_MS
from executor.console.settings import ConsoleSettings
from functions.core.claim import ClaimState
from tests.support.account_builders import make_open
from tests.support.fake_ports import MemoryStore

T0_MS = 1_790_000_000_000
NAME = "one-paper"


async def test_what_came_and_ended_while_nobody_looked_is_read_afterwards() -> None:
    store, clock_ms = MemoryStore(name=NAME), [T0_MS]
    stores, told = {NAME: store}, ConsoleSettings(strategies="one=book_imbalance_crypto")
    accounts = AccountsNow(told.each(), stores, lambda: clock_ms[0])
    reader = LedgerReader(accounts, stores, lambda: clock_ms[0])
    await accounts.read(NAME)
    while reader.days_read[NAME] < DAYS:
        assert await reader.read(NAME)
    assert await reader.read(NAME)
    for pause_ms, steps in ((RECENT_MS * 3, 1), (DAY_MS * 3, 3)):
        at_ms = clock_ms[0] + pause_ms // 2
        claim = make_open(str(at_ms), claimed_at_ms=at_ms, state=ClaimState.SETTLED)
        await store.put_ledger(claim)
        clock_ms[0] += pause_ms
        for _ in range(steps):
            assert await reader.read(NAME)
        assert claim.slug in {row.market for row in reader.rows.since(0)}
