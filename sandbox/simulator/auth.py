"""API keys, and the two ways in which the venue checks who is calling.

L1: an EIP-712 `ClobAuth` signature of the wallet, once, to get an API key.
L2: an HMAC over timestamp, method, path (without query) and body, on every private call.

Not modelled: expiry of timestamps, revocation, builder keys.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from eth_account import Account
from eth_account.messages import encode_typed_data

from sandbox.simulator.contracts import CHAIN_ID

_ATTESTATION: Final = "This message attests that I control the given wallet"
_CLOB_AUTH_TYPES: Final = {
    "ClobAuth": [
        {"name": "address", "type": "address"},
        {"name": "timestamp", "type": "string"},
        {"name": "nonce", "type": "uint256"},
        {"name": "message", "type": "string"},
    ]
}


class AuthError(Exception):
    """The caller is not who they say; the text is the venue's."""


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """Credentials of one wallet and nonce."""

    address: str
    key: str
    secret: str = field(repr=False)
    passphrase: str = field(repr=False)

    def as_json(self) -> dict[str, str]:
        """The body that creating and deriving answer."""
        return {"apiKey": self.key, "secret": self.secret, "passphrase": self.passphrase}


class KeyRing:
    """Issues credentials, the same ones again for the same wallet and nonce."""

    def __init__(self) -> None:
        self._seed = secrets.token_bytes(32)
        self._by_key: dict[str, ApiKey] = {}
        self._by_wallet: dict[tuple[str, int], ApiKey] = {}

    def create(self, address: str, nonce: int) -> ApiKey | None:
        """A new key; None when this wallet and nonce have one (then it must be derived)."""
        if (address, nonce) in self._by_wallet:
            return None
        digest = hmac.digest(self._seed, f"{address}/{nonce}".encode(), hashlib.sha512)
        issued = ApiKey(
            address=address,
            key=str(uuid.UUID(bytes=digest[:16])),
            secret=base64.urlsafe_b64encode(digest[16:48]).decode(),
            passphrase=digest[48:].hex(),
        )
        self._by_key[issued.key] = self._by_wallet[address, nonce] = issued
        return issued

    def derive(self, address: str, nonce: int) -> ApiKey | None:
        """The key created earlier, None when there is none."""
        return self._by_wallet.get((address, nonce))

    def keys_of(self, address: str) -> list[str]:
        """Key ids of a wallet."""
        return [key.key for (owner, _), key in self._by_wallet.items() if owner == address]

    def check_frame(self, auth: object) -> ApiKey:
        """The `auth` object of the user channel's first frame. Raises AuthError."""
        if isinstance(auth, dict):
            known = self._by_key.get(str(auth.get("apiKey")))
            if known is not None and (
                _same(known.secret, str(auth.get("secret")))
                and _same(known.passphrase, str(auth.get("passphrase")))
            ):
                return known
        raise AuthError("invalid api key")

    def check_l2(self, headers: Mapping[str, str], method: str, path: str, body: str) -> ApiKey:
        """Who makes this call. Raises AuthError."""
        known = self._by_key.get(headers.get("POLY_API_KEY", ""))
        if (
            known is None
            or headers.get("POLY_ADDRESS", "").lower() != known.address
            or not _same(known.passphrase, headers.get("POLY_PASSPHRASE", ""))
        ):
            raise AuthError("Unauthorized/Invalid api key")
        message = f"{headers.get('POLY_TIMESTAMP', '')}{method}{path}{body}"
        expected = base64.urlsafe_b64encode(
            hmac.digest(base64.urlsafe_b64decode(known.secret), message.encode(), hashlib.sha256)
        ).decode()
        if not _same(expected, headers.get("POLY_SIGNATURE", "")):
            raise AuthError("Unauthorized/Invalid api key")
        return known


def check_l1(headers: Mapping[str, str]) -> tuple[str, int]:
    """(wallet in lower case, nonce) proven by a `ClobAuth` signature. Raises AuthError."""
    try:
        address = headers["POLY_ADDRESS"].lower()
        nonce = int(headers["POLY_NONCE"])
        signable = encode_typed_data(
            {"name": "ClobAuthDomain", "version": "1", "chainId": CHAIN_ID},
            _CLOB_AUTH_TYPES,
            {
                "address": headers["POLY_ADDRESS"],
                "timestamp": headers["POLY_TIMESTAMP"],
                "nonce": nonce,
                "message": _ATTESTATION,
            },
        )
        recovered = Account.recover_message(signable, signature=headers["POLY_SIGNATURE"])
    except Exception as error:  # eth_account raises a dozen unrelated types
        raise AuthError("Invalid L1 Request headers") from error
    if recovered.lower() != address:
        raise AuthError("Invalid L1 Request headers")
    return address, nonce


def _same(one: str, other: str) -> bool:
    try:
        return hmac.compare_digest(one.encode(), other.encode())
    except (UnicodeEncodeError, binascii.Error):
        return False
