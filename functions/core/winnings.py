"""When winnings are asked for, when no more, and when their note goes. Pure.

A note (`Redemption`) is written with the settlement. Whoever redeems, we or the venue by itself,
shows in one thing alone: the shares are gone. Each request may cost gas, so they become rarer and
come to an end; what is then still there is for a person.

A request pays out all that one wallet holds in one market; shares are shown by token. So there is
one note a (market, token, wallet), and notes of one market and wallet are asked for together.
Several accounts of one wallet each have their notes; what is shown may be any account's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from functions.core.account import Account, Redemption
from functions.core.claim import Claim
from functions.core.lifecycle import SIZE_ROUNDING_E6, final
from functions.core.wallet import ALONE, Siblings

GONE_AFTER_MS: Final = 120_000
"""The venue's balances lag by seconds, sometimes by more than a minute: only so long after the
settlement, which follows the trades, does it mean anything that no shares are shown. That we have
asked proves nothing: whoever noted it may have died before its request."""
ASK_AGAIN_MS: Final = 60_000
"""After the first request: the chain needs seconds to a minute."""
ASK_AGAIN_MAX_MS: Final = 3_600_000
TRIES_MAX: Final = 8
"""Two hours: whatever mends itself has done so by then."""
LOOKS_MIN: Final = 3
LOOK_SPACING_MS: Final = 60_000
"""One look may meet a server that is behind; so many, apart from each other, are believed."""
STUCK_AFTER_MS: Final = 10_800_000
"""A note with which nothing has happened for so long: nobody could ask, or no shares ever came."""
NEVER_SEEN_AFTER_MS: Final = 86_400_000
"""Shares that were not there at the settlement and did not come until then do not come."""


def key_of(claim: Claim) -> str:
    """Where the account keeps the note of the claim's winnings; claims of one market, token and
    wallet share it."""
    return f"{claim.condition_id}#{claim.token_id}#{claim.trader.wallet}"


def market_of(key: str) -> str:
    """The condition id of a note's market. Older versions keep notes under nothing else."""
    return key.partition("#")[0]


def markets_of(keys: Iterable[str]) -> list[str]:
    """The condition ids of some notes' markets, each once."""
    return list(dict.fromkeys(map(market_of, keys)))


def note_of(claim: Claim, seen: Claim, since_ms: int, earlier: Redemption | None) -> Redemption:
    """The note of a settled claim, joined with that of `earlier` claims.

    Of `seen`, which the claim was before, what had been noted is in there already, or has gone. It
    is asked for anew: what was asked for before may not have contained these shares.
    """
    added_e6 = claim.filled_size_e6 - seen.noted_e6
    return Redemption(
        token_id=claim.token_id,
        wallet=claim.trader.wallet,
        since_ms=since_ms if earlier is None else max(since_ms, earlier.since_ms),
        size_e6=max(added_e6 + (0 if earlier is None else earlier.size_e6), 0),
        unseen=(added_e6 > 0 and not final(claim)) or (earlier is not None and earlier.unseen),
    )


def due(note: Redemption, now_ms: int) -> bool:
    """Whether to ask (again): twice as long after each request, and at most `TRIES_MAX` times."""
    if not note.asked_at_ms:
        return True
    return _tries(note) < TRIES_MAX and _waited(note, now_ms)


def stuck(note: Redemption, now_ms: int) -> bool:
    """Whether nobody asks any more, and a person must look."""
    in_vain = _tries(note) >= TRIES_MAX and _waited(note, now_ms)
    return in_vain or now_ms - max(note.since_ms, note.asked_at_ms) >= STUCK_AFTER_MS


def asked(note: Redemption, now_ms: int, *, anew: bool = False) -> Redemption:
    """The note of a request, after the look that showed its shares; `anew`: a person wants the
    tries counted from it."""
    tries = 1 if anew else _tries(note) + 1
    return msgspec.structs.replace(note, asked_at_ms=now_ms, tries=tries)


def telling(note: Redemption, now_ms: int) -> bool:
    """Whether it means anything now that no shares are shown."""
    spaced = now_ms - note.looked_at_ms >= LOOK_SPACING_MS
    return spaced and now_ms - note.since_ms >= GONE_AFTER_MS


