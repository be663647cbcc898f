"""What must hold of markets after their end: nobody waits in vain without being told, winnings are
asked for and not too often, and shares that were redeemed alarm nobody. Used by `checks`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

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
    for key, note in account.redeem.items():
        market = _market(key)
        redeemed_ms = venue.redeemed_ms(market, note.wallet)
        gone_ms = max(note.since_ms + winnings.GONE_AFTER_MS, redeemed_ms)
        gone_ms += winnings.LOOKS_MIN * winnings.LOOK_SPACING_MS
        if gone_ms < now_ms - SOON_MS:
            yield f"[redeem] the winnings of {market} are still waiting"
    told = set(alarms(world, "redemptions_stuck", "markets"))
    won: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        market, wallet = row.condition_id, row.trader.wallet
        if row.payout_e6 > 0 and venue.redeemed_ms(market, wallet) > now_ms:
            won[market, row.token_id, wallet] += row.filled_size_e6
    for (market, token_id, wallet), size_e6 in won.items():
        waiting = [
            note
            for key, note in account.redeem.items()
            if (_market(key), note.token_id, note.wallet) == (market, token_id, wallet)
        ]
        if not waiting:
            yield f"[redeem] the winnings of {market} were never redeemed"
        elif len(waiting) > 1 or waiting[0].size_e6 < size_e6:
            yield f"[redeem] the notes of {market} do not name {size_e6}e-6 shares of {token_id}"
        elif _next_ms(waiting[0]) < now_ms - SOON_MS:
            if waiting[0].tries < winnings.TRIES_MAX:
                yield f"[redeem] nobody asks for the winnings of {market}"
            elif market not in told:
                yield f"[redeem] the winnings of {market} are asked for in vain, and nobody is told"


def _market(key: str) -> str:
    return key.partition("#")[0]


def _next_ms(note: Redemption) -> int:
    """When it is time for the next request, or for the alarm that there is none any more."""
    if not note.tries:
        return note.since_ms
    return note.asked_at_ms + _wait_ms(note)


def _wait_ms(note: Redemption) -> int:
    return winnings.ASK_AGAIN_MS << (note.tries - 1)


def repeated_requests(world: World, histories: Iterable[Sequence[Account]]) -> Iterator[str]:
    """Each request is noted first, in all notes of its account that it is for, and waits twice as
    long as the account's last one; a few are all."""
    noted: Counter[tuple[str, str]] = Counter()
    most: Counter[tuple[str, str]] = Counter()
    for accounts in histories:
        by_account: Counter[tuple[str, str]] = Counter()
        yield from _requests_of(accounts, by_account, most)
        noted += by_account
    for asked, times in Counter(world.venue.redeem_requests).items():
        if times > most[asked]:
            yield f"[redeem] {asked} was asked for {times} times, and noted {noted[asked]} times"


def _requests_of(
    accounts: Sequence[Account], noted: Counter[tuple[str, str]], most: Counter[tuple[str, str]]
) -> Iterator[str]:
    """Counts what one account's states have `noted`, and the `most` requests that allows."""
    before: dict[str, Redemption] = {}
    settled: dict[tuple[str, str], set[tuple[str, int]]] = defaultdict(set)
    for account in accounts:
        waited: dict[tuple[str, str], list[bool]] = defaultdict(list)
        for key, note in account.redeem.items():
            settled[_market(key), note.wallet].add((key, note.since_ms))
            seen = before.get(key)
            if seen is None or seen.since_ms != note.since_ms:
                continue
            if note.asked_at_ms != seen.asked_at_ms:
                waits_ms = _wait_ms(seen) if seen.asked_at_ms else 0
                enough = note.asked_at_ms - seen.asked_at_ms >= waits_ms
                waited[_market(key), note.wallet].append(enough)
        before = account.redeem
        for asked, enough in waited.items():
            noted[asked] += 1
            if not any(enough):
                yield f"[redeem] {asked} was asked for again after too short a time"
    for asked, times in noted.items():
        most[asked] += min(times, winnings.TRIES_MAX * len(settled[asked]))


def false_mismatches(world: World) -> Iterator[str]:
    """Positions of a market that has ended are no difference, whoever has redeemed them. Where
    nothing fails none are, whichever account bought them."""
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
            if world.faults.calm:
                yield f"[mismatch] an alarm although nothing failed: {sentence}"
            if at_ms > ends_ms[token_id]:
                yield f"[mismatch] an alarm after the market's end: {sentence}"


def false_strangers(world: World) -> Iterator[str]:
    """Nobody trades by hand here: each order is a claim's, of whichever account."""
    for _, process, _, told in world.sim.logs:
        if told.get("event") == "reconciled" and told["foreign"]:
            yield f"[foreign] {process} knows no claim of {told['foreign']} orders"
