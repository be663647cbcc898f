"""Builds, signs and writes a BUY: from its amounts to the bytes that are sent.

All that is the same for every order on a token is laid out once, in a form (`form_of`):
the words that are hashed, the contract's domain, the JSON. What an order then costs is filling it
in, two hashes and a signature. The two hashes are the venue's order id, which is signed as it is;
for a deposit wallet the order's inner hash is wrapped once more (ERC-7739), which makes it four.

Body, id and signature are byte for byte the official client's: tests hold them against it and
against two other implementations.
"""

from __future__ import annotations

import json
import secrets
import time
from binascii import hexlify
from collections.abc import Callable
from typing import Final

import msgspec

from venue.trading.keccak import Keccak256
from venue.trading.order_id import (
    ORDER_SCHEMA,
    ORDER_TYPE,
    WRAPPED_TYPE,
    ExchangeDomain,
    domain_separator,
    hex_word,
    uint_word,
    wallet_words,
)
from venue.wallet import DEPOSIT

SALT_BITS: Final = 53
"""As the official client's: a number that JSON readers of any kind take exactly."""
BUY: Final = 0
_WALLET_DOMAIN: Final = "DepositWallet"
_WALLET_DOMAIN_VERSION: Final = "1"
_ZERO: Final = "0x" + "00" * 32
_SCHEMA_END: Final = ORDER_SCHEMA.encode().hex() + f"{len(ORDER_SCHEMA):04x}"


class BuiltOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A signed order that nobody has seen yet."""

    order_id: str
    """`0x` and 64 hex digits, as the venue will know it."""
    salt: int
    timestamp_ms: int
    maker_e6: int
    """USD given, in 1e-6."""
    taker_e6: int
    """Shares asked for, in 1e-6."""
    neg_risk: bool
    """For which kind of market it is signed."""
    body: bytes
    """Of its `POST /order`; it names the API key."""

    def __repr__(self) -> str:
        return f"BuiltOrder({self.order_id})"


class OrderForm(msgspec.Struct, frozen=True, kw_only=True):
    """What all orders on a token have in common."""

    neg_risk: bool
    parties: bytes
    """Words of maker, signer and token id."""
    kind: bytes
    """Words of side and signature type."""
    attribution: bytes
    """Words of metadata and builder."""
    domain: bytes
    """What stands before every hash that is signed for this contract."""
    wrapper: bytes
    """Words after the order's hash in a deposit wallet's `TypedDataSign`; else none."""
    body: bytes
    """With places for maker amount, salt, signature, the order's hash where a deposit wallet's
    contract wants it behind the signature (else for nothing), taker amount and timestamp."""

    def __repr__(self) -> str:  # the body names the API key
        return "OrderForm()"


class OrderBuilder:
    """Of one account, for one thread. The key stays with who made `sign`: it takes 32 bytes and
    returns the 65 of a recoverable signature, as Ethereum writes it."""

    def __init__(
        self,
        sign: Callable[[bytes], bytes],
        *,
        signer: str,
        wallet: str,
        signature_type: int,
        api_key: str,
    ) -> None:
        self._sign = sign
        self._keccak = Keccak256()
        self._maker = wallet
        self._signer = wallet if signature_type == DEPOSIT else signer
        self._signature_type = signature_type
        self._api_key = api_key

    def form_of(self, token_id: str, domain: ExchangeDomain, *, neg_risk: bool) -> OrderForm:
        """The form of all orders on a token, for the contract of `domain`.

        Raises ValueError and OverflowError for a token id that is no 256-bit number.
        """
        words = (hex_word(self._maker), hex_word(self._signer), uint_word(int(token_id)))
        separator = domain_separator(domain)
        return OrderForm(
            neg_risk=neg_risk,
            parties=b"".join(words),
            kind=uint_word(BUY) + uint_word(self._signature_type),
            attribution=hex_word(_ZERO) + hex_word(_ZERO),
            domain=b"\x19\x01" + separator,
            wrapper=self._wrapper(domain.chain_id),
            body=self._body(token_id, separator),
        )

    def build(
        self,
        form: OrderForm,
        amounts: tuple[int, int],
        *,
        salt: int | None = None,
        timestamp_ms: int | None = None,
    ) -> BuiltOrder:
        """A signed FAK order of these amounts (maker's, taker's), with a salt and time of its
        own."""
        maker_e6, taker_e6 = amounts
        if salt is None:
            salt = secrets.randbits(SALT_BITS)
        if timestamp_ms is None:
            timestamp_ms = int(time.time() * 1000)
        struct = (
            *(ORDER_TYPE, salt.to_bytes(32), form.parties),
            *(maker_e6.to_bytes(32), taker_e6.to_bytes(32), form.kind),
            *(timestamp_ms.to_bytes(32), form.attribution),
        )
        keccak256 = self._keccak.of
        order_hash = keccak256(b"".join(struct))
        digest = keccak256(form.domain + order_hash)
        if form.wrapper:
            wrapped = keccak256(WRAPPED_TYPE + order_hash + form.wrapper)
            signature = self._sign(keccak256(form.domain + wrapped))
        else:
            signature, order_hash = self._sign(digest), b""
        filled = (maker_e6, salt, hexlify(signature), hexlify(order_hash), taker_e6, timestamp_ms)
        return BuiltOrder(
            order_id="0x" + digest.hex(),
            salt=salt,
            timestamp_ms=timestamp_ms,
            maker_e6=maker_e6,
            taker_e6=taker_e6,
            neg_risk=form.neg_risk,
            body=form.body % filled,
        )

    def _wrapper(self, chain_id: int) -> bytes:
        if self._signature_type != DEPOSIT:
            return b""
        wallet = ExchangeDomain(
            chain_id=chain_id, contract=self._maker, version=_WALLET_DOMAIN_VERSION
        )
        return wallet_words(wallet, _WALLET_DOMAIN, _ZERO)

    def _body(self, token_id: str, separator: bytes) -> bytes:
        signature = "0x%b%b"
        if self._signature_type == DEPOSIT:  # the wallet's contract checks the wrapping by these
            signature = f"0x%b{separator.hex()}%b{_SCHEMA_END}"
        body = (
            f'{{"deferExec":false,"order":{{"builder":"{_ZERO}","expiration":"0"'
            f',"maker":{_text(self._maker)},"makerAmount":"%d","metadata":"{_ZERO}","salt":%d'
            f',"side":"BUY","signature":"{signature}","signatureType":{self._signature_type}'
            f',"signer":{_text(self._signer)},"takerAmount":"%d","timestamp":"%d"'
            f',"tokenId":{_text(token_id)}}},"orderType":"FAK","owner":{_text(self._api_key)}}}'
        )
        return body.encode()


def _text(text: str) -> str:
    """As it stands in JSON, in what is filled in by `%`."""
    return json.dumps(text).replace("%", "%%")
