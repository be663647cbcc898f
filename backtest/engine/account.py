"""The account of a run: the store's account item, and what its writes do, in memory. Pure.

What is refused is `refusal_of`'s, the same function that stands for the store's condition; what a
claim becomes is `functions.core.lifecycle`'s; what a write changes beside the claim is
`functions.core.account_changes`'s.
Does not model: pauses, halts, collective limits, a store that fails.
"""

from __future__ import annotations

import msgspec

from functions.core.account import ClaimRefusal, Limits, new_account, refusal_of, utc_day
from functions.core.account_changes import book, put_claim, put_move
from functions.core.claim import Claim

_DAY_MS = 86_400_000


class SimulatedAccount:
    """`claim`, `move`, `forget`, as `functions.ports.Store` has them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._refusal_until: dict[str, tuple[ClaimRefusal, int, int, int]] = {}
        """By market: why, until when, as of which change, and for claims of at least so much."""
        self._day = (-1, "")
        self.changes = 0
        """Counts what has changed; what was refused stays refused until then, or until its time."""
        self.item = msgspec.structs.replace(new_account(), config_version=limits.config_version)

    def foreseen(self, condition_id: str, spend_e6: int, now_ms: int) -> ClaimRefusal | None:
        """The refusal that a claim of so much on this market is known to meet: one met it, and
        nothing has changed since that could lift it. None: ask `claim`."""
        known = self._refusal_until.get(condition_id)
        if known is None:
            return None
        refusal, until_ms, changes, least_e6 = known
        lasts = changes == self.changes and now_ms < until_ms and spend_e6 >= least_e6
        return refusal if lasts else None

    def refused_until_ms(self, condition_id: str, spend_e6: int) -> int | None:
        """Until when `foreseen` says a refusal if nothing changes; None where it says none."""
        known = self._refusal_until.get(condition_id)
        if known is None or known[2] != self.changes or spend_e6 < known[3]:
            return None
        return known[1]

    def claim(self, claim: Claim, now_ms: int) -> ClaimRefusal | None:
        """Make the claim, or say why it is refused."""
        today, limits, item = self._today(now_ms), self._limits, self.item
        refusal = refusal_of(item, claim, limits, now_ms, today)
        if refusal is not None:
            next_day_ms = (now_ms // _DAY_MS + 1) * _DAY_MS
            market = claim.condition_id
            until_ms = item.cooldowns[market] if refusal is ClaimRefusal.COOLDOWN else next_day_ms
            # A smaller claim may have room.
            least_e6 = claim.spend_e6 if refusal is ClaimRefusal.DAILY_SPEND else 0
            self._refusal_until[market] = (refusal, until_ms, self.changes, least_e6)
            return refusal
        put_claim(item, claim, limits, now_ms)
        self.changes += 1
        return None

    def move(self, claim: Claim, seen: Claim) -> None:
        """Replace `seen` by what it has become."""
        put_move(self.item, claim, seen)
        self.changes += 1

    def forget(self, claim: Claim) -> None:
        """Take an ended claim out, or one whose market has ended (its slot is then free)."""
        del self.item.claims[claim.slot]
        self.changes += 1

    def book(self, settled: Claim, seen: Claim) -> None:
        """What `move` books, for a claim that was forgotten before it was known what it paid."""
        book(self.item, settled, seen)
        self.changes += 1

    def prune(self, condition_id: str, window: str) -> None:
        """A market has ended: what concerned only it."""
        self.item.cooldowns.pop(condition_id, None)
        self.item.entries.pop(window, None)
        self._refusal_until.pop(condition_id, None)

    def _today(self, now_ms: int) -> str:
        day = now_ms // _DAY_MS
        if day != self._day[0]:
            self._day = (day, utc_day(now_ms))
        return self._day[1]
