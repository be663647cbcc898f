"""Addresses that orders, redemptions and wallets are for. Source: the official client's production
environment (`polymarket.environments`); a test holds the two against each other."""

from __future__ import annotations

from typing import Final

CHAIN_ID: Final = 137
STANDARD_EXCHANGE: Final = "0xE111180000d2663C0091e4f400237545B87B996B"
NEG_RISK_EXCHANGE: Final = "0xe2222d279d744050d28e00520010520000310F59"
EXCHANGE_V3: Final = "0xe3333700cA9d93003F00f0F71f8515005F6c00Aa"
COLLATERAL: Final = "0xC011a7E12a19f7B1f670d46F03B03f3342E82DFB"
COLLATERAL_ADAPTER: Final = "0xAdA100Db00Ca00073811820692005400218FcE1f"
NEG_RISK_COLLATERAL_ADAPTER: Final = "0xadA2005600Dec949baf300f4C6120000bDB6eAab"
DEPOSIT_WALLET_FACTORY: Final = "0x00000000000Fb5C9ADea0298D729A0CB3823Cc07"
DEPOSIT_WALLET_BEACON: Final = "0x7A18EDfe055488A3128f01F563e5B479D92ffc3a"
EXCHANGES: Final = (STANDARD_EXCHANGE, NEG_RISK_EXCHANGE, EXCHANGE_V3)

_POSITION_ID_ZERO_BITS: Final = ((1 << 64) - 1) << 40


def exchange_for(token_id: str, *, neg_risk: bool) -> tuple[str, str]:
    """(verifying contract, domain version) of orders on a token."""
    if int(token_id) & _POSITION_ID_ZERO_BITS == 0:
        return EXCHANGE_V3, "3"
    return (NEG_RISK_EXCHANGE if neg_risk else STANDARD_EXCHANGE), "2"
