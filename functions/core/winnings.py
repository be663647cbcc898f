"""When winnings are asked for, when no more, and when their note goes. Pure.

A note (`Redemption`) is written with the settlement. Whoever redeems, we or the venue by itself,
shows in one thing alone: the shares are gone. Each request may cost gas, so they become rarer and
come to an end; what is then still there is for a person.
"""

from __future__ import annotations

from typing import Final

import msgspec

from functions.core.account import Redemption

GONE_AFTER_MS: Final = 120_000
"""The venue's balances lag by seconds, sometimes by more than a minute: only so long after the
settlement, which follows the trades, does it mean anything that no shares are shown. That we have
asked proves nothing: whoever noted it may have died before its request."""
ASK_AGAIN_MS: Final = 60_000
"""After the first request: the chain needs seconds to a minute."""
ASK_AGAIN_MAX_MS: Final = 3_600_000
TRIES_MAX: Final = 8
"""Two hours: whatever mends itself has done so by then."""


def due(note: Redemption, now_ms: int) -> bool:
    """Whether to ask (again): twice as long after each request, and at most `TRIES_MAX` times."""
    if not note.asked_at_ms:
        return True
    return _tries(note) < TRIES_MAX and _waited(note, now_ms)


def stuck(note: Redemption, now_ms: int) -> bool:
    """Whether nobody asks any more, and a person must look."""
    return _tries(note) >= TRIES_MAX and _waited(note, now_ms)


def asked(note: Redemption, now_ms: int, *, anew: bool = False) -> Redemption:
    """The note of a request at `now_ms`; `anew`: a person wants the tries counted from there."""
    tries = 1 if anew else _tries(note) + 1
    return msgspec.structs.replace(note, asked_at_ms=now_ms, tries=tries)


def gone(note: Redemption, held_e6: int, now_ms: int) -> bool:
    """Whether the winnings were paid out, `held_e6` being the shares that the venue shows."""
    return held_e6 == 0 and now_ms - note.since_ms >= GONE_AFTER_MS


def seen_by(note: Redemption, wallet: str) -> bool:
    """Whether the shares of `wallet` are those of the note; an older note does not name whose."""
    return note.wallet in ("", wallet)


def _tries(note: Redemption) -> int:
    return max(note.tries, int(note.asked_at_ms > 0))


def _waited(note: Redemption, now_ms: int) -> bool:
    wait_ms = min(ASK_AGAIN_MS << (_tries(note) - 1), ASK_AGAIN_MAX_MS)
    return now_ms - note.asked_at_ms >= wait_ms