def beside_e6(account: Account, key: str, siblings: Siblings = ALONE) -> int | None:
    """Shares of the note's token that may be shown beside its own, in the same wallet: those of
    other notes, and of claims that are not settled yet, in whichever account of the wallet. None
    when a note does not say how many, or an account could not be read."""
    ours = account.redeem[key]
    notes = [note for other, note in account.redeem.items() if other != key]
    claims = list(account.claims.values())
    for each in siblings.accounts.values():
        notes.extend(each.redeem.values())
        claims.extend(each.claims.values())
    sizes_e6 = [
        note.size_e6
        for note in notes
        if note.token_id == ours.token_id and _may_be_one(note.wallet, ours.wallet)
    ]
    if siblings.unread or 0 in sizes_e6:
        return None
    return sum(sizes_e6) + sum(
        max(claim.filled_size_e6 - claim.noted_e6, 0)
        for claim in claims
        if not claim.ended
        and claim.token_id == ours.token_id
        and _may_be_one(claim.trader.wallet, ours.wallet)
    )


def asked_by_another(siblings: Siblings, market: str, wallet: str, now_ms: int) -> bool:
    """Whether another account has just asked for what the wallet holds in the market: that request
    pays out everybody's shares, and may not show yet. It asks `TRIES_MAX` times at most, so nobody
    waits for it without end."""
    return any(
        note.asked_at_ms and abs(now_ms - note.asked_at_ms) < ASK_AGAIN_MS
        for account in siblings.accounts.values()
        for key, note in account.redeem.items()
        if market_of(key) == market and seen_by(note, wallet)
    )


def looked(
    note: Redemption, held_e6: int, now_ms: int, beside_e6: int | None, wallet: str
) -> Redemption:
    """The note after a look that showed these shares in `wallet`; the last look before it goes is
    not kept.

    Fewer than all of it, and all that may be `beside_e6`, may be those that were there all along:
    the others are then still waited for. So are those of a note that does not say how many.
    """
    if held_e6 > 0:
        own_e6 = 0 if beside_e6 is None else held_e6 + SIZE_ROUNDING_E6 - beside_e6
        all_seen = 0 < note.size_e6 <= own_e6
        return msgspec.structs.replace(
            note,
            # Its own for sure: not what the rounding makes of the others.
            wallet=note.wallet or (wallet if own_e6 > 2 * SIZE_ROUNDING_E6 else ""),
            unseen=note.unseen and not all_seen,
            looks=0,
            looked_at_ms=0,
        )
    if not telling(note, now_ms) or note.looks >= LOOKS_MIN - 1:
        return note
    return msgspec.structs.replace(note, looks=note.looks + 1, looked_at_ms=now_ms)


def never_seen(note: Redemption) -> bool:
    """Whether that there are no shares does not mean that they were paid out: they were on their
    way at the settlement, or it is not known in which wallet they are."""
    return note.unseen or not note.wallet


def gone(note: Redemption, held_e6: int, now_ms: int) -> bool:
    """Whether nothing is to be waited for any more, `held_e6` being the shares that are shown."""
    enough = telling(note, now_ms) and note.looks >= LOOKS_MIN - 1
    waits = never_seen(note) and now_ms - note.since_ms < NEVER_SEEN_AFTER_MS
    return held_e6 == 0 and enough and not waits


def seen_by(note: Redemption, wallet: str) -> bool:
    """Whether the shares of `wallet` are those of the note; an older note does not name whose."""
    return note.wallet in ("", wallet)


def _may_be_one(wallet: str, other: str) -> bool:
    return not wallet or not other or wallet == other


def _tries(note: Redemption) -> int:
    return max(note.tries, int(note.asked_at_ms > 0))


def _waited(note: Redemption, now_ms: int) -> bool:
    tries = min(_tries(note), TRIES_MAX)  # whatever an item says: it is an exponent
    wait_ms = min(ASK_AGAIN_MS << (tries - 1), ASK_AGAIN_MAX_MS)
    return now_ms - note.asked_at_ms >= wait_ms
