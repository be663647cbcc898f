"""Deposit wallets: where one stands, and what its owner signs for it. Pure.

A deposit wallet is a contract of the venue's at an address that follows from its owner's (CREATE2):
a beacon proxy whose code ends with its factory and its owner. It signs as ERC-1271 wallets do: its
owner signs the order wrapped into a `TypedDataSign` (ERC-7739), and appends what the exchange needs
to unwrap it. The order's id is that of the plain order.

Source: the official client (`polymarket._internal.wallet`, `.actions.orders.typed_data`), against
which tests hold this. Not modelled: the older kind of deposit wallet (UUPS), session keys.
"""

from __future__ import annotations

from typing import Any, Final

from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from sandbox.simulator.contracts import (
    CHAIN_ID,
    DEPOSIT_WALLET_BEACON,
    DEPOSIT_WALLET_FACTORY,
)

PLAIN: Final = 0
DEPOSIT: Final = 3
"""The venue's numbers for two of the four kinds of signatures."""
_SIGNATURE_BYTES: Final = 65
_WORD_BYTES: Final = 32
_LENGTH_BYTES: Final = 2
_BEFORE_ADDRESS: Final = 0x6100523D8160233D3973
"""Of the proxy's creation code; the length of the arguments is added in the third byte."""
_AFTER_ADDRESS: Final = bytes.fromhex(
    "60195155f3363d3d373d3d363d602036600436635c60da1b60e01b36527fa3f0ad74e5423aebfd80d3ef4346578335"
    "a9a72aeaee59ff6cb3582b35133d50545afa5036515af43d6000803e604d573d6000fd5b3d6000f3"
)
_TYPED_DATA_SIGN: Final = [
    {"name": "contents", "type": "Order"},
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
    {"name": "salt", "type": "bytes32"},
]


def deposit_wallet_of(owner: str) -> str:
    """The address of an owner's deposit wallet, with its checksum."""
    factory = bytes.fromhex(DEPOSIT_WALLET_FACTORY[2:])
    arguments = factory.rjust(_WORD_BYTES, b"\0")
    arguments += bytes.fromhex(owner[2:]).rjust(_WORD_BYTES, b"\0")
    code = (_BEFORE_ADDRESS + (len(arguments) << 56)).to_bytes(10)
    code += bytes.fromhex(DEPOSIT_WALLET_BEACON[2:]) + _AFTER_ADDRESS + arguments
    made = keccak(b"\xff" + factory + keccak(arguments) + keccak(code))
    return to_checksum_address(made[12:])


def recover_owner(
    signable: SignableMessage,
    domain: dict[str, Any],
    types: dict[str, list[dict[str, str]]],
    order: dict[str, Any],
    signature: str,
) -> str:
    """Who signed an order for a deposit wallet (`signer`), in lower case; "" when it is not a
    signature of this order.

    `signable` is the plain order, made of domain, types and `order`. After the owner's 65 bytes
    come the exchange's domain separator, the order's hash, the order's type and the length of that.
    """
    try:
        given = bytes.fromhex(signature.removeprefix("0x"))
        own, trailer = given[:_SIGNATURE_BYTES], given[_SIGNATURE_BYTES:]
        if trailer != signable.header + signable.body + _with_length(_type_of(types["Order"])):
            return ""
        wrapped = encode_typed_data(
            domain,
            {**types, "TypedDataSign": _TYPED_DATA_SIGN},
            {
                "contents": order,
                "name": "DepositWallet",
                "version": "1",
                "chainId": CHAIN_ID,
                "verifyingContract": order["signer"],
                "salt": bytes(_WORD_BYTES),
            },
        )
        recovered: str = Account.recover_message(wrapped, signature=own)
    except Exception:  # noqa: BLE001 - whatever cannot be recovered from is not a signature
        return ""
    return recovered.lower()


def _type_of(fields: list[dict[str, str]]) -> bytes:
    return f"Order({','.join(' '.join((each['type'], each['name'])) for each in fields)})".encode()


def _with_length(text: bytes) -> bytes:
    return text + len(text).to_bytes(_LENGTH_BYTES)
