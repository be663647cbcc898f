"""Signs orders for the official client, byte for byte as it would itself, ten times faster.

The client signs with eth-account, which encodes the EIP-712 message anew in pure Python each time
(0.5 ms of an order's 0.9 ms). What is signed is the order's id, which `venue.trading.order_id`
computes anyway, or, for a deposit wallet, a hash over the order's: that digest goes straight to
coincurve. Everything else (logging in) stays with eth-account. Signatures are deterministic (RFC
6979), so tests hold the two against each other bit by bit.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from coincurve import PrivateKey
from eth_account.signers.local import LocalAccount

from venue.trading.order_id import ExchangeDomain, OrderFields, order_id, wrapped_digest

_RECOVERY_IDS: Final = tuple(bytes([27 + each]) for each in range(4))


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
        kind = full_message["primaryType"]
        if kind not in ("Order", "TypedDataSign"):
            return self._account.sign_typed_data(full_message=full_message)
        domain, message = full_message["domain"], full_message["message"]
        exchange = _domain(domain)
        if kind == "Order":
            digest = bytes.fromhex(order_id(_order(message), exchange)[2:])
        else:
            wallet, name, salt = _domain(message), message["name"], message["salt"]
            digest = wrapped_digest(_order(message["contents"]), exchange, wallet, name, salt)
        return Signed(self.sign(digest))

    def sign(self, digest: bytes) -> bytes:
        """The signature of 32 bytes: r, s, and the recovery id, which Ethereum counts from 27."""
        signature: bytes = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + _RECOVERY_IDS[signature[64]]


def _domain(named: dict[str, Any]) -> ExchangeDomain:
    return ExchangeDomain(
        chain_id=named["chainId"], contract=named["verifyingContract"], version=named["version"]
    )


def _order(message: dict[str, Any]) -> OrderFields:
    return OrderFields(
        salt=message["salt"],
        maker=message["maker"],
        signer=message["signer"],
        token_id=message["tokenId"],
        maker_amount=message["makerAmount"],
        taker_amount=message["takerAmount"],
        side=message["side"],
        signature_type=message["signatureType"],
        timestamp_ms=message["timestamp"],
        metadata=message["metadata"],
        builder=message["builder"],
    )
