"""Several accounts that trade with one wallet: what all their claims say that it holds. Pure.

The venue shows shares by wallet and token, and knows nothing of accounts. So what it shows is
compared with the claims of all of them, and a difference with one account's claims is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from functions.core.account import Account
from functions.core.claim import Claim, Trader
from functions.core.evidence import sees
from functions.core.lifecycle import final


class Siblings(msgspec.Struct, frozen=True, kw_only=True):
    """The other accounts that trade with one wallet, as they were read."""

    accounts: dict[str, Account] = {}
    """By name."""
    unread: tuple[str, ...] = ()
    """One sentence for each that could not be read: then nobody knows what the wallet holds."""


ALONE: Final = Siblings()
"""No other account trades with the wallet."""


def comparable_shares(
    account_name: str, account: Account, siblings: Siblings, trader: Trader, now_ms: int
) -> dict[str, dict[str, int]]:
    """Shares in 1e-6 of each token that `account` has claims on, by the account that claims them.

    Only where they can be compared with those that the venue shows to `trader`: not while a trade
    of anybody is still on its way, not where another trader's shares are asked for, and not once
    the market has ended: from then on claims are settled one by one, and shares are redeemed, by
    the venue itself as well.
    """
    shares: dict[str, dict[str, int]] = {}
    moving: set[str] = set()
    for claim in account.claims.values():
        if not _stands(claim, now_ms) or not sees(trader, claim):
            moving.add(claim.token_id)
        _add(shares.setdefault(claim.token_id, {}), account_name, claim)
    for name, each in siblings.accounts.items():
        for claim in each.claims.values():
            # A claim of another wallet is not about these shares; one that names none may be.
            if claim.token_id not in shares or claim.trader.wallet not in ("", trader.wallet):
                continue
            if not _stands(claim, now_ms) or not claim.trader.wallet:
                moving.add(claim.token_id)
            _add(shares[claim.token_id], name, claim)
    return {token: held for token, held in shares.items() if token not in moving}


def difference(
    token_id: str, seen_e6: int, held_e6: Mapping[str, int], siblings: Siblings
) -> str | None:
    """What there is to say when the venue shows `seen_e6` shares of a token and the accounts claim
    `held_e6`, None when that is the same. The sentence is the same whoever of them says it."""
    claimed_e6 = sum(held_e6.values())
    if seen_e6 == claimed_e6:
        return None
    text = f"token {token_id}: the venue holds {seen_e6}e-6 shares, the claims {claimed_e6}e-6"
    if not siblings.accounts:
        return text
    each = ", ".join(f"{name} {shares_e6}e-6" for name, shares_e6 in sorted(held_e6.items()))
    return f"{text} ({each})"


def _stands(claim: Claim, now_ms: int) -> bool:
    return final(claim) and not claim.ended and claim.market_end_ms > now_ms


def _add(held_e6: dict[str, int], account_name: str, claim: Claim) -> None:
    held_e6[account_name] = held_e6.get(account_name, 0) + claim.filled_size_e6
