"""Browsers that were let in. They are forgotten when the console ends."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

SESSIONS_MAX: Final = 32
"""The one that began first goes when there is another one."""


class Sessions:
    """By the hash of their cookies: what this process keeps lets nobody in."""

    def __init__(self) -> None:
        self._hashes: dict[bytes, None] = {}

    def begin(self) -> str:
        """A new session's cookie."""
        while len(self._hashes) >= SESSIONS_MAX:
            del self._hashes[next(iter(self._hashes))]
        cookie = secrets.token_urlsafe(32)
        self._hashes[_hash(cookie)] = None
        return cookie

    def knows(self, cookie: str | None) -> bool:
        """Whether it is the cookie of one of them."""
        return cookie is not None and _hash(cookie) in self._hashes


def _hash(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode("utf-8", "replace")).digest()
