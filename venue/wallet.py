"""Addresses: which are well-formed, and what kind of wallet one is to the key that signs for it.

The venue wants the kind (`signature_type`) with every question about a balance. No key
is needed to know it: the venue's proxy and Safe wallets stand at addresses that follow from the
signer's (CREATE2, EIP-1014). Written here although the official client has it: there it is
internal, and comes with everything that signs, which a function that only reads does not load.
Tests hold this against the client.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from Crypto.Hash import keccak

EOA: Final = 0
PROXY: Final = 1
SAFE: Final = 2
DEPOSIT: Final = 3
"""The venue's numbers for: the signer itself, its Magic wallet, its Safe, a deposit wallet."""
STRANGER: Final = (
    "WALLET is not a wallet of this signer: to another account the venue says of each order that it"
    " is not there, which would release what was bought"
)

# Of the contracts on Polygon that make these wallets: their factory, and the hash of the code that
# they put there (for a proxy: of its bytecode with factory and implementation filled in).
_PROXY_FACTORY: Final = "aB45c5A4B0c941a2F231C04C3f49182e1A254052"
_PROXY_CODE: Final = "d21df8dc65880a8606f09fe0ce3df9b8869287ab0b058be05aa9e8af6330a00b"
_SAFE_FACTORY: Final = "aacFeEa03eb1561C4e67d661e40682Bd20E3541b"
_SAFE_CODE: Final = "2bce2127ff07fb632d16c8347c4ebf501f4841168bed00d9e6ef715ddb6fcecf"
_DEPOSIT_FACTORY: Final = "00000000000Fb5C9ADea0298D729A0CB3823Cc07"
# Its wallets carry factory and signer behind their code (an ERC-1967 proxy): one kind for each of
# the two that it has put there.
_DEPOSIT_CODES: Final = (
    "61007d3d8160233d397358ca52ebe0dadfdf531cde7062e76746de4db1eb60095155f3363d3d373d"
    "3d363d7f360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc545af43d"
    "6000803e6038573d6000fd5b3d6000f3",
    "6100923d8160233d39737a18edfe055488a3128f01f563e5b479d92ffc3a60195155f3363d3d373d"
    "3d363d602036600436635c60da1b60e01b36527fa3f0ad74e5423aebfd80d3ef4346578335a9a72a"
    "eaee59ff6cb3582b35133d50545afa5036515af43d6000803e604d573d6000fd5b3d6000f3",
)

_KINDS: Final = {EOA: "a plain wallet (the signer itself)", PROXY: "a Magic wallet", SAFE: "a Safe"}

_ADDRESS: Final = re.compile(r"0[xX][0-9a-fA-F]{40}")
# A token is one of the venue's newer positions when these bits of its id are zero.
_V2_POSITION_ZEROS: Final = ((1 << 64) - 1) << 40


def is_address(text: str) -> bool:
    """0x and 40 hex digits, in any case."""
    return _ADDRESS.fullmatch(text) is not None


def checked_address(text: str) -> str:
    """`text`, if it is an address and, where its letters are of both cases, not mistyped: their
    case is a checksum (EIP-55). Raises ValueError, without the text."""
    if not is_address(text):
        raise ValueError("not an address (0x and 40 hex digits)")
    digits = text[2:]
    if digits not in (digits.lower(), digits.upper()):
        marks = _keccak(digits.lower().encode()).hex()
        pairs = zip(digits, marks, strict=False)
        if any(each.isalpha() and each.isupper() != (mark >= "8") for each, mark in pairs):
            raise ValueError("mistyped: the case of its letters is not its checksum; copy it again")
    return text


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


def is_wallet_of(signer: str, wallet: str) -> bool:
    """Whether `wallet` follows from the signer's address, as every wallet that the venue makes for
    a signer does. One that was let in otherwise (a session key of a deposit wallet) looks
    like a stranger's. Raises ValueError for what is no address.
    """
    if signature_type(signer, wallet) != DEPOSIT:
        return True
    args = bytes.fromhex(_DEPOSIT_FACTORY + signer[2:].rjust(64, "0")).rjust(64, b"\0")
    codes = (_keccak(bytes.fromhex(code) + args).hex() for code in _DEPOSIT_CODES)
    made = (_create2(_DEPOSIT_FACTORY, _keccak(args), code) for code in codes)
    return bytes.fromhex(wallet[2:]) in made


def maker_warning(kind: int) -> str | None:
    """Why the venue may refuse every order of a wallet of this kind, and what to do; None for a
    deposit wallet. Source: py-clob-client-v2#48, #50, #51, #54, #56, #74, #83."""
    if kind == DEPOSIT:
        return None
    return (
        f"WALLET is {_KINDS[kind]}: the venue refuses the orders of most of these (maker address "
        "not allowed); if it does, move the funds to the deposit wallet that your profile on the "
        "venue's website shows, and set WALLET to that"
    )


def asset_type(token_id: str) -> Literal["CONDITIONAL", "CONDITIONAL-V2"]:
    """What the venue calls the kind of an outcome token when it is asked for its balance."""
    number = int(token_id) if token_id.isdecimal() else _V2_POSITION_ZEROS
    return "CONDITIONAL" if number & _V2_POSITION_ZEROS else "CONDITIONAL-V2"


def _create2(factory: str, salt: bytes, code_hash: str) -> bytes:
    made = b"\xff" + bytes.fromhex(factory) + salt + bytes.fromhex(code_hash)
    return _keccak(made)[12:]


def _keccak(octets: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=octets).digest()
