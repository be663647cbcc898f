"""The venue's id of an order, before the venue has seen it.

The id is the EIP-712 hash of the plain Order struct, so it can be stored durably first and asked
for afterwards, whatever happened in between. For deposit wallets (signature type 3) too it is the
plain Order that is hashed, not the TypedDataSign wrapper around it.

Struct and domain: the venue's CTF Exchange V2/V3 contracts; checked in the tests against two
independent implementations (eth-account's EIP-712 encoder and py-clob-client-v2).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec
from eth_utils.crypto import keccak

_DOMAIN_NAME: Final = "Polymarket CTF Exchange"
_DOMAIN_TYPE: Final = keccak(
    text="EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
ORDER_SCHEMA: Final = (
    "Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,"
    "uint256 takerAmount,uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,"
    "bytes32 builder)"
)
ORDER_TYPE: Final = keccak(text=ORDER_SCHEMA)
WRAPPED_TYPE: Final = keccak(
    text="TypedDataSign(Order contents,string name,string version,uint256 chainId,"
    f"address verifyingContract,bytes32 salt){ORDER_SCHEMA}"
)


class ExchangeDomain(msgspec.Struct, frozen=True, kw_only=True):
    """Which contract an order is for, or signs it: it decides the EIP-712 domain."""

    chain_id: int
    contract: str
    version: str
    """`2` for conditional tokens, `3` for protocol v2 positions."""


class OrderFields(msgspec.Struct, frozen=True, kw_only=True):
    """What is hashed; amounts in base units (1e-6), `side` 0 = BUY, 32-byte words as hex."""

    salt: int
    maker: str
    signer: str
    token_id: int
    maker_amount: int
    taker_amount: int
    side: int
    signature_type: int
    timestamp_ms: int
    metadata: str
    builder: str


def order_id(order: OrderFields, domain: ExchangeDomain) -> str:
    """The order's id as the venue spells it: `0x` and 64 hex digits.

    Every field is static, so its ABI encoding is one 32-byte word, and the struct's is the words
    in order. (A general ABI encoder does the same ten times slower, on the hot path.)
    """
    return "0x" + keccak(b"\x19\x01" + domain_separator(domain) + _order_hash(order)).hex()


def wrapped_digest(
    order: OrderFields, domain: ExchangeDomain, wallet: ExchangeDomain, name: str, salt: str
) -> bytes:
    """What the owner of a deposit wallet signs for an order: the order inside a `TypedDataSign`
    (ERC-7739) that names the wallet's own domain; `salt` is 32 bytes in hex."""
    wrapped = WRAPPED_TYPE + _order_hash(order) + wallet_words(wallet, name, salt)
    return keccak(b"\x19\x01" + domain_separator(domain) + keccak(wrapped))


def wallet_words(wallet: ExchangeDomain, name: str, salt: str) -> bytes:
    """What stands behind the order's hash in a `TypedDataSign`."""
    words = (
        keccak(text=name),
        keccak(text=wallet.version),
        uint_word(wallet.chain_id),
        hex_word(wallet.contract),
        hex_word(salt),
    )
    return b"".join(words)


def _order_hash(order: OrderFields) -> bytes:
    struct = b"".join(
        (
            ORDER_TYPE,
            uint_word(order.salt),
            hex_word(order.maker),
            hex_word(order.signer),
            uint_word(order.token_id),
            uint_word(order.maker_amount),
            uint_word(order.taker_amount),
            uint_word(order.side),
            uint_word(order.signature_type),
            uint_word(order.timestamp_ms),
            hex_word(order.metadata),
            hex_word(order.builder),
        )
    )
    return keccak(struct)


@lru_cache(maxsize=16)
def domain_separator(domain: ExchangeDomain) -> bytes:
    words = (
        _DOMAIN_TYPE,
        keccak(text=_DOMAIN_NAME),
        keccak(text=domain.version),
        uint_word(domain.chain_id),
        hex_word(domain.contract),
    )
    return keccak(b"".join(words))


def uint_word(number: int) -> bytes:
    """A number as the 32 bytes that are hashed. Raises OverflowError when it has more bits."""
    return number.to_bytes(32)


def hex_word(text: str) -> bytes:
    """An address or a 32-byte word in hex, padded on the left."""
    return bytes.fromhex(text.removeprefix("0x")).rjust(32, b"\0")
