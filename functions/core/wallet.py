"""Addresses: which are well-formed, and what kind of wallet one is to the key that signs for it.

The venue wants to be told the kind (`signature_type`) with every question about a balance. No key
is needed to know it: the venue's proxy and Safe wallets stand at addresses that follow from the
signer's (CREATE2, EIP-1014). Written here although the official client has it: there it is
internal, and comes with everything that signs, which a function that only reads does not load.
Tests hold this against the client.
"""

from __future__ import annotations

import re
from typing import Final

from Crypto.Hash import keccak

EOA: Final = 0
PROXY: Final = 1
SAFE: Final = 2
DEPOSIT: Final = 3
"""The venue's numbers for: the signer itself, its Magic wallet, its Safe, a deposit wallet."""

# Of the contracts on Polygon that make these wallets: their factory, and the hash of the code that
# they put there (for a proxy: of its bytecode with factory and implementation filled in).
_PROXY_FACTORY: Final = "aB45c5A4B0c941a2F231C04C3f49182e1A254052"
_PROXY_CODE: Final = "d21df8dc65880a8606f09fe0ce3df9b8869287ab0b058be05aa9e8af6330a00b"
_SAFE_FACTORY: Final = "aacFeEa03eb1561C4e67d661e40682Bd20E3541b"
_SAFE_CODE: Final = "2bce2127ff07fb632d16c8347c4ebf501f4841168bed00d9e6ef715ddb6fcecf"

_ADDRESS: Final = re.compile(r"0[xX][0-9a-fA-F]{40}")
# A token is one of the venue's newer positions when these bits of its id are zero.
_V2_POSITION_ZEROS: Final = ((1 << 64) - 1) << 40


def is_address(text: str) -> bool:
    """0x and 40 hex digits, in any case."""
    return _ADDRESS.fullmatch(text) is not None


def signature_type(signer: str, wallet: str) -> int:
    """The kind of `wallet`, of which `signer` is the key's address.

    A wallet that does not follow from the signer's address is a deposit wallet, as the official
    client takes it for. Raises ValueError for what is no address.
    """
    if not (is_address(signer) and is_address(wallet)):
        raise ValueError("not an address (0x and 40 hex digits)")
    if wallet.lower() == signer.lower():
        return EOA
    key = bytes.fromhex(signer[2:])
    held = bytes.fromhex(wallet[2:])
    if held == _create2(_PROXY_FACTORY, _keccak(key), _PROXY_CODE):
        return PROXY
    if held == _create2(_SAFE_FACTORY, _keccak(key.rjust(32, b"\0")), _SAFE_CODE):
        return SAFE
    return DEPOSIT


def asset_type(token_id: str) -> str:
    """What the venue calls the kind of an outcome token when it is asked for its balance."""
    number = int(token_id) if token_id.isdecimal() else _V2_POSITION_ZEROS
    return "CONDITIONAL" if number & _V2_POSITION_ZEROS else "CONDITIONAL-V2"


def _create2(factory: str, salt: bytes, code_hash: str) -> bytes:
    made = b"\xff" + bytes.fromhex(factory) + salt + bytes.fromhex(code_hash)
    return _keccak(made)[12:]


def _keccak(octets: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=octets).digest()
