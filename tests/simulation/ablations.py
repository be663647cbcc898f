"""Each safeguard taken away, one at a time: the simulation must notice.

An ablation patches production code so that one safeguard is gone, says under which failures that
should show, and is run over seeds until a check fails. One that no seed catches is either useless
or untested: both are to be mended.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from unittest.mock import patch

import msgspec

from functions import worker_consumers
from functions.adapters import durable_consumer
from functions.adapters.dynamodb import conditions, store
from functions.core import lifecycle
from functions.core.claim import Claim, ClaimState
from functions.core.fencing import Fence
from functions.handlers import apply_evidence, execute, reconcile, settle
from functions.handlers.execute import OrderExecutor
from functions.ports import Claimed, ClaimResult, StoreError
from tests.simulation.checks import violations
from tests.simulation.faults import Faults, draw_faults
from tests.simulation.world import run
from venue.wire.order_answer import Answer, Unknown

Patch = Callable[[ExitStack], None]


@dataclass(frozen=True)
class Ablation:
    """What is taken away, what must be noticed, and how the world behaves for that to show."""

    name: str
    apply: Patch
    expects: str
    """Part of the violation: another one would be noticed for the wrong reason."""
    provoke: Callable[[Faults], None] = lambda _: None
    seed: int = 0
    """Where the search begins: a seed that has noticed before saves the way there."""


def _set(target: Any, name: str, value: Any) -> Patch:
    return lambda stack: stack.enter_context(patch.object(target, name, value))  # type: ignore[func-returns-value]


def _without(part: str) -> Patch:
    """The claim's condition with one of its parts always true (all placeholders stay in use)."""
    assert part in store.CLAIM_CONDITION
    always = f"({part} OR attribute_exists(pk))"
    return _set(store, "CLAIM_CONDITION", store.CLAIM_CONDITION.replace(part, always))


def _unless(part: str) -> Patch:
    """The condition of later changes with one of its parts always true."""
    always = f"({part} OR attribute_exists(pk))"
    return _set(store, "SEEN_CONDITION", store.SEEN_CONDITION.replace(part, always))


def _calm(faults: Faults) -> None:
    """Only what the provocation names goes wrong."""
    faults.off()
    faults.loss_limit_usd = faults.spend_cap_usd = Decimal(100)
    faults.kill_every_s = 1e9
    faults.halts = False


# -- provocations --------------------------------------------------------------------------------


def _silent_venue(faults: Faults) -> None:
    faults.venue.lost_answer = 0.6


def _late_orders(faults: Faults) -> None:
    faults.venue.late = 0.5
    faults.venue.lag_s = (0.0, 8.0)


def _very_late_orders(faults: Faults) -> None:
    faults.venue.very_late = 0.5
    faults.kill_every_s = 20.0


def _blind_reads(faults: Faults) -> None:
    """Orders land late, nobody hears of them, and reads show them much later."""
    _calm(faults)
    faults.venue.late = 0.9
    faults.venue.blind = 1.0
    faults.venue.event_lost = 1.0
    faults.reconcile_every_s = 2.0


def _eager_reconcilers(faults: Faults) -> None:
    _blind_reads(faults)
    faults.reconcile_every_s = 1.0


def _suspended(faults: Faults) -> None:
    faults.kill_every_s = 1.0
    faults.pauses = 1.0
    faults.dynamodb.slow = 0.5


def _deaf(faults: Faults) -> None:
    """Nothing is told on the user channel, not even in the end."""
    faults.venue.lost_answer = 0.5
    faults.venue.very_late = 0.3
    faults.venue.event_lost = 1.0
    faults.deaf = True


def _mute_records(faults: Faults) -> None:
    """The venue's records do not answer about orders and trades, not even in the end."""
    faults.venue.lost_answer = 0.5
    faults.venue.event_lost = 0.0
    faults.mute = True
    faults.kill_every_s = 2.0
    faults.spared = ("user",)


def _deadly(faults: Faults) -> None:
    faults.kill_every_s = 2.0


def _lossy_store(faults: Faults) -> None:
    faults.dynamodb.lost_reply = 0.3
    faults.dynamodb.late = 0.1


def _retrying_store(faults: Faults) -> None:
    _calm(faults)
    faults.dynamodb.retried = 0.5


def _crowd(faults: Faults) -> None:
    """Several workers see the same book, and the store is slow."""
    faults.nats.duplicate = 0.3
    faults.dynamodb.slow = 0.3


def _refusing(faults: Faults) -> None:
    faults.venue.rate_limited = 0.5
    faults.venue.locked = 0.3


def _failing_trades(faults: Faults) -> None:
    faults.venue.failed = 0.6


def _busy(faults: Faults) -> None:
    """Everything that makes several parties change one claim at once."""
    faults.kill_every_s = 5.0
    faults.venue.failed = 0.3
    faults.venue.event_twice = 0.5
    faults.venue.delayed = 0.5
    faults.dynamodb.slow = 0.3
    faults.dynamodb.straggler = 0.3
    faults.dynamodb.late = 0.2


