"""What the venue's API wants from a caller with API credentials: the L2 headers.

Written here although the official client has it: there it is internal, and comes with everything
that signs orders, which who only reads does not load. A test holds the two against each other.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import html
import re
from functools import lru_cache

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
        return blotted(text, self.key, self.secret, self.passphrase)

    def without_bytes(self, body: bytes) -> bytes:
        """As `without`, of an answer's bytes: before anything quotes them."""
        return blotted(body.decode("latin-1"), self.key, self.secret, self.passphrase).encode(
            "latin-1"
        )


def blotted(text: str, *secrets: str) -> str:
    """`text` with *** for each of the `secrets`, however JSON, a URL or HTML may spell them."""
    for secret in filter(None, secrets):
        text = _any_spelling(secret).sub("***", text)
    return text


@lru_cache(maxsize=8)
def _any_spelling(secret: str) -> re.Pattern[str]:
    return re.compile("".join(map(_spellings, secret)))


def _spellings(letter: str) -> str:
    """Each begins with a letter of its own, which `re` looks for fast, and repeats a bounded number
    of times: it is others who choose the text."""
    code, plain = ord(letter), re.escape(letter)
    entity = re.escape(html.escape(letter)[1:]) or "(?!)"
    cases = "|".join(sorted({re.escape(letter.lower()), re.escape(letter.upper())}))
    return (
        rf"(?:{cases}"
        rf"|\\\\{{0,3}}(?i:(?:u00|x){code:02x}|{plain})"  # JSON, and JSON in JSON
        rf"|%(?:25){{0,2}}(?i:{code:02x})"
        rf"|&(?i:#0{{0,4}}{code};|#x0{{0,4}}{code:x};|{entity}))"
    )


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
