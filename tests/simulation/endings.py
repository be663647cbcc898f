"""What must hold of markets after their end: nobody waits in vain without being told, winnings are
asked for and not too often, and shares that were redeemed alarm nobody. Used by `checks`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from functions.core import winnings
from functions.core.account import Account, Redemption
from functions.core.claim import Claim
from tests.simulation.world import World

SOON_MS = 60_000
"""Within this whatever is to be done is done, once nothing fails any more."""


def alarms(world: World, event: str, field: str) -> Iterator[str]:
    """What each of these alarms named."""
    for _, _, _, told in world.sim.logs:
        if told.get("event") == event:
            yield from told[field]


def redemptions(world: World, account: Account, rows: list[Claim]) -> Iterator[str]:
    """What was won is redeemed, or a person is told; and then nothing waits for it any more."""
    now_ms, venue = world.sim.now_ms, world.venue
    for condition_id, note in account.redeem.items():
        gone_ms = max(note.since_ms + winnings.GONE_AFTER_MS, venue.redeemed.get(condition_id, 0))
        gone_ms += winnings.LOOKS_MIN * winnings.LOOK_SPACING_MS
        if venue.has_redeemed(condition_id, now_ms) and gone_ms < now_ms - SOON_MS:
            yield f"[redeem] the winnings of {condition_id} are still waiting"
    told = set(alarms(world, "redemptions_stuck", "markets"))
    for row in rows:
        market = row.condition_id
        if row.payout_e6 <= 0 or venue.has_redeemed(market, now_ms):
            continue
        waiting = account.redeem.get(market)
        if waiting is None:
            yield f"[redeem] the winnings of {market} were never redeemed"
        elif _next_ms(waiting) < now_ms - SOON_MS:
            if waiting.tries < winnings.TRIES_MAX:
                yield f"[redeem] nobody asks for the winnings of {market}"
            elif market not in told:
                yield f"[redeem] the winnings of {market} are asked for in vain, and nobody is told"


def _next_ms(note: Redemption) -> int:
    """When it is time for the next request, or for the alarm that there is none any more."""
    if not note.tries:
        return note.since_ms
    return note.asked_at_ms + _wait_ms(note)


def _wait_ms(note: Redemption) -> int:
    return winnings.ASK_AGAIN_MS << (note.tries - 1)


def repeated_requests(world: World, accounts: list[Account]) -> Iterator[str]:
    """Each request is noted first and waits twice as long as the last one; a few are all."""
    notes: dict[tuple[str, int], Redemption] = {}
    for account in accounts:
        for condition_id, note in account.redeem.items():
            seen = notes.get((condition_id, note.since_ms))
            if seen is not None and seen.asked_at_ms and note.asked_at_ms != seen.asked_at_ms:
                waited_ms = note.asked_at_ms - seen.asked_at_ms
                if waited_ms < _wait_ms(seen):
                    yield f"[redeem] {condition_id} was asked for again after {waited_ms} ms"
            notes[condition_id, note.since_ms] = note
    settled = Counter(condition_id for condition_id, _ in notes)
    for condition_id, times in Counter(world.venue.redeem_requests).items():
        if times > winnings.TRIES_MAX * settled[condition_id]:
            yield f"[redeem] {condition_id} was asked for {times} times"


def false_mismatches(world: World) -> Iterator[str]:
    """Positions of a market that has ended are no difference, whoever has redeemed them."""
    ends_ms = {
        outcome.token_id: market.end_ms
        for market in world.markets.values()
        for outcome in market.outcomes
    }
    for at_ms, _, _, told in world.sim.logs:
        if told.get("event") != "positions_differ":
            continue
        for sentence in told["mismatches"]:
            token_id = sentence.removeprefix("token ").partition(":")[0]
            if at_ms > ends_ms[token_id]:
                yield f"[mismatch] an alarm after the market's end: {sentence}"
