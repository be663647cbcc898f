"""`executor reconcile`: one run against the simulated venue, and when it is a failure."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from functions.adapters.dynamodb.store import DynamoStore
from functions.core.claim import ClaimFill, ClaimState, Finality, trader_of
from functions.core.lifecycle import COUNT_AFTER_MS, OVERDUE_AFTER_MS, UNSETTLED_AFTER_MS
from functions.ports import Claimed
from sandbox.simulator import Venue
from tests.executor.conftest import KEY, SECRET, Command
from tests.support.account_builders import LIMITS, make_claim, make_open, now_ms

OURS = trader_of(KEY.address, KEY.address)


async def test_nothing_to_do_is_a_success(run: Command, store: DynamoStore, venue: Venue) -> None:
    await store.open_account()
    result = await run("reconcile")
    assert result.exit_code == 0, result.output
    assert "0 claims, 0 moved on" in result.stdout


async def test_an_order_that_the_venue_does_not_know_is_looked_for(
    run: Command, live_store: DynamoStore, venue: Venue, live: None
) -> None:
    await live_store.open_account()
    claim = make_claim(age_ms=COUNT_AFTER_MS + 5_000, trader=OURS)
    assert await live_store.claim(claim, LIMITS, now_ms()) == Claimed()
    result = await run("reconcile")
    assert result.exit_code == 0, result.output
    assert "1 claims, 0 moved on" in result.stdout
    [stored] = (await live_store.account()).claims.values()
    assert stored.looks == 1


async def test_a_claim_that_stays_unresolved_is_a_failure(
    run: Command, live_store: DynamoStore, venue: Venue, live: None
) -> None:
    await live_store.open_account()
    claim = make_claim(age_ms=OVERDUE_AFTER_MS + 1_000)
    assert await live_store.claim(claim, LIMITS, now_ms()) == Claimed()
    result = await run("reconcile")
    assert result.exit_code == 1
    assert f"order {claim.order_id}" in result.stdout
    assert "OVERDUE" in result.stdout
    assert SECRET not in result.output


async def test_a_position_that_the_venue_does_not_show_is_a_failure(
    run: Command, live_store: DynamoStore, venue: Venue, live: None
) -> None:
    await live_store.open_account()
    claim = make_claim(trader=OURS)
    assert await live_store.claim(claim, LIMITS, now_ms()) == Claimed()
    fills = {"t1": ClaimFill(standing=Finality.CONFIRMED, price_e4=5_000, size_e6=2_200_000)}
    opened = make_open(
        claimed_at_ms=claim.claimed_at_ms,
        market_end_ms=claim.market_end_ms,
        version=2,
        fills=fills,
        reported_spend_e6=1_100_000,
        reported_size_e6=2_200_000,
        trader=OURS,
    )
    assert opened.state is ClaimState.OPEN
    assert await live_store.move(opened, claim)
    result = await run("reconcile")
    assert result.exit_code == 1
    assert "MISMATCH" in result.stdout
    assert "the venue holds 0e-6 shares" in result.stdout


async def test_a_venue_that_is_not_there_is_one_line(
    run: Command, live_store: DynamoStore, live: None
) -> None:
    await live_store.open_account()
    result = await run("reconcile")
    assert result.exit_code == 1
    assert result.stderr.startswith("failed: logging in at http://127.0.0.1:1: ")
    assert result.stderr.count("\n") == 1


async def test_a_claim_without_an_answer_is_a_failure(
    run: Command, live_store: DynamoStore, venue: Venue, live: None
) -> None:
    await live_store.open_account()
    assert await live_store.claim(make_claim(age_ms=20_000), LIMITS, now_ms()) == Claimed()
    venue.faults.read_error = 1.0
    with capture_logs():
        result = await run("reconcile")
    assert result.exit_code == 1
    assert "without an answer" in result.stdout


async def test_a_key_that_is_none_is_one_line_and_exits_2(
    run: Command, store: DynamoStore, venue: Venue, live: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIVATE_KEY", "0x" + "zz" * 32)
    result = await run("reconcile")
    assert result.exit_code == 2
    assert result.stderr == (
        "cannot start: PRIVATE_KEY: "
        "not a signing key (32 bytes: 64 hex digits, with or without 0x)\n"
    )


@pytest.mark.parametrize("command", ["status", "reconcile", "doctor"])
async def test_a_market_that_does_not_resolve_is_shown(
    run: Command, store: DynamoStore, venue: Venue, command: str
) -> None:
    await store.open_account()
    claim = make_claim(market_end_ms=now_ms() - UNSETTLED_AFTER_MS - 5_000)
    assert await store.claim(claim, LIMITS, now_ms()) == Claimed()
    fills = {"t1": ClaimFill(standing=Finality.CONFIRMED, price_e4=5_000, size_e6=2_200_000)}
    opened = make_open(
        claimed_at_ms=claim.claimed_at_ms,
        market_end_ms=claim.market_end_ms,
        version=2,
        fills=fills,
        reported_spend_e6=1_100_000,
        reported_size_e6=2_200_000,
    )
    assert await store.move(opened, claim)
    result = await run(command)
    assert result.exit_code == (command != "status")
    assert claim.slug in result.stdout
    if command != "status":
        assert "market" in result.stdout
    if command != "doctor":
        assert "UNSETTLED" in result.stdout


async def test_asking_again_needs_redemption(run: Command, store: DynamoStore) -> None:
    result = await run("reconcile", "--redeem-again")
    assert result.exit_code == 2
    assert "REDEEM=true" in result.stderr
    assert result.stderr.count("\n") == 1


async def test_asked_again_winnings_are_asked_for_whatever_was_tried(
    run: Command,
    live_store: DynamoStore,
    venue: Venue,
    live: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REDEEM", "true")
    await live_store.open_account()
    result = await run("reconcile", "--redeem-again")
    assert result.exit_code == 0, result.output
    assert "0 markets, 0 asked for now" in result.stdout