def _both_sweep(faults: Faults) -> None:
    """Nobody hears of orders that land very late but two reconcilers, at the same moment."""
    _calm(faults)
    faults.venue.very_late = 0.9
    faults.venue.event_lost = 1.0
    faults.dynamodb.latency_s = (0.05, 0.4)
    faults.series = ("btc-240s", "eth-240s", "sol-240s", "xrp-240s")


def _halting_in_vain(faults: Faults) -> None:
    """Halts follow each other, and what a person's command sends may arrive much later."""
    _calm(faults)
    faults.halts = True
    faults.dynamodb.straggler = 0.5
    faults.dynamodb.late_s = (0.1, 5.0)


def _halting(faults: Faults) -> None:
    faults.halts = True


def _rivals(faults: Faults) -> None:
    """Two feeders, and orders that take a while to be signed."""
    _calm(faults)
    faults.rivals = True
    faults.venue.cold = 0.9


# -- replacements --------------------------------------------------------------------------------


async def _claim_anyway(self: Any, claim: Claim, *arguments: Any) -> ClaimResult:
    try:
        return await _real_claim(self, claim, *arguments)
    except StoreError:
        return Claimed()


_real_claim = store.DynamoStore.claim
_real_post = OrderExecutor._post
_real_apply_answer = lifecycle.apply_answer
_real_apply_evidence = apply_evidence.apply_evidence
_real_with_fills = lifecycle._with_fills


async def _post_again(self: Any, order: Any, received_at_ns: int) -> Answer:
    answer = await _real_post(self, order, received_at_ns)
    if isinstance(answer, Unknown):
        answer = await self._exchange.post(order)
    return answer


def _release_unknown(claim: Claim, answer: Answer, now_ms: int, timeline: Any) -> Claim | None:
    moved = _real_apply_answer(claim, answer, now_ms, timeline)
    if moved is not None and moved.state is ClaimState.UNKNOWN:
        return msgspec.structs.replace(moved, state=ClaimState.RELEASED)
    return moved


async def _ignore_late_evidence(store: Any, known: Claim, step: Any, **more: Any) -> Any:
    if more.get("filed"):
        return known
    return await _real_apply_evidence(store, known, step, **more)


async def _forget_first(store: Any, claim: Claim) -> None:
    await store.forget(claim)
    await store.put_ledger(claim)


async def _leave_it(store: Any, claim: Claim) -> None:
    """An ended claim stays where a crash has left it."""


async def _nothing(*_: Any, **__: Any) -> None:
    pass


async def _acknowledge_first(messages: Any, handle: Any) -> None:
    for message in messages:
        await message.ack()
    await handle([message.data for message in messages])


def _first_word(claim: Claim, fills: Any) -> Claim:
    """A trade is believed as it was first told."""
    return _real_with_fills(claim, [fill for fill in fills if fill.trade_id not in claim.fills])


def _newest_wins(claim: Claim, fills: Any) -> Claim:
    """The status that came last, not the one that is furthest."""
    ours = {
        fill.trade_id: lifecycle.ClaimFill(
            standing=lifecycle.FINALITY_OF[fill.status],
            price_e4=fill.price_e4,
            size_e6=fill.size_e6,
        )
        for fill in fills
        if fill.order_id.lower() == claim.order_id.lower()
    }
    return msgspec.structs.replace(claim, fills={**claim.fills, **ours})


def _as_soon_as_it_ends(claim: Claim, now_ms: int) -> bool:
    return (
        claim.state is ClaimState.OPEN
        and claim.filled_size_e6 > 0
        and claim.market_end_ms <= now_ms
    )


def _all(*patches: Patch) -> Patch:
    def apply(stack: ExitStack) -> None:
        for each in patches:
            each(stack)

    return apply


