"""What `POST /order` carries: its form, its id and its signer.

The id is computed with eth_account's EIP-712 encoder on purpose: the worker has its own, and two
implementations that agree prove more than one.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_utils.crypto import keccak

from sandbox.simulator.contracts import CHAIN_ID, exchange_for
from sandbox.simulator.wallets import DEPOSIT, recover_owner

_ORDER_TYPES: Final = {
    "Order": [
        {"name": "salt", "type": "uint256"},
        {"name": "maker", "type": "address"},
        {"name": "signer", "type": "address"},
        {"name": "tokenId", "type": "uint256"},
        {"name": "makerAmount", "type": "uint256"},
        {"name": "takerAmount", "type": "uint256"},
        {"name": "side", "type": "uint8"},
        {"name": "signatureType", "type": "uint8"},
        {"name": "timestamp", "type": "uint256"},
        {"name": "metadata", "type": "bytes32"},
        {"name": "builder", "type": "bytes32"},
    ]
}


class InvalidPayloadError(Exception):
    """The body is not an order."""


class WireOrder(msgspec.Struct, frozen=True, rename="camel"):
    """The signed order as posted; amounts are base units (1e-6)."""

    salt: int
    maker: str
    signer: str
    token_id: str
    maker_amount: str
    taker_amount: str
    side: Literal["BUY", "SELL"]
    signature_type: int
    timestamp: str
    metadata: str
    builder: str
    signature: str


class Posting(msgspec.Struct, frozen=True, rename="camel"):
    """The whole body. Unknown fields (`deferExec`, `expiration`, ...) are ignored."""

    order: WireOrder
    owner: str
    order_type: Literal["GTC", "GTD", "FOK", "FAK"]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed order whose id is known; whether it may trade is another question."""

    order_id: str
    owner: str
    order_type: str
    side: Literal["BUY", "SELL"]
    token_id: str
    maker: str
    signer: str
    signature_type: int
    maker_amount_e6: int
    taker_amount_e6: int
    recovered: str
    """The address that signed, the owner's for a deposit wallet; "" when it is no signature."""


_decoder = msgspec.json.Decoder(Posting)


def parse_posting(body: bytes) -> Posting:
    """The body of POST /order. Raises InvalidPayloadError."""
    try:
        posting = _decoder.decode(body)
        if not (int(posting.order.maker_amount) > 0 and int(posting.order.taker_amount) > 0):
            raise InvalidPayloadError
        int(posting.order.token_id), int(posting.order.timestamp)
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidPayloadError from error
    return posting


def identify(posting: Posting, *, neg_risk: bool) -> Order:
    """Compute the order id and recover who signed. Raises InvalidPayloadError."""
    wire = posting.order
    exchange, version = exchange_for(wire.token_id, neg_risk=neg_risk)
    domain = {
        "name": "Polymarket CTF Exchange",
        "version": version,
        "chainId": CHAIN_ID,
        "verifyingContract": exchange,
    }
    message = {
        "salt": wire.salt,
        "maker": wire.maker,
        "signer": wire.signer,
        "tokenId": int(wire.token_id),
        "makerAmount": int(wire.maker_amount),
        "takerAmount": int(wire.taker_amount),
        "side": 0 if wire.side == "BUY" else 1,
        "signatureType": wire.signature_type,
        "timestamp": int(wire.timestamp),
        "metadata": wire.metadata,
        "builder": wire.builder,
    }
    try:
        signable = encode_typed_data(domain, _ORDER_TYPES, message)
    except Exception as error:  # eth_abi and eth_utils raise many types on bad fields
        raise InvalidPayloadError from error
    return Order(
        order_id="0x" + keccak(b"\x19" + signable.version + signable.header + signable.body).hex(),
        owner=posting.owner,
        order_type=posting.order_type,
        side=wire.side,
        token_id=wire.token_id,
        maker=wire.maker.lower(),
        signer=wire.signer.lower(),
        signature_type=wire.signature_type,
        maker_amount_e6=int(wire.maker_amount),
        taker_amount_e6=int(wire.taker_amount),
        recovered=(
            recover_owner(signable, domain, _ORDER_TYPES, message, wire.signature)
            if wire.signature_type == DEPOSIT
            else _recover(signable, wire.signature)
        ),
    )


def _recover(signable: SignableMessage, signature: str) -> str:
    try:
        recovered: str = Account.recover_message(signable, signature=signature)
    except Exception:  # noqa: BLE001 - whatever cannot be recovered from is not a signature
        return ""
    return recovered.lower()
