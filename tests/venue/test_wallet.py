"""Kinds of wallets and tokens, held against the official client."""

from __future__ import annotations

import pytest
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st
from polymarket._internal import wallet as official
from polymarket._internal.environment import PRODUCTION_CONFIG
from polymarket._internal.protocol import is_v2_position_id

from venue.wallet import (
    DEPOSIT,
    EOA,
    PROXY,
    SAFE,
    asset_type,
    is_address,
    is_wallet_of,
    signature_type,
)

CONFIG = PRODUCTION_CONFIG.wallet_derivation
addresses = st.binary(min_size=20, max_size=20).map(lambda raw: to_checksum_address(raw.hex()))


@given(addresses, addresses)
def test_the_kind_of_a_wallet_is_the_official_clients(signer: str, other: str) -> None:
    wallets = {
        signer: EOA,
        official.derive_proxy_wallet_address(signer, CONFIG): PROXY,
        official.derive_safe_wallet_address(signer, CONFIG): SAFE,
        official.derive_uups_deposit_wallet_address(signer, CONFIG): DEPOSIT,
        official.derive_beacon_deposit_wallet_address(signer, CONFIG): DEPOSIT,
    }
    for wallet, kind in wallets.items():
        assert signature_type(signer, wallet) == kind
        assert signature_type(signer.lower(), wallet.lower()) == kind
        assert is_wallet_of(signer, wallet)
        assert is_wallet_of(other, wallet) == (other == signer)
    for wallet in (*wallets, other):
        word = official.classify_wallet_type(signer=signer, wallet=wallet, config=CONFIG)
        assert signature_type(signer, wallet) == official.signature_type_for(word)


@pytest.mark.parametrize(
    "text", ["", "0x", "0x" + "1" * 39, "0x" + "1" * 41, "0x" + "g" * 40, "1" * 40]
)
def test_what_is_no_address(text: str) -> None:
    assert not is_address(text)
    with pytest.raises(ValueError, match="not an address"):
        signature_type(text, "0x" + "1" * 40)
    assert not is_address("0x" + "1" * 40 + "\n")


@given(st.integers(0, (1 << 256) - 1), st.booleans())
def test_the_kind_of_a_token_is_the_official_clients(number: int, newer: bool) -> None:
    token_id = str(number & ~(((1 << 64) - 1) << 40) if newer else number)
    assert (asset_type(token_id) == "CONDITIONAL-V2") == is_v2_position_id(token_id)
