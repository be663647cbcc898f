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
        ClaimRefusal.CONFIG_CHANGED,
        ClaimRefusal.MAX_POSITIONS,
        ClaimRefusal.DAILY_LOSS,
        ClaimRefusal.DAILY_SPEND,
        ClaimRefusal.COLLECTIVE_CHANGED,
        ClaimRefusal.COLLECTIVE_LOSS,
        ClaimRefusal.COLLECTIVE_EXPOSURE,
    }
)
# An unresolved claim is resolved, and one that ends with nothing bought gives its entry back.
_OF_A_MARKET: Final = frozenset({ClaimRefusal.MARKET_CLAIMED, ClaimRefusal.MAX_ENTRIES})


class RefusalCache:
    """Refusals this worker can foresee. Times are epoch milliseconds."""

    def __init__(self) -> None:
        self._cooldown_until_ms: dict[str, int] = {}
        self._markets: dict[str, tuple[ClaimRefusal, int]] = {}
        """What concerns one market and may be undone: the reason, and until when it is believed."""
        self._account: tuple[ClaimRefusal, int] | None = None

    def refusal(self, condition_id: str, now_ms: int) -> ClaimRefusal | None:
        """The refusal that a claim on this market would meet as far as we know, else None."""
        if self._cooldown_until_ms.get(condition_id, 0) > now_ms:
            return ClaimRefusal.COOLDOWN
        for believed in (self._markets.get(condition_id), self._account):
            if believed is not None and believed[1] > now_ms:
                return believed[0]
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
        if reason in _OF_A_MARKET:
            self._markets[condition_id] = (reason, now_ms + BELIEF_MS)
        self._account = (reason, now_ms + BELIEF_MS) if reason in _ACCOUNT_WIDE else None

    def forget_beliefs(self) -> None:
        """The limits have changed. Cooldowns stay: they end when they end."""
        self._markets, self._account = {}, None

    def _forget_past(self, now_ms: int) -> None:
        cooldowns, markets = self._cooldown_until_ms, self._markets
        self._cooldown_until_ms = {k: until for k, until in cooldowns.items() if until > now_ms}
        self._markets = {k: believed for k, believed in markets.items() if believed[1] > now_ms}
