"""The kill switch holds in the claim's own condition, whoever claims."""

from __future__ import annotations

import msgspec
import pytest

from executor.commands import account
from functions.adapters.dynamodb.store import DynamoStore
from functions.core.account import Account, ClaimRefusal
from functions.handlers.control import NotDoneError
from functions.ports import ClaimRefused
from functions.settings import AccountSettings
from tests.executor.conftest import Command
from tests.support.account_builders import ACCOUNT, LIMITS, make_claim, now_ms


async def claims(store: DynamoStore, market: str) -> ClaimRefusal | None:
    """Why another worker's claim is refused, None when it is taken."""
    result = await store.claim(make_claim(market, age_ms=0), LIMITS, now_ms())
    return result.reason if isinstance(result, ClaimRefused) else None


async def test_after_halt_nobody_claims_until_resume(run: Command, store: DynamoStore) -> None:
    await store.open_account()
    assert await claims(store, "m1") is None

    halted = await run("halt", "--reason", "odd  fills")
    assert halted.exit_code == 0, halted.output
    assert halted.stdout.splitlines()[:2] == [f"account {ACCOUNT} (paper)", "HALTED: odd fills"]
    assert "1 order was claimed before, and may still be posted or filled" in halted.stdout
    assert await claims(store, "m2") is ClaimRefusal.HALTED
    assert "HALTED: odd fills" in (await run("status")).stdout

    resumed = await run("resume")
    assert resumed.exit_code == 0, resumed.output
    assert "lifted: odd fills" in resumed.stdout
    assert await claims(store, "m2") is None


async def test_halt_creates_the_account_that_no_worker_has_opened(
    run: Command, store: DynamoStore
) -> None:
    assert (await run("halt", "--reason", "not yet")).exit_code == 0
    assert await claims(store, "m1") is ClaimRefusal.HALTED
    account = await store.open_account()  # a worker that starts now changes nothing
    assert (account.trading, account.halt_reason) == ("halted", "not yet")


async def test_a_halt_is_of_one_account(
    run: Command,
    store: DynamoStore,
    live_store: DynamoStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await store.open_account()
    await live_store.open_account()
    monkeypatch.setenv("EXECUTION", "live")
    assert (await run("halt", "--reason", "x")).exit_code == 0
    assert await claims(live_store, "m1") is ClaimRefusal.HALTED
    assert await claims(store, "m1") is None


async def test_halt_keeps_everything_else_of_the_account(run: Command, store: DynamoStore) -> None:
    await store.open_account()
    assert await claims(store, "m1") is None
    before = await store.account()
    await run("halt", "--reason", "x")
    await run("resume")
    after = await store.account()
    assert msgspec.structs.replace(after, halt_id=before.halt_id) == before


async def test_a_second_halt_replaces_the_reason(run: Command, store: DynamoStore) -> None:
    await run("halt", "--reason", "first")
    assert "HALTED: second" in (await run("halt", "--reason", "second")).stdout
    assert (await store.account()).halt_reason == "second"


async def test_resume_says_when_there_was_no_halt(run: Command, store: DynamoStore) -> None:
    await store.open_account()
    result = await run("resume")
    assert (result.exit_code, "was not halted" in result.stdout) == (0, True)


async def test_a_halt_that_somebody_undoes_at_once_is_a_failure(
    store: DynamoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.open_account()
    written = DynamoStore.halt

    async def undone(self: DynamoStore, reason: str) -> None:
        await written(self, reason)
        await self.resume(await self.account())

    monkeypatch.setattr(DynamoStore, "halt", undone)
    with pytest.raises(NotDoneError, match="somebody else has set trading to enabled"):
        await account.halt(AccountSettings(), "x")


async def test_resuming_does_not_lift_a_newer_halt(
    store: DynamoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.halt("first")
    lifted = DynamoStore.resume

    async def too_late(self: DynamoStore, seen: Account) -> bool:
        await self.halt("second")
        return await lifted(self, seen)

    monkeypatch.setattr(DynamoStore, "resume", too_late)
    with pytest.raises(NotDoneError, match="trading to halted: second"):
        await account.resume(AccountSettings())
    assert (await store.account()).trading == "halted"
