"""Small questions about the account, asked before money depends on the answers (`executor doctor`).

Each answers a plain value within `venue.rest.ANSWER_TIMEOUT_S` or raises VenueError with one line;
none changes anything.
"""

from __future__ import annotations

import msgspec
from polymarket import AsyncSecureClient

from venue.trading.official_client import EXCHANGES, bounded_call


class Funds(msgspec.Struct, frozen=True, kw_only=True):
    """What the wallet has and may spend, in 1e-6 USD."""

    balance_e6: int
    allowances_e6: dict[str, int]
    """By the address of each exchange contract that our orders may be for; 0 is "not approved"."""


async def closed_only(client: AsyncSecureClient) -> bool:
    """Whether the account may only close positions, not open any."""
    return await bounded_call("closed-only mode", client.get_closed_only_mode())


async def funds(client: AsyncSecureClient) -> Funds:
    """Balance and allowances of the wallet, as the venue knows them."""
    collateral = await bounded_call(
        "balance", client.get_balance_allowance(asset_type="COLLATERAL")
    )
    allowed = {spender.lower(): amount for spender, amount in collateral.allowances.items()}
    return Funds(
        balance_e6=collateral.balance,
        allowances_e6={each: allowed.get(each.lower(), 0) for each in EXCHANGES},
    )