ABLATIONS: Final = (
    # The claim's condition (invariant 2).
    Ablation("one claim a market", _without(conditions.MARKET_IS_FREE), "took the place", _crowd),
    Ablation("max positions", _without(conditions.POSITION_IS_LEFT), "entered as number", _crowd),
    Ablation("cooldown", _without(conditions.COOLDOWN_IS_OVER), "inside a cooldown", _crowd, 1),
    Ablation("halt in the condition", _without(conditions.TRADING_IS_ENABLED), "halt", _halting, 2),
    Ablation(
        "only the halt that was seen is lifted",
        _set(store, "HALT_IS_AS_SEEN", "attribute_exists(pk) OR halt_id = :seen"),
        "halt",
        _halting_in_vain,
        8,
    ),
    Ablation("pause in the condition", _without(conditions.NOT_PAUSED), "a paused", _refusing, 1),
    Ablation("daily loss limit", _without(conditions.LOSS_IS_WITHIN_LIMIT), "daily loss"),
    Ablation("daily spend cap", _without(conditions.SPEND_IS_WITHIN_CAP), "daily spend", seed=1),
    # Claim before POST, and only one POST (invariants 1 and 3).
    Ablation(
        "no POST without a claim that is ours",
        _set(store.DynamoStore, "claim", _claim_anyway),
        "without a durable claim",
        _lossy_store,
    ),
    Ablation(
        "own claim recognised",
        _set(store, "stored_attempt", lambda *_: None),
        "nobody posted it",
        _retrying_store,
    ),
    Ablation("never re-post", _set(OrderExecutor, "_post", _post_again), "2 times", _silent_venue),
    Ablation(
        "no POST of an old book",
        _set(OrderExecutor, "_age_excess_ms", lambda *_: 0),
        "on a book",
        _suspended,
    ),
    # No order on what a later feeder has superseded (invariant 6).
    Ablation("books are fenced", _set(Fence, "admits", lambda *_: True), "replaced", _rivals, 2),
    Ablation("orders are fenced", _set(Fence, "fenced", lambda *_: False), "replaced", _rivals, 28),
    # Only proof releases, and evidence outranks (invariants 4 and 5).
    Ablation(
        "unknown keeps exposure",
        _set(execute, "apply_answer", _release_unknown),
        "was released (no answer)",
        _silent_venue,
        2,
    ),
    Ablation(
        "several looks before release",
        _set(lifecycle, "LOOKUPS_MIN", 1),
        "in 1 looks",
        _blind_reads,
        25,
    ),
    Ablation(
        "looks only from an age",
        _set(lifecycle, "COUNT_AFTER_MS", 0),
        "was released (not found",
        _late_orders,
        6,
    ),
    Ablation(
        "looks apart from each other",
        _set(lifecycle, "LOOKUP_SPACING_MS", 0),
        "in 3 looks",
        _eager_reconcilers,
        23,
    ),
    Ablation(
        "late evidence reopens",
        _all(
            _set(apply_evidence, "apply_evidence", _ignore_late_evidence),
            _set(execute, "apply_evidence", _ignore_late_evidence),
        ),
        "(released): recorded 0e-6",
        _very_late_orders,
    ),
    Ablation(
        "FAILED reverses",
        _set(lifecycle, "_with_fills", _first_word),
        "[leak]",
        _failing_trades,
    ),
    Ablation(
        "a later status stays", _set(lifecycle, "_with_fills", _newest_wins), "back to", _busy, 1
    ),
    # Each change on condition that the claim is as it was seen.
    Ablation(
        "version in the condition", _unless(conditions.VERSION_IS_AS_SEEN), "[version]", _busy
    ),
    Ablation(
        "reopened once",
        _set(store, "NOT_BACK_YET", "attribute_exists(pk)"),
        "[version]",
        _both_sweep,
        1,
    ),
    # Nothing is lost on the way to the ledger, and nothing counted twice.
    Ablation(
        "ledger before forgetting",
        _set(apply_evidence, "move_to_ledger", _forget_first),
        "[lost]",
        _deadly,
        5,
    ),
    Ablation(
        "crashes completed", _set(reconcile, "move_to_ledger", _leave_it), "is still", _deadly, 8
    ),
    Ablation("fills applied", _set(worker_consumers, "on_fill", _nothing), "[4]", _mute_records),
    Ablation(
        "fills acknowledged after",
        _set(durable_consumer, "_deliver", _acknowledge_first),
        "[leak]",
        _mute_records,
    ),
    Ablation("looks for orders", _set(reconcile, "_reconcile_claim", _nothing), "[4]", _deaf),
    Ablation("sweep of trades", _set(reconcile, "_sweep", _nothing), "[5]", _deaf, 26),
    Ablation("P&L booked with the move", _set(store, "_add", lambda *_: None), "[pnl]"),
    Ablation(
        "settled on final trades",
        _all(
            _set(settle, "settleable", _as_soon_as_it_ends),
            _set(lifecycle, "settleable", _as_soon_as_it_ends),
        ),
        "was settled while",
        _failing_trades,
    ),
)


@contextmanager
def ablated(ablation: Ablation) -> Iterator[None]:
    """Production code without the safeguard."""
    with ExitStack() as stack:
        ablation.apply(stack)
        yield


def caught_by(ablation: Ablation, seeds_max: int) -> tuple[int, str] | None:
    """(seed, violation) of the first seed that notices; None when so many do not."""
    with ablated(ablation):
        for seed in range(ablation.seed, ablation.seed + seeds_max):
            faults = draw_faults(random.Random(f"{ablation.name}:{seed}"))
            ablation.provoke(faults)
            with run(seed, faults) as world:
                found = violations(world)
            noticed = [each for each in found if ablation.expects in each]
            if noticed:
                return seed, noticed[0]
    return None


def pristine(ablation: Ablation, seed: int) -> list[str]:
    """The same failures with the safeguard in its place: nothing may be found."""
    faults = draw_faults(random.Random(f"{ablation.name}:{seed}"))
    ablation.provoke(faults)
    with run(seed, faults) as world:
        return violations(world)
