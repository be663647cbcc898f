"""Signs orders for the official client, byte for byte as it would itself, ten times faster.

The client signs with eth-account, which encodes the EIP-712 message anew in pure Python each time
(0.5 ms of an order's 0.9 ms). What is signed is the order's id, which `venue.trading.order_id`
computes anyway; so for plain orders that digest goes straight to coincurve. Everything else
(logging in, deposit wallets' wrapped orders) stays with eth-account. Signatures are deterministic
(RFC 6979), so tests hold the two against each other bit by bit.
"""

from __future__ import annotations

from typing import Any

import msgspec
from coincurve import PrivateKey
from eth_account.signers.local import LocalAccount

from venue.trading.order_id import ExchangeDomain, OrderFields, order_id


class Signed(msgspec.Struct, frozen=True):
    """What the client reads of a signed message."""

    signature: bytes


class OrderSigner:
    """Stands in for the client's `LocalAccount`; the key stays inside the two objects it holds."""

    def __init__(self, account: LocalAccount) -> None:
        self._account = account
        self._key = PrivateKey(bytes(account.key))
        self.address = account.address

    def __getattr__(self, name: str) -> Any:
        return getattr(self._account, name)

    def __repr__(self) -> str:
        return f"OrderSigner({self.address})"

    def sign_typed_data(self, *, full_message: dict[str, Any]) -> Any:
        """A signed message, as `LocalAccount.sign_typed_data` returns it."""
        if full_message["primaryType"] != "Order":
            return self._account.sign_typed_data(full_message=full_message)
        domain, order = full_message["domain"], full_message["message"]
        digest = order_id(
            OrderFields(
                salt=order["salt"],
                maker=order["maker"],
                signer=order["signer"],
                token_id=order["tokenId"],
                maker_amount=order["makerAmount"],
                taker_amount=order["takerAmount"],
                side=order["side"],
                signature_type=order["signatureType"],
                timestamp_ms=order["timestamp"],
                metadata=order["metadata"],
                builder=order["builder"],
            ),
            ExchangeDomain(
                chain_id=domain["chainId"],
                contract=domain["verifyingContract"],
                version=domain["version"],
            ),
        )
        signature = self._key.sign_recoverable(bytes.fromhex(digest[2:]), hasher=None)
        # coincurve counts the recovery id from 0, Ethereum from 27.
        return Signed(signature[:64] + bytes([signature[64] + 27]))
