"""The account of a run against the store: the production adapter on a DynamoDB in memory."""

from __future__ import annotations

import random
from collections import Counter

from backtest.engine.account import SimulatedAccount
from functions.adapters.dynamodb.store import DynamoStore
from functions.core.account import ClaimRefusal, Limits
from functions.core.claim import PAPER_ORDER, Claim
from functions.core.evidence import Resolution
from functions.core.lifecycle import apply_answer, apply_resolution
from functions.core.paper_fill import accepted_of
from functions.ports import Claimed
from protocol.decision import Timeline
from tests.simulation.dynamodb import DECISIONS, STATE, SimDynamo
from tests.simulation.loop import simulated
from tests.support.made_up_feeds import MIDNIGHT_MS
from tests.support.store_builders import make_claim
from venue.wire.order_answer import Rejected, RejectReason


def _limits(rng: random.Random) -> Limits:
    return Limits(
        max_positions=rng.choice((1, 2, 4)),
        cooldown_ms=rng.choice((0, 5_000, 60_000)),
        max_entries_per_market=rng.choice((None, 1, 2)),
        daily_loss_limit_e6=rng.choice((1_000_000, 200_000_000)),
        daily_spend_cap_e6=rng.choice((5_000_000, 12_000_000, 200_000_000)),
    )


def _asked(rng: random.Random, number: int, now_ms: int) -> Claim:
    market, order_id = rng.randrange(4), f"{PAPER_ORDER}{number}"
    return make_claim(
        f"0x{market}",
        order_id,
        intent_id=order_id,
        order_id=order_id,
        claimed_at_ms=now_ms,
        market_end_ms=MIDNIGHT_MS + 100_000 * (market - 1),
        spend_e6=rng.choice((1_100_000, 1_500_000, 2_200_000)),
        fee_rate="0.07",
    )


def _answered(rng: random.Random, claim: Claim, now_ms: int) -> Claim:
    """All of it bought, half of it, or nothing."""
    size_e6 = claim.spend_e6 * 2 // rng.choice((1, 2, 10**9))
    if not size_e6:
        answer = Rejected(reason=RejectReason.NO_MATCH, text="no_match")
        moved = apply_answer(claim, answer, now_ms, Timeline())
    else:
        accepted = accepted_of(
            ((5_000, size_e6),),
            order_id=claim.order_id,
            condition_id=claim.condition_id,
            token_id=claim.token_id,
            spend_e6=claim.spend_e6,
            at_ms=now_ms,
        )
        moved = apply_answer(claim, accepted, now_ms, Timeline())
    assert moved is not None
    return moved


async def _agree(seed: int, store: DynamoStore) -> Counter[str]:
    """The same claims, answers and payouts on both; what they were refused as."""
    rng = random.Random(seed)
    limits, said, now_ms = _limits(rng), Counter[str](), MIDNIGHT_MS - 240_000
    simulated_account = SimulatedAccount(limits)
    await store.open_account()
    under_way: list[Claim] = []
    held: list[Claim] = []
    for number in range(60):
        now_ms += rng.choice((0, 1, 2_000, 9_000, 20_000))
        act = rng.random()
        if act < 0.6:
            claim = _asked(rng, number, now_ms)
            foreseen = simulated_account.foreseen(claim.condition_id, claim.spend_e6, now_ms)
            refusal = simulated_account.claim(claim, now_ms)
            assert foreseen in (None, refusal)
            stored = await store.claim(claim, limits, now_ms)
            assert refusal == (None if isinstance(stored, Claimed) else stored.reason)
            said[str(refusal)] += 1
            if refusal is None:
                under_way.append(claim)
        elif act < 0.85 and under_way:
            claim = under_way.pop(rng.randrange(len(under_way)))
            moved = _answered(rng, claim, now_ms)
            simulated_account.move(moved, claim)
            assert await store.move(moved, claim)
            if moved.ended:
                simulated_account.forget(moved)
                await store.forget(moved)
            else:
                held.append(moved)
        elif ended := [each for each in held if each.market_end_ms <= now_ms]:
            claim, payout_e6 = ended[0], rng.choice((0, 0, 500_000, 1_000_000))
            held.remove(claim)
            resolution = Resolution(payouts_e6={claim.token_id: payout_e6}, source="clob")
            settled = apply_resolution(claim, resolution, now_ms)
            assert settled is not None
            # A run frees the slot when the market ends, and books when it is told what it paid.
            simulated_account.forget(claim)
            simulated_account.book(settled, claim)
            assert await store.move(settled, claim)
            await store.forget(settled)
        assert simulated_account.item == await store.account()
    return said


def test_the_account_of_a_run_takes_and_refuses_what_the_store_does() -> None:
    said: Counter[str] = Counter()
    with simulated(1) as sim:

        async def scenario() -> None:
            for seed in range(16):
                client = SimDynamo(sim).client()
                store = DynamoStore(
                    client, table=STATE, decision_table=DECISIONS, account_name=f"s{seed}"
                )
                said.update(await _agree(seed, store))

        sim.run(scenario())
    assert not sim.errors
    for refusal in ("market_claimed", "cooldown", "max_entries", "max_positions"):
        assert said[refusal], refusal
    assert said[ClaimRefusal.DAILY_LOSS]
    assert said[ClaimRefusal.DAILY_SPEND]
    assert said["None"] > 50
