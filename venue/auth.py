"""What the venue's API wants from a caller with API credentials: the L2 headers.

Written here although the official client has it: there it is internal, and comes with everything
that signs orders, which who only reads does not load. A test holds the two against each other.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

import msgspec


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """API credentials: they can read an account (and cancel orders), not sign an order."""

    address: str
    """The signer's address, 0x..."""
    key: str
    secret: str
    """Base64, of either alphabet."""
    passphrase: str

    def __repr__(self) -> str:
        return f"Credentials(address={self.address!r})"

    __str__ = __repr__

    def without(self, text: str) -> str:
        """`text` with every part of the credentials blotted out: for what others wrote."""
        for hidden in (self.key, self.secret, self.passphrase):
            text = text.replace(hidden, "***")
        return text


def secret_bytes(secret: str) -> bytes:
    """The HMAC key. Raises ValueError when `secret` is not base64."""
    plain = secret.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def l2_headers(credentials: Credentials, method: str, path: str, now_s: int) -> dict[str, str]:
    """Headers of a call without a body; `path` is without its query."""
    message = f"{now_s}{method}{path}".encode()
    digest = hmac.digest(secret_bytes(credentials.secret), message, hashlib.sha256)
    return {
        "POLY_ADDRESS": credentials.address,
        "POLY_API_KEY": credentials.key,
        "POLY_PASSPHRASE": credentials.passphrase,
        "POLY_SIGNATURE": base64.urlsafe_b64encode(digest).decode(),
        "POLY_TIMESTAMP": str(now_s),
    }
