"""What this worker has seen of the account, to save writes that would be refused anyway.

The cache may only cause a refusal, never an entry (invariant 2 lives in the store's condition).
Cooldowns are exact and live as long as they last; everything else may be undone by somebody else
at any time, so it is believed for `BELIEF_MS` and then asked again.
"""

from __future__ import annotations

from typing import Final

from functions.core.account import Account, ClaimRefusal

BELIEF_MS: Final = 2_000
"""At most one refused write every two seconds and worker while an account is full or halted."""

_ACCOUNT_WIDE: Final = frozenset(
    {
        ClaimRefusal.NO_ACCOUNT,
        ClaimRefusal.HALTED,
        ClaimRefusal.PAUSED,
        ClaimRefusal.MAX_POSITIONS,
        ClaimRefusal.DAILY_LOSS,
        ClaimRefusal.DAILY_SPEND,
    }
)


class RefusalCache:
    """Refusals this worker can foresee. Times are epoch milliseconds."""

    def __init__(self) -> None:
        self._cooldown_until_ms: dict[str, int] = {}
        self._claimed_until_ms: dict[str, int] = {}
        self._account: tuple[ClaimRefusal, int] | None = None

    def refusal(self, condition_id: str, now_ms: int) -> ClaimRefusal | None:
        """The refusal that a claim on this market would meet as far as we know, else None."""
        if self._cooldown_until_ms.get(condition_id, 0) > now_ms:
            return ClaimRefusal.COOLDOWN
        if self._claimed_until_ms.get(condition_id, 0) > now_ms:
            return ClaimRefusal.MARKET_CLAIMED
        if self._account is not None and self._account[1] > now_ms:
            return self._account[0]
        return None

    def learn_claimed(self, condition_id: str, cooldown_until_ms: int, now_ms: int) -> None:
        """Our own claim went through: its cooldown has begun."""
        self._forget_past(now_ms)
        self._cooldown_until_ms[condition_id] = cooldown_until_ms
        self._account = None

    def learn_refused(
        self, reason: ClaimRefusal, account: Account | None, condition_id: str, now_ms: int
    ) -> None:
        """A claim was refused; `account` is what the store holds."""
        self._forget_past(now_ms)
        if account is not None:
            self._cooldown_until_ms = {
                market: until for market, until in account.cooldowns.items() if until > now_ms
            }
        if reason is ClaimRefusal.MARKET_CLAIMED:
            self._claimed_until_ms[condition_id] = now_ms + BELIEF_MS
        self._account = (reason, now_ms + BELIEF_MS) if reason in _ACCOUNT_WIDE else None

    def _forget_past(self, now_ms: int) -> None:
        for known in (self._cooldown_until_ms, self._claimed_until_ms):
            for market in [market for market, until in known.items() if until <= now_ms]:
                del known[market]
